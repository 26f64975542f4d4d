//! Whether the node may receive traffic, and what it waits for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use crate::control_plane::{
    listeners::ListenerStatus,
    snapshot::SnapshotReport,
    usage::{Health, UsageStatus},
};

/// Cheap to clone; every answer is made from the newest state of the parts.
#[derive(Clone)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
    listeners: watch::Receiver<ListenerStatus>,
    reports: watch::Receiver<Arc<SnapshotReport>>,
    usage: Arc<UsageStatus>,
}

impl Readiness {
    pub(super) fn new(
        listeners: watch::Receiver<ListenerStatus>,
        reports: watch::Receiver<Arc<SnapshotReport>>,
        usage: Arc<UsageStatus>,
    ) -> Self {
        Self {
            draining: Arc::default(),
            listeners,
            reports,
            usage,
        }
    }

    /// From here on the node is not ready, whatever its parts say.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// What readiness is waiting for; empty when the node is ready.
    pub fn waiting_for(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Acquire) {
            reasons.push("draining".to_owned());
        }
        reasons.extend(self.listeners.borrow().failure.clone());
        let report = self.reports.borrow();
        if report.snapshot.endpoint.tls.is_none() {
            let reason = report.certificate_failure.as_deref();
            reasons.push(format!(
                "the endpoint has no certificate: {}",
                reason.unwrap_or("it has no name and no address yet")
            ));
        }
        if let Health::Behind { since, error } = self.usage.writer() {
            reasons.push(format!(
                "the usage log cannot be written since {since}: {error}"
            ));
        }
        reasons
    }
}
