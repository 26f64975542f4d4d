//! A store without a disk, which can refuse to write.

use std::{
    collections::BTreeMap,
    future::{pending, ready},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::control_plane::store::{
    Change, Entry, Operation, Range, Revision, Store, StoreError, StoreFuture, Transaction,
    TransactionOutcome,
};

#[derive(Default)]
pub(super) struct MemoryStore {
    entries: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) is_full: AtomicBool,
}

impl Store for MemoryStore {
    fn range(&self, prefix: &str) -> StoreFuture<'_, Range> {
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().filter(|(key, _)| key.starts_with(prefix));
        let entries = found.map(|(key, value)| Entry {
            key: key.clone(),
            value: value.clone(),
            create_revision: 1,
            mod_revision: 1,
        });
        let range = Range {
            revision: 1,
            entries: entries.collect(),
        };
        Box::pin(ready(Ok(range)))
    }

    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, TransactionOutcome> {
        if self.is_full.load(Relaxed) {
            let full = StoreError::LowSpace {
                free_bytes: 0,
                free_bytes_min: 1,
            };
            return Box::pin(ready(Err(full)));
        }
        let mut entries = self.entries.lock().unwrap();
        for operation in transaction.operations {
            match operation {
                Operation::Put { key, value } => drop(entries.insert(key, value)),
                Operation::Delete { key } => drop(entries.remove(&key)),
            }
        }
        Box::pin(ready(Ok(TransactionOutcome::Committed { revision: 1 })))
    }

    fn changes(&self, _: &str, _: Revision) -> StoreFuture<'_, Vec<Change>> {
        Box::pin(pending())
    }
}
