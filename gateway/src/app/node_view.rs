//! What the management API shows about the node.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::watch;

use crate::{
    config::{Driver, WorkersConfig},
    control_plane::{
        api::state::{NodeStatus, NodeView, ProviderStatus as ApiProviderStatus},
        listeners::ListenerStatus,
        snapshot::{ProviderState, ProviderStatus, SnapshotReport},
        telemetry::Readiness,
    },
};

pub(super) struct RunningNode {
    pub(super) workers: WorkersConfig,
    pub(super) readiness: Readiness,
    pub(super) listeners: watch::Receiver<ListenerStatus>,
    pub(super) reports: watch::Receiver<Arc<SnapshotReport>>,
    pub(super) ca_pem: Option<String>,
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
            driver: match self.workers.driver {
                Driver::Auto => "auto",
                Driver::IoUring => "io_uring",
                Driver::Epoll => "epoll",
            }
            .to_owned(),
            workers: self.workers.count,
            listeners: listening.iter().map(ToString::to_string).collect(),
            providers: report.providers.iter().map(provider).collect(),
        }
    }

    fn ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }
}

fn provider(status: &ProviderStatus) -> ApiProviderStatus {
    let (ready, addresses, problem) = match &status.state {
        ProviderState::Ready { addresses } => (
            true,
            addresses.as_slice(),
            status.warnings.first().map(ToString::to_string),
        ),
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
