//! Counters of one worker: written by that worker alone (plain load and store on its own cache lines),
//! read by the control plane at scrape. Labels are slots, resolved when a snapshot is compiled.

mod connection;
pub mod http;
pub mod model;
mod value;

use std::sync::OnceLock;

pub use self::{
    connection::{H2End, Protocol},
    value::{Counter, Gauge, Histogram},
};
use self::{
    http::{HttpCounters, RequestSlot},
    model::{Asked, MODEL_SLOTS, ModelCounters, ModelSlot},
};
use super::{
    reason::Reason,
    record::{CostNanoUsd, Outcome, Usage},
    snapshot::ProviderSlot,
};
use crate::dialect::Operation;

/// Most providers counted apart; the rest share slot 0.
pub const PROVIDER_SLOTS: usize = 128;

/// Of what is short: the node's own work, connecting, handshakes.
pub const SHORT_BOUNDS_US: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
pub type ShortHistogram = Histogram<{ SHORT_BOUNDS_US.len() }>;

/// Why an exchange tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    /// A pooled connection broke before the provider answered.
    StaleConnection,
    /// The target could not be reached; the next one was tried.
    Unreachable,
}

impl RetryCause {
    pub const ALL: [Self; 2] = [Self::StaleConnection, Self::Unreachable];

