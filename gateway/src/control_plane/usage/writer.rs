//! The writer thread: takes batches from the workers' queue and makes them durable, many per commit.
//! It never gives a batch up: what cannot be written is kept and tried again, the queue behind it
//! fills, and workers stop admitting.

use std::{
    io,
    sync::{Arc, OnceLock, atomic::Ordering},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use super::{StopReport, UsageError, spool::Spool, status::UsageStatus};
use crate::handoff::{
    batch::{self, BatchKey},
    queue::{RecordReceiver, TakenBatch},
};

/// Batches per transaction; also what this thread holds of them.
const BATCHES_PER_COMMIT_MAX: usize = 64;
/// How long a thread without work sleeps before it looks again.
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// Indexed batches are deleted when there are this many, when writing fails, or when all is quiet:
/// every deletion is one more sync.
const BATCHES_PER_PURGE: u64 = 64;
const QUIET: Duration = Duration::from_secs(1);
const BACK_OFF_FIRST: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Sees every sealed batch once it is durable; must not block.
pub type Tap = Box<dyn Fn(&[u8]) + Send>;

pub(super) struct Writer {
    spool: Spool,
    receiver: RecordReceiver,
    indexer: Thread,
    status: Arc<UsageStatus>,
    taps: Vec<Tap>,
    stop: Arc<OnceLock<Instant>>,
    /// Taken from the queue, not durable yet.
    pending: Vec<TakenBatch>,
    /// Halved when a write fails, so that what little room there may be is found.
    batches_per_commit: usize,
    purged_up_to: u64,
    written_at: Instant,
}

/// The running thread.
pub(super) struct WriterHandle {
    stop: Arc<OnceLock<Instant>>,
    thread: JoinHandle<StopReport>,
}

impl WriterHandle {
    /// Ends the thread once the queue is empty and everything is durable, or at `deadline`.
    pub(super) fn stop(self, deadline: Instant) -> StopReport {
        self.stop.get_or_init(|| deadline);
        self.thread.thread().unpark();
        self.thread
            .join()
            .expect("the writer turns errors into its status")
    }
}

impl Writer {
    pub(super) fn new(
        spool: Spool,
        receiver: RecordReceiver,
        indexer: Thread,
        status: Arc<UsageStatus>,
        taps: Vec<Tap>,
    ) -> Self {
        Self {
            spool,
            receiver,
            indexer,
            status,
            taps,
            stop: Arc::new(OnceLock::new()),
            pending: Vec::with_capacity(BATCHES_PER_COMMIT_MAX),
            batches_per_commit: BATCHES_PER_COMMIT_MAX,
            purged_up_to: 0,
            written_at: Instant::now(),
        }
    }

    pub(super) fn spawn(self) -> io::Result<WriterHandle> {
        let stop = Arc::clone(&self.stop);
        let thread = thread::Builder::new()
            .name("usage-writer".into())
            .spawn(move || self.run())?;
        Ok(WriterHandle { stop, thread })
    }

    fn run(mut self) -> StopReport {
        let mut back_off = BACK_OFF_FIRST;
        let mut is_failing = false;
        loop {
            // What the disk refuses waits in the queue, whose limits hold it.
            if !is_failing {
                self.receiver
                    .take(BATCHES_PER_COMMIT_MAX, &mut self.pending);
            }
            self.note_waiting();
            if self.pending.is_empty() && !self.is_purge_due() {
                if self.stop.get().is_some() {
                    break;
                }
                self.receiver.wait(IDLE_WAIT);
                continue;
            }
            self.status.writer_begins();
            let result = self.write_and_purge();
            self.note_spool();
            self.status.writer_result(result.as_ref().map(|_| ()));
            is_failing = result.is_err();
            if !is_failing {
                back_off = BACK_OFF_FIRST;
                continue;
            }
            if self
                .stop
                .get()
                .is_some_and(|deadline| *deadline <= Instant::now())
            {
                break;
            }
            thread::sleep(back_off);
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
        self.note_waiting();
        self.report()
    }

    /// Purges after a failure in any case: a full disk may get room by it.
    fn write_and_purge(&mut self) -> Result<(), UsageError> {
        let written = self.write();
        self.batches_per_commit = match written {
            Ok(()) => (self.batches_per_commit * 2).min(BATCHES_PER_COMMIT_MAX),
            Err(_) => (self.batches_per_commit / 2).max(1),
        };
        if written.is_ok() && !self.is_purge_due() {
            return Ok(());
        }
        let purged = self.purge();
        written.and(purged)
    }

    fn write(&mut self) -> Result<(), UsageError> {
        let count = self.pending.len().min(self.batches_per_commit);
        if count == 0 {
            return Ok(());
        }
        let batches = &self.pending[..count];
        let last = self
            .spool
            .write(batches.iter().map(|batch| &batch.bytes[..]))?;
        let status = &self.status;
        status
            .batches_written
            .fetch_add(count as u64, Ordering::Relaxed);
        status
            .records_written
            .fetch_add(records(batches), Ordering::Relaxed);
        status.spooled_up_to.store(last as u64, Ordering::Relaxed);
        for batch in self.pending.drain(..count) {
            self.taps.iter().for_each(|tap| tap(&batch.bytes));
            self.receiver.recycle(batch);
        }
        self.written_at = Instant::now();
        self.indexer.unpark();
        Ok(())
    }

    fn is_purge_due(&self) -> bool {
        let indexed = self.status.indexed_up_to.load(Ordering::Relaxed);
        let purgeable = indexed.saturating_sub(self.purged_up_to);
        purgeable >= BATCHES_PER_PURGE || purgeable > 0 && self.written_at.elapsed() >= QUIET
    }

    fn purge(&mut self) -> Result<(), UsageError> {
        let indexed = self.status.indexed_up_to.load(Ordering::Relaxed);
        let pending: Vec<BatchKey> = self
            .pending
            .iter()
            .map(|batch| batch::key(&batch.bytes))
            .collect();
        let more = self.spool.purge(indexed as i64, &pending)?;
        if !more {
            self.purged_up_to = indexed;
        }
        Ok(())
    }

    fn note_waiting(&self) {
        let waiting = self.pending.len() + self.receiver.waiting();
        self.status
            .batches_waiting
            .store(waiting as u64, Ordering::Relaxed);
        self.status
            .records_dropped
            .store(self.receiver.dropped(), Ordering::Relaxed);
    }

    fn note_spool(&self) {
        let bytes = self.spool.bytes().unwrap_or(0);
        self.status.spool_bytes.store(bytes, Ordering::Relaxed);
    }

    fn report(mut self) -> StopReport {
        self.receiver.take(usize::MAX, &mut self.pending);
        StopReport {
            records_lost: records(&self.pending),
        }
    }
}

fn records(batches: &[TakenBatch]) -> u64 {
    batches
        .iter()
        .map(|batch| u64::from(batch::count(&batch.bytes)))
        .sum()
}
