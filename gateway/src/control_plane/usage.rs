//! Usage and access log: what the workers recorded, made durable, indexed and queried.
//!
//! `writer` puts batches into the spool (one durable row each), `indexer` turns them into the rows and
//! sums of the index (a file, or a database that nodes share: see `database`), readers ask the index. Both are threads of their own; neither is ever waited for
//! by a worker. Each SQLite file has one thread that writes it. Captured texts go another way, see [`captures`].

mod database;
mod index;
mod indexer;
mod lines;
mod live;
mod objects;
mod pair;
mod pool;
mod rollup;
mod schema;
mod slice;
mod spool;
mod sqlite_file;
mod status;
mod sweep;
mod writer;

mod captures;

mod access_log;
mod amounts;
mod condition;
mod entry;
mod export;
mod filter;
mod flag;
mod money;
mod overview;
mod parameter;
mod query;
mod record_id;
mod sessions;
mod source;

use std::{
    collections::VecDeque,
    fs::DirBuilder,
    io, mem,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crate::{config::UsageConfig, handoff::queue::RecordReceiver};

pub use access_log::Page;
pub use amounts::Amounts;
pub use captures::{CaptureLog, CaptureReader, Texts};
pub use database::DatabaseError;
pub use entry::{AccessLogEntry, AttemptEntry, BeyondText, Timeline};
pub use export::{ExportFormat, buckets_csv, totals_csv};
pub use filter::{Decision, LogFilter};
pub use lines::{JOURNAL_SOCKET, LineTargets};
pub use live::Subscription;
pub use money::NanoUsd;
pub use objects::KnownObject;
pub use overview::{Sums, TotalBy, UsageBucket, UsageTotal};
pub use parameter::QueryError;
pub use pool::UsageReader;
pub use query::{
    AccessLogQuery, Cursor, Granularity, LogSort, OverviewQuery, PageNumber, PageQuery,
    SessionQuery, SessionSort, SortKey, SortOrder,
};
pub use record_id::parse as parse_record_id;
pub use sessions::SessionEntry;
pub use status::{Health, UsageStatus};
pub use writer::Tap;

use self::{
    database::{Database, Server},
    indexer::Indexer,
    lines::{Lines, LinesHandle},
    live::Live,
    pool::ReadPool,
    schema::Index,
    spool::{Spool, SpoolReader},
    writer::Writer,
};

const SPOOL_FILE: &str = "spool.db";
const INDEX_FILE: &str = "usage.db";

/// What the spool may take on disk. When indexing cannot go on for so long that this fills, the writer
/// waits, the queue fills and new exchanges are refused.
pub const SPOOL_BYTES_LIMIT: u64 = 16 << 30;

/// The running usage log.
pub struct UsageLog {
    status: Arc<UsageStatus>,
    settings: Arc<LogSettings>,
    reader: UsageReader,
    /// What an earlier process left; see [`UsageLog::take_objects`].
    objects: VecDeque<KnownObject>,
    writer: writer::WriterHandle,
    indexer: JoinHandle<()>,
    database: Database,
    lines: Option<LinesHandle>,
}

/// What an operator may change while the log runs.
struct LogSettings {
    /// Whether rows are kept per exchange; sums are always kept.
    collect: AtomicBool,
    /// 0 keeps rows for ever.
    retention_days: AtomicU32,
    /// 0 keeps sums by the hour for ever.
    hours_kept_days: AtomicU32,
    stop: AtomicBool,
}

/// What was left when the log stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReport {
    /// Records taken from the workers that could not be made durable before the deadline.
    pub records_lost: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            collect: AtomicBool::new(true),
            retention_days: AtomicU32::new(0),
            hours_kept_days: AtomicU32::new(0),
            stop: AtomicBool::new(false),
        }
    }
}

impl UsageLog {
    /// Opens or makes both files in `directory` and starts the threads. Batches that an earlier process
    /// left in the spool are indexed first.
    pub fn start(directory: &Path, receiver: RecordReceiver) -> Result<Self, UsageError> {
        let index = Database::Sqlite(directory.join(INDEX_FILE));
        Self::start_with(
            directory,
            index,
            receiver,
            &LineTargets::default(),
            Vec::new(),
        )
    }

    /// As [`UsageLog::start`], with the index where `config` says; once records are durable they are written
    /// to `targets` and shown to `taps`. Waits some seconds for a database that does not answer: not for a task.
    ///
    /// # Errors
    /// A database that is away is none: batches wait in the spool.
    pub fn start_configured(
        config: &UsageConfig,
        receiver: RecordReceiver,
        targets: &LineTargets,
        taps: Vec<Tap>,
    ) -> Result<Self, UsageError> {
        let index = match &config.postgresql {
            Some(postgresql) => Database::Postgresql(Server::new(postgresql)?),
            None => Database::Sqlite(config.path.join(INDEX_FILE)),
        };
        Self::start_with(&config.path, index, receiver, targets, taps)
    }

