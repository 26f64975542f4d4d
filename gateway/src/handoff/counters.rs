//! Counters of one worker: written by that worker alone (plain load and store on its own cache lines),
//! read by the control plane at scrape. No label is looked up on the request path; slots are resolved
//! when a snapshot is compiled.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    reason::Reason,
    record::{CostNanoUsd, Outcome, Usage},
    snapshot::ProviderSlot,
};

/// Most providers counted apart; the rest share slot 0.
pub const PROVIDER_SLOTS: usize = 128;

/// A monotonic number with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        // One writer: a plain load and store is enough, and cheaper than a locked add.
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes both ways, with a single writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add_signed(n),
            Ordering::Relaxed,
        );
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of duration buckets, in microseconds; the last bucket is `+Inf`.
pub const DURATION_BOUNDS_US: [u64; 22] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

/// A histogram of durations with a single writer.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    buckets: [Counter; DURATION_BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl DurationHistogram {
    pub fn observe_us(&self, us: u64) {
        let i = DURATION_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[i].add(1);
        self.sum_us.add(us);
    }

    /// Counts per bucket (not cumulative), and the sum.
    pub fn read(&self) -> ([u64; DURATION_BOUNDS_US.len() + 1], u64) {
        (
            std::array::from_fn(|i| self.buckets[i].get()),
            self.sum_us.get(),
        )
    }
}

/// What one provider's exchanges added up to.
#[derive(Debug, Default)]
pub struct ProviderCounters {
    /// Indexed by `Outcome as usize`.
    pub exchanges: [Counter; Outcome::ALL.len()],
    pub input_tokens: Counter,
    pub output_tokens: Counter,
    pub cache_read_input_tokens: Counter,
    pub cache_creation_input_tokens: Counter,
    pub cost_nano_usd: Counter,
    pub unpriced: Counter,
    pub connects: Counter,
    pub retries: Counter,
}

impl ProviderCounters {
    pub fn count(&self, outcome: Outcome, usage: &Usage, cost: &CostNanoUsd, unpriced: bool) {
        self.exchanges[outcome as usize].add(1);
        self.input_tokens.add(usage.input_tokens);
        self.output_tokens.add(usage.output_tokens);
        self.cache_read_input_tokens
            .add(usage.cache_read_input_tokens);
        self.cache_creation_input_tokens
            .add(usage.cache_creation_tokens());
        self.cost_nano_usd.add(cost.total());
        self.unpriced.add(u64::from(unpriced));
    }
}

/// All counters of one worker.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub connections_accepted: Counter,
    pub connections_open: Gauge,
    /// Closed before TLS: the source address is no peer.
    pub connections_unknown_peer: Counter,
    /// Closed at accept: over a cap on connections.
    pub connections_shed: Counter,
    pub tls_handshakes: Counter,
    pub tls_handshake_failures: Counter,
    pub exchanges_in_flight: Gauge,
    pub upstream_connections_open: Gauge,
    pub request_bytes: Counter,
    pub response_bytes: Counter,
    /// Indexed by `Reason as usize`.
    pub failures: [Counter; Reason::ALL.len()],
    pub request_duration: DurationHistogram,
    pub time_to_first_token: DurationHistogram,
    /// The node's own share of the time before the first byte went upstream.
    pub overhead: DurationHistogram,
    providers: Box<[ProviderCounters]>,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            connections_accepted: Counter::default(),
            connections_open: Gauge::default(),
            connections_unknown_peer: Counter::default(),
            connections_shed: Counter::default(),
            tls_handshakes: Counter::default(),
            tls_handshake_failures: Counter::default(),
            exchanges_in_flight: Gauge::default(),
            upstream_connections_open: Gauge::default(),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
            failures: std::array::from_fn(|_| Counter::default()),
            request_duration: DurationHistogram::default(),
            time_to_first_token: DurationHistogram::default(),
            overhead: DurationHistogram::default(),
            providers: (0..PROVIDER_SLOTS)
                .map(|_| ProviderCounters::default())
                .collect(),
        }
    }
}

impl WorkerCounters {
    pub fn provider(&self, slot: ProviderSlot) -> &ProviderCounters {
        self.providers
            .get(usize::from(slot.0))
            .unwrap_or(&self.providers[0])
    }
}
