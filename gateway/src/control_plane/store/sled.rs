//! The embedded engine: one sled tree holds entries (`e` ‖ key), the change log (`c` ‖ revision ‖ index)
//! and the revision counter (`r`), so that one batch keeps them together. There is one writer at a time;
//! a batch is flushed before anybody can read it.

mod engine;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::fcntl::Flock;
use tokio::sync::{Mutex, watch};

pub use self::engine::EngineError;
pub(super) use self::engine::{Engine, free_bytes};
use super::{
    Change, OpenError, Opened, Range, Revision, Store, StoreError, StoreFuture, StoreStatus,
    Transaction, TransactionOutcome, open,
};

/// A [`Store`] in a directory of this machine. Its methods need a tokio runtime: the disk is waited for
/// on the blocking threads.
pub struct SledStore {
    /// The lock is let go when the last write has ended and sled is closed.
    engine: Arc<(Engine, Flock<File>)>,
    writer: Arc<Mutex<()>>,
    /// The newest revision that is on disk.
    revision: Arc<watch::Sender<Revision>>,
    directory: PathBuf,
}

impl SledStore {
    /// Opens or makes the store in `directory`: the database in `db`, automatic exports in `exports`,
    /// a lock file. Writes are refused when less than `free_bytes_min` bytes are free. Blocks; reads all
    /// values once and checks them. What is done about a damaged store: [`Opened::damage`].
    pub fn open(directory: &Path, free_bytes_min: u64) -> Result<Opened, OpenError> {
        open::open(directory, free_bytes_min)
    }

    /// Where [`super::keep_exported`] should write, and where `open` looks when the store is damaged.
    pub fn exports_directory(&self) -> PathBuf {
        open::exports_directory(&self.directory)
    }

    /// What its writes take.
    pub fn status(&self) -> Arc<StoreStatus> {
        Arc::clone(&self.engine.0.status)
    }

    pub(super) fn new(engine: Engine, directory: &Path, lock: Flock<File>) -> Self {
        let revision = engine.revision();
        Self {
            engine: Arc::new((engine, lock)),
            writer: Arc::new(Mutex::new(())),
            revision: Arc::new(watch::Sender::new(revision)),
            directory: directory.to_owned(),
        }
    }
}

impl Store for SledStore {
    fn range(&self, prefix: &str) -> StoreFuture<'_, Range> {
        let engine = Arc::clone(&self.engine);
        let prefix = prefix.to_owned();
        Box::pin(blocking(move || engine.0.range(&prefix)))
    }

    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, TransactionOutcome> {
        Box::pin(async move {
            transaction.validate()?;
            let turn = Arc::clone(&self.writer).lock_owned().await;
            let engine = Arc::clone(&self.engine);
            let newest = Arc::clone(&self.revision);
            // The turn goes along: if this future is dropped, the write still ends before the next.
            blocking(move || {
                let outcome = engine.0.transact(&transaction);
                newest.send_if_modified(|newest| {
                    let current = engine.0.revision();
                    let grown = current > *newest;
                    *newest = current;
                    grown
                });
                drop(turn);
                outcome
            })
            .await
        })
    }

    fn changes(&self, prefix: &str, after: Revision) -> StoreFuture<'_, Vec<Change>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            let mut newest = self.revision.subscribe();
            let mut after = after;
            loop {
                newest
                    .wait_for(|newest| *newest > after)
                    .await
                    .map_err(|_| StoreError::Engine("the store was closed".into()))?;
                let engine = Arc::clone(&self.engine);
                let wanted = prefix.clone();
                let (changes, reached) =
                    blocking(move || engine.0.changes_after(&wanted, after)).await?;
                if !changes.is_empty() {
                    return Ok(changes);
                }
                after = after.max(reached);
            }
        })
    }
}

/// Waits for the disk on a blocking thread. sled panics on some kinds of damage; that ends as an error.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => Err(StoreError::Engine(format!("the engine failed: {failed}"))),
    }
}

#[cfg(test)]
mod tests;
