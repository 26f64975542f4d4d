//! Who is at an overlay address, beside what the store says. A *source* keeps its part of [`Identity`]
//! current; `identity/member.rs` puts all parts together. Snapshots are compiled anew when `Identity`
//! changes, and only then.

mod member;
mod netbird;
mod peer;
mod status;
mod wireguard;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinSet};

pub use self::{
    member::Member,
    netbird::NetbirdMap,
    peer::{Denial, Peer},
    status::{SourceStatus, source_name},
    wireguard::{AllowedIp, DevicePeers},
};
use super::{resolve::Lookup, snapshot::Problem};
use crate::config::{Config, IdentitySource, NetbirdConfig};
use netbird::Netbird;
use wireguard::Wireguard;

/// What the sources beside the store know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Peers of the store count with the addresses that they have there.
    pub uses_static: bool,
    pub netbird: Option<Arc<NetbirdMap>>,
    pub wireguard: Option<Arc<DevicePeers>>,
}

/// What would keep the `netbird` source from starting.
pub fn netbird_obstacle(config: &NetbirdConfig) -> Option<Problem> {
    netbird::obstacle(config)
}

/// The sources at work.
pub struct IdentitySources {
    /// Kept, as whoever follows it takes its end for a failure; without other sources nobody else has it.
    identity: Arc<watch::Sender<Arc<Identity>>>,
    statuses: Vec<(IdentitySource, watch::Receiver<SourceStatus>)>,
}

impl IdentitySources {
    /// Starts what the configuration names, as `tasks`.
    ///
    /// # Errors
    /// When a source's configuration is no good.
    pub fn start(
        config: &Config,
        lookup: &Lookup,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Problem> {
        let identity = Arc::new(watch::Sender::new(Arc::new(Identity {
            uses_static: config.identity.has(IdentitySource::Static),
            ..Identity::default()
        })));
        let mut statuses = Vec::new();
        if let Some(netbird) = &config.identity.netbird {
            let netbird = Netbird::new(
                netbird,
                &config.store.path,
                Arc::clone(lookup),
                Arc::clone(&identity),
            )?;
            statuses.push((IdentitySource::Netbird, netbird.status()));
            tasks.spawn(netbird.run());
        }
        if config.identity.has(IdentitySource::Wireguard) {
            let wireguard = Wireguard::new(&config.overlay.interface, Arc::clone(&identity));
            statuses.push((IdentitySource::Wireguard, wireguard.status()));
            tasks.spawn(wireguard.run());
        }
        Ok(Self { identity, statuses })
    }

    /// What never changes, with its state now.
    #[cfg(test)]
    pub(crate) fn fixed(identity: Identity) -> Self {
        Self {
            identity: Arc::new(watch::Sender::new(Arc::new(identity))),
            statuses: Vec::new(),
        }
    }

    /// Changes whenever somebody may have to be let in, kept out, or judged otherwise.
    pub fn identity(&self) -> watch::Receiver<Arc<Identity>> {
        self.identity.subscribe()
    }

    /// What is known now.
    pub fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.borrow())
    }

    /// Of the sources beside the store.
    pub fn statuses(&self) -> impl Iterator<Item = (IdentitySource, SourceStatus)> {
        let statuses = self.statuses.iter();
        statuses.map(|(source, status)| (*source, status.borrow().clone()))
    }

    /// # Errors
    /// Which source lets nobody in, and why.
    pub fn readiness(&self) -> Result<(), String> {
        let now = Timestamp::now();
        self.statuses()
            .try_for_each(|(source, status)| status.readiness(source, now))
    }
}
