//! From a packet to a reason. What must be looked up in a map is left to the caller, so that kernel and
//! host share the rest.

use crate::{Config, Datagram, Kind, Packet, Reason};

/// A judgement of a packet on the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The reason if the other end is a known peer.
    pub known: Reason,
    /// The reason if it is not. The same one where it does not matter.
    pub unknown: Reason,
}

impl Judgement {
    #[inline(always)]
    const fn settled(reason: Reason) -> Self {
        Self {
            known: reason,
            unknown: reason,
        }
    }

    /// Does it depend on the peer?
    #[inline(always)]
    pub const fn asks_for_peer(&self) -> bool {
        self.known as u32 != self.unknown as u32
    }
}

/// On an interface that is not the overlay's: nothing may come to the endpoint, whoever it says it is.
#[inline(always)]
pub fn judge_outer(
    config: &Config,
    packet: &(impl Packet + ?Sized),
    datagram: &Datagram,
) -> Reason {
    if !is_for_endpoint(config, packet, datagram) {
        return elsewhere(datagram);
    }
    match datagram.kind {
        Kind::NotIp => Reason::NotIp,
        Kind::Other => Reason::Other,
        Kind::Tcp => Reason::NotOverlay,
        Kind::Fragment => Reason::Fragment,
        Kind::ExtensionHeaders => Reason::ExtensionHeaders,
        Kind::Truncated => Reason::Truncated,
    }
}

/// Into the overlay's device: only peers come to the endpoint. The other end is the source.
#[inline(always)]
pub fn judge_ingress(
    config: &Config,
    packet: &(impl Packet + ?Sized),
    datagram: &Datagram,
) -> Judgement {
    if !is_for_endpoint(config, packet, datagram) {
        return Judgement::settled(elsewhere(datagram));
    }
    if !config.has_in_overlay(&datagram.source(packet)) {
        return Judgement::settled(Reason::OutsideOverlay);
    }
    let known = match datagram.kind {
        Kind::Tcp => Reason::FromPeer,
        Kind::NotIp | Kind::Other | Kind::Fragment | Kind::ExtensionHeaders | Kind::Truncated => {
            Reason::FromPeerHidden
        }
    };
    Judgement {
        known,
        unknown: Reason::UnknownPeer,
    }
}

/// Out of the overlay's device: nothing is dropped, the endpoint's answers are counted. The other end is
/// the destination.
#[inline(always)]
pub fn judge_egress(
    config: &Config,
    packet: &(impl Packet + ?Sized),
    datagram: &Datagram,
) -> Judgement {
    let is_endpoints = matches!(datagram.kind, Kind::Tcp)
        && config.has_port(datagram.tcp.source_port)
        && config.has_address(&datagram.source(packet));
    if is_endpoints {
        Judgement {
            known: Reason::ToPeer,
            unknown: Reason::ToStranger,
        }
    } else {
        Judgement::settled(elsewhere(datagram))
    }
}

/// To the endpoint's address, and to its port as far as one can be read. Ports first: they settle most of a
/// host's traffic with one comparison.
#[inline(always)]
fn is_for_endpoint(config: &Config, packet: &(impl Packet + ?Sized), datagram: &Datagram) -> bool {
    let may_be = match datagram.kind {
        Kind::NotIp | Kind::Other => false,
        Kind::Tcp => config.has_port(datagram.tcp.destination_port),
        Kind::Fragment | Kind::ExtensionHeaders | Kind::Truncated => true,
    };
    may_be && config.has_address(&datagram.destination(packet))
}

#[inline(always)]
const fn elsewhere(datagram: &Datagram) -> Reason {
    match datagram.kind {
        Kind::NotIp => Reason::NotIp,
        Kind::Tcp | Kind::Other | Kind::Fragment | Kind::ExtensionHeaders | Kind::Truncated => {
            Reason::Other
        }
    }
}
