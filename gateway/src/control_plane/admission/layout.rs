//! Which maps there are and how they are laid out: what a pinned one must be to be taken over.

use std::path::Path;

use aya::maps::{MapInfo, MapType};
use gateway_common::{
    ABI_VERSION, Address, Config, Counters, INTERFACES_LOW, INTERFACES_MAX, Link, PEERS_MAX,
    PeerFlows, map,
};

/// Array of one [`PeerFlows`]: the traffic of those that are peers no more. Only the node uses it.
pub(super) const DEPARTED: &str = "kw_departed";
/// Array of one [`Counters`]: what interfaces that vanished had counted. Only the keeper writes it.
pub(super) const GONE: &str = "kw_gone";

/// A map that is pinned.
pub(super) struct Layout {
    pub(super) name: &'static str,
    kind: MapType,
    key_bytes: usize,
    value_bytes: usize,
    entries: u32,
    pub(super) access: Access,
}

/// What the node may do with a map that a unit of its own pins.
#[derive(Clone, Copy)]
pub(super) enum Access {
    None,
    Read,
    Write,
}

impl Access {
    /// Of the map's file.
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::None => 0o600,
            Self::Read => 0o640,
            Self::Write => 0o660,
        }
    }
}

/// Every map that is pinned.
pub(super) const MAPS: [Layout; 7] = [
    array(map::CONFIG, size_of::<Config>(), 2, Access::None),
    array(map::ACTIVE, size_of::<u32>(), 1, Access::None),
    Layout {
        name: map::PEERS,
        kind: MapType::Hash,
        key_bytes: size_of::<Address>(),
        value_bytes: size_of::<PeerFlows>(),
        entries: PEERS_MAX,
        access: Access::Write,
    },
    Layout {
        name: map::INTERFACES_LOW,
        kind: MapType::PerCpuArray,
        key_bytes: size_of::<u32>(),
        value_bytes: size_of::<Counters>(),
        entries: INTERFACES_LOW,
        access: Access::Read,
    },
    Layout {
        name: map::INTERFACES,
        kind: MapType::PerCpuHash,
        key_bytes: size_of::<u32>(),
        value_bytes: size_of::<Counters>(),
        entries: INTERFACES_MAX,
        access: Access::Read,
    },
    array(DEPARTED, size_of::<PeerFlows>(), 1, Access::Write),
    array(GONE, size_of::<Counters>(), 1, Access::Read),
];

/// The ABI's version, and a sum over the layout of the maps: a counter more changes it too.
pub(super) fn version() -> String {
    let mut sum = crc32fast::Hasher::new();
    for map in &MAPS {
        sum.update(map.name.as_bytes());
        for number in [map.key_bytes, map.value_bytes, map.entries as usize] {
            sum.update(&number.to_le_bytes());
        }
    }
    format!("{ABI_VERSION}-{:08x}", sum.finalize())
}

/// As a directory is called.
pub(super) fn link_name(link: Link) -> &'static str {
    match link {
        Link::Ethernet => "ethernet",
        Link::Ip => "ip",
    }
}

impl Layout {
    /// Whether a pinned map is this one.
    pub(super) fn fits(&self, path: &Path) -> bool {
        MapInfo::from_pin(path).is_ok_and(|info| {
            info.map_type().is_ok_and(|kind| kind == self.kind)
                && info.key_size() as usize == self.key_bytes
                && info.value_size() as usize == self.value_bytes
                && info.max_entries() == self.entries
        })
    }
}

const fn array(name: &'static str, value_bytes: usize, entries: u32, access: Access) -> Layout {
    Layout {
        name,
        kind: MapType::Array,
        key_bytes: size_of::<u32>(),
        value_bytes,
        entries,
        access,
    }
}
