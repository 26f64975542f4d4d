//! How the export does, for the metrics.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc::WeakSender;

/// Counts since the start, in spans where nothing else is said.
#[derive(Default)]
pub struct SpanStatus {
    /// Taken by the collector.
    pub sent: Count,
    /// Refused by the collector.
    pub rejected: Count,
    /// For want of room.
    pub dropped: Count,
    /// Requests to the collector that will be tried again.
    pub failures: Count,
    queue: OnceLock<WeakSender<Span>>,
}

/// Only grows.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SpanStatus {
    pub(super) fn watch(&self, queue: WeakSender<Span>) {
        self.queue.get_or_init(|| queue);
    }

    /// Spans in the queue.
    pub fn waiting(&self) -> usize {
        let queue = self.queue.get().and_then(WeakSender::upgrade);
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }
}
