//! Interfaces that are not the overlay's.

use aya_ebpf::programs::{TcContext, XdpContext};
use gateway_common::{Datagram, Packet, Reason, Weight, decode, judge_outer};

use crate::{
    count, log, maps, overlay,
    packet::{Direct, SkbCopy, XdpCopy, xdp_len, xdp_whole_len},
};

#[inline(always)]
pub(crate) fn xdp(ctx: &XdpContext) -> Reason {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, maps::link());
    if direct.misses(|| xdp_whole_len(ctx)) {
        let copy = XdpCopy(ctx);
        let datagram = decode(&copy, maps::link());
        return finish_xdp(ctx, &copy, &datagram, xdp_whole_len(ctx));
    }
    finish_xdp(ctx, &direct, &datagram, xdp_len(ctx, &direct, &datagram))
}

#[inline(always)]
pub(crate) fn xdp_linear(ctx: &XdpContext) -> Reason {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, maps::link());
    finish_xdp(ctx, &direct, &datagram, direct.len() as u32)
}

#[inline(always)]
fn finish_xdp(ctx: &XdpContext, packet: &impl Packet, datagram: &Datagram, length: u32) -> Reason {
    let interface = ctx.ingress_ifindex() as u32;
    finish(packet, datagram, interface, Weight::of(length, 0, datagram))
}

#[inline(always)]
pub(crate) fn tc(ctx: &TcContext) -> Reason {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, maps::link());
    if direct.misses(|| ctx.len()) {
        let copy = SkbCopy(ctx);
        return finish_tc(ctx, &copy, &decode(&copy, maps::link()));
    }
    finish_tc(ctx, &direct, &datagram)
}

#[inline(always)]
fn finish_tc(ctx: &TcContext, packet: &impl Packet, datagram: &Datagram) -> Reason {
    let weight = overlay::weight(ctx, datagram);
    finish(packet, datagram, overlay::interface(ctx), weight)
}

#[inline(always)]
fn finish(packet: &impl Packet, datagram: &Datagram, interface: u32, weight: Weight) -> Reason {
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let reason = judge_outer(config, packet, datagram);
    count::interface(interface, reason, weight);
    log::drop(config, interface, reason, packet, datagram);
    reason
}
