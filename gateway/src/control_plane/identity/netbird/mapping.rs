//! NetBird's peers, groups and users to [`Peer`]s, as NetBird's own proxy sees them: groups are the
//! peer's, not its owner's; a peer stands or falls with its owner.

use std::net::IpAddr;

use foldhash::HashMap;

use super::{
    NetbirdMap,
    shapes::{GroupShape, PeerShape, UserShape},
};
use crate::control_plane::{
    identity::{Denial, Peer},
    resource::GroupDoc,
};

/// Of names and e-mail addresses, which go into heads and records.
const TEXT_BYTES_MAX: usize = 256;

/// Makes one map of the three listings, in an order of its own: another order is no change.
pub(super) fn map(
    peers: Vec<PeerShape>,
    groups: Vec<GroupShape>,
    users: Vec<UserShape>,
) -> NetbirdMap {
    let users: HashMap<String, UserShape> = users
        .into_iter()
        .map(|user| (user.id.clone(), user))
        .collect();
    let mut peers: Vec<Peer> = peers.into_iter().map(|peer| one(peer, &users)).collect();
    peers.sort_by(|a, b| a.id.cmp(&b.id));
    let mut groups: Vec<GroupDoc> = groups
        .into_iter()
        .map(|group| GroupDoc {
            name: text(&group.name),
            id: group.id,
        })
        .collect();
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    NetbirdMap {
        peers,
        groups,
        usable: true,
    }
}

fn one(peer: PeerShape, users: &HashMap<String, UserShape>) -> Peer {
    let user_id = peer.user_id.filter(|id| !id.is_empty());
    let owner = user_id.as_ref().map(|id| users.get(id));
    let addresses = addresses(&peer.ip, peer.ipv6.as_deref());
    let denial = if let Some(denial) = owner.and_then(of_owner) {
        Some(denial)
    } else if peer.approval_required {
        Some(Denial::ApprovalRequired)
    } else if peer.login_expired {
        Some(Denial::LoginExpired)
    } else if addresses.is_empty() {
        Some(Denial::NoAddress)
    } else {
        None
    };
    let email = owner.flatten().map(|user| text(&user.email));
    let groups = peer.groups.unwrap_or_default().into_iter();
    let mut groups: Vec<String> = groups.map(|group| group.id).collect();
    groups.sort_unstable();
    groups.dedup();
    Peer {
        id: peer.id,
        name: text(&peer.name),
        addresses,
        user_email: email.filter(|email| !email.is_empty()),
        user_id,
        groups,
        denial,
    }
}

/// Why an owner keeps its peers out; `None` for one who is not there.
fn of_owner(owner: Option<&UserShape>) -> Option<Denial> {
    let Some(owner) = owner else {
        return Some(Denial::OwnerUnknown);
    };
    if owner.is_blocked || owner.status == "blocked" {
        Some(Denial::OwnerBlocked)
    } else if owner.pending_approval {
        Some(Denial::OwnerPending)
    } else if owner.status != "active" {
        Some(Denial::OwnerInactive)
    } else {
        None
    }
}

