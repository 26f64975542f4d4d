//! Exchanging the master key. Each step is one transaction that leaves every record readable with one of
//! two keys; running the whole thing again ends what an earlier run began.
//!
//! Order: note the exchange; seal every record again; make the new key current; look once more for what
//! was written under the old key meanwhile; only then may the old key go.

use super::{
    Keyring, MasterKey, UnlockError, envelope, key,
    source::{self, Keys},
    state::{self, CheckDoc, Found, RotationDoc, SEALED, SealedRecord},
};
use crate::{
    config::MasterKeySource,
    control_plane::{
        audit::Recorder,
        store::{Compare, Operation, Store, Transaction},
    },
};

/// Passes over the records before giving up on a store that is being written to.
const PASSES_MAX: usize = 16;

/// The result of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Id of the new master key.
    pub key_id: String,
    /// Records sealed again in this run.
    pub records: usize,
    /// What the operator has left to do.
    pub advice: Option<String>,
}

pub(super) async fn rotate_source(
    source: &MasterKeySource,
    store: &dyn Store,
    recorder: Option<Recorder<'_>>,
) -> Result<(Keyring, Rotated), UnlockError> {
    let before = Keyring::unlock(source, store).await?;
    let expected = Some(before.key_id());
    let Keys { primary, next } = source::read(source, store, expected).await?;
    let next = match next {
        Some(next) => next,
        None => source::make_next(source).await?,
    };
    let records = rotate(store, &primary, &next, recorder).await?;
    let rotated = Rotated {
        key_id: next.id().to_owned(),
        records,
        advice: source::finish(source).await?,
    };
    Ok((Keyring::of(next), rotated))
}

/// Seals everything under `new` and makes it current; the number of records sealed again. `old` may be
/// forgotten when this has returned.
pub(super) async fn rotate(
    store: &dyn Store,
    old: &MasterKey,
    new: &MasterKey,
    recorder: Option<Recorder<'_>>,
) -> Result<usize, UnlockError> {
    begin(store, old, new).await?;
    let mut records = reseal_all(store, old, new).await?;
    make_current(store, new, recorder).await?;
    records += reseal_all(store, old, new).await?;
    Ok(records)
}

async fn begin(store: &dyn Store, old: &MasterKey, new: &MasterKey) -> Result<(), UnlockError> {
    let current = state::expected_key_id(store).await?;
    let done = current.as_deref() == Some(new.id());
    match state::rotation(store).await? {
        Some(Found { doc, .. }) if doc.to == new.id() => Ok(()),
        Some(Found { doc, .. }) => Err(UnlockError::OtherRotation { to: doc.to }),
        None if done => Ok(()),
        None => {
            let doc = RotationDoc {
                from: old.id().to_owned(),
                to: new.id().to_owned(),
            };
            match state::create(store, key::ROTATION, &doc).await? {
                true => Ok(()),
                false => Err(UnlockError::Busy),
            }
        }
    }
}

/// Passes over all records until one finds nothing under `old`.
async fn reseal_all(
    store: &dyn Store,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<usize, UnlockError> {
    let mut records = 0;
    for _ in 0..PASSES_MAX {
        let mut left = 0;
        for record in state::sealed_records(store).await? {
            if envelope::key_id_of(record.sealed()?)? == new.id() {
                continue;
            }
            match reseal(store, record, old, new).await? {
                true => records += 1,
                // Somebody wrote it; the next pass sees what.
                false => left += 1,
            }
        }
        if left == 0 {
            return Ok(records);
        }
    }
    Err(UnlockError::Busy)
}

/// False if the record changed meanwhile.
async fn reseal(
    store: &dyn Store,
    mut record: SealedRecord,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<bool, UnlockError> {
    let secret = envelope::open(old, &record.key, record.sealed()?)?;
    let sealed = envelope::seal(new, &record.key, &secret)?;
    record.doc.insert(SEALED.to_owned(), sealed.into());
    if let Some(fingerprint) = record.doc.get_mut("fingerprint") {
        *fingerprint = new.fingerprint(&secret).into();
    }
    let compare = Compare::ModRevision {
        key: record.key.clone(),
        revision: record.mod_revision,
    };
    state::commit(
        store,
        vec![compare],
        vec![state::put(&record.key, &record.doc)],
    )
    .await
}

/// The new key's check record, and the end of the exchange, in one step.
async fn make_current(
    store: &dyn Store,
    new: &MasterKey,
    recorder: Option<Recorder<'_>>,
) -> Result<(), UnlockError> {
    let Some(rotation) = state::rotation(store).await? else {
        return Ok(());
    };
    let mut compares = vec![Compare::ModRevision {
        key: key::ROTATION.to_owned(),
        revision: rotation.mod_revision,
    }];
    if let Some(check) = state::check(store).await? {
        compares.push(Compare::ModRevision {
            key: key::CHECK.to_owned(),
            revision: check.mod_revision,
        });
    }
    let operations = vec![
        state::put(key::CHECK, &CheckDoc::new(new)?),
        Operation::Delete {
            key: key::ROTATION.to_owned(),
        },
    ];
    let committed = match recorder {
        Some(recorder) => {
            let transaction = Transaction {
                compares,
                operations,
            };
            recorder.commit(store, transaction).await?
        }
        None => state::commit(store, compares, operations).await?,
    };
    match committed {
        true => Ok(()),
        false => Err(UnlockError::Busy),
    }
}
