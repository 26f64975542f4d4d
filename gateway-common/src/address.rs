//! Addresses and networks as the maps hold them.

use core::net::IpAddr;

/// Length of an address in bits.
const BITS: u8 = 128;
/// Where an IPv4 address begins in its IPv4-mapped form, in bits.
const V4_BITS: u8 = 96;

/// An IP address, IPv4 in its IPv4-mapped form (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2). The words hold the
/// bytes in network order, so that a packet's bytes are compared as they lie in memory. Two of them, not
/// four: the programs have few registers.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    words: [u64; 2],
}

impl Address {
    /// From the four bytes in a packet.
    #[inline(always)]
    pub const fn from_v4([a, b, c, d]: [u8; 4]) -> Self {
        Self {
            words: [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])],
        }
    }

    /// From the sixteen bytes in a packet.
    #[inline(always)]
    pub const fn from_v6(o: [u8; 16]) -> Self {
        Self {
            words: [
                u64::from_ne_bytes([o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]]),
                u64::from_ne_bytes([o[8], o[9], o[10], o[11], o[12], o[13], o[14], o[15]]),
            ],
        }
    }

    /// The sixteen bytes in network order.
    pub fn octets(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        for (target, word) in octets.chunks_exact_mut(8).zip(self.words) {
            target.copy_from_slice(&word.to_ne_bytes());
        }
        octets
    }

    /// The address as the standard library knows it; an IPv4-mapped one is IPv4.
    pub fn ip(&self) -> IpAddr {
        IpAddr::from(self.octets()).to_canonical()
    }

    /// Equality that looks at the last word first: that is where the addresses of one host differ.
    #[inline(always)]
    pub const fn is(&self, other: &Self) -> bool {
        self.words[1] == other.words[1] && self.words[0] == other.words[0]
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            // An IPv4-mapped address is already what we would make of the IPv4 one.
            IpAddr::V6(v6) => Self::from_v6(v6.octets()),
        }
    }
}

/// The prefix is longer than its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixTooLong;

/// A network: an address and its prefix.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Network {
    /// Zero outside the mask.
    address: Address,
    mask: Address,
}

impl Network {
    /// The network that `address` lies in; bits behind the prefix are ignored.
    ///
    /// # Errors
    /// When `prefix` is longer than 32 (IPv4) or 128 (IPv6) bits.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, PrefixTooLong> {
        let bits = match address {
            IpAddr::V4(_) => V4_BITS.saturating_add(prefix),
            IpAddr::V6(_) => prefix,
        };
        if bits > BITS {
            return Err(PrefixTooLong);
        }
        // A shift by the whole width is an overflow: that is the empty mask.
        let mask = u128::MAX.checked_shl(u32::from(BITS - bits)).unwrap_or(0);
        let mask = Address::from_v6(mask.to_be_bytes());
        let mut address = Address::from(address);
        for (word, mask) in address.words.iter_mut().zip(mask.words) {
            *word &= mask;
        }
        Ok(Self { address, mask })
    }

    #[inline(always)]
    pub const fn contains(&self, address: &Address) -> bool {
        let (own, mask, other) = (&self.address.words, &self.mask.words, &address.words);
        own[1] == other[1] & mask[1] && own[0] == other[0] & mask[0]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["100.64.1.2", "0.0.0.0", "255.255.255.255", "::", "fd00::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(ip).ip(), ip, "{text}");
        }
        assert_eq!(address("::ffff:1.2.3.4"), address("1.2.3.4"));
        assert_eq!(
            address("1.2.3.4").octets(),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]
        );
    }

    #[test]
    fn networks_contain_what_their_prefix_says() {
        for (network, prefix, inside, expected) in [
            ("100.64.0.0", 10, "100.127.255.255", true),
            ("100.64.0.0", 10, "100.128.0.0", false),
            ("100.64.7.7", 16, "100.64.0.1", true),
            ("100.64.7.7", 32, "100.64.7.7", true),
            ("100.64.7.7", 32, "100.64.7.6", false),
            ("0.0.0.0", 0, "8.8.8.8", true),
            ("0.0.0.0", 0, "fd00::1", false),
            ("fd00:1::", 64, "fd00:1::ffff", true),
            ("fd00:1::", 64, "fd00:2::1", false),
            ("::", 0, "fd00::1", true),
            ("fd00::1", 128, "fd00::1", true),
            ("fd00::1", 128, "fd00::2", false),
        ] {
            let network = Network::new(network.parse().unwrap(), prefix).unwrap();
            assert_eq!(
                network.contains(&address(inside)),
                expected,
                "{network:?} {inside}"
            );
        }
    }

    #[test]
    fn a_prefix_beyond_the_address_is_refused() {
        for (network, prefix) in [("1.2.3.4", 33), ("1.2.3.4", 255), ("::", 129)] {
            let network = network.parse().unwrap();
            assert_eq!(Network::new(network, prefix), Err(PrefixTooLong));
        }
    }
}
