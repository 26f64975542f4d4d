//! The `wireguard` source.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::Denial;

/// A network that a key may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedIp {
    pub address: IpAddr,
    pub prefix: u8,
}

impl fmt::Display for AllowedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl AllowedIp {
    /// The address, where the network is no more than one.
    fn host(self) -> Option<IpAddr> {
        let whole = match self.address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (self.prefix == whole).then_some(self.address)
    }
}

/// What the device allows to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicePeers {
    /// By public key, in base64.
    pub by_key: BTreeMap<String, Vec<AllowedIp>>,
    /// It was read a moment ago.
    pub usable: bool,
}

impl DevicePeers {
    /// Networks that this key may use; nobody can be told by them.
    pub fn networks(&self, key: &str) -> impl Iterator<Item = AllowedIp> {
        let allowed = self.by_key.get(key).into_iter().flatten();
        allowed.filter(|ip| ip.host().is_none()).copied()
    }

    /// The addresses that only this key can have, or why there are none.
    pub(super) fn addresses(&self, key: &str) -> (Vec<IpAddr>, Option<Denial>) {
        if !self.usable {
            return (Vec::new(), Some(Denial::SourceStale));
        }
        let Some(allowed) = self.by_key.get(key) else {
            return (Vec::new(), Some(Denial::KeyUnknown));
        };
        let hosts: Vec<_> = allowed.iter().filter_map(|ip| ip.host()).collect();
        let denial = match (hosts.is_empty(), allowed.is_empty()) {
            (false, _) => None,
            (true, false) => Some(Denial::NetworksOnly),
            (true, true) => Some(Denial::NoAddress),
        };
        (hosts, denial)
    }
}
