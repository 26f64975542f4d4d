//! Why a packet was passed or dropped.

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on as if the program were not there.
    Pass,
    /// Is gone, without an answer.
    Drop,
}

/// The closed set of reasons. The numbers are those of the counters in the maps: they stay, new ones are
/// added at the end, and [`ABI_VERSION`](crate::ABI_VERSION) grows when one changes its meaning.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Not IP, or too short to hold an IP header.
    NotIp = 0,
    /// Not the endpoint's address and port.
    Other = 1,
    /// On the overlay: from a known peer to the endpoint.
    FromPeer = 2,
    /// On the overlay: from a known peer to the endpoint's address, where the port cannot be read. The
    /// peer may reach the endpoint anyway, so nothing is lost by passing it.
    FromPeerHidden = 3,
    /// On the overlay: from the endpoint to a known peer.
    ToPeer = 4,
    /// On the overlay: from the endpoint to an address that is no peer's, such as the rest of a
    /// connection whose peer was removed.
    ToStranger = 5,
    /// To the endpoint, on an interface that is not the overlay's.
    NotOverlay = 6,
    /// To the endpoint's address on another interface: a fragment without the port.
    Fragment = 7,
    /// To the endpoint's address on another interface: IPv6 extension headers of an unknown kind, or more
    /// than [`EXTENSION_HEADERS_MAX`](crate::EXTENSION_HEADERS_MAX).
    ExtensionHeaders = 8,
    /// To the endpoint's address on another interface: ends before the port.
    Truncated = 9,
    /// On the overlay, to the endpoint: from an address outside the overlay's networks.
    OutsideOverlay = 10,
    /// On the overlay, to the endpoint: from an address of the overlay that is no known peer's.
    UnknownPeer = 11,
}

/// How many reasons there are.
pub const REASONS: usize = Reason::ALL.len();

impl Reason {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::NotIp,
        Self::Other,
        Self::FromPeer,
        Self::FromPeerHidden,
        Self::ToPeer,
        Self::ToStranger,
        Self::NotOverlay,
        Self::Fragment,
        Self::ExtensionHeaders,
        Self::Truncated,
        Self::OutsideOverlay,
        Self::UnknownPeer,
    ];

    /// The whole policy: what happens for which reason.
    #[inline(always)]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::NotIp => Verdict::Pass,
            Self::Other => Verdict::Pass,
            Self::FromPeer => Verdict::Pass,
            Self::FromPeerHidden => Verdict::Pass,
            Self::ToPeer => Verdict::Pass,
            Self::ToStranger => Verdict::Pass,
            Self::NotOverlay => Verdict::Drop,
            Self::Fragment => Verdict::Drop,
            Self::ExtensionHeaders => Verdict::Drop,
            Self::Truncated => Verdict::Drop,
            Self::OutsideOverlay => Verdict::Drop,
            Self::UnknownPeer => Verdict::Drop,
        }
    }

    /// The name in metrics, tables and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Other => "other",
            Self::FromPeer => "from_peer",
            Self::FromPeerHidden => "from_peer_hidden",
            Self::ToPeer => "to_peer",
            Self::ToStranger => "to_stranger",
            Self::NotOverlay => "not_overlay",
            Self::Fragment => "fragment",
            Self::ExtensionHeaders => "extension_headers",
            Self::Truncated => "truncated",
            Self::OutsideOverlay => "outside_overlay",
            Self::UnknownPeer => "unknown_peer",
        }
    }

    /// Its place among the counters.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_numbers() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), number, "{reason:?}");
        }
    }

    #[test]
    fn names_differ() {
        for one in Reason::ALL {
            let same = Reason::ALL
                .iter()
                .filter(|other| other.name() == one.name());
            assert_eq!(same.count(), 1, "{one:?}");
        }
    }
}
