//! The packet decoder against a second reading of the same frame, written from the RFCs and nothing else:
//! it takes the frame apart front to back, on slices, and knows of no verifier.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_common::{
    Config, Datagram, EXTENSION_HEADERS_MAX, Kind, Link, Network, Reason, VLAN_TAGS_MAX, Verdict,
    Weight, judge_egress, judge_ingress, judge_outer,
};

/// The endpoint and the overlay of the golden packets.
const ENDPOINT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
];
const PORTS: [u16; 2] = [443, 8080];
const PREFIXES: [u8; 2] = [16, 64];

/// The first byte is the link layer, the others are the frame.
pub fn decode(data: &[u8]) {
    let Some((&link, frame)) = data.split_first() else {
        return;
    };
    let link = Link::from_number(link & 1);
    let decoded = gateway_common::decode(frame, link);
    let read = read(frame, link);
    assert_eq!(
        Some(&decoded)
            .filter(|one| one.kind != Kind::NotIp)
            .map(|one| seen(one, frame)),
        read
    );
    judged(&decoded, frame, read.as_ref());
    longer_says_the_same(frame, link, &decoded);
    for segment in [0, 1, u32::MAX] {
        let weight = Weight::of(frame.len() as u32, segment, &decoded);
        assert!(weight.packets >= 1 && weight.bytes >= weight.packets - 1);
    }
}

/// What both readings have to agree on.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    start: usize,
    /// By its own account.
    end: usize,
    source: IpAddr,
    destination: IpAddr,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Tcp {
        ports: [u16; 2],
        flags: u8,
        payload: usize,
    },
    /// Not TCP, a later fragment, unknown or too many headers, or cut off.
    Without(Kind),
}

fn seen(datagram: &Datagram, frame: &[u8]) -> Seen {
    let tcp = &datagram.tcp;
    Seen {
        start: datagram.network_offset as usize,
        end: datagram.end as usize,
        source: datagram.source(frame).ip(),
        destination: datagram.destination(frame).ip(),
        what: match datagram.kind {
            Kind::Tcp => What::Tcp {
                ports: [tcp.source_port, tcp.destination_port].map(u16::from_be),
                flags: tcp.flags as u8,
                payload: tcp.payload_offset as usize,
            },
            without @ (Kind::NotIp
            | Kind::Other
            | Kind::Fragment
            | Kind::ExtensionHeaders
            | Kind::Truncated) => What::Without(without),
        },
    }
}

/// Nothing when it is no IP, or not even a header of it.
fn read(frame: &[u8], link: Link) -> Option<Seen> {
    let start = match link {
        Link::Ip => 0,
        Link::Ethernet => ethernet_header(frame)?,
    };
    let packet = frame.get(start..)?;
    // The least that is looked at: a version without a second byte decides nothing.
    packet.get(1)?;
    let by_type = match link {
        Link::Ip => None,
        Link::Ethernet => Some(if frame[start - 2] == 0x08 { 4 } else { 6 }),
    };
    let version = packet[0] >> 4;
    if by_type.is_some_and(|expected| expected != version) {
        return None;
    }
    match version {
        4 => ipv4(packet, start),
        6 => ipv6(packet, start),
        _ => None,
    }
}

/// Length of the header with its tags, when IP follows.
fn ethernet_header(frame: &[u8]) -> Option<usize> {
    let mut rest = frame.get(12..)?;
    for tags in 0..=VLAN_TAGS_MAX {
        match (rest.get(..2)?, tags) {
            ([0x08, 0x00] | [0x86, 0xdd], _) => return Some(frame.len() - rest.len() + 2),
            ([0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00], ..VLAN_TAGS_MAX) => {
                rest = rest.get(4..)?
            }
            _ => return None,
        }
    }
    None
}

/// RFC 791, section 3.1.
fn ipv4(packet: &[u8], start: usize) -> Option<Seen> {
    let (fixed, _) = packet.split_at_checked(20)?;
    let header = usize::from(fixed[0] % 16) * 4;
    if header < 20 {
        return None;
    }
    let address =
        |at: usize| IpAddr::from([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let offset = u16::from_be_bytes([fixed[6], fixed[7]]) % 0x2000;
    let what = match (fixed[9], offset) {
        (6, 0) => tcp(packet, header, start),
        (6, _) => What::Without(Kind::Fragment),
        _ => What::Without(Kind::Other),
    };
    Some(Seen {
        start,
        end: start + length(fixed, 2),
        source: address(12),
        destination: address(16),
        what,
    })
}

/// RFC 8200, sections 3 and 4. An IPv4-mapped address is shown as the IPv4 one that it means.
fn ipv6(packet: &[u8], start: usize) -> Option<Seen> {
    let (fixed, _) = packet.split_at_checked(40)?;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[at..at + 16]);
        Ipv6Addr::from(octets).to_canonical()
    };
    Some(Seen {
        start,
        end: start + 40 + length(fixed, 4),
        source: address(8),
        destination: address(24),
        what: chain(packet, 40, fixed[6], EXTENSION_HEADERS_MAX, start),
    })
}

