//! The node's side where a unit of its own keeps the programs (`keyway admission attach --watch`): the
//! node opens the pinned maps, keeps the peers and reads the counters, and needs no capability for it. On
//! kernels before 5.19 it needs CAP_BPF unless `kernel.unprivileged_bpf_disabled` is 0.

use std::{
    error::Error,
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aya::maps::{Map, MapData};
use gateway_common::{Link, PeerFlows, map};
use tracing::{info, warn};

use super::{
    counts::Counts,
    hook::HookMode,
    interface::Interface,
    peers::{Flows, PeerTable},
    pins,
    problem::{Problem, errno},
    state::KeeperState,
    status::{InterfaceStatus, Role, with_counts},
};

/// A unit that is being restarted is away for less than this.
const ABSENCE_MAX: Duration = Duration::from_secs(10);

/// The unit covers a new interface within this time; until then the others' cover is enough.
const COVER_MAX: Duration = Duration::from_secs(2);

const REMEDY: &str = "start keyway-admission.service (`keyway admission attach --watch`), or go \
     on without: admission.mode \"preferred\" tries, \"off\" does not";

/// See the module.
pub(super) struct Unit {
    directory: PathBuf,
    state_file: PathBuf,
    /// The overlay's device.
    device: String,
    /// As last read.
    state: Option<KeeperState>,
    /// Of the link layers that there are.
    counts: [Option<Counts>; 2],
    peers: Option<Peers>,
    wanted_peers: Option<Vec<IpAddr>>,
    peers_stale: bool,
    /// Nobody keeps the programs since then; they filter on.
    absent_since: Option<Instant>,
    /// Everything was covered, and since then something was not.
    naked_since: Option<Instant>,
    /// Some look found a keeper, or that there needs to be none.
    was_kept: bool,
    was_covered: bool,
}

/// The map of peers, and what is in it.
struct Peers {
    link: Link,
    /// The pin's: another one is another map.
    inode: u64,
    map: Map,
    table: PeerTable,
}

impl Unit {
    pub(super) fn new(directory: PathBuf, state_file: PathBuf, device: String) -> Self {
        Self {
            directory,
            state_file,
            device,
            state: None,
            counts: [None, None],
            peers: None,
            wanted_peers: None,
            peers_stale: false,
            absent_since: None,
            naked_since: None,
            was_kept: false,
            was_covered: false,
        }
    }

    /// Reads what the unit covers, and compares it with what is there.
    ///
    /// # Errors
    /// Why some interface is not covered, or the peers are not the node's.
    pub(super) fn reconcile(&mut self, interfaces: &[Interface]) -> Result<(), Problem> {
        let state = KeeperState::read(&self.state_file).map_err(|error| {
            self.refused(&format!("read {}", self.state_file.display()), &error)
        })?;
        if state.maps != pins::maps_name() {
            return Err(Problem::new(
                "the unit that keeps the kernel program is of another version: restart \
                 keyway-admission.service",
            ));
        }
        let link = state.overlay_link();
        let state = self.state.insert(state);
        let naked = uncovered(state, interfaces, &self.device);
        let reported = state.problem.as_ref().map(Problem::new);
        if let Some(link) = link {
            self.follow(link)?;
        }
        let problem = self.tolerate(naked).or(reported);
        let absent = self.look_for_keeper();
        problem.or(absent).map_or(Ok(()), Err)
    }

    /// What is wrong although everything is covered: nobody would cover a new interface.
    pub(super) fn note(&self) -> Option<Problem> {
        let since = self.absent_since?;
        (since.elapsed() > ABSENCE_MAX).then(not_kept)
    }

    /// Makes these the known peers.
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub(super) fn set_peers(&mut self, wanted: Vec<IpAddr>) -> Result<(), Problem> {
        self.wanted_peers = Some(wanted);
        self.sync_peers()
    }

    /// Every known peer's traffic; none while there is no map.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn flows(&mut self) -> Result<Flows, Problem> {
        match &mut self.peers {
            Some(peers) => peers.table.flows(&mut peers.map),
            None => Ok(Flows::default()),
        }
    }

    /// Peers that the kernel's map has no room for.
    pub(super) fn peers_left_out(&self) -> usize {
        self.peers
            .as_ref()
            .map_or(0, |peers| peers.table.left_out())
    }

    pub(super) fn peers_len(&self) -> usize {
        self.peers.as_ref().map_or(0, |peers| peers.table.len())
    }

    pub(super) fn departed(&self) -> PeerFlows {
        let peers = self.peers.as_ref();
        peers.map_or_else(PeerFlows::default, |peers| peers.table.departed())
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        let sets: Vec<_> = self.counts.iter().flatten().collect();
        let state = self.state.as_ref();
        with_counts(
            state.map_or_else(Vec::new, |state| state.interfaces.clone()),
            &sets,
        )
    }

    /// Opens the maps when they are new, and gives them the node's peers.
    fn follow(&mut self, link: Link) -> Result<(), Problem> {
        let pin = pins::set(&self.directory, link).join(map::PEERS);
        let inode = fs::metadata(&pin)
            .map_err(|error| self.refused(&format!("open {}", pin.display()), &error))?
            .ino();
        let is_same = |peers: &Peers| peers.link == link && peers.inode == inode;
        if !self.peers.as_ref().is_some_and(is_same) {
            self.open(link, inode, &pin)?;
        }
        self.open_counts();
        if self.peers_stale {
            self.sync_peers()?;
        }
        Ok(())
    }

    /// There is a set for each link layer that some interface has, and a second one may come later. What
    /// cannot be opened is shown as zero.
    fn open_counts(&mut self) {
        for link in [Link::Ethernet, Link::Ip] {
            let counts = &mut self.counts[link as usize];
            if counts.is_none() {
                *counts = Counts::open(&pins::set(&self.directory, link)).ok();
            }
        }
    }

    fn open(&mut self, link: Link, inode: u64, pin: &Path) -> Result<(), Problem> {
        let map = MapData::from_pin(pin)
            .map_err(|error| self.refused(&format!("open {}", pin.display()), &error))?;
        self.counts = [None, None];
        self.open_counts();
        let mut map = Map::HashMap(map);
        let mut table = PeerTable::default();
        let counts = self.counts[link as usize].as_ref();
        table.adopt(&mut map, counts.map(Counts::departed).unwrap_or_default())?;
        info!(pin = %pin.display(), peers = table.len(), "keeping the kernel's peers");
        self.peers = Some(Peers {
            link,
            inode,
            map,
            table,
        });
        self.sync_peers()
    }

    fn sync_peers(&mut self) -> Result<(), Problem> {
        let (Some(peers), Some(wanted)) = (&mut self.peers, &self.wanted_peers) else {
            return Ok(());
        };
        let counts = self.counts[peers.link as usize].as_mut();
        let wanted = wanted.iter().copied();
        let synced = peers.table.sync(&mut peers.map, wanted).and_then(|()| {
            counts.map_or(Ok(()), |counts| counts.set_departed(peers.table.departed()))
        });
        self.peers_stale = synced.is_err();
        synced
    }

    /// A new interface is the unit's to find, and it needs a moment. Not so for the overlay's own.
    fn tolerate(&mut self, naked: Option<&Interface>) -> Option<Problem> {
        let Some(naked) = naked else {
            self.was_covered = self.peers.is_some();
            self.naked_since = None;
            return None;
        };
        let since = *self.naked_since.get_or_insert_with(Instant::now);
        let is_new = self.was_covered && since.elapsed() < COVER_MAX;
        (naked.name == self.device || !is_new).then(|| {
            Problem::new(format!(
                "nothing is in front of {}: see `journalctl -u keyway-admission`",
                naked.name
            ))
        })
    }

    /// The programs filter on without a keeper. So that is a problem only for a node that has not begun to
    /// serve; for another one it is a note.
    fn look_for_keeper(&mut self) -> Option<Problem> {
        let watches = self.state.as_ref().is_some_and(|state| state.watches);
        // Who cannot tell has the maps open all the same.
        if !watches || pins::is_kept(&self.directory).unwrap_or(true) {
            self.was_kept = true;
            self.absent_since = None;
            return None;
        }
        if self.absent_since.is_none() {
            self.absent_since = Some(Instant::now());
            warn!("nobody keeps the kernel program; it filters on as it is");
        }
        (!self.was_kept).then(not_kept)
    }

    fn refused(&self, doing: &str, error: &(dyn Error + 'static)) -> Problem {
        match errno(error) {
            Some(libc::ENOENT) => Problem::new(format!(
                "no kernel program is in front, and admission.keeper leaves it to a unit of its own: \
                 {REMEDY}"
            )),
            Some(libc::EACCES) => Problem::new(format!(
                "cannot {doing}: {error} (the node must be in admission.group, and reach {}: \
                 keyway.service does both)",
                self.directory.display()
            )),
            Some(libc::EPERM) => Problem::new(format!(
                "cannot {doing}: {error} (before Linux 5.19 this needs CAP_BPF: add it to \
                 AmbientCapabilities= and CapabilityBoundingSet= in keyway.service)"
            )),
            Some(_) | None => Problem::of(doing, error),
        }
    }
}

fn not_kept() -> Problem {
    Problem::new(format!(
        "nobody keeps the kernel program, and new interfaces would not be covered: {REMEDY}"
    ))
}

/// An interface that nothing is in front of, the overlay's first.
fn uncovered<'a>(
    state: &KeeperState,
    interfaces: &'a [Interface],
    device: &str,
) -> Option<&'a Interface> {
    let overlay = (interfaces.iter())
        .find(|interface| interface.name == device && !interface.addresses.is_empty());
    // Nothing is the endpoint's before the device was there.
    if overlay.is_none() && state.overlay.is_none() {
        return None;
    }
    let is_covered = |interface: &Interface| {
        let role = match interface.name == device {
            true => Role::Overlay,
            false => Role::Outer,
        };
        (state.interfaces.iter()).any(|kept| {
            kept.index == interface.index
                && kept.name == interface.name
                && kept.role == role
                && kept.mode != HookMode::None
        })
    };
    (overlay.into_iter())
        .chain(interfaces)
        .find(|interface| !interface.is_loopback && !is_covered(interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
        let address = |text: &&str| (text.parse().expect("an address"), 24);
        Interface {
            index,
            name: name.to_owned(),
            kind: libc::ARPHRD_ETHER,
            is_loopback: name == "lo",
            is_up: true,
            addresses: addresses.iter().map(address).collect(),
            xdp: None,
        }
    }

    fn kept(index: u32, name: &str, role: Role, mode: HookMode) -> InterfaceStatus {
        InterfaceStatus {
            name: name.to_owned(),
            index,
            role,
            mode,
            problem: None,
            counters: Vec::new(),
        }
    }

    #[test]
    fn every_interface_has_to_be_covered_as_what_it_is() {
        let (lo, out) = (interface(1, "lo", &[]), interface(2, "out0", &[]));
        let (bare, wt) = (
            interface(3, "wt0", &[]),
            interface(3, "wt0", &["100.64.0.1"]),
        );
        let outer = kept(2, "out0", Role::Outer, HookMode::Native);
        let overlay = kept(3, "wt0", Role::Overlay, HookMode::Tc);
        let both = vec![outer.clone(), overlay.clone()];
        let all = [lo.clone(), out.clone(), wt.clone()];
        for (link, covered, there, naked) in [
            (None, vec![], vec![lo.clone(), out.clone(), bare], None),
            (None, vec![], all.to_vec(), Some("wt0")),
            (Some(Link::Ethernet), both.clone(), all.to_vec(), None),
            (
                Some(Link::Ethernet),
                vec![outer.clone()],
                all.to_vec(),
                Some("wt0"),
            ),
            (
                Some(Link::Ethernet),
                vec![overlay.clone()],
                all.to_vec(),
                Some("out0"),
            ),
            (
                Some(Link::Ethernet),
                vec![
                    overlay.clone(),
                    kept(2, "out0", Role::Outer, HookMode::None),
                ],
                all.to_vec(),
                Some("out0"),
            ),
            // Another device with the same name, and the device away.
            (
                Some(Link::Ethernet),
                both.clone(),
                vec![out.clone(), interface(9, "wt0", &["100.64.0.1"])],
                Some("wt0"),
            ),
            (Some(Link::Ethernet), both.clone(), vec![lo, out], None),
        ] {
            let mut state = KeeperState::new(link, true);
            state.interfaces = covered;
            let found = uncovered(&state, &there, "wt0").map(|one| one.name.as_str());
            assert_eq!(found, naked, "{state:?} {there:?}");
        }
    }
}
