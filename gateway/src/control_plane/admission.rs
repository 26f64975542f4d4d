//! The node's half of kernel admission: loads the programs (`gateway-ebpf`), keeps every interface
//! covered and the kernel's peers in step with the snapshot, and reads the counters.
//!
//! Programs and links live as long as this process. One copy of the programs, with maps of its own,
//! serves all interfaces of one link layer; peers are asked for on the overlay's device only, so they
//! are in that copy's map.

mod batch;
mod foreign;
mod hook;
mod interface;
mod kernel;
mod logs;
mod peers;
mod problem;
mod programs;
mod status;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use gateway_common::{Address, PEERS_MAX};
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use tokio::{sync::watch, task::spawn_blocking};
use tracing::{error, info, warn};

use crate::{
    config::{AdmissionMode, Config},
    control_plane::snapshot::SnapshotReport,
    handoff::snapshot::Snapshot,
};

pub use hook::HookMode;
pub use problem::Problem;
pub use status::{
    AdmissionStatus, FlowCount, InterfaceStatus, PeerTraffic, ReasonCount, Role, Traffic,
};

use kernel::{Kernel, Scope};
use status::Clocks;

/// Shared by what keeps it going and what shows it.
pub struct Admission {
    mode: AdmissionMode,
    interface: String,
    state: Mutex<State>,
    /// The store's revision whose peers the kernel knows.
    revision: watch::Sender<u64>,
}

struct State {
    /// Absent when it is off, or was refused.
    kernel: Option<Kernel>,
    /// Why not everything is covered.
    problem: Option<String>,
}

impl Admission {
    /// Loads the programs; nothing is attached yet.
    ///
    /// # Errors
    /// When the mode is `required` and the programs cannot be in front; the reason and the remedy.
    pub fn load(config: &Config) -> Result<Self, Problem> {
        let interface = &config.overlay.interface;
        let mode = config.admission.mode;
        let loaded = match mode {
            AdmissionMode::Off => Ok(None),
            AdmissionMode::Required | AdmissionMode::Preferred => load(config).map(Some),
        };
        let (kernel, problem) = match (loaded, mode) {
            (Ok(kernel), _) => (kernel, None),
            (Err(problem), AdmissionMode::Required) => return Err(problem),
            (Err(problem), AdmissionMode::Preferred | AdmissionMode::Off) => (None, Some(problem)),
        };
        match &problem {
            Some(problem) => {
                warn!(%problem, "no kernel program is in front: user space admits alone")
            }
            None if kernel.is_none() => {
                info!("kernel admission is off: user space admits alone");
            }
            None => {}
        }
        Ok(Self {
            mode,
            interface: interface.clone(),
            state: Mutex::new(State {
                kernel,
                problem: problem.map(|problem| problem.to_string()),
            }),
            revision: watch::Sender::default(),
        })
    }

    /// Looks at the host's interfaces once, releases those that vanished and covers new ones. To be
    /// called before listeners open, and again and again while they are.
    ///
    /// # Errors
    /// When the mode is `required` and some interface is not covered: then nothing may be open.
    pub fn stand_in_front(&self) -> Result<(), String> {
        let mut state = self.state();
        let Some(kernel) = &mut state.kernel else {
            return Ok(());
        };
        let outcome = interface::list()
            .map_err(|error| Problem::of("list the interfaces", &error))
            .and_then(|interfaces| kernel.reconcile(&interfaces));
        state.problem = outcome.err().map(|problem| problem.to_string());
        match (self.mode, &state.problem) {
            (AdmissionMode::Required, Some(problem)) => Err(format!("kernel admission: {problem}")),
            (_, None) | (AdmissionMode::Preferred | AdmissionMode::Off, Some(_)) => Ok(()),
        }
    }

    /// Keeps the kernel's peers those of the newest snapshot until no more come.
    pub async fn follow(self: Arc<Self>, mut reports: watch::Receiver<Arc<SnapshotReport>>) {
        loop {
            let report = Arc::clone(&reports.borrow_and_update());
            let admission = Arc::clone(&self);
            let snapshot = Arc::clone(&report.snapshot);
            if spawn_blocking(move || admission.set_peers(&snapshot))
                .await
                .is_err()
            {
                error!("the kernel's peers are no longer kept");
                return;
            }
            self.revision.send_replace(report.store_revision);
            if reports.changed().await.is_err() {
                return;
            }
        }
    }

