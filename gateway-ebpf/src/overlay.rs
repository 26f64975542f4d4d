//! The overlay's device.

use aya_ebpf::programs::TcContext;
use gateway_common::{Datagram, Packet, Reason, Weight, decode, judge_egress, judge_ingress};

use crate::{
    count, log, maps,
    packet::{Direct, SkbCopy},
};

#[inline(always)]
pub(crate) fn ingress(ctx: &TcContext) -> Reason {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, maps::link());
    if direct.misses(|| ctx.len()) {
        let copy = SkbCopy(ctx);
        return admit(ctx, &copy, &decode(&copy, maps::link()));
    }
    admit(ctx, &direct, &datagram)
}

#[inline(always)]
fn admit(ctx: &TcContext, packet: &impl Packet, datagram: &Datagram) -> Reason {
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let weight = weight(ctx, datagram);
    let judgement = judge_ingress(config, packet, datagram);
    let mut reason = judgement.unknown;
    if judgement.asks_for_peer()
        && let Some(flows) = maps::peer(&datagram.source(packet))
    {
        reason = judgement.known;
        // A packet whose port is hidden may belong to anything: it is no flow of the endpoint.
        if matches!(reason, Reason::FromPeer) {
            let tcp = &datagram.tcp;
            // SAFETY: a value of the peers' map.
            unsafe {
                count::flow(
                    &raw mut (*flows).ingress,
                    weight,
                    tcp.is_syn(),
                    tcp.is_reset(),
                )
            };
        }
    }
    count::interface(interface(ctx), reason, weight);
    log::drop(config, interface(ctx), reason, packet, datagram);
    reason
}

#[inline(always)]
pub(crate) fn egress(ctx: &TcContext) -> Reason {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, maps::link());
    if direct.misses(|| ctx.len()) {
        let copy = SkbCopy(ctx);
        return answer(ctx, &copy, &decode(&copy, maps::link()));
    }
    answer(ctx, &direct, &datagram)
}

#[inline(always)]
fn answer(ctx: &TcContext, packet: &impl Packet, datagram: &Datagram) -> Reason {
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let weight = weight(ctx, datagram);
    let judgement = judge_egress(config, packet, datagram);
    let mut reason = judgement.unknown;
    if judgement.asks_for_peer()
        && let Some(flows) = maps::peer(&datagram.destination(packet))
    {
        reason = judgement.known;
        let tcp = &datagram.tcp;
        // SAFETY: a value of the peers' map.
        unsafe {
            count::flow(
                &raw mut (*flows).egress,
                weight,
                tcp.is_syn_ack(),
                tcp.is_reset(),
            )
        };
    }
    count::interface(interface(ctx), reason, weight);
    reason
}

#[inline(always)]
pub(crate) fn interface(ctx: &TcContext) -> u32 {
    // SAFETY: the kernel's own context, a field that every TC program may read.
    unsafe { (*ctx.skb.skb).ifindex }
}

#[inline(always)]
pub(crate) fn weight(ctx: &TcContext, datagram: &Datagram) -> Weight {
    // SAFETY: as in `interface`.
    let segment = unsafe { (*ctx.skb.skb).gso_size };
    Weight::of(ctx.len(), segment, datagram)
}
