//! What the programs must do, on the host: the shared decoder and judgement over a slice, and counters in
//! ordinary maps.

use std::{collections::HashMap, net::IpAddr};

use gateway_common::{
    Address, Config, Counters, Datagram, Flow, Judgement, Link, PeerFlows, Reason, Weight, decode,
    judge_egress, judge_ingress, judge_outer, program,
};

pub(crate) struct Reference {
    link: Link,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    peers: HashMap<Address, PeerFlows>,
}

impl Reference {
    pub(crate) fn new(link: Link, config: Config, peers: impl IntoIterator<Item = IpAddr>) -> Self {
        let peers = peers.into_iter();
        Self {
            link,
            config,
            counters: Counters::default(),
            peers: peers
                .map(|peer| (Address::from(peer), PeerFlows::default()))
                .collect(),
        }
    }

    pub(crate) fn flows(&self, peer: IpAddr) -> PeerFlows {
        self.peers[&Address::from(peer)]
    }

    /// What a program says about a frame, counted. `segment` as in [`Weight::of`].
    pub(crate) fn run(&mut self, program: &str, frame: &[u8], segment: u32) -> Reason {
        let datagram = decode(frame, self.link);
        let weight = Weight::of(frame.len() as u32, segment, &datagram);
        let reason = match program {
            program::OUTER_XDP | program::OUTER_XDP_LINEAR | program::OUTER_TC => {
                judge_outer(&self.config, frame, &datagram)
            }
            program::OVERLAY_INGRESS => {
                let judgement = judge_ingress(&self.config, frame, &datagram);
                self.note(judgement, frame, &datagram, weight, true)
            }
            program::OVERLAY_EGRESS => {
                let judgement = judge_egress(&self.config, frame, &datagram);
                self.note(judgement, frame, &datagram, weight, false)
            }
            other => panic!("no program {other}"),
        };
        let counter = &mut self.counters.by_reason[reason.index()];
        counter.packets += weight.packets;
        counter.bytes += weight.bytes;
        reason
    }

    fn note(
        &mut self,
        judgement: Judgement,
        frame: &[u8],
        datagram: &Datagram,
        weight: Weight,
        ingress: bool,
    ) -> Reason {
        if !judgement.asks_for_peer() {
            return judgement.known;
        }
        let tcp = &datagram.tcp;
        let (address, connects) = match ingress {
            true => (datagram.source(frame), tcp.is_syn()),
            false => (datagram.destination(frame), tcp.is_syn_ack()),
        };
        let Some(flows) = self.peers.get_mut(&address) else {
            return judgement.unknown;
        };
        if judgement.known != Reason::FromPeerHidden {
            let flow: &mut Flow = match ingress {
                true => &mut flows.ingress,
                false => &mut flows.egress,
            };
            flow.packets += weight.packets;
            flow.bytes += weight.bytes;
            flow.connections += u64::from(connects);
            flow.resets += u64::from(tcp.is_reset());
        }
        judgement.known
    }
}
