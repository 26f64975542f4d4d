//! `/metrics`: the workers' counters, the usage log's status and the process, merged at scrape. Nothing
//! here touches the request path. Labels come from closed enums and configured objects only.

mod admission;
mod connections;
mod exchanges;
mod family;
mod gen_ai;
mod identity;
mod limits;
mod mints;
mod models;
mod names;
mod node;
mod peers;
mod process;
mod providers;
mod spans;
mod store;
mod tally;
mod usage_log;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use jiff::Timestamp;
use prometheus::{TextEncoder, proto::MetricFamily};
use tokio::sync::watch;

use self::names::Names;
use super::{
    admission::Admission, identity::IdentitySources, ledger::Ledger, mint::Minted,
    snapshot::SnapshotReport, spans::SpanStatus, store::StoreStatus, telemetry::Readiness,
    usage::UsageStatus,
};
use crate::handoff::counters::WorkerCounters;

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const NANO_PER_USD: f64 = 1e9;

/// Everything that is scraped.
pub struct Metrics {
    workers: Vec<Arc<WorkerCounters>>,
    usage: Arc<UsageStatus>,
    admission: Option<Arc<Admission>>,
    mints: Option<watch::Receiver<Arc<Minted>>>,
    ledger: Option<Arc<Ledger>>,
    identity: Option<Arc<IdentitySources>>,
    store: Option<Arc<StoreStatus>>,
    readiness: Option<Readiness>,
    spans: Option<Arc<SpanStatus>>,
    started_at_seconds: f64,
    reloaded_at: AtomicI64,
    is_reload_ok: AtomicBool,
    served: Mutex<Served>,
}

/// What the workers serve.
#[derive(Default)]
struct Served {
    names: Names,
    report: Option<Arc<SnapshotReport>>,
}

/// The counters of all workers.
#[derive(Clone, Copy)]
struct Workers<'a>(&'a [Arc<WorkerCounters>]);

impl<'a> Workers<'a> {
    fn iter(self) -> impl Iterator<Item = &'a WorkerCounters> {
        self.0.iter().map(|worker| &**worker)
    }

    fn sum(self, of: impl Fn(&WorkerCounters) -> u64) -> f64 {
        self.iter().map(of).sum::<u64>() as f64
    }
}

impl Metrics {
    pub fn new(workers: Vec<Arc<WorkerCounters>>, usage: Arc<UsageStatus>) -> Self {
        let now = Timestamp::now();
        Self {
            workers,
            usage,
            admission: None,
            mints: None,
            ledger: None,
            identity: None,
            store: None,
            spans: None,
            readiness: None,
            started_at_seconds: now.as_millisecond() as f64 / 1000.0,
            reloaded_at: AtomicI64::new(now.as_second()),
            is_reload_ok: AtomicBool::new(true),
            served: Mutex::default(),
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
    pub fn with_limits(mut self, ledger: Arc<Ledger>) -> Self {
        self.ledger = Some(ledger);
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

    /// Shows what the store's writes take, too.
    #[must_use]
    pub fn with_store(mut self, store: Arc<StoreStatus>) -> Self {
        self.store = Some(store);
        self
    }

    /// Shows which parts are ready, too.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = Some(readiness);
        self
    }

    /// The workers serve this from now on.
    pub fn follow(&self, report: &Arc<SnapshotReport>) {
        let mut served = self.served();
        served.names.follow(report);
        served.report = Some(Arc::clone(report));
    }

    /// The configuration was read again; a wrong one changes nothing.
    pub fn reloaded(&self, is_ok: bool) {
        self.is_reload_ok.store(is_ok, Ordering::Relaxed);
        if is_ok {
            let now = Timestamp::now().as_second();
            self.reloaded_at.store(now, Ordering::Relaxed);
        }
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.gather())
            .expect("every family has a name and at least one metric")
    }

    fn gather(&self) -> Vec<MetricFamily> {
        let workers = Workers(&self.workers);
        let served = self.served();
        let mut families = node::build(self.workers.len());
        families.extend(node::reload(
            self.reloaded_at.load(Ordering::Relaxed),
            self.is_reload_ok.load(Ordering::Relaxed),
        ));
        families.extend(self.readiness.as_ref().map(|r| node::ready(&r.report())));
        families.extend(connections::gather(workers));
        families.extend(exchanges::gather(workers));
        families.extend(models::gather(workers, &served.names));
        families.extend(gen_ai::gather(workers, &served.names));
        families.extend(providers::gather(workers, &served.names));
        families.extend(peers::gather(workers, &served.names));
        let report = served.report.clone();
        drop(served);
        if let Some(report) = &report {
            families.extend(node::snapshot(report));
            families.extend(providers::statuses(&report.providers, Timestamp::now()));
        }
        families.extend(usage_log::gather(&self.usage));
        if let Some(store) = &self.store {
            families.extend(store::gather(store));
        }
        if let Some(admission) = &self.admission {
            families.extend(admission::gather(&admission.status()));
        }
        if let Some(mints) = &self.mints {
            families.extend(mints::gather(&mints.borrow()));
        }
        if let (Some(ledger), Some(report)) = (&self.ledger, &report) {
            families.extend(limits::gather(&ledger.grants, &report.snapshot));
        }
        if let Some(identity) = &self.identity {
            let statuses: Vec<_> = identity.statuses().collect();
            families.extend(identity::gather(&statuses, Timestamp::now()));
        }
        if let Some(status) = &self.spans {
            families.extend(spans::gather(status));
        }
        families.extend(process::gather(self.started_at_seconds));
        // One without a sample cannot be encoded.
        families.retain(|family| !family.get_metric().is_empty());
        families
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        // Whoever panicked left whole entries behind.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
