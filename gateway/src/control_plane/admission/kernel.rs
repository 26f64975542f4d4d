//! What this process keeps in the kernel: the loaded programs, where they are attached, and the peers.

use std::{collections::BTreeMap, fs, net::IpAddr, thread};

use gateway_common::{CONFIG_GRACE, Config, Link, Network, PeerFlows};
use tracing::{info, warn};

use super::{
    foreign,
    hook::{Hook, HookMode},
    interface::Interface,
    logs::DropLog,
    peers::{Flows, PeerTable},
    pins::Pins,
    problem::Problem,
    programs::{Attached, Programs},
    status::{InterfaceStatus, Role, with_counts},
};
use crate::config::{AdmissionConfig, AdmissionHook};

/// What of the configuration decides what is the endpoint's.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// The overlay's device.
    pub(super) interface: String,
    /// Every address of the device when empty.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: Vec<u16>,
    /// Networks (those of the device's addresses when empty), and which interfaces are covered how.
    pub(super) admission: AdmissionConfig,
}

/// Detaches everything when dropped, unless it is pinned.
pub(super) struct Kernel {
    scope: Scope,
    pins: Option<Pins>,
    /// What another process or version left in the pins' directory is removed.
    is_swept: bool,
    config: Config,
    /// By [`Link`]: loaded when the first interface needs it.
    programs: [Option<Programs>; 2],
    /// By index.
    covered: BTreeMap<u32, Covered>,
    /// Which programs have the overlay's device, and so the peers.
    overlay: Option<Link>,
    peers: PeerTable,
    /// `None` until somebody tells: those that are in the map stay.
    wanted_peers: Option<Vec<IpAddr>>,
    /// The map could not be brought to what is wanted; tried again at the next look.
    peers_stale: bool,
    /// Of each loaded copy, when drops are logged.
    logs: Vec<DropLog>,
}

struct Covered {
    name: String,
    role: Role,
    mode: HookMode,
    link: Option<Link>,
    problem: Option<Problem>,
    hooks: Vec<Hook>,
    /// Id of the XDP program for which TC is used instead.
    foreign: Option<u32>,
}

impl Covered {
    fn log(&self) {
        let (interface, mode) = (&self.name, self.mode.name());
        match &self.problem {
            None if self.mode == HookMode::Excluded => info!(interface, "left alone"),
            None => info!(interface, mode, "in front"),
            Some(problem) => warn!(interface, mode, %problem, "in front with a problem"),
        }
    }
}

impl Kernel {
    /// With pins, what an earlier process left there goes on.
    ///
    /// # Errors
    /// When the kernel does not take the programs.
    pub(super) fn load(scope: Scope, pins: Option<Pins>) -> Result<Self, Problem> {
        let mut kernel = Self {
            scope,
            pins,
            is_swept: false,
            config: Config::default(),
            programs: [None, None],
            covered: BTreeMap::new(),
            overlay: None,
            peers: PeerTable::default(),
            wanted_peers: None,
            peers_stale: false,
            logs: Vec::new(),
        };
        let config = kernel.programs(Link::Ethernet)?.config()?;
        kernel.config = config;
        Ok(kernel)
    }

    /// Releases what vanished, and covers what is there; nothing as long as the overlay's device has
    /// never been seen with an address, because then nothing is the endpoint's.
    ///
    /// # Errors
    /// Why some interface is not covered; the others are.
    pub(super) fn reconcile(&mut self, interfaces: &[Interface]) -> Result<(), Problem> {
        self.release(interfaces);
        if let Some(device) = (interfaces.iter()).find(|one| one.name == self.scope.interface) {
            if device.is_loopback {
                return Err(loopback(&device.name));
            }
            self.configure(device)?;
        }
        if self.config == Config::default() {
            return Ok(());
        }
        let mut first = match self.peers_stale {
            true => self.sync_peers().err(),
            false => None,
        };
        for interface in interfaces.iter().filter(|one| !one.is_loopback) {
            self.follow_foreign(interface);
            let done = (self.covered.get(&interface.index))
                .is_some_and(|covered| covered.mode != HookMode::None);
            if !done && let Err(problem) = self.cover(interface) {
                first.get_or_insert(problem);
            }
        }
        self.sweep(first.is_none());
        first.map_or(Ok(()), Err)
    }

    /// Makes these the known peers.
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub(super) fn set_peers(&mut self, wanted: Vec<IpAddr>) -> Result<(), Problem> {
        self.wanted_peers = Some(wanted);
        self.sync_peers()
    }

    /// How each interface is covered, without counters.
    pub(super) fn covered(&self) -> Vec<InterfaceStatus> {
        (self.covered.iter())
            .map(|(index, covered)| InterfaceStatus {
                name: covered.name.clone(),
                index: *index,
                role: covered.role,
                mode: covered.mode,
                problem: covered.problem.as_ref().map(ToString::to_string),
                counters: Vec::new(),
            })
            .collect()
    }

