//! Spans of exchanges, sent to a collector (OTLP over HTTP). They are made from records, when the exchanges
//! are over and on threads of the control plane, so that a request costs no more for being traced. Nothing
//! waits for the collector: what it does not take in time is dropped and counted.

mod attribute;
mod collector;
mod headers;
mod make;
mod status;

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use self::{
    collector::{Collector, SendError},
    make::SpanMaker,
};
use super::{
    backoff::{Backoff, chance},
    resolve::Lookup,
    snapshot::{Problem, SnapshotReport},
};
use crate::{
    config::OtlpConfig,
    handoff::{
        batch::{self, Batch, BatchError},
        snapshot::Snapshot,
    },
};

pub use status::SpanStatus;

/// Batches of records that may wait to be looked at: they take less time to read than to write.
const BATCHES_WAITING_MAX: usize = 16;
/// Spans in one request.
const SPANS_PER_REQUEST: usize = 512;
/// How long the first span of a request waits for others.
const GATHER_TIME: Duration = Duration::from_millis(200);
const BACKOFF: Backoff = Backoff {
    shortest: Duration::from_millis(250),
    longest: Duration::from_secs(30),
};

/// Where records come in; does not block.
#[derive(Clone)]
pub struct SpanFeed {
    batches: mpsc::Sender<Vec<u8>>,
    status: Arc<SpanStatus>,
}

/// The other end of a [`SpanFeed`].
pub struct SpanIntake {
    batches: mpsc::Receiver<Vec<u8>>,
    status: Arc<SpanStatus>,
}

/// A way for records, to be opened before there are any.
pub fn feed() -> (SpanFeed, SpanIntake) {
    let (sender, batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let status = Arc::<SpanStatus>::default();
    let feed = SpanFeed {
        batches: sender,
        status: Arc::clone(&status),
    };
    (feed, SpanIntake { batches, status })
}

impl SpanFeed {
    /// Takes a copy of a sealed batch.
    pub fn offer(&self, sealed: &[u8]) {
        match self.batches.try_reserve() {
            Ok(place) => place.send(sealed.to_vec()),
            // A span each, at the least.
            Err(_) => self.status.dropped.add(u64::from(batch::count(sealed))),
        }
    }

    pub fn status(&self) -> Arc<SpanStatus> {
        Arc::clone(&self.status)
    }
}

/// The running export. It ends by itself once its feeds are gone and all is sent.
pub struct SpanExport {
    sending: JoinHandle<()>,
}

impl SpanExport {
    /// `identity`: spans tell whose request it was.
    ///
    /// # Errors
    /// When the collector's URL or CA bundle is no good.
    pub fn start(
        intake: SpanIntake,
        config: &OtlpConfig,
        identity: bool,
        lookup: Lookup,
        reports: watch::Receiver<Arc<SnapshotReport>>,
    ) -> Result<Self, Problem> {
        let collector = Collector::new(config, lookup)?;
        let (sender, spans) = mpsc::channel(config.queue_spans_limit);
        let SpanIntake { batches, status } = intake;
        status.watch(sender.downgrade());
        let maker = SpanMaker { identity };
        tokio::spawn(make(batches, maker, reports, sender, Arc::clone(&status)));
        Ok(Self {
            sending: tokio::spawn(send(spans, collector, status)),
        })
    }

    /// Waits until everything is sent, at most this long. To be called when no record will come any more.
    pub async fn finish(mut self, limit: Duration) {
        if timeout(limit, &mut self.sending).await.is_err() {
            warn!("the collector did not take the last spans");
            self.sending.abort();
        }
    }
}

/// Makes spans of records until no feed is left.
async fn make(
    mut batches: mpsc::Receiver<Vec<u8>>,
    maker: SpanMaker,
    reports: watch::Receiver<Arc<SnapshotReport>>,
    spans: mpsc::Sender<Span>,
    status: Arc<SpanStatus>,
) {
    while let Some(sealed) = batches.recv().await {
        let snapshot = Arc::clone(&reports.borrow().snapshot);
        let (spans, status) = (spans.clone(), Arc::clone(&status));
        // A batch that had to wait for the disk may hold thousands of records.
        let made = spawn_blocking(move || put(&sealed, maker, &snapshot, &spans, &status));
        if let Err(error) = made.await.expect("reading records does not panic") {
            warn!(%error, "spans: a batch of records cannot be read");
        }
    }
}

/// All spans of an exchange go into the queue, or none.
fn put(
    sealed: &[u8],
    maker: SpanMaker,
    snapshot: &Snapshot,
    spans: &mpsc::Sender<Span>,
    status: &SpanStatus,
) -> Result<(), BatchError> {
    for record in Batch::open(sealed)?.records()? {
        let made = maker.spans(&record, snapshot);
        if made.is_empty() {
            continue;
        }
        match spans.try_reserve_many(made.len()) {
            Ok(places) => places.zip(made).for_each(|(place, span)| place.send(span)),
            Err(_) => status.dropped.add(made.len() as u64),
        }
    }
    Ok(())
}

/// Sends spans, many at a time, until no more can come.
async fn send(mut spans: mpsc::Receiver<Span>, collector: Collector, status: Arc<SpanStatus>) {
    let mut batch = Vec::new();
    while spans.recv_many(&mut batch, SPANS_PER_REQUEST).await > 0 {
        if batch.len() < SPANS_PER_REQUEST && !spans.is_closed() {
            sleep(GATHER_TIME).await;
        }
        while batch.len() < SPANS_PER_REQUEST
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
        deliver(std::mem::take(&mut batch), &collector, &status).await;
    }
}

/// Tries until the collector takes the spans or does not want them.
async fn deliver(batch: Vec<Span>, collector: &Collector, status: &SpanStatus) {
    let count = batch.len() as u64;
    let request = collector.encode(batch);
    let mut failures = 0;
    loop {
        match collector.send(&request).await {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                status.rejected.add(rejected);
                status.sent.add(count - rejected);
                if failures > 0 {
                    info!(failures, "the collector takes spans again");
                }
                return;
            }
            Err(error) if error.is_final() => {
                status.rejected.add(count);
                warn!(%error, count, "the collector refuses spans");
                return;
            }
            Err(error) => {
                failures += 1;
                status.failures.add(1);
                if failures == 1 {
                    warn!(%error, "the collector does not take spans; trying again");
                }
                let wait = BACKOFF.after(failures, chance());
                sleep(wait.max(error.retry_after().unwrap_or_default())).await;
            }
        }
    }
}

impl SendError {
    /// The collector's wish, as far as it is reasonable.
    fn retry_after(&self) -> Option<Duration> {
        Some(self.wish()?.min(BACKOFF.longest))
    }
}
