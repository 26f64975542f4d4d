//! Lines about drops, through aya-log: off unless the configuration asks for them, and then bounded.

use aya_ebpf::{EbpfContext, helpers::bpf_ktime_get_coarse_ns};
use aya_log_ebpf::warn;
use gateway_common::{Config, Datagram, Reason, Verdict};

use crate::maps;

const NANOSECONDS: u64 = 1_000_000_000;

/// Logs a drop, if drops are logged and this second's lines are not used up.
#[inline(always)]
pub(crate) fn drop<C: EbpfContext>(
    ctx: &C,
    config: &Config,
    interface: u32,
    reason: Reason,
    datagram: &Datagram,
) {
    if config.log_lines_per_second() == 0 || matches!(reason.verdict(), Verdict::Pass) {
        return;
    }
    if !may_log(config.log_lines_per_second()) {
        return;
    }
    warn!(
        ctx,
        "dropped: reason {}, interface {}, from {:i} to {:i}",
        reason.index() as u32,
        interface,
        datagram.source.octets(),
        datagram.destination.octets()
    );
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
