//! `Member`: a peer of whatever source, and whether it is let in. Snapshots and the management API look
//! at peers this way, so that what is shown is what is decided.

use std::{borrow::Cow, net::IpAddr};

use foldhash::{HashMap, HashMapExt as _};

use super::{Denial, Identity, Peer};
use crate::{
    config::IdentitySource,
    control_plane::resource::{GroupDoc, PeerDoc},
};

/// See the module.
#[derive(Debug)]
pub struct Member<'a> {
    pub source: IdentitySource,
    pub id: &'a str,
    pub name: &'a str,
    /// In canonical form.
    pub addresses: Cow<'a, [IpAddr]>,
    /// Of `addresses`, what another peer has too: nobody is let in from there.
    pub shared: Vec<IpAddr>,
    pub user_id: Option<&'a str>,
    pub user_email: Option<&'a str>,
    /// Group ids.
    pub groups: &'a [String],
    pub denial: Option<Denial>,
    /// Where it is a peer of the store.
    pub doc: Option<&'a PeerDoc>,
}

impl Identity {
    /// All peers of the store and of the other sources.
    pub fn members<'a>(&'a self, docs: &'a [PeerDoc]) -> Vec<Member<'a>> {
        let of_store = docs.iter().map(|doc| self.stored(doc));
        let netbird = self.netbird.iter();
        let of_netbird = netbird.flat_map(|map| {
            let peers = map.peers.iter();
            peers.map(|peer| of_peer(IdentitySource::Netbird, peer, map.usable))
        });
        let mut members: Vec<_> = of_store.chain(of_netbird).collect();
        find_shared(&mut members);
        members
    }

    /// All groups; where several name one, the last of them knows its name.
    pub fn groups<'a>(&'a self, docs: &'a [GroupDoc]) -> impl Iterator<Item = &'a GroupDoc> {
        let netbird = self.netbird.iter();
        docs.iter().chain(netbird.flat_map(|map| &map.groups))
    }

    /// One of the store, by itself.
    pub fn stored<'a>(&'a self, doc: &'a PeerDoc) -> Member<'a> {
        let (source, addresses, denial) = match &doc.public_key {
            None => {
                let off = (!self.uses_static).then_some(Denial::SourceOff);
                let addresses = canonical(&doc.addresses);
                (IdentitySource::Static, addresses, off)
            }
            Some(key) => {
                let (addresses, denial) = self
                    .wireguard
                    .as_ref()
                    .map_or((Vec::new(), Some(Denial::SourceOff)), |device| {
                        device.addresses(key)
                    });
                (IdentitySource::Wireguard, Cow::Owned(addresses), denial)
            }
        };
        let given = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        Member {
            source,
            id: &doc.id,
            name: &doc.name,
            addresses,
            shared: Vec::new(),
            user_id: given(&doc.user_id),
            user_email: given(&doc.user_email),
            groups: &doc.groups,
            denial: denial.or_else(|| doc.blocked.then_some(Denial::Blocked)),
            doc: Some(doc),
        }
    }
}

fn of_peer(source: IdentitySource, peer: &Peer, usable: bool) -> Member<'_> {
    Member {
        source,
        id: &peer.id,
        name: &peer.name,
        addresses: Cow::Borrowed(&peer.addresses),
        shared: Vec::new(),
        user_id: peer.user_id.as_deref(),
        user_email: peer.user_email.as_deref(),
        groups: &peer.groups,
        denial: match usable {
            true => peer.denial,
            false => Some(Denial::SourceStale),
        },
        doc: None,
    }
}

fn canonical(addresses: &[IpAddr]) -> Cow<'_, [IpAddr]> {
    let is_mapped = |address: &IpAddr| address.to_canonical() != *address;
    match addresses.iter().any(is_mapped) {
        true => addresses.iter().map(IpAddr::to_canonical).collect(),
        false => Cow::Borrowed(addresses),
    }
}

