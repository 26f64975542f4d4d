//! Opening an embedded store: one process at a time, and a damaged database is set aside and replaced by
//! the newest good automatic export, in steps that may be interrupted anywhere.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

use super::{
    Revision, SledStore,
    auto_export::newest_first,
    export::Export,
    sled::{Engine, EngineError, free_bytes},
};

/// A restored store goes on this far after its export, so that no revision that was acknowledged after
/// the export is given out a second time.
const RESTORED_REVISION_GAP: Revision = 1_000_000;

/// An open store, and what had to be done for it.
pub struct Opened {
    pub store: SledStore,
    /// The database was damaged. Worth an error in the log: changes may be lost.
    pub damage: Option<DamageReport>,
}

/// What happened to a damaged store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageReport {
    pub reason: String,
    /// Where the damaged database is kept; `None` if there was none left.
    pub set_aside: Option<PathBuf>,
    pub restored_from: RestoredFrom,
    /// Keys in the restored store.
    pub entries: usize,
}

/// What a damaged store was replaced by: of what there is, the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoredFrom {
    Export(PathBuf),
    /// The damaged database itself opens, but its newest changes are lost.
    Remainder,
    /// The store starts empty.
    Nothing,
}

impl fmt::Display for DamageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store was damaged ({})", self.reason)?;
        if let Some(path) = &self.set_aside {
            write!(f, "; it was set aside as {}", path.display())?;
        }
        let entries = self.entries;
        match &self.restored_from {
            RestoredFrom::Export(path) => {
                write!(f, "; {entries} keys were restored from {}", path.display())
            }
            RestoredFrom::Remainder => {
                write!(
                    f,
                    "; the {entries} keys that were left are kept: check the newest changes"
                )
            }
            RestoredFrom::Nothing => f.write_str("; there was no good export, so it starts empty"),
        }
    }
}

/// Why a store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store in {} is in use by {holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error(
        "the store in {} cannot be opened with only {free_bytes} bytes free: free some space",
        path.display()
    )]
    LowSpace { path: PathBuf, free_bytes: u64 },
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("the store was damaged ({reason}), and making a new one failed: {problem}")]
    Replace {
        reason: String,
        problem: EngineError,
    },
}

pub(super) fn open(directory: &Path, free_bytes_min: u64) -> Result<Opened, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io { path, error }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(at(directory))?;
    let lock = lock(directory)?;
    let database = directory.join("db");
    let exports = good_export(&exports_directory(directory)).map_err(at(directory))?;

    let exported = exports.as_ref().map_or(0, |good| good.export.revision);
    let (reason, remainder) = match open_engine(&database, free_bytes_min) {
        Ok((engine, acknowledged)) => {
            let expected = acknowledged.max(exported);
            if engine.revision() >= expected {
                // sled flushes its files, and not the directories that name them.
                sync(&database)
                    .and_then(|()| sync(directory))
                    .map_err(at(directory))?;
                return Ok(Opened {
                    store: SledStore::new(engine, directory, lock),
                    damage: None,
                });
            }
            let found = engine.revision();
            let reason = format!("it ends at revision {found}, but {expected} had been written");
            (reason, Content::remainder(&engine))
        }
        Err(EngineError::Damaged(reason)) => (reason, None),
        Err(EngineError::Io(source)) => return Err(at(&database)(source)),
        Err(error @ EngineError::Closing) => return Err(at(&database)(io::Error::other(error))),
    };
    // sled fails in many ways on a full disk, and is well again when there is space.
    let free_bytes = free_bytes(directory).map_err(at(directory))?;
    if free_bytes < free_bytes_min {
        return Err(OpenError::LowSpace {
            path: directory.to_owned(),
            free_bytes,
        });
    }
    let content = remainder
        .into_iter()
        .chain(exports.map(Content::export))
        .max_by_key(|content| content.revision)
        .unwrap_or(Content::NOTHING);
    replace(directory, &database, reason, content, free_bytes_min, lock)
}

pub(super) fn exports_directory(directory: &Path) -> PathBuf {
    directory.join("exports")
}

struct GoodExport {
    path: PathBuf,
    export: Export,
}

/// What a new database is filled with.
struct Content {
    source: RestoredFrom,
    revision: Revision,
    entries: Vec<(String, Vec<u8>)>,
}

impl Content {
    const NOTHING: Self = Self {
        source: RestoredFrom::Nothing,
        revision: 0,
        entries: Vec::new(),
    };

