//! What the management API shows about the node.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::watch;

use super::Readiness;
use crate::{
    config::{Driver, WorkersConfig},
    control_plane::{
        api::state::{NodeStatus, NodeView, ProviderStatus as ApiProviderStatus},
        listeners::ListenerStatus,
        snapshot::{ProviderState, ProviderStatus, SnapshotReport},
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
        let not_ready = self.readiness.waiting_for();
        let report = Arc::clone(&self.reports.borrow());
        let listening = &self.listeners.borrow().listening;
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: not_ready.is_empty(),
            not_ready,
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
