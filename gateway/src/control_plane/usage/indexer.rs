//! The indexer thread: turns batches of the spool into rows and sums of the index, exactly once, and
//! deletes rows that are too old. It runs at the lowest CPU priority: under full load records wait in
//! the spool, and it catches up when the traffic leaves it time.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    LogSettings, UsageError,
    index::{self, Indexing},
    live::Commits,
    schema::Index,
    spool::SpoolReader,
    status::UsageStatus,
    sweep,
};

/// Batches per transaction, 2 MiB: the more exchanges are added up in memory, the fewer sums are touched.
const BATCHES_PER_COMMIT_MAX: usize = 32;
/// The writer wakes this thread; the sleep is bounded for the sake of the sweep.
const IDLE_WAIT: Duration = Duration::from_millis(500);
const BACK_OFF_FIRST: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// `nice` value of this thread.
const NICE: libc::c_int = 19;

pub(super) struct Indexer {
    spool: SpoolReader,
    index: Index,
    indexing: Indexing,
    settings: Arc<LogSettings>,
    status: Arc<UsageStatus>,
    commits: Commits,
    sweep: SweepPlan,
}

/// When to sweep next: every hour, at once when the retention changed, and on while rows are left.
struct SweepPlan {
    due: Instant,
    retention_days: u32,
    hours_kept_days: u32,
}

impl Indexer {
    pub(super) fn new(
        spool: SpoolReader,
        index: Index,
        settings: Arc<LogSettings>,
        status: Arc<UsageStatus>,
        commits: Commits,
    ) -> Self {
        Self {
            indexing: Indexing::new(spool.identity.clone()),
            spool,
            index,
            settings,
            status,
            commits,
            sweep: SweepPlan {
                due: Instant::now(),
                retention_days: 0,
                hours_kept_days: 0,
            },
        }
    }

    pub(super) fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name("usage-indexer".into())
            .spawn(move || {
                lower_priority();
                self.run();
            })
    }

    fn run(&mut self) {
        let mut back_off = BACK_OFF_FIRST;
        while !self.settings.stop.load(Ordering::Relaxed) {
            let result = self.step();
            self.status.indexer_result(result.as_ref().map(|_| ()));
            match result {
                Ok(true) => back_off = BACK_OFF_FIRST,
                Ok(false) => {
                    back_off = BACK_OFF_FIRST;
                    thread::park_timeout(IDLE_WAIT);
                }
                Err(_) => {
                    thread::park_timeout(back_off);
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    self.recover();
                }
            }
        }
    }

    /// One small transaction of each kind; returns whether there was anything to do.
    fn step(&mut self) -> Result<bool, UsageError> {
        let indexed = self.index_some()?;
        let swept = self.sweep_some()?;
        Ok(indexed || swept)
    }

    fn index_some(&mut self) -> Result<bool, UsageError> {
        let is_shared = self.index.is_shared();
        let connection = self.index.connection()?;
        let after = index::indexed_up_to(connection, &self.spool.identity)?;
        self.status
            .indexed_up_to
            .store(after as u64, Ordering::Relaxed);
        if is_shared {
            // Live feeds show what other nodes commit, too.
            let seen = index::commits(connection)?;
            self.commits
                .send_if_modified(|known| std::mem::replace(known, seen) != seen);
        }
        let batches = self.spool.read(after, BATCHES_PER_COMMIT_MAX)?;
        let Some((last, _)) = batches.last() else {
            return Ok(false);
        };
        let collect = self.settings.collect.load(Ordering::Relaxed);
        let done = self.indexing.index(connection, &batches, collect)?;
        let status = &self.status;
        status
            .records_indexed
            .fetch_add(done.records, Ordering::Relaxed);
        status
            .batches_damaged
            .fetch_add(done.damaged, Ordering::Relaxed);
        status.indexed_up_to.store(*last as u64, Ordering::Relaxed);
        if !is_shared {
            self.commits.send_replace(*last as u64);
        }
        Ok(true)
    }

    fn sweep_some(&mut self) -> Result<bool, UsageError> {
        let days = self.settings.retention_days.load(Ordering::Relaxed);
        let hours_kept_days = self.settings.hours_kept_days.load(Ordering::Relaxed);
        let is_changed =
            days != self.sweep.retention_days || hours_kept_days != self.sweep.hours_kept_days;
        if !is_changed && Instant::now() < self.sweep.due {
            return Ok(false);
        }
        let (now, connection) = (Timestamp::now(), self.index.connection()?);
        let deleted = match sweep::oldest_kept_us(now, days) {
            Some(before_us) => sweep::delete_some(connection, before_us)?,
            None => 0,
        };
        self.status.rows_swept.fetch_add(deleted, Ordering::Relaxed);
        let hours_deleted = match sweep::oldest_kept_us(now, hours_kept_days) {
            Some(before_us) => sweep::delete_hours(connection, before_us)?,
            None => false,
        };
        let more = deleted > 0 || hours_deleted || connection.give_some_space_back()?;
        if !more {
            self.sweep = SweepPlan {
                due: Instant::now() + SWEEP_INTERVAL,
                retention_days: days,
                hours_kept_days,
            };
        }
        Ok(more)
    }

    /// Starts over from what is durable.
    fn recover(&mut self) {
        self.indexing = Indexing::new(self.spool.identity.clone());
        self.index.close();
    }
}

/// Linux gives every thread its own `nice` value. A failure leaves the thread as it was.
pub(super) fn lower_priority() {
    // SAFETY: takes and returns plain numbers; 0 stands for the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