    pub fn code(self) -> &'static str {
        match self {
            Self::StaleConnection => "stale_connection",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Classes of the statuses that providers answer with.
pub const STATUS_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// What a provider's connections and answers added up to.
#[derive(Debug)]
pub struct ProviderCounters {
    /// TCP and TLS handshake.
    pub connect: ShortHistogram,
    /// Indexed by `RetryCause as usize`.
    pub retries: [Counter; RetryCause::ALL.len()],
    /// Indexed as [`STATUS_CLASSES`].
    pub responses: [Counter; STATUS_CLASSES.len()],
}

impl ProviderCounters {
    /// A head has come.
    pub fn responded(&self, status: u16) {
        let class = usize::from(status / 100).wrapping_sub(1);
        self.responses[class.min(STATUS_CLASSES.len() - 1)].add(1);
    }
}

impl Default for ProviderCounters {
    fn default() -> Self {
        Self {
            connect: Histogram::new(&SHORT_BOUNDS_US),
            retries: std::array::from_fn(|_| Counter::default()),
            responses: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// What one peer's exchanges added up to.
#[derive(Debug, Default)]
pub struct PeerCounters {
    pub exchanges: Counter,
    /// Input and output.
    pub tokens: Counter,
    pub cost_nano_usd: Counter,
}

/// All counters of one worker.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub connections_accepted: Counter,
    /// Indexed by `Protocol as usize`.
    pub connections_open: [Gauge; Protocol::ALL.len()],
    /// Closed before TLS: the source address is no peer.
    pub connections_unknown_peer: Counter,
    /// Closed at accept: over a cap on connections.
    pub connections_over_limit: Counter,
    /// Closed at accept: the worker holds as many records as it may.
    pub connections_log_full: Counter,
    /// Closed between requests, or a stream refused, for the same reason.
    pub requests_log_full: Counter,
    /// Indexed by `H2End as usize`.
    pub h2_ends: [Counter; H2End::ALL.len()],
    /// Those that were completed.
    pub tls_handshake: ShortHistogram,
    pub tls_handshake_failures: Counter,
    pub exchanges_in_flight: Gauge,
    pub upstream_connections_open: Gauge,
    pub request_bytes: Counter,
    pub response_bytes: Counter,
    /// Indexed by `Reason as usize`.
    pub failures: [Counter; Reason::ALL.len()],
    /// See [`ExchangeRecord::overhead_us`](super::record::ExchangeRecord::overhead_us).
    pub overhead: ShortHistogram,
    pub http: HttpCounters,
    providers: Box<[ProviderCounters]>,
    models: Box<[OnceLock<Box<ModelCounters>>]>,
    /// The first is for peers without a slot of their own; empty when peers are not counted apart.
    peers: Box<[PeerCounters]>,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self::new(0)
    }
}

/// An exchange that is over.
#[derive(Debug)]
pub struct Ended<'a> {
    pub request: RequestSlot,
    /// Sent to the agent; 0 when none was.
    pub status: u16,
    pub duration_us: u64,
    pub overhead_us: u32,
    pub model: ModelSlot,
    pub operation: Option<Operation>,
    /// [`Principal::slot`](super::snapshot::Principal::slot); 0 where nobody is known.
    pub peer: u32,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub usage: &'a Usage,
    pub cost: &'a CostNanoUsd,
    pub unpriced: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// `None`: no provider was.
    pub asked: Option<Asked>,
}

impl WorkerCounters {
    /// Counts up to `peers` peers apart.
    pub fn new(peers: usize) -> Self {
        let peer_slots = match peers {
            0 => 0,
            peers => peers + 1,
        };
        Self {
            connections_accepted: Counter::default(),
            connections_open: std::array::from_fn(|_| Gauge::default()),
            connections_unknown_peer: Counter::default(),
            connections_over_limit: Counter::default(),
            connections_log_full: Counter::default(),
            requests_log_full: Counter::default(),
            h2_ends: std::array::from_fn(|_| Counter::default()),
            tls_handshake: Histogram::new(&SHORT_BOUNDS_US),
            tls_handshake_failures: Counter::default(),
            exchanges_in_flight: Gauge::default(),
            upstream_connections_open: Gauge::default(),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
            failures: std::array::from_fn(|_| Counter::default()),
            overhead: Histogram::new(&SHORT_BOUNDS_US),
            http: HttpCounters::default(),
            providers: (0..PROVIDER_SLOTS)
                .map(|_| ProviderCounters::default())
                .collect(),
            models: (0..MODEL_SLOTS).map(|_| OnceLock::new()).collect(),
            peers: (0..peer_slots).map(|_| PeerCounters::default()).collect(),
        }
    }

    pub fn count(&self, ended: &Ended<'_>) {
        self.http
            .observe(ended.request, ended.status, ended.duration_us);
        self.request_bytes.add(ended.request_bytes);
        self.response_bytes.add(ended.response_bytes);
        if let Some(reason) = ended.reason {
            self.failures[reason as usize].add(1);
        }
        if ended.overhead_us > 0 {
            self.overhead.observe(u64::from(ended.overhead_us));
        }
        let model = self.models[ended.model.index()].get_or_init(Box::default);
        model.count(ended.usage, ended.cost, ended.unpriced);
        let operation = model.operation(ended.operation);
        operation.exchanges[ended.outcome as usize].add(1);
        if let Some(asked) = &ended.asked {
            operation.observe(ended.usage, asked);
        }
        if let Some(peer) = self.peer(ended.peer) {
            peer.exchanges.add(1);
            let usage = ended.usage;
            peer.tokens
                .add(usage.input_tokens.wrapping_add(usage.output_tokens));
            peer.cost_nano_usd.add(ended.cost.total());
        }
    }

    pub fn provider(&self, slot: ProviderSlot) -> &ProviderCounters {
        self.providers
            .get(usize::from(slot.0))
            .unwrap_or(&self.providers[0])
    }

    /// Those that were asked for.
    pub fn models(&self) -> impl Iterator<Item = (ModelSlot, &ModelCounters)> {
        let slots = ModelSlot::all().zip(&self.models);
        slots.filter_map(|(slot, counters)| Some((slot, &**counters.get()?)))
    }

    /// By slot, the first of which stands for all peers without one of their own.
    pub fn peers(&self) -> &[PeerCounters] {
        &self.peers
    }

    fn peer(&self, slot: u32) -> Option<&PeerCounters> {
        self.peers.get(slot as usize).or_else(|| self.peers.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        let counters = ProviderCounters::default();
        for status in [101, 200, 299, 302, 404, 500, 599, 600, 999, 0] {
            counters.responded(status);
        }
        let counts = counters.responses.each_ref().map(Counter::get);
        assert_eq!(counts, [1, 2, 1, 1, 2, 3]);
    }
}
