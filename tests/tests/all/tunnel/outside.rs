//! The endpoint from outside the overlay: silence, however the packets look. No reset, no ICMP: a packet
//! socket at the other end of the cable sees all that comes back. That the node's machine would answer
//! is shown by the same packets to the same port of another of its addresses.

use std::time::Duration;

use gateway_tests::{
    frame::{Frame, SYN},
    wire::{Wire, is_background},
};

use super::{untouched::echo_on, *};
use crate::admission::is_silent;

/// An answer takes microseconds.
const SILENCE: Duration = Duration::from_millis(400);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;

/// How a packet looks, apart from its addresses.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Plain,
    /// With IPv4 options, or IPv6 extension headers.
    Optioned,
    Fragments,
    Vlan,
    TwoVlans,
}

impl Shape {
    fn frames(self, source: SocketAddr, to: SocketAddr, macs: [[u8; 6]; 2]) -> Vec<Vec<u8>> {
        let frame = Frame::new(&source.to_string(), &to.to_string()).flags(SYN);
        let [from, to_mac] = macs;
        let frame = match self {
            Self::Plain => frame,
            Self::Optioned if to.is_ipv4() => frame.options(8),
            Self::Optioned => frame.extensions(&[(HOP_BY_HOP, 0), (DESTINATION_OPTIONS, 0)]),
            Self::Fragments => return frame.sealed_fragments(from, to_mac).into(),
            Self::Vlan => frame.tags(&[VLAN]),
            Self::TwoVlans => frame.tags(&[SERVICE_VLAN, VLAN]),
        };
        vec![frame.sealed(from, to_mac)]
    }

    /// Whether the node's machine takes such packets. One without VLANs does not.
    fn is_taken(self) -> bool {
        match self {
            Self::Plain | Self::Optioned | Self::Fragments => true,
            Self::Vlan | Self::TwoVlans => false,
        }
    }
}

#[tokio::test]
async fn the_endpoint_is_silent_outside_the_overlay() {
    let test = "the_endpoint_is_silent_outside_the_overlay";
    let Some(site) = Site::start(test, false).await else {
        return;
    };
    let endpoints = site.endpoints();
    // By the host's own sockets first, which find the hardware addresses.
    for (family, endpoint) in endpoints.into_iter().enumerate() {
        for source in [ALICE_OUTER[family], ALICE[family]] {
            assert!(
                is_silent(&site.alice, endpoint, source, OUTER).await,
                "{source} is answered"
            );
        }
    }
    let cable = Wire::tap(&site.alice, OUTER).unwrap();
    let tunnel = Wire::tap(&site.alice, OVERLAY).unwrap();
    let macs = [&site.alice, &site.host].map(|one| one.hardware_address(OUTER).unwrap());
    let shapes = [
        Shape::Plain,
        Shape::Optioned,
        Shape::Fragments,
        Shape::Vlan,
        Shape::TwoVlans,
    ];
    let mut port = 40_000;
    for (family, endpoint) in endpoints.into_iter().enumerate() {
        let beside = SocketAddr::new(address(HOST_OUTER[family]), endpoint.port());
        let _echo = echo_on(&site.host, beside);
        for shape in shapes {
            // Answers to an overlay address go into the tunnel.
            for (source, back) in [(ALICE_OUTER[family], &cable), (ALICE[family], &tunnel)] {
                port += 1;
                let source = SocketAddr::new(address(source), port);
                let case = format!("{shape:?} from {source}");
                let is_answer = |frame: &[u8]| !is_background(frame, WIREGUARD_PORT);
                if shape.is_taken() {
                    for frame in shape.frames(source, beside, macs) {
                        cable.send(&frame).unwrap();
                    }
                    let answers = back.receive(1, ANSWER_TIME_MAX, is_answer).unwrap();
                    assert_eq!(answers.len(), 1, "{case} finds nothing at all");
                }
                let before = dropped(&site.status().await);
                let frames = shape.frames(source, endpoint, macs);
                for frame in &frames {
                    cable.send(frame).unwrap();
                }
                for wire in [&cable, &tunnel] {
                    let answers = wire.receive(1, SILENCE, is_answer).unwrap();
                    assert!(answers.is_empty(), "{case}: {answers:02x?}");
                }
                let now = dropped(&site.status().await);
                assert_eq!(now - before, frames.len() as u64, "{case}");
            }
        }
    }
    site.node.stop().await.unwrap();
}

/// Packets that the program on alice's cable dropped, for any reason.
fn dropped(status: &Value) -> u64 {
    let cable = crate::admission::interface(status, OUTER).unwrap();
    let counters = cable["counters"].as_array().unwrap();
    let drops = counters.iter().filter(|one| one["verdict"] == "drop");
    drops.map(|one| number(one, "packets")).sum()
}
