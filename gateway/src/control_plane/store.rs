//! Durable state behind an interface shaped like etcd: keys are byte paths, every transaction has a
//! revision, changes can be followed from a revision on.
//!
//! `sled` is the embedded engine; every engine must pass `conformance`. `export` writes and reads the
//! logical form, which `auto_export` keeps fresh beside the database.

mod auto_export;
mod export;
mod frame;
mod history;
mod open;
mod sled;
mod status;
mod watermark;

#[cfg(test)]
pub(crate) mod conformance;

use std::{future::Future, pin::Pin};

pub use self::{
    auto_export::keep_exported,
    export::{ExportError, Exported, ImportMode, Imported, export, import},
    open::{DamageReport, OpenError, Opened, RestoredFrom},
    sled::{EngineError, SledStore},
    status::StoreStatus,
};

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest value in bytes; etcd refuses requests above 1.5 MiB.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Most operations in one transaction, as in etcd's default configuration.
pub const OPERATIONS_MAX: usize = 128;

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

impl Transaction {
    /// What every engine refuses, so that none accepts what another cannot keep.
    pub(crate) fn validate(&self) -> Result<(), StoreError> {
        if self.operations.len() > OPERATIONS_MAX {
            return Err(StoreError::Invalid(
                "more than 128 operations in a transaction",
            ));
        }
        let mut keys = std::collections::HashSet::new();
        for operation in &self.operations {
            let (key, value_len) = match operation {
                Operation::Put { key, value } => (key, value.len()),
                Operation::Delete { key } => (key, 0),
            };
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(StoreError::Invalid("a key has 1 to 512 bytes"));
            }
            if value_len > VALUE_BYTES_MAX {
                return Err(StoreError::Invalid("a value has at most 1 MiB"));
            }
            if !keys.insert(key.as_str()) {
                return Err(StoreError::Invalid("a key occurs twice in a transaction"));
            }
        }
        Ok(())
    }
}

/// A condition on one key.
#[derive(Debug, Clone)]
pub enum Compare {
    /// The key does not exist.
    Absent { key: String },
    /// The key's `mod_revision` is this.
    ModRevision { key: String, revision: Revision },
}

#[derive(Debug, Clone)]
pub enum Operation {
    Put {
        key: String,
        value: Vec<u8>,
    },
    /// Of a key that does not exist: changes nothing.
    Delete {
        key: String,
    },
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// The revision after it: a new one if anything changed.
    Committed { revision: Revision },
    /// A compare did not hold; nothing was written.
    Conflict { revision: Revision },
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

    /// Applies all operations at one new revision, or none. What was applied stays so, even if the future
    /// is dropped before it resolves.
    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, TransactionOutcome>;

    /// Waits until something under `prefix` changed after revision `after`, and returns those changes in
    /// order; [`StoreError::Compacted`] when the history no longer reaches back that far (read with
    /// `range` and go on from its revision).
    fn changes(&self, prefix: &str, after: Revision) -> StoreFuture<'_, Vec<Change>>;
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("not a valid transaction: {0}")]
    Invalid(&'static str),
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