    /// The store's revision whose peers the kernel knows, as it changes.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Why readiness has to wait: only a required program that is not in front.
    ///
    /// # Errors
    /// The reason.
    pub fn readiness(&self) -> Result<(), String> {
        let state = self.state();
        match (self.mode, &state.problem) {
            (AdmissionMode::Required, Some(problem)) => Err(problem.clone()),
            (_, None) | (AdmissionMode::Preferred | AdmissionMode::Off, Some(_)) => Ok(()),
        }
    }

    /// Interfaces and their counters. Reads maps: not for a thread that must not wait.
    pub fn status(&self) -> AdmissionStatus {
        let mut state = self.state();
        let problem = state.problem.clone();
        let mut status = AdmissionStatus {
            mode: mode_name(self.mode).to_owned(),
            problem,
            ..AdmissionStatus::default()
        };
        let Some(kernel) = &mut state.kernel else {
            return status;
        };
        status.interfaces = kernel.interfaces();
        let covered = (status.interfaces.iter())
            .any(|one| one.role == Role::Overlay && one.mode != HookMode::None);
        status.in_front = covered && status.problem.is_none();
        if !covered && status.problem.is_none() {
            status.problem = Some(format!(
                "device {} is not there, or has no address",
                self.interface
            ));
        }
        status.peers = kernel.peers_len();
        status.peers_left_out = kernel.peers_left_out();
        if status.peers_left_out > 0 && status.problem.is_none() {
            status.problem = Some(full(&status));
        }
        status.departed = traffic(&kernel.departed(), clocks());
        status
    }

    /// Every known peer's traffic, by address. Reads all entries, in batches.
    pub fn peers(&self, snapshot: &Snapshot) -> Vec<PeerTraffic> {
        let mut state = self.state();
        let Some(kernel) = &mut state.kernel else {
            return Vec::new();
        };
        let flows = match kernel.flows() {
            Ok(flows) => flows,
            Err(problem) => {
                error!(%problem, "the peers' traffic cannot be read");
                return Vec::new();
            }
        };
        drop(state);
        let clocks = clocks();
        let mut addresses: Vec<_> = snapshot.peers.iter().collect();
        addresses.sort_by_key(|(address, _)| **address);
        addresses
            .into_iter()
            .filter_map(|(address, principal)| {
                let flows = flows.get(&Address::from(*address))?;
                let groups = principal.groups.iter();
                Some(PeerTraffic {
                    address: address.to_string(),
                    peer_id: principal.peer_id.to_string(),
                    name: principal.display_name.to_string(),
                    groups: groups.map(|group| group.name.to_string()).collect(),
                    traffic: traffic(flows, clocks),
                })
            })
            .collect()
    }

    fn set_peers(&self, snapshot: &Snapshot) {
        let mut state = self.state();
        let Some(kernel) = &mut state.kernel else {
            return;
        };
        let wanted: Vec<IpAddr> = snapshot.peers.keys().copied().collect();
        if let Err(problem) = kernel.set_peers(wanted) {
            error!(%problem, "the kernel's peers are not those of the node");
        }
        let left_out = kernel.peers_left_out();
        if left_out > 0 {
            error!(
                left_out,
                peers = kernel.peers_len(),
                "the kernel's table of peers is full"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

/// A device that is there already must be one that can be covered.
fn load(config: &Config) -> Result<Kernel, Problem> {
    let interface = &config.overlay.interface;
    let interfaces =
        interface::list().map_err(|error| Problem::of("list the interfaces", &error))?;
    if (interfaces.iter()).any(|one| one.is_loopback && one.name == *interface) {
        return Err(kernel::loopback(interface));
    }
    let ports = std::iter::once(config.endpoint.port).chain(config.endpoint.plain_port);
    Kernel::load(Scope {
        interface: interface.clone(),
        addresses: config.overlay.addresses.clone(),
        ports: ports.collect(),
        admission: config.admission.clone(),
    })
}

fn full(status: &AdmissionStatus) -> String {
    format!(
        "{} peers have no room in the kernel's table of {PEERS_MAX}: their packets are dropped",
        status.peers_left_out
    )
}

fn mode_name(mode: AdmissionMode) -> &'static str {
    match mode {
        AdmissionMode::Required => "required",
        AdmissionMode::Preferred => "preferred",
        AdmissionMode::Off => "off",
    }
}

fn traffic(flows: &gateway_common::PeerFlows, clocks: Clocks) -> Traffic {
    Traffic {
        ingress: FlowCount::new(&flows.ingress, clocks),
        egress: FlowCount::new(&flows.egress, clocks),
    }
}

fn clocks() -> Clocks {
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(std::time::Duration::from)
        .unwrap_or_default();
    Clocks {
        monotonic_ns: u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX),
        wall: Timestamp::now(),
    }
}
