//! Interfaces that are not the overlay's.

use aya_ebpf::programs::{TcContext, XdpContext};
use gateway_common::{Config, Datagram, Reason, Weight, judge_outer};

use crate::{count, log, maps, overlay, packet};

#[inline(always)]
pub(crate) fn xdp(ctx: &XdpContext) -> Reason {
    let datagram = packet::decode_xdp(ctx, maps::link());
    finish_xdp(ctx, packet::xdp_len(ctx), &datagram)
}

#[inline(always)]
pub(crate) fn xdp_linear(ctx: &XdpContext) -> Reason {
    let datagram = packet::decode_xdp_linear(ctx, maps::link());
    let length = ctx.data_end() - ctx.data();
    finish_xdp(ctx, length as u32, &datagram)
}

#[inline(always)]
fn finish_xdp(ctx: &XdpContext, length: u32, datagram: &Datagram) -> Reason {
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let interface = ctx.ingress_ifindex() as u32;
    finish(config, interface, Weight::of(length, 0, datagram), datagram)
}

#[inline(always)]
pub(crate) fn tc(ctx: &TcContext) -> Reason {
    let datagram = packet::decode_tc(ctx, maps::link());
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let weight = overlay::weight(ctx, &datagram);
    finish(config, overlay::interface(ctx), weight, &datagram)
}

#[inline(always)]
fn finish(config: &Config, interface: u32, weight: Weight, datagram: &Datagram) -> Reason {
    let reason = judge_outer(config, datagram);
    count::interface(interface, reason, weight);
    log::drop(config, interface, reason, datagram);
    reason
}