/// The two bytes of a length.
fn length(header: &[u8], at: usize) -> usize {
    usize::from(header[at]) * 256 + usize::from(header[at + 1])
}

/// What a chain of headers leads to: the next one is `next`, at `at`, and so many may still be skipped.
fn chain(packet: &[u8], at: usize, next: u8, left: usize, start: usize) -> What {
    const SKIPPED: [u8; 6] = [0, 43, 60, 135, 139, 140];
    let is_header = SKIPPED.contains(&next) || next == 44 || next == 51;
    match next {
        6 => return tcp(packet, at, start),
        148.. => return What::Without(Kind::ExtensionHeaders),
        _ if !is_header => return What::Without(Kind::Other),
        _ => {}
    }
    let needed = if next == 44 { 4 } else { 2 };
    let Some(header) = packet.get(at..).and_then(|rest| rest.get(..needed)) else {
        return What::Without(Kind::Truncated);
    };
    if next == 44 && u16::from_be_bytes([header[2], header[3]]) / 8 != 0 {
        let ends_elsewhere = !(header[0] == 6
            || SKIPPED.contains(&header[0])
            || [44, 51].contains(&header[0])
            || header[0] >= 148);
        return What::Without(if ends_elsewhere {
            Kind::Other
        } else {
            Kind::Fragment
        });
    }
    if left == 0 {
        return What::Without(Kind::ExtensionHeaders);
    }
    let skipped = match next {
        44 => 8,
        51 => (usize::from(header[1]) + 2) * 4,
        _ => (usize::from(header[1]) + 1) * 8,
    };
    chain(packet, at + skipped, header[0], left - 1, start)
}

/// RFC 9293, section 3.1. The ports suffice; flags and length of a header that is cut off read as zero.
fn tcp(packet: &[u8], at: usize, start: usize) -> What {
    let header = packet.get(at..).unwrap_or_default();
    let &[s0, s1, d0, d1, ..] = header else {
        return What::Without(Kind::Truncated);
    };
    let (length, flags) = match header.get(12..14) {
        Some(&[length, flags]) => (usize::from(length / 16) * 4, flags),
        _ => (0, 0),
    };
    What::Tcp {
        ports: [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])],
        flags,
        payload: start + at + length,
    }
}

/// The policy, said of the second reading: TCP to the endpoint is dropped on an outer interface and let in
/// from the overlay's networks alone; only what goes to an address of the endpoint is ever dropped.
fn judged(decoded: &Datagram, frame: &[u8], read: Option<&Seen>) {
    let networks = [0, 1]
        .map(|family| Network::new(ENDPOINT[family], PREFIXES[family]).expect("prefixes that fit"));
    let config = Config::new(&ENDPOINT, &PORTS, &networks).expect("lists that fit");
    let outer = judge_outer(&config, frame, decoded);
    let ingress = judge_ingress(&config, frame, decoded);
    let egress = judge_egress(&config, frame, decoded);
    let is_for = |address: &IpAddr| ENDPOINT.contains(address);
    if !read.is_some_and(|seen| is_for(&seen.destination)) {
        for reason in [outer, ingress.known, ingress.unknown] {
            assert_eq!(reason.verdict(), Verdict::Pass);
        }
    }
    for reason in [egress.known, egress.unknown] {
        assert_eq!(reason.verdict(), Verdict::Pass, "answers are never dropped");
    }
    let Some(Seen {
        source,
        destination,
        what: What::Tcp { ports, .. },
        ..
    }) = read
    else {
        return;
    };
    if is_for(destination) {
        let is_port = PORTS.contains(&ports[1]);
        let drops = outer.verdict() == Verdict::Drop;
        assert_eq!(drops, is_port);
        assert_eq!(ingress.unknown.verdict() == Verdict::Drop, is_port);
        let inside = match source {
            IpAddr::V4(v4) => v4.octets().starts_with(&[100, 64]),
            IpAddr::V6(v6) => v6.segments().starts_with(&[0xfd00, 0, 0, 0]),
        };
        assert_eq!(ingress.known == Reason::FromPeer, is_port && inside);
    }
    let answers = is_for(source) && PORTS.contains(&ports[0]);
    assert_eq!(egress.known == Reason::ToPeer, answers);
}

/// A frame that is cut off says less, and never anything else.
fn longer_says_the_same(frame: &[u8], link: Link, whole: &Datagram) {
    for length in (0..frame.len()).rev().take(96) {
        let cut = gateway_common::decode(&frame[..length], link);
        match cut.kind {
            Kind::NotIp => {}
            Kind::Truncated => assert_eq!(
                (cut.source(frame), cut.destination(frame)),
                (whole.source(frame), whole.destination(frame))
            ),
            Kind::Tcp if cut.tcp.flags == 0 => assert_eq!(
                (cut.kind, cut.tcp.source_port, cut.tcp.destination_port),
                (
                    whole.kind,
                    whole.tcp.source_port,
                    whole.tcp.destination_port
                )
            ),
            Kind::Tcp | Kind::Other | Kind::Fragment | Kind::ExtensionHeaders => {
                assert_eq!(&cut, whole);
            }
        }
    }
}
