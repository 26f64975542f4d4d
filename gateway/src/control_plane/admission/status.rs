//! What the management API and the metrics show of kernel admission.

use gateway_common::{Counter, Counters, Flow, Reason, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    counts::{Counts, add},
    hook::HookMode,
};

/// `GET /api/agent-network/admission`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct AdmissionStatus {
    /// `admission.mode` of the configuration.
    pub mode: String,
    /// The overlay's device and all others are covered.
    pub in_front: bool,
    /// Why not, or why not wholly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    /// Addresses that the kernel lets in.
    pub peers: usize,
    /// Peers that the kernel drops because its table is full.
    #[serde(default)]
    #[schema(required)]
    pub peers_left_out: usize,
    /// Traffic of peers that were removed, both directions.
    pub departed: Traffic,
    #[serde(default)]
    #[schema(required)]
    pub interfaces: Vec<InterfaceStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceStatus {
    pub name: String,
    pub index: u32,
    pub role: Role,
    pub mode: HookMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    #[serde(default)]
    #[schema(required)]
    pub counters: Vec<ReasonCount>,
}

/// Gives interfaces their counters, and adds one without an index for all others that ever were. An
/// interface is counted in one of the sets.
pub(super) fn with_counts(
    mut interfaces: Vec<InterfaceStatus>,
    sets: &[&Counts],
) -> Vec<InterfaceStatus> {
    let sum = |of: &dyn Fn(&Counts) -> Counters| {
        let mut sum = Counters::default();
        sets.iter().for_each(|set| add(&mut sum, &of(set)));
        sum
    };
    for interface in &mut interfaces {
        interface.counters = counts(&sum(&|set| set.of(interface.index)));
    }
    let others = sum(&Counts::others);
    if others != Counters::default() {
        interfaces.push(InterfaceStatus {
            name: "others".to_owned(),
            index: 0,
            role: Role::Gone,
            mode: HookMode::None,
            problem: None,
            counters: counts(&others),
        });
    }
    interfaces
}

fn counts(counters: &Counters) -> Vec<ReasonCount> {
    (Reason::ALL.iter())
        .zip(counters.by_reason)
        .map(|(reason, counter)| ReasonCount::new(*reason, counter))
        .collect()
}

/// What an interface is to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = InterfaceRole)]
pub enum Role {
    Overlay,
    /// Nothing may reach the endpoint through it.
    Outer,
    /// Not there any more; its counts remain.
    Gone,
}

/// Since the program was first attached: pinned counters outlive the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    pub reason: String,
    /// `pass` or `drop`.
    pub verdict: String,
    pub packets: u64,
    pub bytes: u64,
}

impl ReasonCount {
    pub(super) fn new(reason: Reason, counter: Counter) -> Self {
        let verdict = match reason.verdict() {
            Verdict::Pass => "pass",
            Verdict::Drop => "drop",
        };
        Self {
            reason: reason.name().to_owned(),
            verdict: verdict.to_owned(),
            packets: counter.packets,
            bytes: counter.bytes,
        }
    }
}

/// One address of `GET /api/agent-network/admission/peers`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PeerTraffic {
    pub address: String,
    pub peer_id: String,
    /// Of its user, or its own.
    pub name: String,
    /// Names.
    pub groups: Vec<String>,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// Both directions, from the IP header on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// From the peer to the endpoint.
    pub ingress: FlowCount,
    /// From the endpoint to the peer.
    pub egress: FlowCount,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct FlowCount {
    pub packets: u64,
    pub bytes: u64,
    /// Ingress: tried; egress: accepted.
    pub connections: u64,
    pub resets: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub first_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_seen: Option<Timestamp>,
}

/// The monotonic clock and the wall's at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    pub(super) monotonic_ns: u64,
    pub(super) wall: Timestamp,
}

impl FlowCount {
    pub(super) fn new(flow: &Flow, clocks: Clocks) -> Self {
        let at = |ns: u64| {
            let ago = i64::try_from(clocks.monotonic_ns.saturating_sub(ns)).unwrap_or(i64::MAX);
            (ns > 0)
                .then(|| {
                    clocks
                        .wall
                        .checked_sub(SignedDuration::from_nanos(ago))
                        .ok()
                })
                .flatten()
        };
        Self {
            packets: flow.packets,
            bytes: flow.bytes,
            connections: flow.connections,
            resets: flow.resets,
            first_seen: at(flow.first_seen_ns),
            last_seen: at(flow.last_seen_ns),
        }
    }
}

#[cfg(test)]
#[allow(clippy::field_reassign_with_default, reason = "a field is private")]
mod tests {
    use super::*;

    #[test]
    fn kernel_times_become_wall_times() {
        let clocks = Clocks {
            monotonic_ns: 5_000_000_000,
            wall: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(100),
        };
        let mut flow = Flow::default();
        flow.last_seen_ns = 2_000_000_000;
        let count = FlowCount::new(&flow, clocks);
        assert_eq!(count.first_seen, None);
        assert_eq!(count.last_seen.map(Timestamp::as_second), Some(97));
    }
}