fn addresses(ip: &str, ipv6: Option<&str>) -> Vec<IpAddr> {
    let mut addresses = Vec::with_capacity(2);
    for text in [Some(ip), ipv6].into_iter().flatten() {
        let Ok(address) = text.parse::<IpAddr>() else {
            continue;
        };
        let address = address.to_canonical();
        let names_one = !address.is_unspecified() && !address.is_multicast();
        if names_one && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn text(given: &str) -> String {
    let mut text: String = given.chars().filter(|char| !char.is_control()).collect();
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn peer(changes: Value) -> PeerShape {
        let mut peer = json!({
            "id": "p1", "name": "laptop", "ip": "100.64.0.7", "user_id": "u1",
            "groups": [{"id": "g2", "name": "devs", "peers_count": 1, "resources_count": 0},
                       {"id": "g1", "name": "All", "peers_count": 9, "resources_count": 0}],
            "login_expired": false, "approval_required": false, "connected": false,
        });
        merge(&mut peer, changes);
        serde_json::from_value(peer).unwrap()
    }

    fn user(changes: Value) -> UserShape {
        let mut user = json!({
            "id": "u1", "email": "ada@example.com", "name": "Ada", "role": "user",
            "status": "active", "auto_groups": ["g9"], "is_blocked": false,
            "pending_approval": false,
        });
        merge(&mut user, changes);
        serde_json::from_value(user).unwrap()
    }

    fn merge(value: &mut Value, changes: Value) {
        let Value::Object(changes) = changes else {
            panic!("changes are an object");
        };
        value.as_object_mut().unwrap().extend(changes);
    }

    fn mapped(peer: PeerShape, user: UserShape) -> Peer {
        map(vec![peer], Vec::new(), vec![user]).peers.remove(0)
    }

    #[test]
    fn a_peer_stands_or_falls_with_itself_and_its_owner() {
        use Denial::*;
        for (of_peer, of_user, denial) in [
            (json!({}), json!({}), None),
            (json!({}), json!({"is_blocked": true}), Some(OwnerBlocked)),
            (json!({}), json!({"status": "blocked"}), Some(OwnerBlocked)),
            (json!({}), json!({"status": "invited"}), Some(OwnerInactive)),
            (json!({}), json!({"status": "ACTIVE"}), Some(OwnerInactive)),
            (
                json!({}),
                json!({"pending_approval": true}),
                Some(OwnerPending),
            ),
            (json!({}), json!({"id": "u2"}), Some(OwnerUnknown)),
            // A machine needs nobody.
            (json!({"user_id": ""}), json!({"id": "u2"}), None),
            (json!({"user_id": null}), json!({"is_blocked": true}), None),
            (
                json!({"login_expired": true}),
                json!({}),
                Some(LoginExpired),
            ),
            (
                json!({"approval_required": true}),
                json!({}),
                Some(ApprovalRequired),
            ),
            (json!({"ip": ""}), json!({}), Some(NoAddress)),
            (
                json!({"ip": "0.0.0.0", "ipv6": "::"}),
                json!({}),
                Some(NoAddress),
            ),
            (json!({"ip": "", "ipv6": "fd00::7"}), json!({}), None),
        ] {
            let shown = format!("{of_peer} {of_user}");
            assert_eq!(
                mapped(peer(of_peer), user(of_user)).denial,
                denial,
                "{shown}"
            );
        }
    }

    #[test]
    fn groups_are_the_peers_and_names_are_cleaned() {
        let shape = peer(json!({"ipv6": "fd00:4e42:ab12::1", "name": "lap\ntop"}));
        let one = mapped(shape, user(json!({})));
        assert_eq!(one.groups, ["g1", "g2"]);
        assert_eq!(one.name, "laptop");
        assert_eq!(one.user_email.as_deref(), Some("ada@example.com"));
        let addresses: Vec<IpAddr> = ["100.64.0.7", "fd00:4e42:ab12::1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        assert_eq!(one.addresses, addresses);
        let long = mapped(peer(json!({"name": "ä".repeat(200)})), user(json!({})));
        assert_eq!(long.name, "ä".repeat(128));
        let bare = mapped(peer(json!({"groups": null})), user(json!({"email": ""})));
        assert_eq!((bare.groups.len(), bare.user_email), (0, None));
    }

    #[test]
    fn another_order_is_the_same_map() {
        let three = |ids: [&str; 3]| {
            let peers = ids.map(|id| peer(json!({"id": id}))).into();
            let groups = ids.map(|id| GroupShape {
                id: id.to_owned(),
                name: id.to_owned(),
            });
            map(peers, groups.into(), vec![user(json!({}))])
        };
        assert_eq!(three(["a", "b", "c"]), three(["c", "a", "b"]));
    }

    #[test]
    fn what_decides_must_be_there() {
        let whole = json!({
            "id": "p1", "name": "n", "ip": "100.64.0.7", "login_expired": false,
            "approval_required": false, "groups": [],
        });
        assert!(serde_json::from_value::<PeerShape>(whole.clone()).is_ok());
        for field in ["id", "name", "ip", "login_expired", "approval_required"] {
            let mut part = whole.clone();
            part.as_object_mut().unwrap().remove(field);
            assert!(
                serde_json::from_value::<PeerShape>(part).is_err(),
                "{field}"
            );
        }
    }
}
