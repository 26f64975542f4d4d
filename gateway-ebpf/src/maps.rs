//! All maps, and the constant that the loader sets. `gateway_common::names` has their names for the loader.

use aya_ebpf::{
    Global,
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, PerCpuHashMap},
};
use gateway_common::{Address, Config, Counters, INTERFACES_MAX, Link, PEERS_MAX, PeerFlows};

/// Two places, so that a whole configuration replaces another at once.
#[map(name = "kw_config")]
static CONFIG: Array<Config> = Array::with_max_entries(2, 0);

/// Which of the two places holds.
#[map(name = "kw_active")]
static ACTIVE: Array<u32> = Array::with_max_entries(1, 0);

/// Who may come, and what went between them and the endpoint. Only the node adds and removes. Memory is
/// taken for the peers that are there.
#[map(name = "kw_peers")]
static PEERS: HashMap<Address, PeerFlows> = HashMap::with_max_entries(PEERS_MAX, BPF_F_NO_PREALLOC);

#[map(name = "kw_interfaces")]
static INTERFACES: PerCpuHashMap<u32, Counters> =
    PerCpuHashMap::with_max_entries(INTERFACES_MAX, BPF_F_NO_PREALLOC);

#[map(name = "kw_log_budget")]
static LOG_BUDGET: PerCpuArray<LogBudget> = PerCpuArray::with_max_entries(1, 0);

/// The link layer of the interfaces that this copy of the programs is for.
#[unsafe(no_mangle)]
static KW_LINK: Global<u8> = Global::new(Link::Ethernet as u8);

/// Lines that this CPU logged in the running second.
#[repr(C)]
pub(crate) struct LogBudget {
    pub(crate) second: u64,
    pub(crate) lines: u64,
}

#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    // `& 1` stays in the array whatever was written.
    CONFIG.get(ACTIVE.get(0)? & 1)
}

#[inline(always)]
pub(crate) fn link() -> Link {
    Link::from_number(KW_LINK.load())
}

#[inline(always)]
pub(crate) fn peer(address: &Address) -> Option<*mut PeerFlows> {
    PEERS.get_ptr_mut(address)
}

/// The counters of an interface on this CPU; interfaces that are not listed share those under index 0.
#[inline(always)]
pub(crate) fn counters(interface: u32) -> Option<*mut Counters> {
    INTERFACES
        .get_ptr_mut(interface)
        .or_else(|| INTERFACES.get_ptr_mut(0))
}

#[inline(always)]
pub(crate) fn log_budget() -> Option<*mut LogBudget> {
    LOG_BUDGET.get_ptr_mut(0)
}
