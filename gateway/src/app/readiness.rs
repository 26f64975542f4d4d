//! Which parts have a say in whether the node may receive traffic.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    config::WhenFull,
    control_plane::{
        admission::Admission,
        identity::IdentitySources,
        listeners::ListenerStatus,
        snapshot::SnapshotReport,
        telemetry::{Fitness, Readiness},
        usage::{Health, UsageStatus},
    },
};

/// Each part is asked whenever somebody wants to know.
pub(super) fn watch_parts(
    readiness: &Readiness,
    listeners: watch::Receiver<ListenerStatus>,
    reports: watch::Receiver<Arc<SnapshotReport>>,
    usage: Arc<UsageStatus>,
    when_full: WhenFull,
    admission: Arc<Admission>,
    identity: Arc<IdentitySources>,
) {
    readiness.check("admission", move || admission.readiness());
    readiness.check("identity", move || identity.readiness());
    readiness.check("listeners", move || match &listeners.borrow().failure {
        Some(reason) => Err(reason.clone()),
        None => Ok(()),
    });
    readiness.check("certificate", move || {
        let report = reports.borrow();
        if report.snapshot.endpoint.tls.is_some() {
            return Ok(());
        }
        let reason = report.certificate_failure.as_deref();
        Err(reason
            .unwrap_or("the endpoint has no name and no address yet")
            .to_owned())
    });
    let index = Arc::clone(&usage);
    readiness.check("usage_index", move || match index.indexer() {
        Health::Ok => Fitness::Ready,
        // Nothing is lost, and agents need it for nothing.
        Health::Behind { since, error } => {
            Fitness::Impaired(format!("cannot be written since {since}: {error}"))
        }
    });
    readiness.check("usage_log", move || match usage.writer() {
        Health::Ok => Fitness::Ready,
        Health::Behind { since, error } => {
            let reason = format!("cannot be written since {since}: {error}");
            match when_full {
                WhenFull::Refuse => Fitness::NotReady(reason),
                WhenFull::Serve => Fitness::Impaired(reason),
            }
        }
    });
}
