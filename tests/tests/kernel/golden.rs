//! Packets by hand, and what must become of each: on other interfaces, into the overlay, out of it.

use gateway_common::{Link, Reason, program};
use gateway_tests::{
    frame::{ACK, Frame, ICMP, ICMPV6, RST, SYN, UDP},
    kernel::PROGRAMS,
};

use crate::{assert_counted, both};

/// Name, frame, and the reasons of outer interfaces, overlay ingress, overlay egress.
type Row = (&'static str, Frame, [Reason; 3]);

const PEER: &str = "100.64.0.7:40000";
const PEER_6: &str = "[fd00::7]:40000";
const ENDPOINT: &str = "100.64.0.1:443";
const ENDPOINT_6: &str = "[fd00::1]:443";
const STRANGER: &str = "100.64.0.8:40000";
const OUTSIDER: &str = "203.0.113.9:40000";
const OUTSIDER_6: &str = "[2001:db8::9]:40000";

const ELSEWHERE: [Reason; 3] = [Reason::Other; 3];
const FROM_PEER: [Reason; 3] = [Reason::NotOverlay, Reason::FromPeer, Reason::Other];
const FROM_OUTSIDE: [Reason; 3] = [Reason::NotOverlay, Reason::OutsideOverlay, Reason::Other];
const TO_PEER: [Reason; 3] = [Reason::Other, Reason::Other, Reason::ToPeer];

const fn hidden(outer: Reason) -> [Reason; 3] {
    [outer, Reason::FromPeerHidden, Reason::Other]
}

fn rows() -> Vec<Row> {
    let new = Frame::new;
    let mut rows = vec![
        // To the endpoint.
        ("peer", new(PEER, ENDPOINT).payload(10), FROM_PEER),
        ("peer's SYN", new(PEER, ENDPOINT).flags(SYN), FROM_PEER),
        (
            "peer's reset",
            new(PEER, ENDPOINT).flags(RST | ACK),
            FROM_PEER,
        ),
        ("peer, second port", new(PEER, "100.64.0.1:8080"), FROM_PEER),
        ("peer, v6", new(PEER_6, ENDPOINT_6).flags(SYN), FROM_PEER),
        (
            "other address of the overlay",
            new(STRANGER, ENDPOINT),
            [Reason::NotOverlay, Reason::UnknownPeer, Reason::Other],
        ),
        ("outside", new(OUTSIDER, ENDPOINT), FROM_OUTSIDE),
        ("outside, v6", new(OUTSIDER_6, ENDPOINT_6), FROM_OUTSIDE),
        (
            "in the peers' map, but outside the networks",
            new("192.0.2.7:40000", ENDPOINT),
            FROM_OUTSIDE,
        ),
        // Everything else.
        ("ssh", new(PEER, "100.64.0.1:22"), ELSEWHERE),
        (
            "ssh from outside",
            new(OUTSIDER, "100.64.0.1:22"),
            ELSEWHERE,
        ),
        (
            "same port, other address",
            new(OUTSIDER, "192.0.2.1:443"),
            ELSEWHERE,
        ),
        (
            "same port, routed network",
            new(PEER, "10.1.2.3:443"),
            ELSEWHERE,
        ),
        (
            "same port, other address, v6",
            new(OUTSIDER_6, "[fd00::2]:443"),
            ELSEWHERE,
        ),
        (
            "reply to the node's own connection",
            new("203.0.113.9:443", "100.64.0.1:50000"),
            ELSEWHERE,
        ),
        ("DNS", new(PEER, "100.64.0.1:53").protocol(UDP), ELSEWHERE),
        (
            "WireGuard",
            new(OUTSIDER, "192.0.2.1:51820").protocol(UDP).payload(148),
            ELSEWHERE,
        ),
        (
            "UDP with the endpoint's number",
            new(OUTSIDER, ENDPOINT).protocol(UDP),
            ELSEWHERE,
        ),
        ("ping", new(OUTSIDER, ENDPOINT).protocol(ICMP), ELSEWHERE),
        (
            "neighbour discovery",
            new(OUTSIDER_6, ENDPOINT_6).protocol(ICMPV6),
            ELSEWHERE,
        ),
        ("ESP", new(OUTSIDER, ENDPOINT).protocol(50), ELSEWHERE),
        (
            "nothing follows",
            new(OUTSIDER_6, ENDPOINT_6).protocol(59),
            ELSEWHERE,
        ),
        ("address zero", new(OUTSIDER, "0.0.0.0:443"), ELSEWHERE),
        ("address zero, v6", new(OUTSIDER_6, "[::]:443"), ELSEWHERE),
        ("port zero", new(OUTSIDER, "100.64.0.1:0"), ELSEWHERE),
        // From the endpoint.
        ("answer", new(ENDPOINT, PEER).payload(1000), TO_PEER),
        ("accepted", new(ENDPOINT, PEER).flags(SYN | ACK), TO_PEER),
        ("reset", new(ENDPOINT, PEER).flags(RST), TO_PEER),
        ("answer, v6", new(ENDPOINT_6, PEER_6), TO_PEER),
        (
            "answer to a stranger",
            new(ENDPOINT, STRANGER),
            [Reason::Other, Reason::Other, Reason::ToStranger],
        ),
        (
            "node's own connection",
            new("100.64.0.1:50000", PEER),
            ELSEWHERE,
        ),
        // Options.
        ("options", new(PEER, ENDPOINT).options(4), FROM_PEER),
        (
            "all options",
            new(OUTSIDER, ENDPOINT).options(40),
            FROM_OUTSIDE,
        ),
        (
            "options, ssh",
            new(OUTSIDER, "100.64.0.1:22").options(40),
            ELSEWHERE,
        ),
        // Fragments.
        (
            "first fragment",
            new(PEER, ENDPOINT).fragment(0, true).payload(20),
            FROM_PEER,
        ),
        (
            "first fragment, ssh",
            new(PEER, "100.64.0.1:22").fragment(0, true),
            ELSEWHERE,
        ),
        (
            "tiny first fragment",
            new(PEER, ENDPOINT).fragment(0, true).cut(8),
            FROM_PEER,
        ),
        (
            "later fragment",
            new(PEER, ENDPOINT).fragment(3, false),
            hidden(Reason::Fragment),
        ),
        (
            "middle fragment",
            new(PEER, ENDPOINT).fragment(8191, true),
            hidden(Reason::Fragment),
        ),
        (
            "later fragment, elsewhere",
            new(PEER, "192.0.2.1:443").fragment(3, false),
            ELSEWHERE,
        ),
        (
            "later fragment of a ping",
            new(PEER, ENDPOINT).protocol(ICMP).fragment(3, false),
            ELSEWHERE,
        ),
        (
            "first fragment, v6",
            new(PEER_6, ENDPOINT_6).fragment(0, true),
            FROM_PEER,
        ),
        (
            "atomic fragment, v6",
            new(PEER_6, ENDPOINT_6).fragment(0, false),
            FROM_PEER,
        ),
        (
            "later fragment, v6",
            new(PEER_6, ENDPOINT_6).fragment(3, false),
            hidden(Reason::Fragment),
        ),
        (
            "later fragment, elsewhere, v6",
            new(PEER_6, "[fd00::2]:443").fragment(3, true),
            ELSEWHERE,
        ),
        (
            "later fragment of UDP, v6",
            new(PEER_6, ENDPOINT_6).protocol(UDP).fragment(3, true),
            ELSEWHERE,
        ),
        // Cut off.
        (
            "cut before the ports",
            new(PEER, ENDPOINT).cut(3),
            hidden(Reason::Truncated),
        ),
        (
            "nothing behind IP",
            new(PEER, ENDPOINT).options(40).cut(0),
            hidden(Reason::Truncated),
        ),
        (
            "cut before the flags",
            new(PEER, ENDPOINT).cut(4),
            FROM_PEER,
        ),
        (
            "cut, elsewhere",
            new(PEER, "192.0.2.1:443").cut(0),
            ELSEWHERE,
        ),
        (
            "cut, v6",
            new(PEER_6, ENDPOINT_6).cut(0),
            hidden(Reason::Truncated),
        ),
    ];
    rows.extend(extension_headers());
    rows
}

fn extension_headers() -> Vec<Row> {
    let new = Frame::new;
    let six = [(0, 0), (43, 0), (60, 1), (51, 1), (135, 0), (140, 3)];
    let seven = [
        (0, 0),
        (43, 0),
        (60, 1),
        (51, 1),
        (135, 0),
        (139, 3),
        (60, 0),
    ];
    vec![
        (
            "one",
            new(PEER_6, ENDPOINT_6).extensions(&[(0, 0)]),
            FROM_PEER,
        ),
        (
            "long",
            new(PEER_6, ENDPOINT_6).extensions(&[(60, 40)]),
            FROM_PEER,
        ),
        (
            "authentication",
            new(PEER_6, ENDPOINT_6).extensions(&[(51, 4)]),
            FROM_PEER,
        ),
        ("six", new(PEER_6, ENDPOINT_6).extensions(&six), FROM_PEER),
        (
            "six, ssh",
            new(PEER_6, "[fd00::1]:22").extensions(&six),
            ELSEWHERE,
        ),
        (
            "six, ICMP",
            new(PEER_6, ENDPOINT_6).protocol(ICMPV6).extensions(&six),
            ELSEWHERE,
        ),
        (
            "seven",
            new(PEER_6, ENDPOINT_6).extensions(&seven),
            hidden(Reason::ExtensionHeaders),
        ),
        (
            "seven, elsewhere",
            new(PEER_6, "[fd00::2]:443").extensions(&seven),
            ELSEWHERE,
        ),
        (
            "an experiment",
            new(PEER_6, ENDPOINT_6).extensions(&[(0, 0), (253, 0)]),
            hidden(Reason::ExtensionHeaders),
        ),
        (
            "an experiment, elsewhere",
            new(PEER_6, "[fd00::2]:443").extensions(&[(254, 0)]),
            ELSEWHERE,
        ),
        (
            "before a fragment",
            new(PEER_6, ENDPOINT_6)
                .extensions(&[(0, 0)])
                .fragment(0, true),
            FROM_PEER,
        ),
        (
            "before a later fragment",
            new(PEER_6, ENDPOINT_6)
                .extensions(&[(0, 0), (43, 0)])
                .fragment(1, true),
            hidden(Reason::Fragment),
        ),
        (
            "longer than the packet",
            new(PEER_6, ENDPOINT_6).extensions(&[(60, 0)]).cut(1),
            hidden(Reason::Truncated),
        ),
    ]
}

/// Only Ethernet has these.
fn tagged() -> Vec<Row> {
    let tagged = |tags| Frame::new(OUTSIDER, ENDPOINT).tags(tags);
    vec![
        ("a tag", tagged(&[0x8100]), FROM_OUTSIDE),
        ("two tags", tagged(&[0x88a8, 0x8100]), FROM_OUTSIDE),
        ("two tags, old", tagged(&[0x9100, 0x8100]), FROM_OUTSIDE),
        (
            "two tags, v6",
            Frame::new(PEER_6, ENDPOINT_6).tags(&[0x8100, 0x8100]),
            FROM_PEER,
        ),
        (
            "a tag, ssh",
            Frame::new(OUTSIDER, "100.64.0.1:22").tags(&[0x8100]),
            ELSEWHERE,
        ),
        (
            "three tags",
            tagged(&[0x8100, 0x8100, 0x8100]),
            [Reason::NotIp; 3],
        ),
    ]
}

/// Bytes that are no packet of ours.
fn odd(link: Link) -> Vec<(&'static str, Vec<u8>)> {
    let good = Frame::new(OUTSIDER, ENDPOINT).link(link).bytes();
    let ip = match link {
        Link::Ethernet => 14,
        Link::Ip => 0,
    };
    let with = |offset: usize, byte: u8| {
        let mut frame = good.clone();
        frame[offset] = byte;
        frame
    };
    vec![
        ("another version", with(ip, 0x55)),
        ("a header length below the least", with(ip, 0x44)),
        ("half an IP header", good[..ip + 19].to_vec()),
        ("zeros", vec![0; 60]),
        ("ones", vec![0xff; 60]),
    ]
}

#[test]
fn on_ethernet() {
    let mut rows = rows();
    rows.extend(tagged());
    check(Link::Ethernet, rows);
}

#[test]
fn without_a_link_header() {
    check(Link::Ip, rows());
}

fn check(link: Link, rows: Vec<Row>) {
    let (mut kernel, mut reference) = both(link);
    let odd = odd(link).into_iter();
    let rows = rows
        .into_iter()
        .map(|(name, frame, reasons)| (name, frame.link(link).bytes(), reasons))
        .chain(odd.map(|(name, bytes)| (name, bytes, [Reason::NotIp; 3])));
    for (name, frame, [outer, ingress, egress]) in rows {
        for program in PROGRAMS {
            let expected = match program {
                program::OVERLAY_INGRESS => ingress,
                program::OVERLAY_EGRESS => egress,
                _ => outer,
            };
            if !kernel.takes(program, &frame) {
                continue;
            }
            assert_eq!(
                reference.run(program, &frame, 0),
                expected,
                "{name}, {program}"
            );
            let ran = kernel.run(program, &frame, 1).unwrap();
            assert_eq!(ran.verdict, expected.verdict(), "{name}, {program}");
        }
        assert_counted(&mut kernel, &reference);
    }
}

/// What the kernel merged counts as it was on the wire.
#[test]
fn merged_packets_count_as_their_segments() {
    let (mut kernel, mut reference) = both(Link::Ip);
    for (program, frame) in [
        (program::OVERLAY_INGRESS, Frame::new(PEER, ENDPOINT)),
        (program::OVERLAY_EGRESS, Frame::new(ENDPOINT_6, PEER_6)),
    ] {
        let frame = frame.link(Link::Ip).payload(3333).bytes();
        kernel.run_merged(program, &frame, 1000).unwrap();
        reference.run(program, &frame, 1000);
        assert_counted(&mut kernel, &reference);
    }
    let ingress = reference.flows(crate::ip("100.64.0.7")).ingress;
    assert_eq!((ingress.packets, ingress.bytes), (4, 3333 + 4 * 40));
}
