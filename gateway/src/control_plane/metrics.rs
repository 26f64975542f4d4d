//! `/metrics`: the workers' counters, the usage log's status and the process, merged at scrape. Nothing
//! here touches the request path. Labels come from closed enums and configured providers only.

mod admission;
mod family;
mod identity;
mod limits;
mod mints;
mod process;
mod provider_totals;
mod spans;
mod usage_log;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use prometheus::{TextEncoder, proto::MetricFamily};
use tokio::sync::watch;

use self::{
    family::{counter, gauge, histogram, plain_counter, plain_gauge},
    provider_totals::ProviderTotals,
};
use super::{
    admission::Admission, identity::IdentitySources, ledger::Ledger, mint::Minted,
    snapshot::SnapshotReport, spans::SpanStatus, usage::UsageStatus,
};
use crate::handoff::{
    counters::{
        Counter, DURATION_BOUNDS_US, DurationHistogram, Gauge, PROVIDER_SLOTS, WorkerCounters,
    },
    reason::{Reason, Source},
    record::Outcome,
    snapshot::ProviderSlot,
};

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label of exchanges that reached no provider, and of slots nobody named.
const NO_PROVIDER: &str = "none";
const NANO_PER_USD: f64 = 1e9;

/// Everything that is scraped.
pub struct Metrics {
    workers: Vec<Arc<WorkerCounters>>,
    usage: Arc<UsageStatus>,
    admission: Option<Arc<Admission>>,
    mints: Option<watch::Receiver<Arc<Minted>>>,
    limits: Option<Limits>,
    identity: Option<Arc<IdentitySources>>,
    spans: Option<Arc<SpanStatus>>,
    started_at_seconds: f64,
    /// Slot to label. A removed provider keeps its label until another one takes the slot, because its
    /// counts are still there.
    providers: Mutex<BTreeMap<u16, String>>,
    /// Revision of the snapshot that workers serve from.
    pub config_revision: AtomicU64,
    /// Revision of the store.
    pub store_revision: AtomicU64,
    /// Unix time in seconds at which the endpoint's certificate expires; 0 while there is none.
    pub certificate_expires_at: AtomicI64,
}

/// Where limits are counted.
struct Limits {
    ledger: Arc<Ledger>,
    reports: watch::Receiver<Arc<SnapshotReport>>,
}

/// Which provider a slot counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLabel {
    pub slot: ProviderSlot,
    pub id: String,
    pub name: String,
}

impl Metrics {
    pub fn new(workers: Vec<Arc<WorkerCounters>>, usage: Arc<UsageStatus>) -> Self {
        Self {
            workers,
            usage,
            admission: None,
            mints: None,
            limits: None,
            identity: None,
            spans: None,
            started_at_seconds: Timestamp::now().as_millisecond() as f64 / 1000.0,
            providers: Mutex::new(BTreeMap::new()),
            config_revision: AtomicU64::new(0),
            store_revision: AtomicU64::new(0),
            certificate_expires_at: AtomicI64::new(0),
        }
    }

    /// Shows what the kernel program counts, too.
    #[must_use]
    pub fn with_admission(mut self, admission: Arc<Admission>) -> Self {
        self.admission = Some(admission);
        self
    }

    /// Shows the minting of tokens, too.
    #[must_use]
    pub fn with_mints(mut self, mints: watch::Receiver<Arc<Minted>>) -> Self {
        self.mints = Some(mints);
        self
    }

    /// Shows the ledger and how full limits are, too.
    #[must_use]
    pub fn with_limits(
        mut self,
        ledger: Arc<Ledger>,
        reports: watch::Receiver<Arc<SnapshotReport>>,
    ) -> Self {
        self.limits = Some(Limits { ledger, reports });
        self
    }

    /// Shows how the sources of peers do, too.
    #[must_use]
    pub fn with_identity(mut self, identity: Arc<IdentitySources>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Shows how the export of spans does, too, where there is one.
    #[must_use]
    pub fn with_spans(mut self, spans: Option<Arc<SpanStatus>>) -> Self {
        self.spans = spans;
        self
    }

    /// Names the slots; called when a snapshot is published. Providers without a name go by their id,
    /// those of the same name are added up.
    pub fn set_providers(&self, labels: &[ProviderLabel]) {
        let mut providers = self
            .providers
            .lock()
            .expect("nothing panics under this lock");
        for label in labels {
            let name = if label.name.is_empty() {
                &label.id
            } else {
                &label.name
            };
            if usize::from(label.slot.0) < PROVIDER_SLOTS {
                providers.insert(label.slot.0, name.clone());
            }
        }
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.gather())
            .expect("every family has a name and at least one metric")
    }

