//! The programs in the kernel. What they decide and why is in `gateway-common`; here are the entry points,
//! the maps, and the bounds-checked reads.
//!
//! A program looks the packet up, counts it, and says whether it goes on. Nothing is changed, redirected or
//! answered. User space stays correct without all of this.

#![no_std]
#![no_main]
#![expect(
    internal_features,
    reason = "atomic additions and what the compiler knows of a value have no stable names on this target"
)]
#![feature(asm_experimental_arch, core_intrinsics)]

mod count;
mod log;
mod maps;
mod outer;
mod overlay;
mod packet;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use gateway_common::{Reason, Verdict};

/// Every interface but the overlay's: the endpoint is not reached from here.
#[xdp(frags)]
fn kw_outer_xdp(ctx: XdpContext) -> u32 {
    xdp_verdict(outer::xdp(&ctx))
}

/// The same for kernels before 5.18, which show only packets that lie in one buffer.
#[xdp]
fn kw_outer_linear(ctx: XdpContext) -> u32 {
    xdp_verdict(outer::xdp_linear(&ctx))
}

/// The same where XDP is another's, or cannot be had.
#[classifier]
fn kw_outer_tc(ctx: TcContext) -> i32 {
    tc_verdict(outer::tc(&ctx))
}

/// Into the overlay's device: only peers reach the endpoint.
#[classifier]
fn kw_overlay_in(ctx: TcContext) -> i32 {
    tc_verdict(overlay::ingress(&ctx))
}

/// Out of the overlay's device: the endpoint's answers are counted.
#[classifier]
fn kw_overlay_out(ctx: TcContext) -> i32 {
    tc_verdict(overlay::egress(&ctx))
}

#[inline(always)]
const fn xdp_verdict(reason: Reason) -> u32 {
    match reason.verdict() {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
    }
}

/// To pass is to have no opinion (the same number is TCX's `TCX_NEXT`): programs of others at the same
/// place still see the packet.
#[inline(always)]
const fn tc_verdict(reason: Reason) -> i32 {
    match reason.verdict() {
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::Drop => TC_ACT_SHOT,
    }
}

/// Nothing calls helpers that ask for the GPL.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";

/// No path leads here: the verifier would refuse it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
