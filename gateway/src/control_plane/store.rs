//! Durable state behind an interface shaped like etcd: keys are byte paths, every transaction has a
//! revision, changes can be followed from a revision on.

use std::{future::Future, pin::Pin};

pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A position in the store's history; grows by one per transaction that changed something.
pub type Revision = u64;

/// One key as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    /// Revision that created this key (since it last did not exist).
    pub create_revision: Revision,
    /// Revision of the last change.
    pub mod_revision: Revision,
}

/// A consistent read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub revision: Revision,
    /// By key, ascending.
    pub entries: Vec<Entry>,
}

/// All compares hold, or nothing is written.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    pub compares: Vec<Compare>,
    pub operations: Vec<Operation>,
}

#[derive(Debug, Clone)]
pub enum Compare {
    /// The key does not exist.
    Absent { key: String },
    /// The key's `mod_revision` is this.
    ModRevision { key: String, revision: Revision },
}

#[derive(Debug, Clone)]
pub enum Operation {
    Put { key: String, value: Vec<u8> },
    Delete { key: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionOutcome {
    Committed {
        revision: Revision,
    },
    /// A compare did not hold; nothing was written.
    Conflict {
        revision: Revision,
    },
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub revision: Revision,
    pub key: String,
    /// `None` when the key was deleted.
    pub value: Option<Vec<u8>>,
}

/// Durable state. Every write is on disk before its future resolves.
pub trait Store: Send + Sync {
    /// All keys that begin with `prefix` (a whole key is its own prefix).
    fn range(&self, prefix: &str) -> StoreFuture<'_, Range>;

    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, TransactionOutcome>;

    /// Waits until something under `prefix` changed after revision `after`, and returns those changes in
    /// order; [`StoreError::Compacted`] when the history no longer reaches back that far (read with
    /// `range` and go on from its revision).
    fn changes(&self, prefix: &str, after: Revision) -> StoreFuture<'_, Vec<Change>>;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store's history begins at revision {0}")]
    Compacted(Revision),
    #[error(
        "only {free_bytes} bytes are free where the store is; it takes no writes below {free_bytes_min}: free some space"
    )]
    LowSpace {
        free_bytes: u64,
        free_bytes_min: u64,
    },
    #[error("value of {key} is damaged (checksum mismatch)")]
    Damaged { key: String },
    #[error("store: {0}")]
    Engine(String),
}
