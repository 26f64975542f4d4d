//! From a packet to a reason. What must be looked up in a map is left to the caller, so that kernel and
//! host share the rest.

use crate::{Address, Config, Datagram, Hidden, Reason, Transport};

/// A judgement that may need to know one thing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Settled(Reason),
    /// Depends on whether this address is a peer's.
    AskPeer {
        peer: Address,
        known: Reason,
        unknown: Reason,
    },
}

/// How a packet's destination relates to the endpoint.
enum Aim {
    Elsewhere,
    Endpoint,
    /// The endpoint's address; the port cannot be read.
    Unclear(Hidden),
}

/// On an interface that is not the overlay's: nothing may come to the endpoint, whoever it says it is.
#[inline(always)]
pub fn judge_outer(config: &Config, datagram: Option<&Datagram>) -> Reason {
    let Some(datagram) = datagram else {
        return Reason::NotIp;
    };
    match aim(config, datagram) {
        Aim::Elsewhere => Reason::Other,
        Aim::Endpoint => Reason::NotOverlay,
        Aim::Unclear(Hidden::Fragment) => Reason::Fragment,
        Aim::Unclear(Hidden::ExtensionHeaders) => Reason::ExtensionHeaders,
        Aim::Unclear(Hidden::Truncated) => Reason::Truncated,
    }
}

/// Into the overlay's device: only peers come to the endpoint.
#[inline(always)]
pub fn judge_ingress(config: &Config, datagram: Option<&Datagram>) -> Judgement {
    let Some(datagram) = datagram else {
        return Judgement::Settled(Reason::NotIp);
    };
    let known = match aim(config, datagram) {
        Aim::Elsewhere => return Judgement::Settled(Reason::Other),
        Aim::Endpoint => Reason::FromPeer,
        Aim::Unclear(_) => Reason::FromPeerHidden,
    };
    if !config.has_in_overlay(&datagram.source) {
        return Judgement::Settled(Reason::OutsideOverlay);
    }
    Judgement::AskPeer {
        peer: datagram.source,
        known,
        unknown: Reason::UnknownPeer,
    }
}

/// Out of the overlay's device: nothing is dropped, the endpoint's answers are counted.
#[inline(always)]
pub fn judge_egress(config: &Config, datagram: Option<&Datagram>) -> Judgement {
    let Some(datagram) = datagram else {
        return Judgement::Settled(Reason::NotIp);
    };
    match &datagram.transport {
        Transport::Tcp(tcp)
            if config.has_port(tcp.source_port) && config.has_address(&datagram.source) =>
        {
            Judgement::AskPeer {
                peer: datagram.destination,
                known: Reason::ToPeer,
                unknown: Reason::ToStranger,
            }
        }
        Transport::Tcp(_) | Transport::Hidden(_) | Transport::Other => {
            Judgement::Settled(Reason::Other)
        }
    }
}

// Ports first: they settle most of a host's traffic with one comparison.
#[inline(always)]
fn aim(config: &Config, datagram: &Datagram) -> Aim {
    match &datagram.transport {
        Transport::Tcp(tcp) => {
            if config.has_port(tcp.destination_port) && config.has_address(&datagram.destination) {
                Aim::Endpoint
            } else {
                Aim::Elsewhere
            }
        }
        Transport::Hidden(hidden) => {
            if config.has_address(&datagram.destination) {
                Aim::Unclear(*hidden)
            } else {
                Aim::Elsewhere
            }
        }
        Transport::Other => Aim::Elsewhere,
    }
}
