//! Who is in a snapshot.

use super::*;
use crate::control_plane::identity::{NetbirdMap, Peer};

#[test]
fn principals_are_users_else_peers_and_blocked_peers_are_absent() {
    let mut documents = documents();
    documents.peers[0].user_id = Some("user-1".to_owned());
    documents.peers[0].user_email = Some("a@example.com".to_owned());
    documents.peers[1].blocked = true;
    let mut third = peer("peer-c", "::ffff:100.64.0.3", &[]);
    third.user_id = Some("user-2".to_owned());
    documents.peers.push(third);
    let peers = compile_once(&documents).snapshot.peers;

    let named = |address: &str| {
        let principal = peers.get(&address.parse::<IpAddr>().unwrap())?;
        Some((principal.id.to_string(), principal.display_name.to_string()))
    };
    let pair = |id: &str, name: &str| Some((id.to_owned(), name.to_owned()));
    assert_eq!(named("100.64.0.1"), pair("user-1", "a@example.com"));
    assert_eq!(named("100.64.0.2"), None);
    assert_eq!(named("100.64.0.3"), pair("user-2", "peer-c-name"));
}

#[test]
fn an_address_of_two_peers_lets_neither_in() {
    let mut documents = documents();
    documents
        .peers
        .push(peer("peer-c", "100.64.0.1", &["g-ops"]));
    documents
        .peers
        .push(peer("peer-d", "100.64.0.1", &["g-ops"]));
    let compiled = compile_once(&documents);
    let found = |last| compiled.snapshot.peers.get(&[100, 64, 0, last].into());
    assert!(found(1).is_none());
    assert!(found(2).is_some());
    assert_eq!(compiled.skipped.len(), 3, "each of them is named");
}

#[test]
fn peers_of_netbird_count_with_its_groups_and_their_names() {
    let mut documents = documents();
    // Named by a policy before anybody knew its name.
    documents.groups.push(GroupDoc {
        id: "g-ops".to_owned(),
        name: "g-ops".to_owned(),
    });
    let of_netbird = |id: &str, address: &str, user_id: Option<&str>| Peer {
        id: id.to_owned(),
        name: format!("{id}-name"),
        addresses: vec![address.parse().unwrap()],
        user_id: user_id.map(str::to_owned),
        user_email: user_id.map(|id| format!("{id}@example.com")),
        groups: vec!["g-ops".to_owned()],
        denial: None,
    };
    let identity = |usable| Identity {
        netbird: Some(Arc::new(NetbirdMap {
            peers: vec![
                of_netbird("nb-1", "fd00:4e42::1", Some("u1")),
                of_netbird("nb-2", "100.64.0.1", None),
            ],
            groups: vec![GroupDoc {
                id: "g-ops".to_owned(),
                name: "Operations".to_owned(),
            }],
            usable,
        })),
        ..IDENTITY
    };
    let peers = |identity: &Identity| {
        let (mut compiler, answers) = (Compiler::default(), Answers::default());
        let surroundings = surroundings(&answers, identity);
        let compiled = compiler.compile(&documents, &Ledger::default(), surroundings);
        compiled.snapshot.peers
    };
    let read = peers(&identity(true));
    let one = &read[&"fd00:4e42::1".parse::<IpAddr>().unwrap()];
    let group = one.named_groups().next().unwrap();
    let told = (&*one.id, &*one.display_name, &*group.name);
    assert_eq!(told, ("u1", "u1@example.com", "Operations"));
    assert!(read.get(&[100, 64, 0, 1].into()).is_none(), "peer-a's too");
    assert_eq!(read.addresses().count(), 2);
    assert_eq!(peers(&identity(false)).addresses().count(), 1);
}
