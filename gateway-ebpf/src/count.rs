//! Counting, per interface and reason, and per peer.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use gateway_common::{Flow, Reason, Weight};

use crate::maps;

/// One packet of this reason on this interface.
#[inline(always)]
pub(crate) fn interface(index: u32, reason: Reason, weight: Weight) {
    let Some(counters) = maps::counters(index) else {
        return;
    };
    // SAFETY: this CPU's own value, and the program is not interrupted by one that counts here too.
    let counters = unsafe { &mut *counters };
    if let Some(counter) = counters.by_reason.get_mut(reason.index()) {
        counter.packets += weight.packets;
        counter.bytes += weight.bytes;
    }
}

/// One packet of the endpoint's traffic with a peer.
///
/// # Safety
/// `flow` points into a value of the peers' map.
#[inline(always)]
pub(crate) unsafe fn flow(flow: *mut Flow, weight: Weight, connects: bool, resets: bool) {
    // SAFETY: the caller's promise, for all of them. Programs on other CPUs change the value too: sums by
    // the same atomic additions, times by whole stores, of which any may be the last. The memory of a peer
    // that is removed meanwhile stays until we are done.
    unsafe {
        add(&raw mut (*flow).packets, weight.packets);
        add(&raw mut (*flow).bytes, weight.bytes);
        if connects {
            add(&raw mut (*flow).connections, 1);
        }
        if resets {
            add(&raw mut (*flow).resets, 1);
        }
        let now = bpf_ktime_get_coarse_ns();
        let first_seen = &raw mut (*flow).first_seen_ns;
        if first_seen.read_volatile() == 0 {
            first_seen.write_volatile(now);
        }
        (&raw mut (*flow).last_seen_ns).write_volatile(now);
    }
}

/// # Safety
/// `counter` points into a value of a map.
#[inline(always)]
unsafe fn add(counter: *mut u64, value: u64) {
    // SAFETY: the caller's promise; map values are aligned to 8 bytes. (The target's first version
    // had atomic additions but no compare-and-swap, so `AtomicU64` lacks `fetch_add`.)
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, value) };
}
