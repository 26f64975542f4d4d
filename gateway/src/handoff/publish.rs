//! How a `Snapshot` reaches the workers: swapped whole; a worker notices by one load. The
//! publisher keeps every snapshot until no worker holds it, so that the free runs in the control plane.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use super::snapshot::{Endpoint, Peers, Snapshot, access::GroupBuckets};

struct Shared {
    current: ArcSwap<Snapshot>,
    revision: AtomicU64,
}

/// The control plane's end.
pub struct SnapshotPublisher {
    shared: Arc<Shared>,
    retired: Vec<Arc<Snapshot>>,
}

impl SnapshotPublisher {
    /// Begins with a snapshot at revision 0 that lets nobody in.
    pub fn empty() -> Self {
        Self::new(empty(0))
    }

    pub fn new(first: Snapshot) -> Self {
        let revision = AtomicU64::new(first.revision);
        let current = ArcSwap::from_pointee(first);
        Self {
            shared: Arc::new(Shared { current, revision }),
            retired: Vec::new(),
        }
    }

    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            held: self.shared.current.load_full(),
            shared: Arc::clone(&self.shared),
        }
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Replaces the current snapshot; `next.revision` must be larger than the current one.
    pub fn publish(&mut self, next: Snapshot) {
        let revision = next.revision;
        self.retired.push(self.shared.current.swap(Arc::new(next)));
        self.shared.revision.store(revision, Ordering::Release);
        self.reap();
    }

    /// Frees retired snapshots that no worker holds; returns how many are still held.
    pub fn reap(&mut self) -> usize {
        self.retired
            .retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.retired.len()
    }
}

fn empty(revision: u64) -> Snapshot {
    Snapshot {
        revision,
        endpoint: Endpoint::default(),
        peers: Peers::default(),
        providers: Vec::new(),
        policies: Vec::new(),
        budget_rules: Vec::new(),
        groups: Arc::default(),
        group_buckets: GroupBuckets::default(),
    }
}

/// A worker's end.
pub struct SnapshotReader {
    shared: Arc<Shared>,
    held: Arc<Snapshot>,
}

impl SnapshotReader {
    /// The newest snapshot. One load of a shared, rarely written word when nothing changed.
    pub fn get(&mut self) -> &Arc<Snapshot> {
        if self.shared.revision.load(Ordering::Acquire) != self.held.revision {
            self.held = self.shared.current.load_full();
        }
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_the_newest_and_hold_what_they_took() {
        let mut publisher = SnapshotPublisher::empty();
        let mut reader = publisher.reader();
        assert_eq!(reader.get().revision, 0);
        let in_use = Arc::clone(reader.get());

        publisher.publish(empty(1));
        publisher.publish(empty(2));
        assert_eq!(reader.get().revision, 2);
        assert_eq!(in_use.revision, 0);
    }

    #[test]
    fn what_nobody_holds_is_freed_by_the_publisher() {
        let mut publisher = SnapshotPublisher::empty();
        let mut reader = publisher.reader();
        let exchange = Arc::clone(reader.get());
        publisher.publish(empty(1));
        let first = Arc::downgrade(reader.get());

        publisher.publish(empty(2));
        assert_eq!(publisher.reap(), 2, "the exchange's and the reader's");
        reader.get();
        assert_eq!(publisher.reap(), 1, "the exchange's");
        assert!(first.upgrade().is_none());
        drop(exchange);
        assert_eq!(publisher.reap(), 0);
    }
}
