//! Who is told about new rows: a bounded number of subscribers, woken when the indexer has committed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{UsageError, UsageReader, entry::AccessLogEntry, filter::LogFilter};

/// Subscribers at the same time; each asks the index after every commit.
const SUBSCRIBERS_MAX: usize = 16;

/// Signals commits; owned by the indexer.
pub(super) type Commits = watch::Sender<u64>;

/// The readers' end.
#[derive(Clone)]
pub(super) struct Live {
    commits: watch::Receiver<u64>,
    places: Arc<Semaphore>,
}

impl Live {
    pub(super) fn new() -> (Commits, Self) {
        let (sender, commits) = watch::channel(0);
        let places = Arc::new(Semaphore::new(SUBSCRIBERS_MAX));
        (sender, Self { commits, places })
    }
}

/// New rows that meet a filter, in the order in which they become visible.
pub struct Subscription {
    reader: UsageReader,
    filter: LogFilter,
    /// What was seen up to here.
    sequence: i64,
    commits: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

impl UsageReader {
    /// Rows after `sequence`; `None` when there are too many subscribers.
    pub fn subscribe(&self, filter: LogFilter, sequence: i64) -> Option<Subscription> {
        let place = Arc::clone(&self.live.places).try_acquire_owned().ok()?;
        Some(Subscription {
            reader: self.clone(),
            filter,
            sequence,
            commits: self.live.commits.clone(),
            _place: place,
        })
    }
}

impl Subscription {
    /// What is there by now, a bounded number of rows. Blocks on the disk.
    pub fn read(&mut self) -> Result<Vec<AccessLogEntry>, UsageError> {
        self.commits.mark_unchanged();
        let (entries, sequence) = self.reader.follow(self.sequence, &self.filter)?;
        self.sequence = sequence;
        Ok(entries)
    }

    /// Rows up to here have been read, or passed over.
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Resolves once there may be more; `false` when there will never be.
    pub async fn changed(&mut self) -> bool {
        self.commits.changed().await.is_ok()
    }
}
