//! The kernel's WireGuard devices (`linux/wireguard.h`). An answer holds the device's private key too; it
//! is passed over, and the buffer is wiped when it is freed, as all are.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{AllowedIp, Keys, encoded};
use crate::control_plane::netlink::{attribute, attributes, generic};

const FAMILY: &str = "wireguard";
const VERSION: u8 = 1;
const GET_DEVICE: u8 = 0;
/// `WGDEVICE_A_*`.
const DEVICE_NAME: u16 = 2;
const DEVICE_PEERS: u16 = 8;
/// `WGPEER_A_*`.
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_ALLOWED_IPS: u16 = 9;
/// `WGALLOWEDIP_A_*`.
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_PREFIX: u16 = 3;

/// `None` when the kernel knows no WireGuard device of this name.
///
/// # Errors
/// When it does, and does not tell: without CAP_NET_ADMIN for one.
pub(super) fn read(device: &str) -> io::Result<Option<Keys>> {
    let Some(family) = generic::family(FAMILY)? else {
        return Ok(None);
    };
    let name = attribute(DEVICE_NAME, &[device.as_bytes(), b"\0"].concat());
    let parts = generic::dump(family, GET_DEVICE, VERSION, &name, |body| Some(peers(body)));
    match parts {
        Ok(parts) => Ok(Some(merged(parts.into_iter().flatten()))),
        Err(error) => match error.raw_os_error() {
            // None of this name, or none of the kernel's.
            Some(libc::ENODEV | libc::EOPNOTSUPP) => Ok(None),
            Some(_) | None => Err(error),
        },
    }
}

/// A peer whose list does not fit into a message goes on in the next one.
fn merged(parts: impl Iterator<Item = (String, Vec<AllowedIp>)>) -> Keys {
    let mut keys = Keys::new();
    for (key, allowed) in parts {
        keys.entry(key).or_default().extend(allowed);
    }
    keys
}

/// Of one message about the device.
fn peers(body: &[u8]) -> Vec<(String, Vec<AllowedIp>)> {
    let lists = attributes(body).filter(|(kind, _)| *kind == DEVICE_PEERS);
    let peers = lists.flat_map(|(_, list)| attributes(list));
    peers.filter_map(|(_, value)| peer(value)).collect()
}

fn peer(bytes: &[u8]) -> Option<(String, Vec<AllowedIp>)> {
    let mut key = None;
    let mut allowed = Vec::new();
    for (kind, value) in attributes(bytes) {
        match kind {
            PEER_PUBLIC_KEY => key = encoded(value),
            PEER_ALLOWED_IPS => {
                allowed.extend(attributes(value).filter_map(|(_, value)| allowed_ip(value)));
            }
            _ => {}
        }
    }
    Some((key?, allowed))
}

fn allowed_ip(bytes: &[u8]) -> Option<AllowedIp> {
    let mut address = None;
    let mut prefix = None;
    for (kind, value) in attributes(bytes) {
        match kind {
            ALLOWED_ADDRESS => {
                address = match value.len() {
                    4 => value
                        .first_chunk()
                        .map(|v4: &[u8; 4]| Ipv4Addr::from(*v4).into()),
                    16 => value
                        .first_chunk()
                        .map(|v6: &[u8; 16]| Ipv6Addr::from(*v6).into()),
                    _ => None,
                };
            }
            ALLOWED_PREFIX => prefix = value.first().copied(),
            _ => {}
        }
    }
    let address: IpAddr = address?;
    Some(AllowedIp {
        address,
        prefix: prefix?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use netlink_packet_core::Emitable as _;
    use netlink_packet_wireguard::{
        WireguardAddressFamily as Family, WireguardAllowedIp, WireguardAllowedIpAttr as Attr,
        WireguardAttribute, WireguardCmd, WireguardMessage, WireguardPeer,
        WireguardPeerAttribute as PeerAttr,
    };

    use super::*;

    /// A part of an answer, as another implementation writes it.
    fn message(peers: &[(u8, &[(&str, u8)])]) -> Vec<u8> {
        let allowed = |(address, prefix): &(&str, u8)| {
            let address: IpAddr = address.parse().unwrap();
            let family = match address {
                IpAddr::V4(_) => Family::Ipv4,
                IpAddr::V6(_) => Family::Ipv6,
            };
            let attributes = vec![
                Attr::Family(family),
                Attr::IpAddr(address),
                Attr::Cidr(*prefix),
            ];
            WireguardAllowedIp(attributes)
        };
        let peers = peers.iter().map(|(key, ips)| {
            WireguardPeer(vec![
                PeerAttr::PublicKey([*key; 32]),
                PeerAttr::PresharedKey([0xee; 32]),
                PeerAttr::RxBytes(7),
                PeerAttr::AllowedIps(ips.iter().map(allowed).collect()),
            ])
        });
        let message = WireguardMessage {
            cmd: WireguardCmd::GetDevice,
            attributes: vec![
                WireguardAttribute::IfName("wg0".to_owned()),
                WireguardAttribute::PrivateKey([0xff; 32]),
                WireguardAttribute::Peers(peers.collect()),
            ],
        };
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn a_device_in_parts_is_read_whole() {
        let parts = [
            message(&[(1, &[("10.0.0.1", 32), ("fd00::1", 128)]), (2, &[])]),
            message(&[(2, &[("10.0.0.2", 32)]), (3, &[("0.0.0.0", 0)])]),
            message(&[]),
        ];
        let keys = merged(parts.iter().flat_map(|part| peers(part)));
        let shown: Vec<_> = keys
            .iter()
            .map(|(key, ips)| {
                let ips: Vec<_> = ips.iter().map(ToString::to_string).collect();
                (key.clone(), ips.join(" "))
            })
            .collect();
        let expected = [
            (1, "10.0.0.1/32 fd00::1/128"),
            (2, "10.0.0.2/32"),
            (3, "0.0.0.0/0"),
        ]
        .map(|(key, ips)| (BASE64_STANDARD.encode([key; 32]), ips.to_owned()));
        assert_eq!(shown, expected);
    }

    #[test]
    fn half_of_an_answer_does_no_harm() {
        let whole = message(&[(1, &[("10.0.0.1", 32)])]);
        for length in 0..whole.len() {
            let read = peers(&whole[..length]);
            assert!(read.is_empty(), "{length}");
        }
    }
}
