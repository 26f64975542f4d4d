//! Records on their way up: a worker encodes them into a batch, a full or aged batch goes into a
//! bounded queue, the usage writer takes it from there. When the queue is full the worker keeps the
//! batch and stops admitting new exchanges; what is already running can always be recorded. Where
//! [`WhenFull::Serve`] is set it goes on, and counts what it has no room to record.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crossbeam_queue::ArrayQueue;

use super::{
    batch::{self, BatchBuilder},
    record::ExchangeRecord,
};
use crate::config::WhenFull;

/// A batch that cannot be handed over grows by what still ends and by what is refused. From this size on
/// nothing new may begin that would leave a record: some 15,000 refusals per worker.
const BATCH_BYTES_LIMIT: usize = 4 << 20;

/// Makes one sender per worker and the receiver of them all. `batches_limit` batches may wait per
/// worker; a batch that is not full is handed over once its first record is `flush_interval` old.
pub fn record_queue(
    workers: usize,
    batches_limit: usize,
    flush_interval: Duration,
) -> (Vec<RecordSender>, RecordReceiver) {
    let batches_limit = batches_limit.max(1);
    let writer = Arc::new(OnceLock::new());
    let lanes: Vec<Arc<Lane>> = (0..workers)
        .map(|_| Arc::new(Lane::new(batches_limit)))
        .collect();
    let senders = (0_u16..)
        .zip(&lanes)
        .map(|(worker, lane)| RecordSender {
            lane: Arc::clone(lane),
            writer: Arc::clone(&writer),
            batches_limit,
            flush_interval,
            when_full: WhenFull::Refuse,
            batch: BatchBuilder::new(worker),
            begun_at: None,
        })
        .collect();
    (senders, RecordReceiver { lanes, writer })
}

/// One worker's way to the writer, and the way of empty buffers back.
struct Lane {
    /// One place more than `batches_limit`: kept for the batch a sender hands over when it is dropped.
    waiting: ArrayQueue<Vec<u8>>,
    spare: ArrayQueue<Vec<u8>>,
    /// Records for which there was no room; see [`WhenFull::Serve`].
    dropped: AtomicU64,
}

impl Lane {
    fn new(batches_limit: usize) -> Self {
        Self {
            waiting: ArrayQueue::new(batches_limit + 1),
            spare: ArrayQueue::new(batches_limit + 1),
            dropped: AtomicU64::new(0),
        }
    }
}

/// A worker's end. Dropping it hands over what is left.
pub struct RecordSender {
    lane: Arc<Lane>,
    writer: Arc<OnceLock<Thread>>,
    batches_limit: usize,
    flush_interval: Duration,
    when_full: WhenFull,
    batch: BatchBuilder,
    /// When the current batch got its first record.
    begun_at: Option<Instant>,
}

impl RecordSender {
    /// What is to happen while the writer does not keep up.
    pub fn set_when_full(&mut self, when_full: WhenFull) {
        self.when_full = when_full;
    }

    /// Whether a new exchange may begin: the writer keeps up.
    pub fn has_room(&self) -> bool {
        match self.when_full {
            WhenFull::Refuse => self.lane.waiting.len() < self.batches_limit,
            WhenFull::Serve => true,
        }
    }

    /// Whether anything may begin at all that leaves a record, be it a refusal.
    pub fn may_begin(&self) -> bool {
        match self.when_full {
            WhenFull::Refuse => self.batch.len() < BATCH_BYTES_LIMIT,
            WhenFull::Serve => true,
        }
    }

