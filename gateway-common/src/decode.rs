//! From a frame to addresses and ports, as far as the judgement needs them.
//!
//! The decoder says what it cannot see instead of guessing: a packet whose port is hidden is judged by its
//! address alone. What the kernel itself would throw away (a wrong version, half an IP header) is none of
//! our business and passes.
//!
//! One function per header, all inlined into one program: the verifier then follows each bounds check.

use crate::{Address, Packet};

/// IEEE 802.1Q tags that are looked through. A host that has interfaces for deeper ones gets the program
/// on those interfaces too, where the tags are gone.
pub const VLAN_TAGS_MAX: usize = 2;
/// IPv6 extension headers that are looked through.
pub const EXTENSION_HEADERS_MAX: usize = 6;

const ETHERNET_LEN: usize = 14;
const ETHERTYPE_OFFSET: usize = 12;
const VLAN_TAG_LEN: usize = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// IEEE 802.1Q, IEEE 802.1ad, and what was used before the latter.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

const IPV4_LEN: usize = 20;
const IPV4_SOURCE: usize = 12;
const IPV4_DESTINATION: usize = 16;
const IPV4_OFFSET_MASK: u16 = 0x1fff;
const IPV6_LEN: usize = 40;
const IPV6_SOURCE: usize = 8;
const IPV6_DESTINATION: usize = 24;
const IPV6_FRAGMENT_LEN: usize = 8;
const IPV6_FRAGMENT_OFFSET_MASK: u16 = 0xfff8;

const TCP: u8 = 6;
/// Source and destination port.
const TCP_PORTS_LEN: usize = 4;
/// Up to and with the flags.
const TCP_FLAGS_LEN: usize = 14;

/// What a frame begins with.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet = 0,
    /// The IP header: WireGuard, TUN and other devices of type `ARPHRD_NONE`.
    Ip = 1,
}

impl Link {
    /// From the loader's constant; what is not 1 is Ethernet.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Ip,
            _ => Self::Ethernet,
        }
    }
}

/// A packet as far as the judgement needs it. Flat, and zero where there is nothing: the verifier refuses
/// programs that carry undefined values around, as enums with fields do. Small, as what does not fit into
/// registers costs every packet; so addresses stay in the packet until somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Datagram {
    pub kind: Kind,
    pub(crate) version: Version,
    /// Where the IP header begins.
    pub network_offset: u32,
    /// Where the packet ends, as its header says.
    pub end: u32,
    /// Of [`Kind::Tcp`].
    pub tcp: Tcp,
}

#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    #[default]
    NotIp,
    V4,
    V6,
}

impl Datagram {
    /// Who sent it; the unspecified address where there is no IP. `packet` is the one that was decoded.
    #[inline(always)]
    pub fn source(&self, packet: &(impl Packet + ?Sized)) -> Address {
        self.address(packet, IPV4_SOURCE, IPV6_SOURCE)
    }

    /// To whom, likewise.
    #[inline(always)]
    pub fn destination(&self, packet: &(impl Packet + ?Sized)) -> Address {
        self.address(packet, IPV4_DESTINATION, IPV6_DESTINATION)
    }

    #[inline(always)]
    fn address(&self, packet: &(impl Packet + ?Sized), v4: usize, v6: usize) -> Address {
        let start = self.network_offset as usize;
        let address = match self.version {
            Version::NotIp => None,
            Version::V4 => packet.load(start + v4).map(Address::from_v4),
            Version::V6 => packet.load(start + v6).map(Address::from_v6),
        };
        // The whole header was there when it was decoded.
        address.unwrap_or_default()
    }
}