    fn export(good: GoodExport) -> Self {
        Self {
            source: RestoredFrom::Export(good.path),
            revision: good.export.revision,
            entries: good.export.entries,
        }
    }

    fn remainder(engine: &Engine) -> Option<Self> {
        let range = engine
            .range("")
            .ok()
            .filter(|range| !range.entries.is_empty())?;
        let pairs = range
            .entries
            .into_iter()
            .map(|entry| (entry.key, entry.value));
        Some(Self {
            source: RestoredFrom::Remainder,
            revision: range.revision,
            entries: pairs.collect(),
        })
    }
}

/// Fills a new database beside the damaged one and puts it in its place. Until the last step the next
/// start finds the damaged one, or none and the export, and does the same again.
fn replace(
    directory: &Path,
    database: &Path,
    reason: String,
    content: Content,
    free_bytes_min: u64,
    lock: Flock<File>,
) -> Result<Opened, OpenError> {
    let swap = || {
        let new = directory.join("db.new");
        remove_if_there(&new)?;
        let (engine, _) = open_engine(&new, free_bytes_min)?;
        engine.load(content.revision + RESTORED_REVISION_GAP, &content.entries)?;
        drop(engine);
        sync(&new)?;
        let set_aside = set_aside(database)?;
        fs::rename(&new, database)?;
        sync(directory)?;
        let (engine, _) = open_engine(database, free_bytes_min)?;
        Ok((engine, set_aside))
    };
    match swap() {
        Ok((engine, set_aside)) => Ok(Opened {
            store: SledStore::new(engine, directory, lock),
            damage: Some(DamageReport {
                reason,
                set_aside,
                entries: content.entries.len(),
                restored_from: content.source,
            }),
        }),
        Err::<_, EngineError>(problem) => Err(OpenError::Replace { reason, problem }),
    }
}

/// Opens and checks; a panic inside sled is one more kind of damage. The lock file says that no other
/// process has the database open, so a lock that sled finds is its own, from threads that end shortly.
fn open_engine(database: &Path, free_bytes_min: u64) -> Result<(Engine, Revision), EngineError> {
    const CLOSING_TRIES: u32 = 100;
    const CLOSING_PAUSE: Duration = Duration::from_millis(20);
    for _ in 0..CLOSING_TRIES {
        // Nothing that was being built survives the panic, so nothing half-built is seen.
        match catch_unwind(AssertUnwindSafe(|| Engine::open(database, free_bytes_min))) {
            Ok(Err(EngineError::Closing)) => std::thread::sleep(CLOSING_PAUSE),
            Ok(opened) => return opened,
            Err(_panic) => {
                return Err(EngineError::Damaged(
                    "the engine failed while opening it".into(),
                ));
            }
        }
    }
    Err(EngineError::Closing)
}

fn good_export(directory: &Path) -> io::Result<Option<GoodExport>> {
    for path in newest_first(directory)? {
        match Export::read(BufReader::new(File::open(&path)?)) {
            Ok(export) => return Ok(Some(GoodExport { path, export })),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an automatic export is damaged");
            }
        }
    }
    Ok(None)
}

fn set_aside(database: &Path) -> io::Result<Option<PathBuf>> {
    if !database.exists() {
        return Ok(None);
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%fZ");
    let name = format!("db.damaged-{now}");
    let target = database.with_file_name(name);
    fs::rename(database, &target)?;
    Ok(Some(target))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Held as long as the store is open. The file keeps the holder's process id for whoever comes second.
fn lock(directory: &Path) -> Result<Flock<File>, OpenError> {
    let path = directory.join("lock");
    let at = |error| OpenError::Io {
        path: path.clone(),
        error,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(at)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0).map_err(at)?;
            write!(lock, "{}", std::process::id()).map_err(at)?;
            Ok(lock)
        }
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => Err(OpenError::InUse {
            path: directory.to_owned(),
            holder: holder(file),
        }),
        Err((_, errno)) => Err(at(errno.into())),
    }
}

fn holder(file: File) -> String {
    let mut pid = String::new();
    match file.take(16).read_to_string(&mut pid) {
        Ok(_) if pid.parse::<u32>().is_ok() => {
            match fs::read_to_string(format!("/proc/{pid}/comm")) {
                Ok(name) => format!("process {pid} ({})", name.trim_end()),
                Err(_) => format!("process {pid}"),
            }
        }
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}
