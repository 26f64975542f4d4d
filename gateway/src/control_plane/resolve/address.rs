//! Which addresses an upstream may have. A provider's host name is only as trustworthy as its DNS, so
//! the answer is checked, and the worker connects to the very address that was checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    #[error("the address is unspecified or reserved")]
    Reserved,
    #[error("the address is multicast or broadcast")]
    Multicast,
    #[error("the address is link-local")]
    LinkLocal,
    #[error("the address serves a cloud's instance metadata")]
    Metadata,
    #[error("the address is this machine's own, and the provider does not allow private addresses")]
    Loopback,
    #[error("the address is private, and the provider does not allow private addresses")]
    Private,
}

/// Instance metadata services outside the link-local ranges: AWS over IPv6, Alibaba Cloud, Oracle Cloud.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// The address to connect to; an IPv4-mapped one becomes plain IPv4.
///
/// # Errors
/// The reason why nothing may be sent there. `allow_private` lets loopback and private addresses pass
/// (self-hosted servers); link-local, metadata and multicast addresses never pass.
pub fn check(address: IpAddr, allow_private: bool) -> Result<IpAddr, AddressRefused> {
    let address = address.to_canonical();
    let reached = behind_nat64(address).map_or(address, IpAddr::V4);
    if METADATA.contains(&reached) {
        return Err(AddressRefused::Metadata);
    }
    match reached {
        IpAddr::V4(v4) => check_v4(v4, allow_private)?,
        IpAddr::V6(v6) => check_v6(v6, allow_private)?,
    }
    Ok(address)
}

fn check_v4(address: Ipv4Addr, allow_private: bool) -> Result<(), AddressRefused> {
    let [a, b, ..] = address.octets();
    let carrier_grade_nat = a == 100 && b & 0xc0 == 64;
    if a == 0 {
        Err(AddressRefused::Reserved)
    } else if address.is_link_local() {
        Err(AddressRefused::LinkLocal)
    } else if address.is_multicast() || address.is_broadcast() {
        Err(AddressRefused::Multicast)
    } else if a >= 240 {
        Err(AddressRefused::Reserved)
    } else if address.is_loopback() && !allow_private {
        Err(AddressRefused::Loopback)
    } else if (address.is_private() || carrier_grade_nat) && !allow_private {
        Err(AddressRefused::Private)
    } else {
        Ok(())
    }
}

fn check_v6(address: Ipv6Addr, allow_private: bool) -> Result<(), AddressRefused> {
    let site_local = address.segments()[0] & 0xffc0 == 0xfec0;
    if address.is_unspecified() {
        Err(AddressRefused::Reserved)
    } else if address.is_unicast_link_local() {
        Err(AddressRefused::LinkLocal)
    } else if address.is_multicast() {
        Err(AddressRefused::Multicast)
    } else if address.is_loopback() && !allow_private {
        Err(AddressRefused::Loopback)
    } else if (address.is_unique_local() || site_local) && !allow_private {
        Err(AddressRefused::Private)
    } else {
        Ok(())
    }
}

/// The IPv4 address that a packet to NAT64's well-known prefix (`64:ff9b::a.b.c.d`, RFC 6052) reaches.
fn behind_nat64(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    match v6.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use AddressRefused::{LinkLocal, Loopback, Metadata, Multicast, Private, Reserved};

    use super::*;

    #[test]
    fn verdicts() {
        // Address, without and with allow_private.
        let table: &[(&str, Option<AddressRefused>, Option<AddressRefused>)] = &[
            ("8.8.8.8", None, None),
            ("2606:4700::6810:7b60", None, None),
            ("127.0.0.1", Some(Loopback), None),
            ("127.8.9.1", Some(Loopback), None),
            ("::1", Some(Loopback), None),
            ("10.1.2.3", Some(Private), None),
            ("172.16.0.1", Some(Private), None),
            ("172.32.0.1", None, None),
            ("192.168.1.1", Some(Private), None),
            ("100.64.0.1", Some(Private), None),
            ("100.127.255.255", Some(Private), None),
            ("100.128.0.1", None, None),
            ("fd12::1", Some(Private), None),
            ("fec0::1", Some(Private), None),
            ("169.254.169.254", Some(LinkLocal), Some(LinkLocal)),
            ("fe80::1", Some(LinkLocal), Some(LinkLocal)),
            ("fd00:ec2::254", Some(Metadata), Some(Metadata)),
            ("100.100.100.200", Some(Metadata), Some(Metadata)),
            ("192.0.0.192", Some(Metadata), Some(Metadata)),
            ("0.0.0.0", Some(Reserved), Some(Reserved)),
            ("0.1.2.3", Some(Reserved), Some(Reserved)),
            ("::", Some(Reserved), Some(Reserved)),
            ("240.0.0.1", Some(Reserved), Some(Reserved)),
            ("255.255.255.255", Some(Multicast), Some(Multicast)),
            ("224.0.0.1", Some(Multicast), Some(Multicast)),
            ("ff02::1", Some(Multicast), Some(Multicast)),
            ("::ffff:169.254.169.254", Some(LinkLocal), Some(LinkLocal)),
            ("::ffff:127.0.0.1", Some(Loopback), None),
            ("::ffff:10.0.0.1", Some(Private), None),
            ("64:ff9b::a9fe:a9fe", Some(LinkLocal), Some(LinkLocal)),
            ("64:ff9b::0a00:0001", Some(Private), None),
        ];
        for (text, strict, relaxed) in table {
            let address: IpAddr = text.parse().expect("the table holds addresses");
            assert_eq!(check(address, false).err(), *strict, "{text}");
            assert_eq!(check(address, true).err(), *relaxed, "{text} with private");
        }
    }

    #[test]
    fn mapped_addresses_are_unwrapped() {
        let mapped: IpAddr = "::ffff:8.8.8.8".parse().expect("an address");
        assert_eq!(check(mapped, false), Ok([8, 8, 8, 8].into()));
        // Behind NAT64 the IPv6 address is the only way there.
        let translated: IpAddr = "64:ff9b::808:808".parse().expect("an address");
        assert_eq!(check(translated, false), Ok(translated));
    }
}
