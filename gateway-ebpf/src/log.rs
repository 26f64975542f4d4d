//! Lines about drops, through aya-log: off unless the configuration asks for them, and then bounded.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_log_ebpf::warn;
use gateway_common::{Address, Config, Datagram, Packet, Reason, Verdict};

use crate::maps;

const NANOSECONDS: u64 = 1_000_000_000;

/// Logs a drop, if drops are logged and this second's lines are not used up.
#[inline(always)]
pub(crate) fn drop(
    config: &Config,
    interface: u32,
    reason: Reason,
    packet: &impl Packet,
    datagram: &Datagram,
) {
    let lines_per_second = config.log_lines_per_second();
    if lines_per_second == 0 || matches!(reason.verdict(), Verdict::Pass) {
        return;
    }
    let (source, destination) = (datagram.source(packet), datagram.destination(packet));
    kw_log_drop(
        lines_per_second,
        interface,
        reason as u32,
        &source,
        &destination,
    );
}

/// One function for all programs, away from their path. Its name is not mangled, because mangled ones hold
/// a hash of the path that the source lies at.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kw_log_drop(
    lines_per_second: u32,
    interface: u32,
    reason: u32,
    source: &Address,
    destination: &Address,
) {
    if may_log(lines_per_second) {
        warn!(
            (),
            "dropped: reason {}, interface {}, from {:i} to {:i}",
            reason,
            interface,
            source.octets(),
            destination.octets()
        );
    }
}

#[inline(always)]
fn may_log(lines_per_second: u32) -> bool {
    let Some(budget) = maps::log_budget() else {
        return false;
    };
    // SAFETY: a helper without arguments.
    let second = unsafe { bpf_ktime_get_coarse_ns() } / NANOSECONDS;
    // SAFETY: this CPU's own value.
    let budget = unsafe { &mut *budget };
    if budget.second != second {
        budget.second = second;
        budget.lines = 0;
    }
    budget.lines += 1;
    budget.lines <= u64::from(lines_per_second)
}
