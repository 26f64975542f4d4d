//! `UsageStatus`: how the writer and the indexer are doing, readable at any time by metrics and
//! readiness.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// A disk that takes longer for one write holds the log up, although it has refused nothing.
const WRITE_TIME_MAX: Duration = Duration::from_secs(2);

/// Counts since the process began, and how each of the two threads is doing.
#[derive(Debug, Default)]
pub struct UsageStatus {
    /// Batches handed over by workers that are not durable yet.
    pub batches_waiting: AtomicU64,
    pub batches_written: AtomicU64,
    pub records_written: AtomicU64,
    /// Records for which there was no room; see [`crate::config::WhenFull::Serve`].
    pub records_dropped: AtomicU64,
    /// Highest batch id in the spool.
    pub(super) spooled_up_to: AtomicU64,
    /// Highest batch id whose rows are in the index.
    pub(super) indexed_up_to: AtomicU64,
    pub records_indexed: AtomicU64,
    /// Batches set aside because they could not be read.
    pub batches_damaged: AtomicU64,
    /// Rows deleted because they were older than the retention.
    pub rows_swept: AtomicU64,
    writer: Mutex<Option<Trouble>>,
    /// When the write that runs began.
    writing: Mutex<Option<(Instant, Timestamp)>>,
    indexer: Mutex<Option<Trouble>>,
}

#[derive(Debug, Clone)]
struct Trouble {
    since: Timestamp,
    error: String,
}

/// How one thread is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// Nothing is lost; the thread tries again and again.
    Behind {
        since: Timestamp,
        error: String,
    },
}

impl UsageStatus {
    /// The thread that makes records durable. While it is behind for long, exchanges are refused.
    pub fn writer(&self) -> Health {
        match (health(&self.writer), self.writing()) {
            (Health::Ok, Some((begun, since))) if begun.elapsed() > WRITE_TIME_MAX => {
                let error = "the disk does not finish a write".to_owned();
                Health::Behind { since, error }
            }
            (health, _) => health,
        }
    }

    /// The thread that makes records visible to queries.
    pub fn indexer(&self) -> Health {
        health(&self.indexer)
    }

    /// Batches that are durable and not yet visible to queries.
    pub fn batches_to_index(&self) -> u64 {
        self.spooled_up_to
            .load(Ordering::Relaxed)
            .saturating_sub(self.indexed_up_to.load(Ordering::Relaxed))
    }

    pub(super) fn writer_begins(&self) {
        let mut writing = self.writing.lock().expect("nothing panics under this lock");
        *writing = Some((Instant::now(), Timestamp::now()));
    }

    pub(super) fn writer_result<E: std::fmt::Display>(&self, result: Result<(), &E>) {
        let mut writing = self.writing.lock().expect("nothing panics under this lock");
        if let Some((begun, _)) = writing.take()
            && begun.elapsed() > WRITE_TIME_MAX
        {
            tracing::warn!(took = ?begun.elapsed(), "the disk of the usage log is slow");
        }
        drop(writing);
        note(&self.writer, "usage writer", result);
    }

    pub(super) fn indexer_result<E: std::fmt::Display>(&self, result: Result<(), &E>) {
        note(&self.indexer, "usage indexer", result);
    }

    fn writing(&self) -> Option<(Instant, Timestamp)> {
        *self.writing.lock().expect("nothing panics under this lock")
    }
}

fn health(state: &Mutex<Option<Trouble>>) -> Health {
    let state = state.lock().expect("nothing panics under this lock");
    match state.as_ref() {
        None => Health::Ok,
        Some(Trouble { since, error }) => Health::Behind {
            since: *since,
            error: error.clone(),
        },
    }
}

/// Keeps the latest error and the time of the first; logs when the state changes.
fn note<E: std::fmt::Display>(
    state: &Mutex<Option<Trouble>>,
    part: &'static str,
    result: Result<(), &E>,
) {
    let mut state = state.lock().expect("nothing panics under this lock");
    match (result, state.as_mut()) {
        (Ok(()), None) => {}
        (Ok(()), Some(trouble)) => {
            tracing::info!(part, since = %trouble.since, "caught up");
            *state = None;
        }
        (Err(error), None) => {
            tracing::error!(part, %error, "cannot go on; trying again");
            *state = Some(Trouble {
                since: Timestamp::now(),
                error: error.to_string(),
            });
        }
        (Err(error), Some(trouble)) => trouble.error = error.to_string(),
    }
}
