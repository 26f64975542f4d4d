//! The engine without tokio: blocking calls on one sled tree, and the checks made when it is opened.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, RwLock, RwLockReadGuard},
    time::Instant,
};

use sled::{Batch, Db, IVec, Mode};

use crate::control_plane::store::{
    Change, Compare, Entry, Operation, Range, Revision, StoreError, Transaction,
    TransactionOutcome,
    frame::Frame,
    history::{self, ChangeId, History},
    status::StoreStatus,
    watermark::Watermark,
};

/// sled's page cache. All documents of a node together are smaller.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

const REVISION_KEY: &[u8] = b"r";
const ENTRY_TAG: u8 = b'e';
const CHANGE_TAG: u8 = b'c';

/// The open database.
pub(in crate::control_plane::store) struct Engine {
    db: Db,
    path: PathBuf,
    free_bytes_min: u64,
    state: RwLock<State>,
    watermark: Watermark,
    pub(super) status: Arc<StoreStatus>,
}

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system said no: nothing is known about the content.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// sled still holds the files.
    #[error("the database is still being closed")]
    Closing,
    /// The content is not what was written.
    #[error("{0}")]
    Damaged(String),
}

struct State {
    revision: Revision,
    history: History,
    /// A write failed half-way: what sled holds in memory may not be what is on disk.
    failed: bool,
}