    fn gather(&self) -> Vec<MetricFamily> {
        let mut families = self.node();
        families.extend(self.connections());
        families.extend(self.exchanges());
        families.extend(self.per_provider());
        families.extend(usage_log::gather(&self.usage));
        if let Some(admission) = &self.admission {
            families.extend(admission::gather(&admission.status()));
        }
        if let Some(mints) = &self.mints {
            families.extend(mints::gather(&mints.borrow()));
        }
        if let Some(Limits { ledger, reports }) = &self.limits {
            let snapshot = Arc::clone(&reports.borrow().snapshot);
            families.extend(limits::gather(&ledger.grants, &snapshot));
        }
        if let Some(identity) = &self.identity {
            let statuses: Vec<_> = identity.statuses().collect();
            families.extend(identity::gather(&statuses, Timestamp::now()));
        }
        if let Some(status) = &self.spans {
            families.extend(spans::gather(status));
        }
        families.extend(process::gather(self.started_at_seconds));
        families
    }

    fn node(&self) -> Vec<MetricFamily> {
        let mut families = vec![
            gauge(
                "keyway_build_info",
                "Always 1; the label says which version runs.",
                vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
            ),
            plain_gauge(
                "keyway_workers",
                "Data-plane worker threads.",
                self.workers.len() as f64,
            ),
            plain_gauge(
                "keyway_config_revision",
                "Revision of the snapshot that workers serve from.",
                self.config_revision.load(Ordering::Relaxed) as f64,
            ),
            plain_gauge(
                "keyway_store_revision",
                "Revision of the store.",
                self.store_revision.load(Ordering::Relaxed) as f64,
            ),
        ];
        let expires_at = self.certificate_expires_at.load(Ordering::Relaxed);
        if expires_at != 0 {
            families.push(plain_gauge(
                "keyway_certificate_expiry_timestamp_seconds",
                "When the endpoint's certificate expires.",
                expires_at as f64,
            ));
        }
        families
    }

    fn connections(&self) -> Vec<MetricFamily> {
        let sum = |of: fn(&WorkerCounters) -> &Counter| self.sum(of);
        vec![
            plain_counter(
                "keyway_connections_accepted_total",
                "Downstream connections accepted.",
                sum(|w| &w.connections_accepted),
            ),
            counter(
                "keyway_connections_refused_total",
                "Downstream connections closed before they were served.",
                vec![
                    (
                        vec![("reason", "unknown_peer".to_owned())],
                        sum(|w| &w.connections_unknown_peer),
                    ),
                    (
                        vec![("reason", "shed".to_owned())],
                        sum(|w| &w.connections_shed),
                    ),
                ],
            ),
            plain_gauge(
                "keyway_connections_open",
                "Downstream connections open.",
                self.sum_gauge(|w| &w.connections_open),
            ),
            plain_counter(
                "keyway_tls_handshakes_total",
                "Downstream TLS handshakes completed.",
                sum(|w| &w.tls_handshakes),
            ),
            plain_counter(
                "keyway_tls_handshake_failures_total",
                "Downstream TLS handshakes that failed.",
                sum(|w| &w.tls_handshake_failures),
            ),
            plain_gauge(
                "keyway_upstream_connections_open",
                "Connections to providers, idle or in use.",
                self.sum_gauge(|w| &w.upstream_connections_open),
            ),
            plain_counter(
                "keyway_request_bytes_total",
                "Bytes of requests received from agents.",
                sum(|w| &w.request_bytes),
            ),
            plain_counter(
                "keyway_response_bytes_total",
                "Bytes of responses sent to agents.",
                sum(|w| &w.response_bytes),
            ),
        ]
    }

