//! The host's network interfaces, as the kernel lists them for this process's network namespace.

use std::{collections::BTreeMap, io, net::IpAddr};

use gateway_common::Link;

use crate::control_plane::netlink::{attributes, dump, number, short};

/// `ARPHRD_RAWIP` (`linux/if_arp.h`).
const RAW_IP: u16 = 519;
/// `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;
/// Attributes within `IFLA_XDP` that hold a program's id (`linux/if_link.h`): the only one, or those in the
/// driver, in the stack and in the card.
const XDP_PROGRAM_IDS: std::ops::RangeInclusive<u16> = 4..=7;

/// One interface at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// `ARPHRD_*` (`linux/if_arp.h`).
    pub(super) kind: u16,
    pub(super) is_loopback: bool,
    pub(super) is_up: bool,
    /// With the lengths of their prefixes.
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// Id of the XDP program that is attached, whoever did it.
    pub(super) xdp: Option<u32>,
}

/// All interfaces.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn list() -> io::Result<Vec<Interface>> {
    let mut body = vec![0; LINK_HEADER_BYTES];
    // An attribute of four bytes that leaves out the links' statistics.
    body.extend_from_slice(&8_u16.to_ne_bytes());
    body.extend_from_slice(&libc::IFLA_EXT_MASK.to_ne_bytes());
    body.extend_from_slice(&libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let links = dump(libc::RTM_GETLINK, &body, link)?;
    let mut interfaces: BTreeMap<_, _> = (links.into_iter())
        .map(|interface| (interface.index, interface))
        .collect();
    for (index, address, prefix) in dump(libc::RTM_GETADDR, &[0; ADDRESS_HEADER_BYTES], address)? {
        // One that came meanwhile is seen at the next look.
        if let Some(interface) = interfaces.get_mut(&index) {
            interface.addresses.push((address, prefix));
        }
    }
    Ok(interfaces.into_values().collect())
}

impl Interface {
    /// What its frames begin with; `None` for a kind whose header the programs cannot read.
    pub(super) fn link(&self) -> Option<Link> {
        match self.kind {
            libc::ARPHRD_ETHER => Some(Link::Ethernet),
            libc::ARPHRD_NONE
            | libc::ARPHRD_PPP
            | RAW_IP
            | libc::ARPHRD_TUNNEL
            | libc::ARPHRD_TUNNEL6
            | libc::ARPHRD_SIT
            | libc::ARPHRD_IPGRE => Some(Link::Ip),
            _ => None,
        }
    }
}

/// What `RTM_NEWLINK` tells.
fn link(body: &[u8]) -> Option<Interface> {
    let (header, rest) = body.split_at_checked(LINK_HEADER_BYTES)?;
    let kind = short(&header[2..])?;
    let flags = number(&header[8..])?;
    let mut interface = Interface {
        index: number(&header[4..])?,
        name: String::new(),
        kind,
        is_loopback: kind == libc::ARPHRD_LOOPBACK,
        is_up: flags & libc::IFF_UP as u32 != 0,
        addresses: Vec::new(),
        xdp: None,
    };
    for (attribute, value) in attributes(rest) {
        match attribute {
            libc::IFLA_IFNAME => {
                let name = value.strip_suffix(&[0]).unwrap_or(value);
                interface.name = String::from_utf8_lossy(name).into_owned();
            }
            libc::IFLA_XDP => {
                let id =
                    |(kind, value)| (XDP_PROGRAM_IDS.contains(&kind)).then(|| number(value))?;
                interface.xdp = attributes(value).find_map(id);
            }
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

/// What `RTM_NEWADDR` tells: index, address, length of the prefix.
fn address(body: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let (header, rest) = body.split_at_checked(ADDRESS_HEADER_BYTES)?;
    let mut found = None;
    for (attribute, value) in attributes(rest) {
        match attribute {
            // At a point-to-point link `IFA_ADDRESS` is the other end's.
            libc::IFA_LOCAL => found = ip(value),
            libc::IFA_ADDRESS => found = found.or_else(|| ip(value)),
            _ => {}
        }
    }
    Some((number(&header[4..])?, found?, header[1]))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_as_what_it_is() {
        let interfaces = list().unwrap();
        let lo = interfaces.iter().find(|one| one.name == "lo").unwrap();
        assert!(lo.is_loopback && lo.index > 0);
        assert_eq!(lo.link(), None);
    }

    #[test]
    fn its_addresses_are_those_that_others_see() {
        let seen: Vec<_> = list().unwrap();
        let mut expected = 0;
        for entry in nix::ifaddrs::getifaddrs().unwrap() {
            let Some(storage) = entry.address else {
                continue;
            };
            let v4 = storage.as_sockaddr_in().map(|one| IpAddr::V4(one.ip()));
            let v6 = || storage.as_sockaddr_in6().map(|one| IpAddr::V6(one.ip()));
            let Some(address) = v4.or_else(v6) else {
                continue;
            };
            let interface = seen.iter().find(|one| one.name == entry.interface_name);
            let addresses = &interface.unwrap().addresses;
            assert!(
                addresses.iter().any(|(one, _)| *one == address),
                "{address}"
            );
            expected += 1;
        }
        let all: usize = seen.iter().map(|one| one.addresses.len()).sum();
        assert_eq!(all, expected);
        assert!(all > 0);
    }

    #[test]
    fn cut_messages_are_no_interface() {
        let mut body = vec![0; LINK_HEADER_BYTES];
        body[4] = 7;
        // An attribute: the name `e0`.
        body.extend([7, 0, libc::IFLA_IFNAME as u8, 0, b'e', b'0', 0, 0]);
        // XDP by another: mode, then the program's id.
        body.extend([20, 0, libc::IFLA_XDP as u8, 0]);
        body.extend([5, 0, 2, 0, 1, 0, 0, 0, 8, 0, 4, 0, 42, 0, 0, 0]);
        let whole = link(&body).unwrap();
        assert_eq!(
            (whole.index, whole.name.as_str(), whole.xdp),
            (7, "e0", Some(42))
        );
        for length in 0..LINK_HEADER_BYTES + 7 {
            assert_eq!(link(&body[..length]), None, "{length}");
        }
    }
}