    /// Which maps hold the peers.
    pub(super) fn overlay_link(&self) -> Option<Link> {
        self.overlay
    }

    /// Every known peer's traffic; none while the overlay's device was never seen.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn flows(&mut self) -> Result<Flows, Problem> {
        let programs = self
            .overlay
            .and_then(|link| self.programs[link as usize].as_mut());
        match programs {
            Some(programs) => self.peers.flows(programs.peers()),
            None => Ok(Flows::default()),
        }
    }

    pub(super) fn peers_len(&self) -> usize {
        self.peers.len()
    }

    /// Peers that the kernel's map has no room for.
    pub(super) fn peers_left_out(&self) -> usize {
        self.peers.left_out()
    }

    pub(super) fn departed(&self) -> PeerFlows {
        self.peers.departed()
    }

    /// Every covered interface, then one without an index for all others that ever were.
    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        let sets: Vec<_> = (self.programs.iter().flatten())
            .map(Programs::counts)
            .collect();
        with_counts(self.covered(), &sets)
    }

    /// The programs for a link layer, loaded and configured.
    fn programs(&mut self, link: Link) -> Result<&mut Programs, Problem> {
        let slot = &mut self.programs[link as usize];
        match slot {
            Some(programs) => Ok(programs),
            None => {
                let mut programs = Programs::load(link, self.pins.as_ref())?;
                // The first ones tell what holds.
                if self.config != Config::default() && programs.config()? != self.config {
                    programs.configure(self.config)?;
                }
                if self.scope.admission.log_drops > 0 {
                    match programs.log() {
                        Ok(log) => self.logs.push(log),
                        // They drop all the same.
                        Err(problem) => warn!(%problem, "drops are not logged"),
                    }
                }
                Ok(slot.insert(programs))
            }
        }
    }

    fn release(&mut self, interfaces: &[Interface]) {
        let is_there = |index: &u32, covered: &mut Covered| {
            (interfaces.iter()).any(|one| one.index == *index && one.name == covered.name)
        };
        let gone: Vec<_> = (self.covered)
            .extract_if(.., |index, covered| !is_there(index, covered))
            .collect();
        for (index, covered) in gone {
            if let Some(programs) = covered
                .link
                .and_then(|link| self.programs[link as usize].as_mut())
                && let Err(problem) = programs.counts_mut().forget(index)
            {
                warn!(interface = covered.name, %problem, "its counters are lost");
            }
            info!(interface = covered.name, "no longer in front");
            covered.hooks.into_iter().for_each(Hook::release);
        }
    }

    /// Removes, once, what others left among the pins: links of interfaces that are gone or have another
    /// role now, and maps of other versions as soon as no program uses them.
    fn sweep(&mut self, all_covered: bool) {
        let Some(pins) = self.pins.as_ref().filter(|_| !self.is_swept) else {
            return;
        };
        for (index, path) in pins.pinned_links() {
            let covered = self.covered.get(&index);
            let is_used = covered.is_some_and(|covered| {
                // One that cannot be covered anew keeps what it has.
                covered.mode == HookMode::None
                    || (covered.hooks.iter()).any(|hook| hook.pin() == Some(&path))
            });
            if !is_used && let Err(error) = fs::remove_file(&path) {
                warn!(pin = %path.display(), %error, "cannot remove what is not used any more");
            }
        }
        if all_covered {
            if let Err(error) = pins.remove_older() {
                warn!(%error, "cannot remove the maps of another version");
            }
            self.is_swept = true;
        }
    }

    fn configure(&mut self, device: &Interface) -> Result<(), Problem> {
        let local =
            |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let own: Vec<_> = (device.addresses.iter())
            .filter(|(address, _)| !local(address))
            .collect();
        let addresses = match self.scope.addresses.as_slice() {
            [] => own.iter().map(|(address, _)| *address).collect(),
            named => named.to_vec(),
        };
        let networks: Vec<Network> = match self.scope.admission.networks.as_slice() {
            [] => own
                .iter()
                .filter_map(|(address, prefix)| Network::new(*address, *prefix).ok())
                .collect(),
            named => named
                .iter()
                .filter_map(|network| Network::new(network.address, network.prefix).ok())
                .collect(),
        };
        // A device that is just losing or getting its addresses: what holds goes on.
        if addresses.is_empty() || networks.is_empty() {
            return Ok(());
        }
        let config = Config::new(&addresses, &self.scope.ports, &networks)
            .map_err(|error| Problem::of("describe the endpoint to the kernel", &error))?
            .with_log(self.scope.admission.log_drops);
        if config == self.config {
            return Ok(());
        }
        // The next look is half a second away, but a first one may come right after the load.
        thread::sleep(CONFIG_GRACE);
        for programs in self.programs.iter_mut().flatten() {
            programs.configure(config)?;
        }
        self.config = config;
        Ok(())
    }

    fn cover(&mut self, interface: &Interface) -> Result<(), Problem> {
        let role = if interface.name == self.scope.interface {
            Role::Overlay
        } else {
            Role::Outer
        };
        let (attached, problem, failure) = match self.attach(interface, role) {
            Ok(attached) => {
                let note = attached.foreign.map(foreign::passed_by);
                (attached, note, None)
            }
            Err(problem) => (Attached::nothing(), Some(problem.clone()), Some(problem)),
        };
        let mode = attached.mode;
        let covered = Covered {
            name: interface.name.clone(),
            role,
            mode,
            link: interface.link(),
            problem,
            hooks: attached.hooks,
            foreign: attached.foreign,
        };
        let before = self.covered.get(&interface.index);
        if before.is_none_or(|before| before.problem != covered.problem || before.mode != mode) {
            covered.log();
        }
        self.covered.insert(interface.index, covered);
        failure.map_or(Ok(()), Err)
    }

    /// The XDP program that was in our way may be another one now, or gone: then XDP takes over from TC.
    /// As long as it is there nothing is tried.
    fn follow_foreign(&mut self, interface: &Interface) {
        let Some(covered) = self.covered.get_mut(&interface.index) else {
            return;
        };
        // One that is not to be seen may turn up, but says nothing when it goes.
        let is_same = |before| before == interface.xdp.unwrap_or(foreign::UNKNOWN);
        if covered.foreign.is_none_or(is_same) {
            return;
        }
        covered.foreign = interface.xdp;
        covered.problem = interface.xdp.map(foreign::passed_by);
        let programs = (covered.link).and_then(|link| self.programs[link as usize].as_mut());
        if let (None, Some(programs)) = (interface.xdp, programs) {
            let is_better = |hook: &&AdmissionHook| **hook != AdmissionHook::Tc;
            let hooks = self.scope.admission.hooks.iter().take_while(is_better);
            let hooks: Vec<_> = hooks.copied().collect();
            // TC stays where there is no better.
            if let Ok(attached) = programs.attach_outer(interface, &hooks, self.pins.as_ref()) {
                covered.mode = attached.mode;
                let before = std::mem::replace(&mut covered.hooks, attached.hooks);
                before.into_iter().for_each(Hook::release);
            }
        }
        covered.log();
    }

    fn attach(&mut self, interface: &Interface, role: Role) -> Result<Attached, Problem> {
        if role == Role::Outer && !self.scope.admission.covers(&interface.name) {
            return Ok(Attached::excluded());
        }
        let link = interface.link().ok_or_else(|| {
            Problem::new(format!(
                "frames of {} (hardware type {}) cannot be read: list it in admission.exclude if \
                 it carries no IP",
                interface.name, interface.kind
            ))
        })?;
        self.programs(link)?.counts_mut().begin(interface.index)?;
        if role == Role::Overlay {
            // The peers are there before the program asks for them.
            self.move_peers(link)?;
        }
        let pins = self.pins.as_ref();
        let programs = self.programs[link as usize].as_mut();
        let programs = programs.expect("they are loaded above");
        match role {
            Role::Outer | Role::Gone => {
                programs.attach_outer(interface, &self.scope.admission.hooks, pins)
            }
            Role::Overlay => programs.attach_overlay(interface, pins),
        }
    }

    /// The device may return with another link layer, and so with other programs and another map.
    fn move_peers(&mut self, link: Link) -> Result<(), Problem> {
        if self.overlay == Some(link) {
            return Ok(());
        }
        let from = (self.overlay).and_then(|old| self.programs[old as usize].as_mut());
        let moved = match from {
            Some(from) => {
                // Somebody else may have kept them.
                let departed = from.counts().departed();
                self.peers.adopt(from.peers(), departed)?;
                let moved = self.peers.leave(from.peers())?;
                from.counts_mut().set_departed(PeerFlows::default())?;
                Some(moved)
            }
            None => None,
        };
        let to = (self.programs[link as usize].as_mut()).expect("an interface's are loaded first");
        let departed = match moved {
            Some(_) => self.peers.departed(),
            None => to.counts().departed(),
        };
        self.peers.adopt(to.peers(), departed)?;
        if let Some(moved) = moved {
            self.peers.bring(to.peers(), &moved)?;
            to.counts_mut().set_departed(departed)?;
        }
        self.overlay = Some(link);
        self.sync_peers()
    }

    fn sync_peers(&mut self) -> Result<(), Problem> {
        let programs = self
            .overlay
            .and_then(|link| self.programs[link as usize].as_mut());
        // The peers follow when the overlay's device comes.
        let (Some(programs), Some(wanted)) = (programs, &self.wanted_peers) else {
            return Ok(());
        };
        let synced = (self.peers)
            .sync(programs.peers(), wanted.iter().copied())
            .and_then(|()| programs.counts_mut().set_departed(self.peers.departed()));
        self.peers_stale = synced.is_err();
        synced
    }
}

pub(super) fn loopback(device: &str) -> Problem {
    Problem::new(format!(
        "overlay.interface is the loopback device {device}, where nothing is attached: name the \
         overlay's device, or go on without: admission.mode \"preferred\" tries, \"off\" does not"
    ))
}