    fn start_with(
        directory: &Path,
        database: Database,
        receiver: RecordReceiver,
        targets: &LineTargets,
        mut taps: Vec<Tap>,
    ) -> Result<Self, UsageError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let mut spool = Spool::open(&directory.join(SPOOL_FILE), SPOOL_BYTES_LIMIT)?;
        let mut index = Index::new(database.clone());
        let status = Arc::new(UsageStatus::default());
        let settings = Arc::new(LogSettings::default());
        let (commits, live) = Live::new();
        let reader = UsageReader::new(ReadPool::new(database.clone()), live);
        let spool_reader = spool.reader()?;
        status
            .spooled_up_to
            .store(spool.last_id()? as u64, Ordering::Relaxed);
        let (indexed, mut objects) = match in_index(&mut index, &spool_reader) {
            Ok(found) => found,
            Err(error) if error.is_away() => {
                status.indexer_result(Err(&error));
                (spool_reader.before_first()?, Vec::new())
            }
            Err(error) => return Err(error),
        };
        objects.extend(objects::spooled(&spool_reader, indexed)?);
        status
            .indexed_up_to
            .store(indexed as u64, Ordering::Relaxed);
        let indexer = Indexer::new(
            spool_reader,
            index,
            Arc::clone(&settings),
            Arc::clone(&status),
            commits,
        )
        .spawn()?;
        let (lines, lines_handle) = Lines::start(targets, &status)?.unzip();
        if let Some(lines) = lines {
            taps.push(Box::new(move |sealed| lines.offer(sealed)));
        }
        let writer = Writer::new(
            spool,
            receiver,
            indexer.thread().clone(),
            Arc::clone(&status),
            taps,
        )
        .spawn()?;
        Ok(Self {
            status,
            settings,
            reader,
            objects: objects.into(),
            writer,
            indexer,
            database,
            lines: lines_handle,
        })
    }

    /// Objects that exchanges of earlier processes made, oldest first; an object may come again with what
    /// became known later. Once: they are not kept here.
    pub fn take_objects(&mut self) -> VecDeque<KnownObject> {
        mem::take(&mut self.objects)
    }

    pub fn status(&self) -> Arc<UsageStatus> {
        Arc::clone(&self.status)
    }

    /// Queries; cheap to clone. Its functions block on the disk: call them in `spawn_blocking`.
    pub fn reader(&self) -> UsageReader {
        self.reader.clone()
    }

    /// Whether a row is kept per exchange from the next batch on. Sums are kept either way.
    pub fn set_log_collection(&self, collect: bool) {
        self.settings.collect.store(collect, Ordering::Relaxed);
    }

    /// Opens the file of lines again, which somebody has moved.
    pub fn reopen_lines(&self) {
        if let Some(lines) = &self.lines {
            lines.reopen();
        }
    }

    /// Sums by the hour older than this are deleted, as rows are. Ranges that begin or end before are rounded
    /// to whole days, whose sums are never deleted.
    pub fn set_hours_kept_days(&self, days: u32) {
        self.settings.hours_kept_days.store(days, Ordering::Relaxed);
        self.indexer.thread().unpark();
    }

    /// Rows older than this are deleted, at once and then every hour; 0 (as long as this was not called)
    /// keeps them. Sums are kept.
    pub fn set_retention_days(&self, days: u32) {
        self.settings.retention_days.store(days, Ordering::Relaxed);
        self.indexer.thread().unpark();
    }

    /// Makes everything durable that the workers handed over, then stops both threads. To be called
    /// after the workers ended (their senders hand over the rest when they are dropped). Blocks until
    /// `deadline` at most, but for one transaction. What is not indexed yet is indexed at the next start.
    pub fn flush_and_stop(self, deadline: Instant) -> StopReport {
        let report = self.writer.stop(deadline);
        if let Some(lines) = self.lines {
            lines.join(deadline);
        }
        self.settings.stop.store(true, Ordering::Relaxed);
        self.database.interrupt();
        self.indexer.thread().unpark();
        self.indexer
            .join()
            .expect("the indexer turns errors into its status");
        report
    }
}

/// The mark up to which batches of `spool` are in the index, and the objects that it knows.
fn in_index(index: &mut Index, spool: &SpoolReader) -> Result<(i64, Vec<KnownObject>), UsageError> {
    let connection = index.connection()?;
    let mark = index::indexed_up_to(connection, &spool.identity)?;
    Ok((mark, objects::indexed(connection)?))
}

#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("usage log: {0}")]
    Io(#[from] io::Error),
    #[error("usage log: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("usage log: the database {0}")]
    Database(#[from] DatabaseError),
    /// Was there a moment before.
    #[error("usage log: {0} is gone from the index")]
    Missing(&'static str),
    #[error("usage log: {file} was written by a newer version (schema {found}, known {known})")]
    NewerSchema {
        file: &'static str,
        found: i64,
        known: i64,
    },
    #[error(
        "this has to look at more than {most} exchanges; ask for a shorter time, or also for one user, \
         session, provider or model"
    )]
    TooManyRows { most: i64 },
}

impl UsageError {
    /// What to tell whoever asked for too much; `None` for other errors.
    pub fn too_much(&self) -> Option<String> {
        let is_too_long = match self {
            Self::TooManyRows { .. } => return Some(self.to_string()),
            Self::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
            }
            Self::Database(error) => *error == DatabaseError::TooLong,
            Self::Io(_) | Self::NewerSchema { .. } | Self::Missing(_) => false,
        };
        is_too_long.then(|| "this takes too long; ask for a shorter time".to_owned())
    }

    /// The database cannot be had; another time may be better.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Database(error) => error.is_away(),
            Self::Io(_)
            | Self::Sqlite(_)
            | Self::TooManyRows { .. }
            | Self::NewerSchema { .. }
            | Self::Missing(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
