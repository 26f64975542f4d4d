//! What the management API shows about the node.

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::timeout};
use tracing::warn;

use crate::{
    control_plane::{
        admission::{Admission, AdmissionHistory, AdmissionStatus, PeerTraffic},
        api::state::{NodeStatus, NodeView, ProviderStatus as ApiProviderStatus, Task},
        listeners::ListenerStatus,
        mint::{MINT_TIMEOUT, Minted},
        snapshot::{ProviderState, ProviderStatus, SnapshotReport},
        telemetry::Readiness,
    },
    handoff::snapshot::Snapshot,
};

/// How long a change waits for the workers to follow before it is answered.
const SERVED_WAIT: Duration = Duration::from_secs(5);

pub(super) struct RunningNode {
    pub(super) driver: String,
    pub(super) workers: usize,
    pub(super) started_at: Timestamp,
    pub(super) readiness: Readiness,
    pub(super) listeners: watch::Receiver<ListenerStatus>,
    pub(super) reports: watch::Receiver<Arc<SnapshotReport>>,
    pub(super) minted: watch::Receiver<Arc<Minted>>,
    pub(super) ca_pem: Option<String>,
    pub(super) admission: Arc<Admission>,
}

impl NodeView for RunningNode {
    fn status(&self) -> NodeStatus {
        let readiness = self.readiness.report();
        let waiting = readiness.parts.iter().filter(|part| !part.ready);
        let report = Arc::clone(&self.reports.borrow());
        let listening = &self.listeners.borrow().listening;
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: readiness.ready,
            not_ready: waiting
                .map(|part| format!("{}: {}", part.name, part.reason))
                .collect(),
            revision: report.store_revision,
            started_at: self.started_at,
            driver: self.driver.clone(),
            workers: self.workers,
            listeners: listening.iter().map(ToString::to_string).collect(),
            providers: report.providers.iter().map(provider).collect(),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.reports.borrow().snapshot)
    }

    fn admission(&self) -> AdmissionStatus {
        self.admission.status()
    }

    fn admission_history(&self) -> AdmissionHistory {
        self.admission.history()
    }

    fn admission_peers(&self) -> Vec<PeerTraffic> {
        let report = Arc::clone(&self.reports.borrow());
        self.admission.peers(&report.snapshot)
    }

    fn ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }

    fn mints(&self, credential_id: String) -> Task<'_, Result<(), String>> {
        let mut minted = self.minted.clone();
        Box::pin(async move {
            let first = async {
                let settled = |minted: &Arc<Minted>| minted.of(&credential_id).is_some();
                let minted = minted.wait_for(settled).await.ok()?;
                minted.of(&credential_id)
            };
            let first = timeout(MINT_TIMEOUT + SERVED_WAIT, first).await;
            first
                .ok()
                .flatten()
                .unwrap_or_else(|| Err("nothing came of it in time".to_owned()))
        })
    }

    fn serves(&self, revision: u64) -> Task<'_, ()> {
        let mut reports = self.reports.clone();
        let mut admitted = self.admission.revision();
        Box::pin(async move {
            let served = async {
                // Who ended takes no part any more; the node says so elsewhere.
                let _ = reports
                    .wait_for(|report| report.store_revision >= revision)
                    .await;
                let _ = admitted.wait_for(|known| *known >= revision).await;
            };
            if timeout(SERVED_WAIT, served).await.is_err() {
                warn!(
                    revision,
                    "the workers do not serve the newest configuration yet"
                );
            }
        })
    }
}

/// What is wrong without keeping the provider from serving, in one line.
fn warnings(status: &ProviderStatus) -> Option<String> {
    let warnings: Vec<String> = status.warnings.iter().map(ToString::to_string).collect();
    (!warnings.is_empty()).then(|| warnings.join("; "))
}

fn provider(status: &ProviderStatus) -> ApiProviderStatus {
    let (ready, addresses, problem) = match &status.state {
        ProviderState::Ready { addresses } => (true, addresses.as_slice(), warnings(status)),
        ProviderState::Disabled => (false, &[][..], Some("it is disabled".to_owned())),
        ProviderState::Unreachable(problem) | ProviderState::Skipped(problem) => {
            (false, &[][..], Some(problem.to_string()))
        }
    };
    ApiProviderStatus {
        id: status.id.clone(),
        ready,
        addresses: addresses.iter().map(IpAddr::to_string).collect(),
        problem,
    }
}