    fn exchanges(&self) -> Vec<MetricFamily> {
        let failures = Reason::ALL
            .iter()
            .map(|reason| {
                let labels = vec![
                    ("reason", reason.code().to_owned()),
                    ("source", source_code(reason.source()).to_owned()),
                ];
                let count = self
                    .workers
                    .iter()
                    .map(|worker| worker.failures[*reason as usize].get())
                    .sum::<u64>();
                (labels, count as f64)
            })
            .collect();
        vec![
            plain_gauge(
                "keyway_exchanges_in_flight",
                "Exchanges that have begun and not ended.",
                self.sum_gauge(|w| &w.exchanges_in_flight),
            ),
            counter(
                "keyway_failures_total",
                "Exchanges that did not end well, by reason and by whose fault it was.",
                failures,
            ),
            self.durations(
                "keyway_request_duration_seconds",
                "From a request's first byte to its end.",
                |w| &w.request_duration,
            ),
            self.durations(
                "keyway_time_to_first_token_seconds",
                "From the request sent to the first content byte from the provider.",
                |w| &w.time_to_first_token,
            ),
            self.durations(
                "keyway_overhead_seconds",
                "The node's own share of the time before the first byte went upstream.",
                |w| &w.overhead,
            ),
        ]
    }

    fn per_provider(&self) -> Vec<MetricFamily> {
        let totals = self.provider_totals();
        let of = |value: fn(&ProviderTotals) -> u64| {
            totals
                .iter()
                .map(|(name, totals)| (vec![("provider", name.clone())], value(totals) as f64))
                .collect()
        };
        let requests = totals.iter().flat_map(|(name, totals)| {
            Outcome::ALL.iter().map(move |outcome| {
                let labels = vec![
                    ("provider", name.clone()),
                    ("outcome", outcome.code().to_owned()),
                ];
                (labels, totals.exchanges[*outcome as usize] as f64)
            })
        });
        let tokens = totals.iter().flat_map(|(name, totals)| {
            totals.tokens().map(|(kind, count)| {
                let labels = vec![("provider", name.clone()), ("type", kind.to_owned())];
                (labels, count as f64)
            })
        });
        let cost = totals
            .iter()
            .map(|(name, totals)| {
                let dollars = totals.cost_nano_usd as f64 / NANO_PER_USD;
                (vec![("provider", name.clone())], dollars)
            })
            .collect();
        vec![
            counter(
                "keyway_requests_total",
                "Exchanges that ended, by provider and outcome.",
                requests.collect(),
            ),
            counter(
                "keyway_tokens_total",
                "Tokens reported by providers. The types are disjoint: their sum is all tokens.",
                tokens.collect(),
            ),
            counter(
                "keyway_cost_usd_total",
                "Estimated cost in dollars at list prices.",
                cost,
            ),
            counter(
                "keyway_unpriced_requests_total",
                "Exchanges whose cost is not known, or not wholly.",
                of(|t| t.unpriced),
            ),
            counter(
                "keyway_upstream_connects_total",
                "Connections opened to providers.",
                of(|t| t.connects),
            ),
            counter(
                "keyway_retries_total",
                "Attempts beyond the first one of an exchange.",
                of(|t| t.retries),
            ),
        ]
    }

    fn sum(&self, of: fn(&WorkerCounters) -> &Counter) -> f64 {
        self.workers.iter().map(|w| of(w).get()).sum::<u64>() as f64
    }

    fn sum_gauge(&self, of: fn(&WorkerCounters) -> &Gauge) -> f64 {
        self.workers.iter().map(|w| of(w).get()).sum::<u64>() as f64
    }

    fn durations(
        &self,
        name: &str,
        help: &str,
        of: fn(&WorkerCounters) -> &DurationHistogram,
    ) -> MetricFamily {
        let mut counts = [0; DURATION_BOUNDS_US.len() + 1];
        let mut sum_us = 0;
        for worker in &self.workers {
            let (more, more_us) = of(worker).read();
            for (count, more) in counts.iter_mut().zip(more) {
                *count += more;
            }
            sum_us += more_us;
        }
        histogram(name, help, &DURATION_BOUNDS_US, &counts, sum_us)
    }

    fn provider_totals(&self) -> BTreeMap<String, ProviderTotals> {
        let names = self
            .providers
            .lock()
            .expect("nothing panics under this lock")
            .clone();
        let mut totals: BTreeMap<String, ProviderTotals> = BTreeMap::new();
        totals.insert(NO_PROVIDER.to_owned(), ProviderTotals::default());
        for slot in 0..PROVIDER_SLOTS as u16 {
            let name = names.get(&slot).map_or(NO_PROVIDER, String::as_str);
            let total = totals.entry(name.to_owned()).or_default();
            for worker in &self.workers {
                total.add(worker.provider(ProviderSlot(slot)));
            }
        }
        totals
    }
}

fn source_code(source: Source) -> &'static str {
    match source {
        Source::Client => "client",
        Source::Policy => "policy",
        Source::Gateway => "gateway",
        Source::Provider => "provider",
    }
}

#[cfg(test)]
mod tests;
