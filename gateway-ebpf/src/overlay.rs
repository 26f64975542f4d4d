//! The overlay's device.

use aya_ebpf::programs::TcContext;
use gateway_common::{Datagram, Reason, Weight, judge_egress, judge_ingress};

use crate::{count, log, maps, packet};

#[inline(always)]
pub(crate) fn ingress(ctx: &TcContext) -> Reason {
    let datagram = packet::decode_tc(ctx, maps::link());
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let weight = weight(ctx, &datagram);
    let judgement = judge_ingress(config, &datagram);
    let mut reason = judgement.unknown;
    if judgement.asks_for_peer()
        && let Some(flows) = maps::peer(&datagram.source)
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
    log::drop(config, interface(ctx), reason, &datagram);
    reason
}

#[inline(always)]
pub(crate) fn egress(ctx: &TcContext) -> Reason {
    let datagram = packet::decode_tc(ctx, maps::link());
    let Some(config) = maps::config() else {
        return Reason::Other;
    };
    let weight = weight(ctx, &datagram);
    let judgement = judge_egress(config, &datagram);
    let mut reason = judgement.unknown;
    if judgement.asks_for_peer()
        && let Some(flows) = maps::peer(&datagram.destination)
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