/// An address must name one peer; guessing could hand one peer's rights to another. One that is denied
/// has its address all the same.
fn find_shared(members: &mut [Member<'_>]) {
    let mut owners: HashMap<IpAddr, usize> = HashMap::with_capacity(members.len());
    let mut shared = Vec::new();
    for (place, member) in members.iter().enumerate() {
        if member.denial == Some(Denial::SourceOff) {
            continue;
        }
        for address in member.addresses.iter() {
            let owner = *owners.entry(*address).or_insert(place);
            if owner != place {
                shared.extend([(owner, *address), (place, *address)]);
            }
        }
    }
    for (place, address) in shared {
        let member = &mut members[place];
        if !member.shared.contains(&address) {
            member.shared.push(address);
        }
        if member.shared.len() == member.addresses.len() {
            member.denial = member.denial.or(Some(Denial::AddressShared));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::Timestamp;

    use super::{
        super::{AllowedIp, DevicePeers, NetbirdMap},
        *,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn doc(id: &str, addresses: &[&str]) -> PeerDoc {
        PeerDoc {
            id: id.to_owned(),
            name: id.to_owned(),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            public_key: None,
            user_id: None,
            user_email: None,
            groups: Vec::new(),
            blocked: false,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn with_key(id: &str, key: &str) -> PeerDoc {
        PeerDoc {
            public_key: Some(key.to_owned()),
            ..doc(id, &[])
        }
    }

    fn peer(id: &str, address: &str, denial: Option<Denial>) -> Peer {
        Peer {
            id: id.to_owned(),
            name: id.to_owned(),
            addresses: vec![ip(address)],
            user_id: None,
            user_email: None,
            groups: Vec::new(),
            denial,
        }
    }

    fn netbird(peers: Vec<Peer>, usable: bool) -> Identity {
        let map = NetbirdMap {
            peers,
            groups: Vec::new(),
            usable,
        };
        Identity {
            uses_static: true,
            netbird: Some(Arc::new(map)),
            wireguard: None,
        }
    }

    /// Id, addresses that let somebody in, and why none do.
    fn verdicts<'a>(members: &[Member<'a>]) -> Vec<(&'a str, Vec<String>, Option<Denial>)> {
        let one = |member: &Member<'a>| {
            let addresses = member.addresses.iter();
            let own = addresses.filter(|address| !member.shared.contains(address));
            (
                member.id,
                own.map(ToString::to_string).collect(),
                member.denial,
            )
        };
        members.iter().map(one).collect()
    }

    #[test]
    fn an_address_of_two_peers_is_nobodys_whoever_is_denied() {
        let docs = [
            doc("a", &["100.64.0.1", "::ffff:100.64.0.2"]),
            doc("b", &["100.64.0.3"]),
            doc("c", &["100.64.0.4"]),
        ];
        let of_netbird = vec![
            peer("x", "100.64.0.2", None),
            peer("y", "100.64.0.3", Some(Denial::OwnerBlocked)),
            peer("z", "100.64.0.9", None),
        ];
        let identity = netbird(of_netbird, true);
        let shared = Some(Denial::AddressShared);
        let none = Vec::new;
        assert_eq!(
            verdicts(&identity.members(&docs)),
            [
                ("a", vec!["100.64.0.1".to_owned()], None),
                ("b", none(), shared),
                ("c", vec!["100.64.0.4".to_owned()], None),
                ("x", none(), shared),
                ("y", none(), Some(Denial::OwnerBlocked)),
                ("z", vec!["100.64.0.9".to_owned()], None),
            ]
        );
    }

    #[test]
    fn a_source_that_is_off_has_no_addresses_and_a_stale_one_lets_nobody_in() {
        let docs = [doc("a", &["100.64.0.1"]), with_key("k", "KEY")];
        let mut identity = netbird(vec![peer("x", "100.64.0.1", None)], true);
        identity.uses_static = false;
        let denials = |identity: &Identity| -> Vec<_> {
            let members = identity.members(&docs);
            members.iter().map(|member| member.denial).collect()
        };
        let off = Some(Denial::SourceOff);
        assert_eq!(denials(&identity), [off, off, None]);
        Arc::make_mut(identity.netbird.as_mut().unwrap()).usable = false;
        assert_eq!(denials(&identity), [off, off, Some(Denial::SourceStale)]);
    }

    #[test]
    fn a_key_has_the_addresses_that_only_it_may_use() {
        let allowed = |text: &str, prefix| AllowedIp {
            address: ip(text),
            prefix,
        };
        let by_key = BTreeMap::from([
            (
                "HOST".to_owned(),
                vec![
                    allowed("10.0.0.2", 32),
                    allowed("fd00::2", 128),
                    allowed("10.9.0.0", 24),
                ],
            ),
            (
                "WIDE".to_owned(),
                vec![allowed("0.0.0.0", 0), allowed("fd00::", 64)],
            ),
            ("BARE".to_owned(), Vec::new()),
        ]);
        let mut device = DevicePeers {
            by_key,
            usable: true,
        };
        let docs = ["HOST", "WIDE", "BARE", "GONE"].map(|key| with_key(key, key));
        let denials = |device: &DevicePeers| -> Vec<_> {
            let identity = Identity {
                wireguard: Some(Arc::new(device.clone())),
                ..Identity::default()
            };
            let members = identity.members(&docs);
            assert_eq!(
                members[0].addresses.len(),
                if device.usable { 2 } else { 0 }
            );
            members.iter().map(|member| member.denial).collect()
        };
        use Denial::*;
        let expected = [None, Some(NetworksOnly), Some(NoAddress), Some(KeyUnknown)];
        assert_eq!(denials(&device), expected);
        device.usable = false;
        assert_eq!(denials(&device), [Some(SourceStale); 4]);
    }
}
