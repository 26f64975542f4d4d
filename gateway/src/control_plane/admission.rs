//! The node's half of kernel admission: loads the programs (`gateway-ebpf`), keeps every interface
//! covered and the kernel's peers in step with the snapshot, and reads the counters.
//!
//! Maps and links are pinned in a bpffs (`pins.rs`), so that the filter outlives this process, and the
//! next one replaces programs link by link and goes on with maps and counters. One copy of the programs,
//! with maps of its own, serves all interfaces of one link layer; peers are asked for on the overlay's
//! device only, so they are in that copy's map.
//!
//! Either the node does all of it, or a unit of its own (`keeper.rs`) holds the capabilities, the programs
//! and the configuration, and the node keeps only peers and counters (`unit.rs`).

mod batch;
mod bpf;
mod counts;
mod foreign;
mod front;
mod history;
mod hook;
mod interface;
pub mod keeper;
mod kernel;
mod layout;
mod logs;
mod peers;
mod pins;
mod problem;
mod programs;
mod state;
mod status;
mod unit;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use gateway_common::{Address, PEERS_MAX};
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{error, info, warn};

use crate::{
    config::{AdmissionMode, Config, Keeper},
    control_plane::snapshot::SnapshotReport,
    handoff::snapshot::Snapshot,
};

pub use history::{AdmissionHistory, AdmissionSample};
pub use hook::HookMode;
pub use problem::Problem;
pub use status::{
    AdmissionStatus, FlowCount, InterfaceStatus, PeerTraffic, ReasonCount, Role, Traffic,
};

use front::Front;
use history::{History, SAMPLE_INTERVAL};
use kernel::Kernel;
use pins::Pins;
use status::Clocks;
use unit::Unit;

/// A unit of its own says what it does by a file, and no event comes with that.
const UNIT_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Shared by what keeps it going and what shows it.
pub struct Admission {
    mode: AdmissionMode,
    keeper: Keeper,
    interface: String,
    state: Mutex<State>,
    history: Mutex<History>,
    /// The store's revision whose peers the kernel knows.
    revision: watch::Sender<u64>,
}

struct State {
    /// Absent when it is off, or was refused.
    front: Option<Front>,
    /// Why not everything is covered.
    problem: Option<String>,
}

impl State {
    /// Looks at the interfaces, and brings everything in step with them.
    fn look(&mut self) {
        let Some(front) = &mut self.front else {
            return;
        };
        let outcome = interface::list()
            .map_err(|error| Problem::of("list the interfaces", &error))
            .and_then(|interfaces| front.reconcile(&interfaces));
        self.problem = outcome.err().map(|problem| problem.to_string());
    }