impl Engine {
    /// Opens or makes the database in `path` and checks every value. May panic, where sled does. Says
    /// also which revision had been acknowledged; if it is newer than [`Self::revision`], sled has
    /// dropped damaged parts of its log.
    pub(in crate::control_plane::store) fn open(
        path: &Path,
        free_bytes_min: u64,
    ) -> Result<(Self, Revision), EngineError> {
        let db = sled::Config::new()
            .path(path)
            .mode(Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            // Every transaction flushes by itself.
            .flush_every_ms(None)
            .open()?;
        let state = verify(&db)?;
        // Inside sled's directory, so that both are set aside together. sled leaves other files alone.
        let (watermark, acknowledged) = Watermark::open(&path.join("watermark"))?;
        let status = StoreStatus::new(path.to_owned(), free_bytes_min);
        status.set_bytes(db.size_on_disk()?);
        let engine = Self {
            status: Arc::new(status),
            db,
            path: path.to_owned(),
            free_bytes_min,
            state: RwLock::new(state),
            watermark,
        };
        Ok((engine, acknowledged))
    }

    /// Fills a new database with `entries`, all at `revision`, without history.
    pub(in crate::control_plane::store) fn load(
        &self,
        revision: Revision,
        entries: &[(String, Vec<u8>)],
    ) -> Result<(), EngineError> {
        let mut batch = Batch::default();
        for (key, value) in entries {
            insert(&mut batch, entry_key(key), revision, revision, value);
        }
        insert(&mut batch, REVISION_KEY.to_vec(), revision, revision, &[]);
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(self.watermark.set(revision)?)
    }

    /// The newest revision.
    pub(in crate::control_plane::store) fn revision(&self) -> Revision {
        match self.state.read() {
            Ok(state) => state.revision,
            Err(poisoned) => poisoned.into_inner().revision,
        }
    }

    pub(in crate::control_plane::store) fn range(&self, prefix: &str) -> Result<Range, StoreError> {
        let state = self.read()?;
        let mut entries = Vec::new();
        for item in self.db.scan_prefix(entry_key(prefix)) {
            let (engine_key, bytes) = item.map_err(engine_error)?;
            entries.push(entry(&engine_key, &bytes)?);
        }
        Ok(Range {
            revision: state.revision,
            entries,
        })
    }

    pub(super) fn transact(
        &self,
        transaction: &Transaction,
    ) -> Result<TransactionOutcome, StoreError> {
        // Readers wait for the flush, so that nobody acts on what may still be lost.
        let mut state = self.state.write().map_err(|_| failed_before())?;
        if state.failed {
            return Err(failed_before());
        }
        for compare in &transaction.compares {
            if !self.holds(compare)? {
                return Ok(TransactionOutcome::Conflict {
                    revision: state.revision,
                });
            }
        }
        let revision = state.revision + 1;
        let mut batch = Batch::default();
        let mut changes = Vec::new();
        for operation in &transaction.operations {
            let (key, value) = match operation {
                Operation::Put { key, value } => (key, Some(value)),
                Operation::Delete { key } => (key, None),
            };
            let created = self
                .revisions(key)?
                .map(|(create_revision, _)| create_revision);
            match (value, created) {
                (Some(value), created) => {
                    let created = created.unwrap_or(revision);
                    insert(&mut batch, entry_key(key), created, revision, value);
                }
                (None, Some(_)) => batch.remove(entry_key(key)),
                (None, None) => continue,
            }
            changes.push(history::encode(operation));
        }
        if changes.is_empty() {
            return Ok(TransactionOutcome::Committed {
                revision: state.revision,
            });
        }
        self.check_free_space()
            .inspect_err(|_| self.status.failures.add(1))?;
        for (index, payload) in (0..).zip(&changes) {
            let id = ChangeId { revision, index };
            insert(&mut batch, change_key(id), revision, revision, payload);
            state.history.push(id, payload.len());
        }
        for id in state.history.compact() {
            batch.remove(change_key(id));
        }
        insert(&mut batch, REVISION_KEY.to_vec(), revision, revision, &[]);
        state.failed = true;
        self.write(batch, revision)
            .inspect_err(|_| self.status.failures.add(1))?;
        state.failed = false;
        state.revision = revision;
        Ok(TransactionOutcome::Committed { revision })
    }

    /// Changes under `prefix` after `after`, and the revision up to which that is all of them.
    pub(super) fn changes_after(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<(Vec<Change>, Revision), StoreError> {
        let state = self.read()?;
        let oldest = state.history.oldest().unwrap_or(state.revision + 1);
        if after + 1 < oldest {
            return Err(StoreError::Compacted(oldest));
        }
        let from = ChangeId {
            revision: after + 1,
            index: 0,
        };
        let mut changes = Vec::new();
        for item in self.db.range(change_key(from)..vec![CHANGE_TAG + 1]) {
            let (engine_key, bytes) = item.map_err(engine_error)?;
            let change = change(&engine_key, &bytes).ok_or_else(|| StoreError::Damaged {
                key: "a change in the history".into(),
            })?;
            if change.key.starts_with(prefix) {
                changes.push(change);
            }
        }
        Ok((changes, state.revision))
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>, StoreError> {
        let state = self.state.read().map_err(|_| failed_before())?;
        if state.failed {
            return Err(failed_before());
        }
        Ok(state)
    }

    fn holds(&self, compare: &Compare) -> Result<bool, StoreError> {
        Ok(match compare {
            Compare::Absent { key } => self.revisions(key)?.is_none(),
            Compare::ModRevision { key, revision } => self
                .revisions(key)?
                .is_some_and(|(_, mod_revision)| mod_revision == *revision),
        })
    }

    /// Create and mod revision of a key that exists.
    fn revisions(&self, key: &str) -> Result<Option<(Revision, Revision)>, StoreError> {
        let engine_key = entry_key(key);
        let Some(bytes) = self.db.get(&engine_key).map_err(engine_error)? else {
            return Ok(None);
        };
        let entry = entry(&engine_key, &bytes)?;
        Ok(Some((entry.create_revision, entry.mod_revision)))
    }

    fn write(&self, batch: Batch, revision: Revision) -> Result<(), StoreError> {
        let begun = Instant::now();
        self.db.apply_batch(batch).map_err(engine_error)?;
        self.db.flush().map_err(engine_error)?;
        self.status.flushed(begun.elapsed());
        if let Ok(bytes) = self.db.size_on_disk() {
            self.status.set_bytes(bytes);
        }
        self.watermark
            .set(revision)
            .map_err(|error| StoreError::Engine(error.to_string()))
    }
}

impl Engine {
    /// sled cannot be opened on a full disk, so the last bytes are never used up.
    fn check_free_space(&self) -> Result<(), StoreError> {
        let free_bytes =
            free_bytes(&self.path).map_err(|error| StoreError::Engine(error.to_string()))?;
        if free_bytes < self.free_bytes_min {
            return Err(StoreError::LowSpace {
                free_bytes,
                free_bytes_min: self.free_bytes_min,
            });
        }
        Ok(())
    }
}

/// Bytes an unprivileged process may still use on the file system of `path`.
pub(in crate::control_plane::store) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

impl From<sled::Error> for EngineError {
    fn from(error: sled::Error) -> Self {
        use std::io::ErrorKind;
        match error {
            sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
                Self::Closing
            }
            sled::Error::Io(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::InvalidData
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            sled::Error::Io(error) => Self::Io(error),
            damage @ (sled::Error::Corruption { .. }
            | sled::Error::CollectionNotFound(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Unsupported(_)) => Self::Damaged(damage.to_string()),
        }
    }
}

/// Reads everything once: checksums, the counter, and a history without gaps up to the counter.
fn verify(db: &Db) -> Result<State, EngineError> {
    let damaged = |what: &str| EngineError::Damaged(what.to_owned());
    let revision = match db.get(REVISION_KEY)? {
        Some(bytes) => {
            Frame::decode(REVISION_KEY, &bytes)
                .ok_or_else(|| damaged("the revision counter fails its checksum"))?
                .mod_revision
        }
        None if db.is_empty() => 0,
        None => return Err(damaged("the revision counter is missing")),
    };
    let mut history = History::default();
    for item in db.iter() {
        let (key, bytes) = item?;
        let frame =
            Frame::decode(&key, &bytes).ok_or_else(|| damaged("a value fails its checksum"))?;
        match key.first() {
            Some(&CHANGE_TAG) => {
                let id = change_id(&key).ok_or_else(|| damaged("a change has a bad key"))?;
                let expected = history.newest().map(|newest| [newest, newest + 1]);
                if expected.is_some_and(|expected| !expected.contains(&id.revision)) {
                    return Err(damaged("the history has a gap"));
                }
                history.push(id, frame.payload.len());
            }
            Some(&ENTRY_TAG) if frame.mod_revision <= revision && entry(&key, &bytes).is_ok() => {}
            _ if &*key == REVISION_KEY => {}
            _ => {
                return Err(damaged(
                    "a key that is not of this store, or is newer than its counter",
                ));
            }
        }
    }
    if history.newest().is_some_and(|newest| newest != revision) {
        return Err(damaged("the history does not end at the revision counter"));
    }
    Ok(State {
        revision,
        history,
        failed: false,
    })
}

fn insert(batch: &mut Batch, key: Vec<u8>, created: Revision, modified: Revision, payload: &[u8]) {
    let frame = Frame {
        create_revision: created,
        mod_revision: modified,
        payload,
    };
    let bytes = frame.encode(&key);
    batch.insert(key, bytes);
}

fn entry_key(key: &str) -> Vec<u8> {
    let mut engine_key = Vec::with_capacity(1 + key.len());
    engine_key.push(ENTRY_TAG);
    engine_key.extend(key.as_bytes());
    engine_key
}

fn entry(engine_key: &[u8], bytes: &IVec) -> Result<Entry, StoreError> {
    let key = String::from_utf8_lossy(&engine_key[1..]).into_owned();
    match Frame::decode(engine_key, bytes) {
        Some(frame) => Ok(Entry {
            key,
            value: frame.payload.to_vec(),
            create_revision: frame.create_revision,
            mod_revision: frame.mod_revision,
        }),
        None => Err(StoreError::Damaged { key }),
    }
}

/// Big-endian, so that the log is in order.
fn change_key(id: ChangeId) -> Vec<u8> {
    let mut engine_key = Vec::with_capacity(1 + 8 + 4);
    engine_key.push(CHANGE_TAG);
    engine_key.extend(id.revision.to_be_bytes());
    engine_key.extend(id.index.to_be_bytes());
    engine_key
}

fn change_id(engine_key: &[u8]) -> Option<ChangeId> {
    let (_, rest) = engine_key.split_first()?;
    let (revision, rest) = rest.split_first_chunk()?;
    Some(ChangeId {
        revision: Revision::from_be_bytes(*revision),
        index: u32::from_be_bytes(rest.try_into().ok()?),
    })
}

fn change(engine_key: &IVec, bytes: &IVec) -> Option<Change> {
    let id = change_id(engine_key)?;
    history::decode(id.revision, Frame::decode(engine_key, bytes)?.payload)
}

fn engine_error(error: sled::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}

fn failed_before() -> StoreError {
    StoreError::Engine(
        "a write failed; the store is closed until the service is started again".into(),
    )
}