/// What a frame carries.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// No IP, or not even an IP header.
    #[default]
    NotIp,
    /// TCP with its ports.
    Tcp,
    /// IP, but surely not TCP that this host would take from here: UDP, ICMP, tunnels, IPsec. (What a
    /// tunnel or IPsec brings comes out on an interface of its own or is authenticated.)
    Other,
    /// TCP, or nobody knows, without the port: not the first fragment.
    Fragment,
    /// The same: an extension header of an unknown kind, or too many.
    ExtensionHeaders,
    /// The same: the packet ends before the port.
    Truncated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tcp {
    /// As it lies in the packet.
    pub source_port: u16,
    /// As it lies in the packet.
    pub destination_port: u16,
    /// 0 when the packet ends before them.
    pub flags: u32,
    /// Where the payload begins.
    pub payload_offset: u32,
}

impl Tcp {
    const SYN: u32 = 0x02;
    const RST: u32 = 0x04;
    const ACK: u32 = 0x10;
    const SYN_RST_ACK: u32 = Self::SYN | Self::RST | Self::ACK;

    /// Asks for a connection.
    #[inline(always)]
    pub const fn is_syn(&self) -> bool {
        self.flags & Self::SYN_RST_ACK == Self::SYN
    }

    /// Accepts a connection.
    #[inline(always)]
    pub const fn is_syn_ack(&self) -> bool {
        self.flags & Self::SYN_RST_ACK == Self::SYN | Self::ACK
    }

    #[inline(always)]
    pub const fn is_reset(&self) -> bool {
        self.flags & Self::RST != 0
    }
}

/// Decodes a frame.
#[inline(always)]
pub fn decode(packet: &(impl Packet + ?Sized), link: Link) -> Datagram {
    let found = match link {
        Link::Ethernet => ethernet(packet),
        Link::Ip => bare(packet),
    };
    found.unwrap_or_default()
}

#[inline(always)]
fn bare(packet: &(impl Packet + ?Sized)) -> Option<Datagram> {
    // Two bytes, as the verifier learns nothing from "one byte fits".
    let [first, _] = packet.load(0)?;
    match first >> 4 {
        4 => ipv4(packet, 0),
        6 => ipv6(packet, 0),
        _ => None,
    }
}

#[inline(always)]
fn ethernet(packet: &(impl Packet + ?Sized)) -> Option<Datagram> {
    let mut offset = ETHERNET_LEN;
    let mut ethertype = u16::from_be_bytes(packet.load(ETHERTYPE_OFFSET)?);
    for _ in 0..VLAN_TAGS_MAX {
        if !is_vlan(ethertype) {
            break;
        }
        // The tag's two bytes, then the next type.
        ethertype = u16::from_be_bytes(packet.load(offset + 2)?);
        offset += VLAN_TAG_LEN;
    }
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(packet, offset),
        ETHERTYPE_IPV6 => ipv6(packet, offset),
        _ => None,
    }
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    let [a, b, c] = ETHERTYPES_VLAN;
    ethertype == a || ethertype == b || ethertype == c
}

/// RFC 791.
#[inline(always)]
fn ipv4(packet: &(impl Packet + ?Sized), start: usize) -> Option<Datagram> {
    let h: [u8; IPV4_LEN] = packet.load(start)?;
    let header_len = usize::from(h[0] & 0x0f) * 4;
    if h[0] >> 4 != 4 || header_len < IPV4_LEN {
        return None;
    }
    let (kind, tcp) = if h[9] != TCP {
        only(Kind::Other)
    } else if u16::from_be_bytes([h[6], h[7]]) & IPV4_OFFSET_MASK != 0 {
        only(Kind::Fragment)
    } else {
        tcp(packet, start + header_len)
    };
    Some(Datagram {
        kind,
        version: Version::V4,
        network_offset: start as u32,
        end: start as u32 + u32::from(u16::from_be_bytes([h[2], h[3]])),
        tcp,
    })
}