    /// Encodes one record into the current batch. Never blocks and never fails; drops a record only where
    /// exchanges are served without room for it, and counts it.
    pub fn append(&mut self, record: &ExchangeRecord<'_>) {
        if self.when_full == WhenFull::Serve && self.batch.len() >= BATCH_BYTES_LIMIT {
            self.flush();
            if !self.batch.is_empty() {
                self.lane.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        if self.begun_at.is_none() {
            self.begun_at = Some(Instant::now());
        }
        self.batch.append(record);
        if self.batch.is_full() {
            self.flush();
        }
    }

    /// Hands the current batch over when it is old enough; called at every worker tick. While earlier
    /// batches still wait it is left to grow, so that a slow disk meets few large batches.
    pub fn tick(&mut self) {
        let aged = self
            .begun_at
            .is_some_and(|begun_at| begun_at.elapsed() >= self.flush_interval);
        if aged && (self.batch.is_full() || self.lane.waiting.is_empty()) {
            self.flush();
        }
    }

    /// Hands over whatever there is, if the queue has room.
    pub fn flush(&mut self) {
        self.hand_over(self.batches_limit);
    }

    fn hand_over(&mut self, waiting_limit: usize) {
        if self.batch.is_empty() || self.lane.waiting.len() >= waiting_limit {
            return;
        }
        let next = self.lane.spare.pop().unwrap_or_else(batch::new_buffer);
        self.lane
            .waiting
            .push(self.batch.seal(next))
            .expect("this is the lane's only producer, and it saw room");
        self.begun_at = None;
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl Drop for RecordSender {
    fn drop(&mut self) {
        self.hand_over(self.batches_limit + 1);
    }
}

/// The writer's end.
pub struct RecordReceiver {
    lanes: Vec<Arc<Lane>>,
    writer: Arc<OnceLock<Thread>>,
}

/// A sealed batch, and the lane its buffer goes back to.
pub struct TakenBatch {
    lane: usize,
    pub bytes: Vec<u8>,
}

impl RecordReceiver {
    /// Takes waiting batches, one from each worker in turn, until `into` holds `limit` of them.
    pub fn take(&self, limit: usize, into: &mut Vec<TakenBatch>) {
        loop {
            let before = into.len();
            for (lane, queue) in self.lanes.iter().enumerate() {
                if into.len() >= limit {
                    return;
                }
                if let Some(bytes) = queue.waiting.pop() {
                    into.push(TakenBatch { lane, bytes });
                }
            }
            if into.len() == before {
                return;
            }
        }
    }

    /// Gives a buffer back to its worker.
    pub fn recycle(&self, taken: TakenBatch) {
        if let Some(buffer) = batch::reset_buffer(taken.bytes) {
            // A full queue of spare buffers means that this one is not needed.
            drop(self.lanes[taken.lane].spare.push(buffer));
        }
    }

    /// Batches that wait in the queue, over all workers.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }

    /// Records for which workers had no room since the start.
    pub fn dropped(&self) -> u64 {
        let dropped = |lane: &Arc<Lane>| lane.dropped.load(Ordering::Relaxed);
        self.lanes.iter().map(dropped).sum()
    }

    /// Sleeps until a batch waits, someone unparks this thread, or `timeout` is over. Always called
    /// from the same thread: the senders wake the first one that waited.
    pub fn wait(&self, timeout: Duration) {
        self.writer.get_or_init(thread::current);
        if self.waiting() == 0 {
            thread::park_timeout(timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handoff::{batch::Batch, record::tests::sample};

    const LONG: Duration = Duration::from_secs(3600);

    fn append(sender: &mut RecordSender, ids: std::ops::Range<u128>) {
        for id in ids {
            sender.append(&ExchangeRecord { id, ..sample() });
        }
    }

    fn take_ids(receiver: &RecordReceiver) -> Vec<u128> {
        let mut taken = Vec::new();
        receiver.take(usize::MAX, &mut taken);
        taken
            .iter()
            .flat_map(|t| Batch::open(&t.bytes).unwrap().records().unwrap())
            .map(|record| record.id)
            .collect()
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_old() {
        let (mut senders, receiver) = record_queue(1, 4, LONG);
        append(&mut senders[0], 0..1);
        senders[0].tick();
        assert_eq!(receiver.waiting(), 0);
        while receiver.waiting() == 0 {
            append(&mut senders[0], 1..2);
        }
        assert!(take_ids(&receiver).len() > 100);

        let (mut senders, receiver) = record_queue(1, 4, Duration::ZERO);
        append(&mut senders[0], 0..1);
        senders[0].tick();
        assert_eq!(take_ids(&receiver), [0]);
    }

    #[test]
    fn a_full_queue_refuses_room_and_loses_nothing() {
        let (mut senders, receiver) = record_queue(1, 2, LONG);
        let sender = &mut senders[0];
        append(sender, 0..1);
        sender.flush();
        assert!(sender.has_room());
        append(sender, 1..2);
        sender.flush();
        assert!(!sender.has_room());
        append(sender, 2..3000);
        sender.flush();
        assert_eq!(receiver.waiting(), 2);
        let mut ids = take_ids(&receiver);
        assert_eq!(ids, [0, 1]);
        assert!(sender.has_room());
        sender.flush();
        append(sender, 3000..3001);
        drop(senders);
        ids.extend(take_ids(&receiver));
        assert_eq!(ids, (0..3001).collect::<Vec<u128>>());
    }

    #[test]
    fn what_a_worker_holds_is_bounded() {
        let (mut senders, receiver) = record_queue(1, 1, LONG);
        let sender = &mut senders[0];
        append(sender, 0..1);
        sender.flush();
        let mut appended = 1;
        while sender.may_begin() {
            append(sender, appended..appended + 1);
            appended += 1;
        }
        assert!(appended > 5_000);
        // What runs can still be recorded.
        append(sender, appended..appended + 1);
        assert_eq!(take_ids(&receiver).len(), 1);
        sender.flush();
        assert!(sender.may_begin());
        assert_eq!(take_ids(&receiver), (1..=appended).collect::<Vec<u128>>());
    }

    #[test]
    fn a_dropped_sender_hands_over_even_when_the_queue_is_full() {
        let (mut senders, receiver) = record_queue(1, 1, LONG);
        append(&mut senders[0], 0..1);
        senders[0].flush();
        append(&mut senders[0], 1..2);
        drop(senders);
        assert_eq!(take_ids(&receiver), [0, 1]);
    }

    #[test]
    fn aged_batches_grow_while_earlier_ones_wait() {
        let (mut senders, receiver) = record_queue(1, 8, Duration::ZERO);
        for id in 0..5 {
            append(&mut senders[0], id..id + 1);
            senders[0].tick();
        }
        assert_eq!(receiver.waiting(), 1);
        assert_eq!(take_ids(&receiver), [0]);
        senders[0].tick();
        assert_eq!(take_ids(&receiver), [1, 2, 3, 4]);
    }

    #[test]
    fn buffers_come_back() {
        let (mut senders, receiver) = record_queue(1, 2, LONG);
        let mut addresses = std::collections::HashSet::new();
        for id in 0..100 {
            append(&mut senders[0], id..id + 1);
            senders[0].flush();
            let mut taken = Vec::new();
            receiver.take(1, &mut taken);
            for batch in taken {
                addresses.insert(batch.bytes.as_ptr() as usize);
                receiver.recycle(batch);
            }
        }
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn who_serves_without_room_counts_what_is_dropped() {
        let (mut senders, receiver) = record_queue(1, 1, Duration::ZERO);
        let sender = &mut senders[0];
        sender.set_when_full(WhenFull::Serve);
        let mut appended = 0;
        while receiver.dropped() < 3 {
            assert!(sender.has_room() && sender.may_begin());
            append(sender, appended..appended + 1);
            appended += 1;
        }
        let mut taken = take_ids(&receiver);
        append(sender, appended..appended + 1);
        taken.append(&mut take_ids(&receiver));
        sender.flush();
        taken.append(&mut take_ids(&receiver));
        let expected: Vec<_> = (0..appended - 3).chain([appended]).collect();
        assert_eq!(taken, expected);
        assert_eq!(receiver.dropped(), 3);
    }

    #[test]
    fn a_waiting_writer_is_woken() {
        let (mut senders, receiver) = record_queue(2, 2, LONG);
        let writer = thread::spawn(move || {
            while receiver.waiting() == 0 {
                receiver.wait(LONG);
            }
            take_ids(&receiver)
        });
        append(&mut senders[1], 9..10);
        senders[1].flush();
        assert_eq!(writer.join().unwrap(), [9]);
    }

    /// `cargo test --release -p gateway --lib queue::tests::measure_append -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    fn measure_append() {
        let (mut senders, receiver) = record_queue(1, 64, LONG);
        let record = sample();
        let mut taken = Vec::new();
        for _ in 0..3 {
            let begun = thread_cpu();
            let count = 1_000_000_u32;
            for _ in 0..count {
                senders[0].append(&record);
                if !senders[0].has_room() {
                    receiver.take(usize::MAX, &mut taken);
                    taken.drain(..).for_each(|batch| receiver.recycle(batch));
                }
            }
            println!(
                "append: {:?} CPU per record",
                (thread_cpu() - begun) / count
            );
        }
    }

    fn thread_cpu() -> Duration {
        use nix::sys::{
            resource::{UsageWho, getrusage},
            time::TimeValLike,
        };
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        let used = usage.user_time() + usage.system_time();
        Duration::from_micros(used.num_microseconds() as u64)
    }
}