    /// What is wrong although everything is covered.
    fn note(&self) -> Option<String> {
        let note = self.front.as_ref().and_then(Front::note);
        note.map(|note| note.to_string())
    }
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
        let (front, problem) = match (loaded, mode) {
            (Ok(front), _) => (front, None),
            (Err(problem), AdmissionMode::Required) => return Err(problem),
            (Err(problem), AdmissionMode::Preferred | AdmissionMode::Off) => (None, Some(problem)),
        };
        match &problem {
            Some(problem) => {
                warn!(%problem, "no kernel program is in front: user space admits alone")
            }
            None if front.is_none() => match &config.admission.pins {
                Some(pins) if pins.exists() => warn!(
                    pins = %pins.display(),
                    "kernel admission is off, but a program of an earlier run may still filter: \
                     `keyway admission detach` removes it"
                ),
                Some(_) | None => info!("kernel admission is off: user space admits alone"),
            },
            None => {}
        }
        Ok(Self {
            mode,
            keeper: config.admission.keeper,
            interface: interface.clone(),
            state: Mutex::new(State {
                front,
                problem: problem.map(|problem| problem.to_string()),
            }),
            history: Mutex::default(),
            revision: watch::Sender::default(),
        })
    }

    /// What would keep [`load`](Self::load) from doing what is asked for, found out without changing
    /// anything.
    pub fn obstacle(config: &Config) -> Option<Problem> {
        let admission = &config.admission;
        match (admission.mode, admission.keeper) {
            (AdmissionMode::Off, _) => None,
            // The unit may well come after this.
            (_, Keeper::Unit) => None,
            (_, Keeper::Node) => (admission.pins.as_deref())
                .map_or(Ok(()), pins::check_file_system)
                .and_then(|()| Kernel::load(keeper::scope(config)?, None))
                .err(),
        }
    }

    /// Looks at the host's interfaces once, releases those that vanished and covers new ones. To be
    /// called before listeners open, and again and again while they are.
    ///
    /// # Errors
    /// When the mode is `required` and some interface is not covered: then nothing may be open.
    pub fn stand_in_front(&self) -> Result<(), String> {
        let mut state = self.state();
        state.look();
        match (self.mode, &state.problem) {
            (AdmissionMode::Required, Some(problem)) => Err(format!("kernel admission: {problem}")),
            (_, None) | (AdmissionMode::Preferred | AdmissionMode::Off, Some(_)) => Ok(()),
        }
    }

    /// Keeps the kernel's peers those of the newest snapshot until no more come, and looks what a unit of
    /// its own does meanwhile.
    pub async fn follow(self: Arc<Self>, mut reports: watch::Receiver<Arc<SnapshotReport>>) {
        let mut known: Option<Arc<Snapshot>> = None;
        loop {
            let report = Arc::clone(&reports.borrow_and_update());
            // A revision without a snapshot of its own changes no peer.
            if !known.is_some_and(|known| Arc::ptr_eq(&known, &report.snapshot)) {
                let admission = Arc::clone(&self);
                let snapshot = Arc::clone(&report.snapshot);
                if spawn_blocking(move || admission.set_peers(&snapshot))
                    .await
                    .is_err()
                {
                    error!("the kernel's peers are no longer kept");
                    return;
                }
            }
            known = Some(Arc::clone(&report.snapshot));
            self.revision.send_replace(report.store_revision);
            loop {
                tokio::select! {
                    changed = reports.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = sleep(UNIT_LOOK_INTERVAL), if self.keeper == Keeper::Unit => {
                        let admission = Arc::clone(&self);
                        // Who panicked says so itself.
                        let _ = spawn_blocking(move || admission.state().look()).await;
                    }
                }
            }
        }
    }

    /// Samples the counters for [`history`](Self::history), and never ends.
    pub async fn sample(self: Arc<Self>) {
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let admission = Arc::clone(&self);
            // Who panicked says so itself.
            let _ = spawn_blocking(move || admission.take_sample()).await;
        }
    }

    /// What was counted lately.
    pub fn history(&self) -> AdmissionHistory {
        self.past().shown()
    }

    /// The store's revision whose peers the kernel knows, as it changes.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Why readiness has to wait: only a required program that is not in front, or that nobody keeps.
    ///
    /// # Errors
    /// The reason.
    pub fn readiness(&self) -> Result<(), String> {
        let state = self.state();
        match (self.mode, state.problem.clone().or_else(|| state.note())) {
            (AdmissionMode::Required, Some(problem)) => Err(problem),
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
        let Some(front) = &mut state.front else {
            return status;
        };
        status.interfaces = front.interfaces();
        let covered = (status.interfaces.iter())
            .any(|one| one.role == Role::Overlay && one.mode != HookMode::None);
        status.in_front = covered && status.problem.is_none();
        if !covered && status.problem.is_none() {
            status.problem = Some(format!(
                "device {} is not there, or has no address",
                self.interface
            ));
        }
        status.peers = front.peers_len();
        if status.problem.is_none() {
            status.problem = front.note().map(|note| note.to_string());
        }
        status.peers_left_out = front.peers_left_out();
        if status.peers_left_out > 0 && status.problem.is_none() {
            status.problem = Some(full(&status));
        }
        status.departed = traffic(&front.departed(), clocks());
        status
    }

    /// Every known peer's traffic, by address. Reads all entries, in batches.
    pub fn peers(&self, snapshot: &Snapshot) -> Vec<PeerTraffic> {
        let mut state = self.state();
        let Some(front) = &mut state.front else {
            return Vec::new();
        };
        let flows = match front.flows() {
            Ok(flows) => flows,
            Err(problem) => {
                error!(%problem, "the peers' traffic cannot be read");
                return Vec::new();
            }
        };
        drop(state);
        let clocks = clocks();
        let mut addresses: Vec<_> = snapshot.peers.by_address().collect();
        addresses.sort_by_key(|(address, _)| **address);
        addresses
            .into_iter()
            .filter_map(|(address, principal)| {
                let flows = flows.get(&Address::from(*address))?;
                let groups = principal.named_groups();
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
        let Some(front) = &mut state.front else {
            return;
        };
        let wanted: Vec<IpAddr> = snapshot.peers.addresses().copied().collect();
        if let Err(problem) = front.set_peers(wanted) {
            error!(%problem, "the kernel's peers are not those of the node");
        }
        let left_out = front.peers_left_out();
        if left_out > 0 {
            error!(
                left_out,
                peers = front.peers_len(),
                "the kernel's table of peers is full"
            );
        }
    }

    fn take_sample(&self) {
        let interfaces = self.state().front.as_ref().map(Front::interfaces);
        if let Some(interfaces) = interfaces {
            self.past().note(Timestamp::now(), &interfaces);
        }
    }

    fn past(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("nothing panics under this lock")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

fn load(config: &Config) -> Result<Front, Problem> {
    let admission = &config.admission;
    match (admission.keeper, &admission.pins) {
        (Keeper::Unit, Some(pins)) => Ok(Front::Unit(Box::new(Unit::new(
            pins.clone(),
            admission.state.clone(),
            config.overlay.interface.clone(),
        )))),
        (Keeper::Unit, None) => Err(Problem::new(
            "admission.keeper is \"unit\", but admission.pins names no directory to find its maps in",
        )),
        (Keeper::Node, pins) => {
            let scope = keeper::scope(config)?;
            let pins = pins.as_ref().map(|pins| Pins::open(pins, None));
            let pins = match (pins.transpose(), admission.mode) {
                (Err(problem), AdmissionMode::Preferred | AdmissionMode::Off) => {
                    warn!(%problem, "the kernel program will end with the node");
                    None
                }
                (pins, _) => pins?,
            };
            Kernel::load(scope, pins).map(Box::new).map(Front::Node)
        }
    }
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