/// RFC 8200.
#[inline(always)]
fn ipv6(packet: &(impl Packet + ?Sized), start: usize) -> Option<Datagram> {
    let h: [u8; IPV6_LEN] = packet.load(start)?;
    if h[0] >> 4 != 6 {
        return None;
    }
    let (kind, tcp) = extensions(packet, start + IPV6_LEN, h[6]);
    Some(Datagram {
        kind,
        version: Version::V6,
        network_offset: start as u32,
        end: (start + IPV6_LEN) as u32 + u32::from(u16::from_be_bytes([h[4], h[5]])),
        tcp,
    })
}

/// What an IPv6 header's `next` says, after the IANA registries of protocol numbers and of IPv6 extension
/// header types.
enum Next {
    Tcp,
    /// Its second byte is its length in 8 bytes, without the first 8 (RFC 6564).
    Extension,
    /// Authentication header: the same in 4 bytes, without the first 8 (RFC 4302).
    Authentication,
    Fragment,
    /// An experiment, or not assigned when this was written.
    Unknown,
    Other,
}

impl Next {
    #[inline(always)]
    const fn of(next: u8) -> Self {
        match next {
            TCP => Self::Tcp,
            // Hop-by-hop, routing, destination options, mobility, HIP, Shim6.
            0 | 43 | 60 | 135 | 139 | 140 => Self::Extension,
            51 => Self::Authentication,
            44 => Self::Fragment,
            148..=255 => Self::Unknown,
            _ => Self::Other,
        }
    }
}

#[inline(always)]
fn extensions(packet: &(impl Packet + ?Sized), start: usize, first: u8) -> (Kind, Tcp) {
    let mut offset = start;
    let mut next = first;
    // One round more than headers: the last one only sees what follows them.
    for _ in 0..=EXTENSION_HEADERS_MAX {
        match Next::of(next) {
            Next::Tcp => return tcp(packet, offset),
            Next::Other => return only(Kind::Other),
            Next::Unknown => return only(Kind::ExtensionHeaders),
            Next::Extension => {
                let Some([following, length]) = packet.load(offset) else {
                    return only(Kind::Truncated);
                };
                next = following;
                offset += (usize::from(length) + 1) * 8;
            }
            Next::Authentication => {
                let Some([following, length]) = packet.load(offset) else {
                    return only(Kind::Truncated);
                };
                next = following;
                offset += (usize::from(length) + 2) * 4;
            }
            Next::Fragment => {
                let Some([following, _, high, low]) = packet.load(offset) else {
                    return only(Kind::Truncated);
                };
                if u16::from_be_bytes([high, low]) & IPV6_FRAGMENT_OFFSET_MASK != 0 {
                    return later_fragment(following);
                }
                next = following;
                offset += IPV6_FRAGMENT_LEN;
            }
        }
    }
    only(Kind::ExtensionHeaders)
}

/// A fragment that is not the first says what the first begins with.
#[inline(always)]
fn later_fragment(next: u8) -> (Kind, Tcp) {
    match Next::of(next) {
        Next::Other => only(Kind::Other),
        Next::Tcp | Next::Extension | Next::Authentication | Next::Fragment | Next::Unknown => {
            only(Kind::Fragment)
        }
    }
}

/// Nothing to be read of TCP.
#[inline(always)]
fn only(kind: Kind) -> (Kind, Tcp) {
    (kind, Tcp::default())
}

/// RFC 9293. A first fragment may end behind the ports: they suffice.
#[inline(always)]
fn tcp(packet: &(impl Packet + ?Sized), start: usize) -> (Kind, Tcp) {
    let Some([s0, s1, d0, d1]) = packet.load::<TCP_PORTS_LEN>(start) else {
        return only(Kind::Truncated);
    };
    let [length, flags] = packet
        .load::<2>(start + TCP_FLAGS_LEN - 2)
        .unwrap_or_default();
    let tcp = Tcp {
        source_port: u16::from_ne_bytes([s0, s1]),
        destination_port: u16::from_ne_bytes([d0, d1]),
        flags: u32::from(flags),
        payload_offset: start as u32 + u32::from(length >> 4) * 4,
    };
    (Kind::Tcp, tcp)
}
