//! What the store knows about its master key: the check record, an exchange under way, and which records
//! are sealed.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{MasterKey, UnlockError, envelope, key};
use crate::{
    control_plane::{
        resource::key::{CA, CREDENTIALS},
        store::{Compare, Operation, Revision, Store, Transaction, TransactionOutcome},
    },
    secret::Secret,
};

/// Where sealed records are. Each is a JSON object with the sealed value in the field [`SEALED`].
pub(super) const SEALED_RECORDS: [&str; 3] = [CREDENTIALS, CA, key::TEXT];
pub(super) const SEALED: &str = "sealed";

/// At [`key::CHECK`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckDoc {
    pub(super) key_id: String,
    /// Opens only with the key itself.
    pub(super) sealed: String,
}

/// At [`key::ROTATION`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RotationDoc {
    pub(super) from: String,
    pub(super) to: String,
}

/// A document and when it last changed.
pub(super) struct Found<T> {
    pub(super) doc: T,
    pub(super) mod_revision: Revision,
}

/// One sealed record.
pub(super) struct SealedRecord {
    pub(super) key: String,
    pub(super) mod_revision: Revision,
    pub(super) doc: serde_json::Map<String, serde_json::Value>,
}

impl CheckDoc {
    pub(super) fn new(master_key: &MasterKey) -> Result<Self, UnlockError> {
        let sealed = envelope::seal(master_key, key::CHECK, &Secret::copy_of(b"keyway"))?;
        Ok(Self {
            key_id: master_key.id().to_owned(),
            sealed,
        })
    }
}

impl SealedRecord {
    pub(super) fn sealed(&self) -> Result<&str, UnlockError> {
        self.doc
            .get(SEALED)
            .and_then(serde_json::Value::as_str)
            .ok_or_else(|| bad(&self.key))
    }
}

/// The key id the store was sealed under, from the check record or else from any sealed record; `None`
/// when nothing is sealed yet.
pub(super) async fn expected_key_id(store: &dyn Store) -> Result<Option<String>, UnlockError> {
    if let Some(check) = check(store).await? {
        return Ok(Some(check.doc.key_id));
    }
    match sealed_records(store).await?.first() {
        Some(record) => Ok(Some(envelope::key_id_of(record.sealed()?)?.to_owned())),
        None => Ok(None),
    }
}

pub(super) async fn check(store: &dyn Store) -> Result<Option<Found<CheckDoc>>, UnlockError> {
    read(store, key::CHECK).await
}

pub(super) async fn rotation(store: &dyn Store) -> Result<Option<Found<RotationDoc>>, UnlockError> {
    read(store, key::ROTATION).await
}

/// Writes the first check record. Does nothing if there is one: the caller has its key compared next.
pub(super) async fn create_check(
    store: &dyn Store,
    master_key: &MasterKey,
) -> Result<(), UnlockError> {
    if !create(store, key::CHECK, &CheckDoc::new(master_key)?).await? {
        return Err(UnlockError::Busy);
    }
    Ok(())
}

pub(super) async fn sealed_records(store: &dyn Store) -> Result<Vec<SealedRecord>, UnlockError> {
    let mut records = Vec::new();
    for prefix in SEALED_RECORDS {
        for entry in store.range(prefix).await?.entries {
            // `ca` and `seal/text` are whole keys, not prefixes of others.
            if !prefix.ends_with('/') && entry.key != prefix {
                continue;
            }
            records.push(SealedRecord {
                doc: serde_json::from_slice(&entry.value).map_err(|_| bad(&entry.key))?,
                key: entry.key,
                mod_revision: entry.mod_revision,
            });
        }
    }
    Ok(records)
}

pub(super) async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<Found<T>>, UnlockError> {
    let entries = store.range(key).await?.entries;
    let Some(entry) = entries.into_iter().find(|entry| entry.key == key) else {
        return Ok(None);
    };
    Ok(Some(Found {
        doc: serde_json::from_slice(&entry.value).map_err(|_| bad(key))?,
        mod_revision: entry.mod_revision,
    }))
}

/// False if the key exists already.
pub(super) async fn create(
    store: &dyn Store,
    key: &str,
    doc: &impl Serialize,
) -> Result<bool, UnlockError> {
    let compares = vec![Compare::Absent {
        key: key.to_owned(),
    }];
    commit(store, compares, vec![put(key, doc)]).await
}

/// False if a compare did not hold.
pub(super) async fn commit(
    store: &dyn Store,
    compares: Vec<Compare>,
    operations: Vec<Operation>,
) -> Result<bool, UnlockError> {
    let transaction = Transaction {
        compares,
        operations,
    };
    Ok(match store.transact(transaction).await? {
        TransactionOutcome::Committed { .. } => true,
        TransactionOutcome::Conflict { .. } => false,
    })
}

pub(super) fn put(key: &str, doc: &impl Serialize) -> Operation {
    Operation::Put {
        key: key.to_owned(),
        value: serde_json::to_vec(doc).expect("documents of text fields become JSON"),
    }
}

fn bad(key: &str) -> UnlockError {
    UnlockError::BadRecord {
        key: key.to_owned(),
    }
}
