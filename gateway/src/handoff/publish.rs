//! How a `Snapshot` reaches the workers: swapped whole; a worker notices by one relaxed load. The
//! publisher keeps every snapshot until no worker holds it, so that the free runs in the control plane.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use super::snapshot::Snapshot;

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

/// A worker's end.
pub struct SnapshotReader {
    shared: Arc<Shared>,
    held: Arc<Snapshot>,
}

impl SnapshotReader {
    /// The newest snapshot. One relaxed load when nothing changed.
    pub fn get(&mut self) -> &Arc<Snapshot> {
        if self.shared.revision.load(Ordering::Acquire) != self.held.revision {
            self.held = self.shared.current.load_full();
        }
        &self.held
    }
}
