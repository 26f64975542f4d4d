//! Peers apart, where `telemetry.peers_limit` lets some have series of their own.

use prometheus::proto::MetricFamily;

use super::{
    NANO_PER_USD, Workers,
    family::{Labels, Sample, counter, plain_gauge},
    names::{Names, OTHER},
};
use crate::handoff::counters::{Counter, PeerCounters};

/// Slots are given in the order in which peers become known, so the first ones have series; the rest is `other`.
pub(super) fn gather(workers: Workers<'_>, names: &Names) -> Vec<MetricFamily> {
    let slots = workers.iter().map(|w| w.peers().len()).max().unwrap_or(0);
    let Some(limit) = slots.checked_sub(1) else {
        return Vec::new();
    };
    let sum = |slot: usize, of: fn(&PeerCounters) -> &Counter| {
        let counts = workers.iter().filter_map(|w| w.peers().get(slot));
        counts.fold(0_u64, |sum, peer| sum.wrapping_add(of(peer).get()))
    };
    // A peer that is gone is one of the others, lest its counts go.
    let samples = |of: fn(&PeerCounters) -> &Counter, unit: f64| -> Vec<Sample> {
        let mut other = 0_u64;
        let mut samples = Vec::new();
        for slot in 0..slots {
            let count = sum(slot, of);
            match names.peer(slot as u32) {
                Some((peer, user)) => samples.push((labels(peer, user), count as f64 / unit)),
                None => other = other.wrapping_add(count),
            }
        }
        samples.push((labels(OTHER, OTHER), other as f64 / unit));
        samples
    };
    vec![
        counter(
            "keyway_peer_requests_total",
            "Exchanges that ended, by peer.",
            samples(|peer| &peer.exchanges, 1.0),
        ),
        counter(
            "keyway_peer_tokens_total",
            "Input and output tokens, by peer.",
            samples(|peer| &peer.tokens, 1.0),
        ),
        counter(
            "keyway_peer_cost_usd_total",
            "Cost in dollars, by peer.",
            samples(|peer| &peer.cost_nano_usd, NANO_PER_USD),
        ),
        plain_gauge(
            "keyway_peers_without_series",
            "Peers beyond `telemetry.peers_limit`, which are counted as `other`.",
            names.peers_beyond(limit) as f64,
        ),
    ]
}

fn labels(peer: &str, user: &str) -> Labels {
    vec![("peer", peer.to_owned()), ("user", user.to_owned())]
}
