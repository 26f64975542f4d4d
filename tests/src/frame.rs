//! Frames for the kernel's programs, header by header, right or wrong as asked.

use std::net::{IpAddr, SocketAddr};

use gateway_common::Link;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;

pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

const TCP_LEN: usize = 20;

/// A frame to be. [`Self::bytes`] fills in lengths, and no checksums, as nobody looks at them before the
/// programs; [`Self::sealed`] is for the wire.
#[derive(Debug, Clone)]
pub struct Frame {
    source: SocketAddr,
    destination: SocketAddr,
    link: Link,
    protocol: u8,
    flags: u8,
    payload: usize,
    /// Types of VLAN tags, outermost first.
    tags: Vec<u16>,
    /// Bytes of IPv4 options.
    options: usize,
    /// IPv6 extension headers: kind and the length field.
    extensions: Vec<(u8, u8)>,
    /// Offset in 8 bytes, and whether more fragments follow.
    fragment: Option<(u16, bool)>,
    /// Cut off behind so many bytes of the transport header.
    cut: Option<usize>,
}

impl Frame {
    /// TCP with ACK, on Ethernet.
    ///
    /// # Panics
    /// When an address does not parse, or the families differ.
    pub fn new(source: &str, destination: &str) -> Self {
        let parse = |text: &str| text.parse::<SocketAddr>().expect("address:port");
        let (source, destination) = (parse(source), parse(destination));
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "one family");
        Self {
            source,
            destination,
            link: Link::Ethernet,
            protocol: TCP,
            flags: ACK,
            payload: 0,
            tags: Vec::new(),
            options: 0,
            extensions: Vec::new(),
            fragment: None,
            cut: None,
        }
    }

    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self
    }

    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    #[must_use]
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    #[must_use]
    pub fn tags(mut self, tags: &[u16]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    #[must_use]
    pub fn options(mut self, bytes: usize) -> Self {
        self.options = bytes;
        self
    }

    #[must_use]
    pub fn extensions(mut self, extensions: &[(u8, u8)]) -> Self {
        self.extensions = extensions.to_vec();
        self
    }

    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    #[must_use]
    pub fn cut(mut self, transport_bytes: usize) -> Self {
        self.cut = Some(transport_bytes);
        self
    }

    /// The frame's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut transport = self.transport();
        transport.truncate(self.cut.unwrap_or(usize::MAX));
        self.around(&transport)
    }

    /// The frame as another machine takes it: with checksums, and from and to these hardware addresses.
    pub fn sealed(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        self.addressed(from, to, &self.sealed_transport())
    }

    /// The same in two fragments; the second one does not show the port.
    pub fn sealed_fragments(&self, from: [u8; 6], to: [u8; 6]) -> [Vec<u8>; 2] {
        const UNIT: usize = 8;
        let transport = self.sealed_transport();
        let (first, second) = transport.split_at(UNIT);
        let part = |offset, more, piece| {
            let part = self.clone().fragment(offset, more);
            part.addressed(from, to, piece)
        };
        [part(0, true, first), part(1, false, second)]
    }

    fn addressed(&self, from: [u8; 6], to: [u8; 6], transport: &[u8]) -> Vec<u8> {
        let mut frame = self.around(transport);
        let ip = self.link_header().len();
        if ip > 0 {
            frame[..6].copy_from_slice(&to);
            frame[6..12].copy_from_slice(&from);
        }
        if self.source.is_ipv4() {
            let sum = checksum(&[&frame[ip..ip + 20 + self.options]]);
            frame[ip + 10..ip + 12].copy_from_slice(&sum);
        }
        frame
    }

    fn sealed_transport(&self) -> Vec<u8> {
        let mut transport = self.transport();
        let address = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let (source, destination) = (address(self.source.ip()), address(self.destination.ip()));
        let length = (transport.len() as u16).to_be_bytes();
        let tail = [0, self.protocol, length[0], length[1]];
        // In UDP the length comes first.
        let place = if self.protocol == TCP { 16 } else { 6 };
        if self.protocol == UDP {
            transport[4..6].copy_from_slice(&length);
        }
        let sum = checksum(&[&source, &destination, &tail, &transport]);
        transport[place..place + 2].copy_from_slice(&sum);
        transport
    }

    /// Link and IP headers, and this behind them.
    fn around(&self, transport: &[u8]) -> Vec<u8> {
        let mut frame = self.link_header();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = 20 + self.options;
                let total = (header + transport.len()) as u16;
                let fragment = self.fragment.map_or(0x4000, |(offset, more)| {
                    offset & 0x1fff | if more { 0x2000 } else { 0 }
                });
                frame.extend([0x40 | (header / 4) as u8, 0]);
                frame.extend(total.to_be_bytes());
                frame.extend([0x12, 0x34]);
                frame.extend(fragment.to_be_bytes());
                frame.extend([64, self.protocol, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                // NOP, NOP…
                frame.extend(vec![1; self.options]);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (first, extensions) = self.extension_headers();
                let length = (extensions.len() + transport.len()) as u16;
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([first, 64]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(extensions);
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                unreachable!("checked in new")
            }
        }
        frame.extend(transport);
        frame
    }

    fn link_header(&self) -> Vec<u8> {
        if self.link == Link::Ip {
            return Vec::new();
        }
        let mut header = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for tag in &self.tags {
            header.extend(tag.to_be_bytes());
            header.extend([0, 7]);
        }
        let ethertype: u16 = if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        header.extend(ethertype.to_be_bytes());
        header
    }

    /// The number in the IPv6 header, and the headers.
    fn extension_headers(&self) -> (u8, Vec<u8>) {
        let mut kinds: Vec<(u8, u8)> = self.extensions.clone();
        if self.fragment.is_some() {
            kinds.push((FRAGMENT, 0));
        }
        let mut bytes = Vec::new();
        for (place, (kind, length)) in kinds.iter().enumerate() {
            let next = kinds
                .get(place + 1)
                .map_or(self.protocol, |(next, _)| *next);
            let start = bytes.len();
            match *kind {
                FRAGMENT => {
                    let (offset, more) = self.fragment.unwrap_or_default();
                    bytes.extend([next, 0]);
                    bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
                    bytes.resize(start + 8, 0);
                }
                AUTHENTICATION => {
                    bytes.extend([next, *length]);
                    bytes.resize(start + (usize::from(*length) + 2) * 4, 0);
                }
                _ => {
                    bytes.extend([next, *length]);
                    bytes.resize(start + (usize::from(*length) + 1) * 8, 0);
                }
            }
        }
        (
            kinds.first().map_or(self.protocol, |(kind, _)| *kind),
            bytes,
        )
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        if self.protocol == TCP {
            bytes.resize(TCP_LEN, 0);
            bytes[12] = 5 << 4;
            bytes[13] = self.flags;
        } else {
            bytes.resize(8, 0);
        }
        bytes.resize(bytes.len() + self.payload, 0);
        bytes
    }
}

/// Internet checksum (RFC 1071); every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
