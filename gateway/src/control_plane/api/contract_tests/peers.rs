//! Peers of other sources than the store's own list.

use std::collections::BTreeMap;

use super::*;
use crate::control_plane::{
    identity::{AllowedIp, Denial, DevicePeers, NetbirdMap, Peer},
    resource::GroupDoc,
};

/// WireGuard's, of thirty-two ones.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn netbird() -> Identity {
    let peer = |id: &str, address: &str, denial| Peer {
        id: id.to_owned(),
        name: format!("{id}-laptop"),
        addresses: vec![address.parse().unwrap()],
        user_id: Some("u1".to_owned()),
        user_email: Some("ada@example.com".to_owned()),
        groups: vec!["g1".to_owned()],
        denial,
    };
    let map = NetbirdMap {
        peers: vec![
            peer("nb-1", "100.64.0.1", None),
            peer("nb-2", "fd00::2", Some(Denial::OwnerPending)),
        ],
        groups: vec![GroupDoc {
            id: "g1".to_owned(),
            name: "Developers".to_owned(),
        }],
        usable: true,
    };
    Identity {
        uses_static: true,
        netbird: Some(Arc::new(map)),
        wireguard: None,
    }
}

#[tokio::test]
async fn peers_of_netbird_are_shown_and_changed_elsewhere() {
    let api = Api::with_identity(netbird()).await;
    let build = json!({"name": "build-1", "addresses": ["100.64.0.1"], "groups": ["agents"]});
    api.post("/peers", build).await.ok();
    let peers = api.get("/peers").await.ok();
    let shown: Vec<_> = (peers.as_array().unwrap().iter())
        .map(|peer| (peer["source"].as_str().unwrap(), peer["denial"].as_str()))
        .collect();
    let shared = Some("address_shared");
    let expected = [
        ("static", shared),
        ("netbird", shared),
        ("netbird", Some("owner_pending")),
    ];
    assert_eq!(shown, expected);
    assert_eq!(peers[2]["let_in"], false);
    assert_eq!(peers[2]["reason"], "its owner waits for approval");
    assert_eq!(peers[2]["user_email"], "ada@example.com");
    assert_eq!(
        api.get("/peers/nb-2").await.ok()["addresses"],
        json!(["fd00::2"])
    );

    let groups = api.get("/groups").await.ok();
    let expected = json!([
        {"id": "agents", "name": "agents"}, {"id": "g1", "name": "Developers"},
    ]);
    assert_eq!(groups, expected);
    let blocked = json!({"name": "x", "addresses": ["100.64.0.1"], "blocked": true});
    api.put("/peers/nb-1", blocked).await.refused(409, "");
    api.delete("/peers/nb-1").await.refused(409, "");
    api.delete("/peers/nb-3").await.refused(404, "");
}

#[tokio::test]
async fn a_peer_with_a_key_has_the_devices_addresses() {
    let allowed = |address: &str, prefix| AllowedIp {
        address: address.parse().unwrap(),
        prefix,
    };
    let ips = vec![allowed("10.9.0.0", 24), allowed("10.0.0.2", 32)];
    let api = Api::with_identity(Identity {
        wireguard: Some(Arc::new(DevicePeers {
            by_key: BTreeMap::from([(KEY.to_owned(), ips)]),
            usable: true,
        })),
        ..Identity::default()
    })
    .await;
    let peer = json!({"name": "laptop", "public_key": KEY, "groups": ["agents"]});
    let created = api.post("/peers", peer.clone()).await.ok();
    assert_eq!(created["addresses"], json!(["10.0.0.2"]));
    assert_eq!(
        (&created["source"], &created["let_in"]),
        (&json!("wireguard"), &json!(true))
    );
    assert_eq!(
        created["reason"],
        "10.9.0.0/24 is a network, which names nobody"
    );
    api.post("/peers", peer.clone())
        .await
        .refused(422, "public_key");
    for wrong in [
        "AQEB",
        "no key",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    ] {
        let wrong = with(peer.clone(), "public_key", json!(wrong));
        api.post("/peers", wrong).await.refused(422, "public_key");
    }
    // As a program changes it: what was shown, with one thing changed.
    let path = format!("/peers/{}", created["id"].as_str().unwrap());
    let updated = api
        .put(&path, with(created, "name", json!("desk")))
        .await
        .ok();
    assert_eq!(
        (&updated["name"], &updated["public_key"]),
        (&json!("desk"), &json!(KEY))
    );

    // This node does not look at its own list.
    let plain = json!({"name": "build-1", "addresses": ["10.0.0.9"]});
    assert_eq!(api.post("/peers", plain).await.ok()["denial"], "source_off");
}
