//! Counters: per peer and direction, and per interface and reason.

use crate::{Datagram, Kind, REASONS};

/// Most peers. The map's memory grows with the peers that are there; only its table of buckets (2 MiB) is
/// taken at once.
pub const PEERS_MAX: u32 = 131_072;
/// Most interfaces with counters of their own; further ones are counted together under index 0.
pub const INTERFACES_MAX: u32 = 4096;

/// The endpoint's traffic with one peer, in one direction. A cache line of its own, so that the CPUs that
/// receive and the ones that send do not take it from each other.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// As on the wire: one that the kernel merged or has yet to split counts as its segments.
    pub packets: u64,
    /// From the IP header on, as on the wire.
    pub bytes: u64,
    /// Ingress: SYNs from the peer. Egress: SYN-ACKs to it, that is, accepted connections. Repeated ones
    /// count again.
    pub connections: u64,
    /// Packets with RST.
    pub resets: u64,
    /// Nanoseconds on the monotonic clock, as exact as the kernel's tick; 0 before the first packet.
    pub first_seen_ns: u64,
    /// As `first_seen_ns`.
    pub last_seen_ns: u64,
    reserved: [u64; 2],
}

/// What the peers' map holds for one address: that it is known, and its traffic.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerFlows {
    /// From the peer to the endpoint.
    pub ingress: Flow,
    /// From the endpoint to the peer.
    pub egress: Flow,
}

const _: () = assert!(size_of::<Flow>() == 64 && size_of::<PeerFlows>() == 128);

/// Packets and bytes of one reason on one interface and CPU, counted as in [`Flow`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter {
    pub packets: u64,
    /// From the IP header on; whole frames where there is none.
    pub bytes: u64,
}

/// All reasons of one interface on one CPU, by [`Reason::index`](crate::Reason::index).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub by_reason: [Counter; REASONS],
}

/// What one buffer of the kernel counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    pub packets: u64,
    pub bytes: u64,
}

impl Weight {
    /// `length` is the buffer's with its link header, `segment` the payload of each TCP segment that it
    /// stands for (`gso_size`), 0 when it is one packet.
    #[inline(always)]
    pub fn of(length: u32, segment: u32, datagram: &Datagram) -> Self {
        let start = datagram.network_offset;
        let bytes = u64::from(length.saturating_sub(start));
        if !matches!(datagram.kind, Kind::Tcp) {
            return Self::single(bytes);
        }
        let headers = u64::from(datagram.tcp.payload_offset.saturating_sub(start));
        if segment == 0 || bytes <= headers {
            return Self::single(bytes);
        }
        // At least 1, as there is payload.
        let packets = (bytes - headers).div_ceil(u64::from(segment));
        Self {
            packets,
            bytes: bytes + (packets - 1) * headers,
        }
    }

    #[inline(always)]
    const fn single(bytes: u64) -> Self {
        Self { packets: 1, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tcp;

    #[test]
    fn merged_segments_count_as_they_were_on_the_wire() {
        let not_ip = Datagram::default();
        let other = Datagram {
            kind: Kind::Other,
            network_offset: 14,
            ..not_ip
        };
        let tcp = Datagram {
            kind: Kind::Tcp,
            tcp: Tcp {
                payload_offset: 14 + 40,
                ..Tcp::default()
            },
            ..other
        };
        for (length, segment, datagram, packets, bytes) in [
            (60, 0, &not_ip, 1, 60),
            (60, 0, &other, 1, 46),
            // A merged UDP packet is nobody's to judge.
            (3000, 1000, &other, 1, 2986),
            (54, 0, &tcp, 1, 40),
            (54, 1000, &tcp, 1, 40),
            (55, 1000, &tcp, 1, 41),
            (54 + 1000, 1000, &tcp, 1, 1040),
            (54 + 1001, 1000, &tcp, 2, 1081),
            (54 + 3000, 1000, &tcp, 3, 3120),
            // Shorter than its own headers.
            (10, 1000, &tcp, 1, 0),
        ] {
            assert_eq!(
                Weight::of(length, segment, datagram),
                Weight { packets, bytes },
                "{length} {segment} {datagram:?}"
            );
        }
    }
}
