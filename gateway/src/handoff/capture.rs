//! Texts on their way up, of exchanges whose policy has them kept: a request when it is let through, an answer when it
//! is over. Unlike records they may be left out: what workers hold of them is bounded, and nothing waits for them.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use crossbeam_queue::ArrayQueue;

use super::snapshot::access::Capture;

/// Bytes of a body that are looked through for its text.
const BODY_BYTES_LIMIT: usize = 1 << 20;
/// Bytes of an answer for one of its text: a stream sends every few letters in an event of their own.
const ANSWER_BYTES_PER_TEXT_BYTE: usize = 64;
/// Bytes of one worker's bodies, in flight and waiting.
const HELD_BYTES_LIMIT: usize = 32 << 20;
/// Bodies of one worker that wait.
const WAITING_LIMIT: usize = 1024;

/// Makes one sender per worker, and the receiver of them all.
pub fn capture_queue(workers: usize) -> (Vec<CaptureSender>, CaptureReceiver) {
    let reader = Arc::new(OnceLock::new());
    let lanes: Vec<Arc<Lane>> = (0..workers).map(|_| Arc::default()).collect();
    let senders = lanes
        .iter()
        .map(|lane| CaptureSender {
            lane: Arc::clone(lane),
            reader: Arc::clone(&reader),
        })
        .collect();
    (senders, CaptureReceiver { lanes, reader })
}

/// One worker's way up.
struct Lane {
    waiting: ArrayQueue<Captured>,
    held_bytes: Arc<AtomicUsize>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            waiting: ArrayQueue::new(WAITING_LIMIT),
            held_bytes: Arc::default(),
        }
    }
}

/// Which text of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Request,
    Answer {
        content_type: Box<[u8]>,
        content_encoding: Box<[u8]>,
    },
}

/// The beginning of a body, as it came.
pub struct Captured {
    pub record_id: u128,
    pub part: Part,
    pub capture: Capture,
    bytes: Vec<u8>,
    bytes_limit: usize,
    held_bytes: Arc<AtomicUsize>,
}

impl Captured {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes as much of `bytes` as is looked at; false when the worker holds too much already.
    #[must_use]
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let room = self.bytes_limit - self.bytes.len();
        let bytes = &bytes[..bytes.len().min(room)];
        let before = self.bytes.capacity();
        if self.held_bytes.load(Ordering::Relaxed) + bytes.len() > HELD_BYTES_LIMIT {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        let grown = self.bytes.capacity() - before;
        if grown > 0 {
            self.held_bytes.fetch_add(grown, Ordering::Relaxed);
        }
        true
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.held_bytes
            .fetch_sub(self.bytes.capacity(), Ordering::Relaxed);
    }
}

/// Says nothing of the bytes.
impl std::fmt::Debug for Captured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Captured({} bytes)", self.bytes.len())
    }
}

/// A worker's end.
pub struct CaptureSender {
    lane: Arc<Lane>,
    reader: Arc<OnceLock<Thread>>,
}

impl CaptureSender {
    /// A body that is about to come.
    pub fn begin(&self, record_id: u128, part: Part, capture: Capture) -> Captured {
        let bytes_limit = match &part {
            Part::Request => BODY_BYTES_LIMIT,
            Part::Answer { .. } => capture
                .text_bytes_max
                .saturating_mul(ANSWER_BYTES_PER_TEXT_BYTE)
                .min(BODY_BYTES_LIMIT),
        };
        Captured {
            record_id,
            part,
            capture,
            bytes: Vec::new(),
            bytes_limit,
            held_bytes: Arc::clone(&self.lane.held_bytes),
        }
    }

    /// Hands it over; false when too many wait.
    #[must_use]
    pub fn send(&self, captured: Captured) -> bool {
        let sent = self.lane.waiting.push(captured).is_ok();
        if let Some(reader) = self.reader.get() {
            reader.unpark();
        }
        sent
    }
}

/// The end that keeps them.
pub struct CaptureReceiver {
    lanes: Vec<Arc<Lane>>,
    reader: Arc<OnceLock<Thread>>,
}

impl CaptureReceiver {
    /// The next one of each worker.
    pub fn take(&self) -> impl Iterator<Item = Captured> + '_ {
        self.lanes.iter().filter_map(|lane| lane.waiting.pop())
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    /// Sleeps until a body waits, someone unparks this thread, or `timeout` is over. Always called from the same
    /// thread: the senders wake the first one that waited.
    pub fn wait(&self, timeout: Duration) {
        self.reader.get_or_init(thread::current);
        if self.is_empty() {
            thread::park_timeout(timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CAPTURE: Capture = Capture {
        text_bytes_max: 100,
        redact: false,
    };

    fn answer() -> Part {
        Part::Answer {
            content_type: Box::default(),
            content_encoding: Box::default(),
        }
    }

    #[test]
    fn a_body_is_taken_up_to_its_limit() {
        let (senders, receiver) = capture_queue(2);
        for (part, limit) in [(Part::Request, BODY_BYTES_LIMIT), (answer(), 6400)] {
            let mut captured = senders[1].begin(7, part.clone(), CAPTURE);
            for _ in 0..=limit / 1000 {
                assert!(captured.extend(&[b'x'; 1000]));
            }
            assert!(senders[1].send(captured));
            let taken: Vec<Captured> = receiver.take().collect();
            assert_eq!(taken.len(), 1);
            assert_eq!(
                (taken[0].record_id, &taken[0].part, taken[0].bytes().len()),
                (7, &part, limit)
            );
        }
        assert!(receiver.is_empty());
    }

    #[test]
    fn what_a_worker_holds_is_bounded_and_comes_back() {
        let (senders, receiver) = capture_queue(1);
        let body = vec![b'x'; BODY_BYTES_LIMIT];
        let mut sent = 0;
        loop {
            let mut captured = senders[0].begin(0, Part::Request, CAPTURE);
            if !captured.extend(&body) {
                break;
            }
            assert!(senders[0].send(captured));
            sent += 1;
        }
        assert_eq!(sent, HELD_BYTES_LIMIT / BODY_BYTES_LIMIT);
        while !receiver.is_empty() {
            receiver.take().for_each(drop);
        }
        assert_eq!(senders[0].lane.held_bytes.load(Ordering::Relaxed), 0);
        for _ in 0..WAITING_LIMIT {
            assert!(senders[0].send(senders[0].begin(0, answer(), CAPTURE)));
        }
        assert!(!senders[0].send(senders[0].begin(0, answer(), CAPTURE)));
    }
}
