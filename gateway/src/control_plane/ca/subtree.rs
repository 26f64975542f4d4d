//! What the CA may vouch for (RFC 5280 section 4.2.1.10): one domain, and addresses that mean nothing on
//! the Internet.

use std::net::IpAddr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};

/// Loopback (RFC 1122), private (RFC 1918) and shared (RFC 6598, the usual overlay) IPv4 addresses.
const PRIVATE_V4: [([u8; 4], u8); 5] = [
    ([127, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
    ([100, 64, 0, 0], 10),
];
/// Loopback and unique local (RFC 4193) IPv6 addresses.
const PRIVATE_V6: [([u16; 8], u8); 2] = [
    ([0, 0, 0, 0, 0, 0, 0, 1], 128),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
];

pub(super) fn constraints(domain: &str) -> NameConstraints {
    let mut permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_ascii_lowercase())];
    for (address, bits) in private_subnets() {
        let subnet = CidrSubnet::from_addr_prefix(address, bits);
        permitted_subtrees.push(GeneralSubtree::IpAddress(subnet));
    }
    NameConstraints {
        permitted_subtrees,
        excluded_subtrees: Vec::new(),
    }
}

/// `name` is `domain` or below it; both in lower case.
pub(super) fn contains(domain: &str, name: &str) -> bool {
    match name.strip_suffix(domain) {
        Some(rest) => rest.is_empty() || (rest.len() > 1 && rest.ends_with('.')),
        None => false,
    }
}

pub(super) fn is_private(address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        // Shifted to the top, so that one mask serves both.
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    private_subnets().any(|(subnet, prefix)| {
        let mask = u128::MAX << (128 - u32::from(prefix));
        subnet.is_ipv4() == address.is_ipv4() && bits(subnet) & mask == bits(address) & mask
    })
}

fn private_subnets() -> impl Iterator<Item = (IpAddr, u8)> {
    let v4 = PRIVATE_V4
        .into_iter()
        .map(|(address, bits)| (IpAddr::from(address), bits));
    let v6 = PRIVATE_V6
        .into_iter()
        .map(|(address, bits)| (IpAddr::from(address), bits));
    v4.chain(v6)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_below_the_domain() {
        let cases = [
            ("keyway.internal", true),
            ("brave-otter.keyway.internal", true),
            ("a.b.keyway.internal", true),
            ("evilkeyway.internal", false),
            (".keyway.internal", false),
            ("internal", false),
            ("keyway.internal.example.com", false),
            ("", false),
        ];
        for (name, expected) in cases {
            assert_eq!(contains("keyway.internal", name), expected, "{name}");
        }
    }

    #[test]
    fn private_addresses() {
        let cases = [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.0.1", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("100.128.0.1", false),
            ("8.8.8.8", false),
            ("::1", true),
            ("::2", false),
            ("fd00::1", true),
            ("fe80::1", false),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", false),
        ];
        for (address, expected) in cases {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }
}
