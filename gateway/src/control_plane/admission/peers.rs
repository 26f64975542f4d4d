//! The kernel's map of peers, kept in step with the snapshot.

use std::{
    collections::HashSet,
    io,
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::{HashMap, Map, MapData, MapError};
use gateway_common::{Address, Flow, PeerFlows};

use super::problem::Problem;

/// `BPF_NOEXIST` (`linux/bpf.h`): an entry that is there keeps its counters.
const NO_EXIST: u64 = 1;
/// `BPF_MAP_LOOKUP_AND_DELETE_ELEM` (`linux/bpf.h`); on hash maps since Linux 5.14.
const LOOKUP_AND_DELETE: libc::c_long = 21;

/// Which addresses the map holds, and what those that left had counted.
#[derive(Default)]
pub(super) struct PeerTable {
    known: HashSet<Address>,
    departed: PeerFlows,
}

impl PeerTable {
    /// Makes `wanted` the map's addresses.
    ///
    /// # Errors
    /// When the map cannot be changed; what was done so far is remembered.
    pub(super) fn sync(
        &mut self,
        map: &mut Map,
        wanted: impl Iterator<Item = IpAddr>,
    ) -> Result<(), Problem> {
        let wanted: HashSet<Address> = wanted.map(Address::from).collect();
        self.bring(map, &wanted)
    }

    /// Goes on with a map that is in use, and `departed` from those that left it before.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn adopt(&mut self, map: &mut Map, departed: PeerFlows) -> Result<(), Problem> {
        let keys = typed(map).keys().collect::<Result<_, _>>();
        self.known = keys.map_err(failed)?;
        self.departed = departed;
        Ok(())
    }

    /// Empties a map, for its addresses to go into another one.
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub(super) fn leave(&mut self, map: &mut Map) -> Result<HashSet<Address>, Problem> {
        let known = self.known.clone();
        self.bring(map, &HashSet::new())?;
        Ok(known)
    }

    /// Makes `wanted` the map's addresses; see [`sync`](Self::sync).
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub(super) fn bring(
        &mut self,
        map: &mut Map,
        wanted: &HashSet<Address>,
    ) -> Result<(), Problem> {
        // Those that lost their rights first.
        let gone: Vec<_> = self.known.difference(wanted).copied().collect();
        for address in gone {
            let last = take(map, &address).map_err(failed)?;
            self.known.remove(&address);
            add(&mut self.departed.ingress, &last.ingress);
            add(&mut self.departed.egress, &last.egress);
        }
        let mut map = typed(map);
        for address in wanted {
            if self.known.contains(address) {
                continue;
            }
            map.insert(address, PeerFlows::default(), NO_EXIST)
                .map_err(failed)?;
            self.known.insert(*address);
        }
        Ok(())
    }

    /// A known peer's traffic so far.
    pub(super) fn flows(&self, map: &mut Map, address: IpAddr) -> Option<PeerFlows> {
        let address = Address::from(address);
        self.known.contains(&address).then_some(())?;
        typed(map).get(&address, 0).ok()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The traffic of those that are no peers any more; times are zero.
    pub(super) fn departed(&self) -> PeerFlows {
        self.departed
    }
}

fn failed(error: MapError) -> Problem {
    Problem::of("change the kernel's peers", &error)
}

fn add(sum: &mut Flow, more: &Flow) {
    sum.packets += more.packets;
    sum.bytes += more.bytes;
    sum.connections += more.connections;
    sum.resets += more.resets;
}

fn typed(map: &mut Map) -> HashMap<&mut MapData, Address, PeerFlows> {
    map.try_into()
        .expect("the map has the type that is named beside it")
}

/// `union bpf_attr` as commands on one element use it.
#[repr(C)]
struct ElementCommand {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Removes an entry and returns its last counts: nothing is counted between the two.
fn take(map: &Map, address: &Address) -> Result<PeerFlows, MapError> {
    let Map::HashMap(data) = map else {
        unreachable!("the peers' map is a hash map");
    };
    let mut flows = PeerFlows::default();
    let command = ElementCommand {
        map_fd: data.fd().as_fd().as_raw_fd() as u32,
        padding: 0,
        key: std::ptr::from_ref(address) as u64,
        value: std::ptr::from_mut(&mut flows) as u64,
        flags: 0,
    };
    // SAFETY: the command lives over the call; the kernel reads a key and writes a value of the map's
    // sizes, which are those of the two types.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP_AND_DELETE,
            &raw const command,
            size_of::<ElementCommand>(),
        )
    };
    if done < 0 {
        return Err(MapError::IoError(io::Error::last_os_error()));
    }
    Ok(flows)
}
