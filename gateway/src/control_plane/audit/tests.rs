use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::control_plane::{
    api::testing::MemoryStore,
    store::{Compare, Operation, Store, Transaction},
};

const ALL: Retention = Retention {
    days: 1,
    entries: 1000,
};

fn author() -> Author {
    Author {
        id: "uid:0".to_owned(),
        name: None,
        role: Some(Role::Owner),
        via: Via::Socket,
        address: None,
    }
}

fn put(key: &str, value: Value) -> Operation {
    Operation::Put {
        key: key.to_owned(),
        value: value.to_string().into_bytes(),
    }
}

async fn write(store: &dyn Store, retention: Retention, operation: Operation) {
    let transaction = Transaction {
        compares: Vec::new(),
        operations: vec![operation],
    };
    assert!(
        commit(store, retention, &author(), transaction)
            .await
            .unwrap()
    );
}

async fn ids(store: &dyn Store, filter: AuditFilter) -> Vec<u64> {
    let (entries, _) = page(store, &filter, 0, 100).await.unwrap();
    entries.iter().map(|entry| entry.id).collect()
}

#[tokio::test]
async fn changes_and_entries_come_together() {
    let store = MemoryStore::default();
    write(&store, ALL, put("peers/a", json!({"name": "A"}))).await;
    write(&store, ALL, put("peers/a", json!({"name": "B"}))).await;
    let key = "peers/a".to_owned();
    write(&store, ALL, Operation::Delete { key }).await;
    // Nothing that is recorded.
    write(&store, ALL, put("guards/peers", json!({}))).await;
    let refused = Transaction {
        compares: vec![Compare::ModRevision {
            key: "peers/a".to_owned(),
            revision: 1,
        }],
        operations: vec![put("peers/a", json!({"name": "C"}))],
    };
    assert!(!commit(&store, ALL, &author(), refused).await.unwrap());
    let (entries, found) = page(&store, &AuditFilter::default(), 1, 2).await.unwrap();
    assert_eq!((entries.len(), found), (2, 3));
    assert_eq!(entries[0].event, "agent_network.peer.update");
    assert_eq!(json!(entries[0].before), json!({"name": "A"}));
    assert_eq!(json!(entries[0].after), json!({"name": "B"}));
    assert_eq!(entries[0].actor, author());
    let last = entry(&store, 3).await.unwrap().unwrap();
    assert_eq!((last.after, &*last.target.id), (None, "a"));
    assert!(entry(&store, 4).await.unwrap().is_none());
    assert!(verify(&store, None).await.unwrap().intact);
}

#[tokio::test]
async fn writers_at_once_make_one_chain() {
    let store = Arc::new(MemoryStore::default());
    // Somebody else's entry comes between the reads and the write, once.
    store.before_next_transaction(|keys| keys.touch("audit/"));
    write(&*store, ALL, put("peers/0", json!({}))).await;
    store.before_next_transaction(|keys| keys.touch("audit/"));
    write(&*store, ALL, put("peers/1", json!({}))).await;
    let writers = (2..6).map(|i| {
        let store = Arc::clone(&store);
        async move { write(&*store, ALL, put(&format!("peers/{i}"), json!({}))).await }
    });
    for writer in writers.map(tokio::spawn).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let verified = verify(&*store, None).await.unwrap();
    assert!(verified.intact && verified.entries == 6, "{verified:?}");
}

#[tokio::test]
async fn what_was_altered_or_taken_out_is_found() {
    for (operation, problem) in [
        (
            put(&entry_key(2), json!({"id": 2})),
            "entry 2 cannot be read",
        ),
        (
            Operation::Delete { key: entry_key(2) },
            "entry 2 is missing",
        ),
        (
            Operation::Delete { key: entry_key(3) },
            "the end does not lead to entry 3",
        ),
        (
            Operation::Delete { key: entry_key(1) },
            "entry 1 is missing",
        ),
    ] {
        let store = MemoryStore::default();
        for i in 0..3 {
            write(
                &store,
                ALL,
                put(&format!("peers/{i}"), json!({"name": i.to_string()})),
            )
            .await;
        }
        let transaction = Transaction {
            compares: Vec::new(),
            operations: vec![operation],
        };
        store.transact(transaction).await.unwrap();
        assert_eq!(
            verify(&store, None).await.unwrap().problem.unwrap(),
            problem
        );
    }
    let store = MemoryStore::default();
    write(&store, ALL, put("peers/1", json!({"name": "first"}))).await;
    write(&store, ALL, put("peers/2", json!({"name": "second"}))).await;
    let hash = verify(&store, None).await.unwrap().hash;
    assert!(verify(&store, Some(&hash)).await.unwrap().intact);
    assert!(!verify(&store, Some("0")).await.unwrap().intact);
    let mut first = entry(&store, 1).await.unwrap().unwrap();
    first.actor.id = "uid:1".to_owned();
    let transaction = Transaction {
        compares: Vec::new(),
        operations: vec![put(&entry_key(1), json!(first))],
    };
    store.transact(transaction).await.unwrap();
    let problem = verify(&store, None).await.unwrap().problem.unwrap();
    assert_eq!(problem, "entry 2 does not follow the one before it");
}

#[tokio::test]
async fn old_entries_go_and_the_rest_still_verifies() {
    let store = MemoryStore::default();
    let few = Retention {
        days: 1,
        entries: 3,
    };
    for i in 0..10 {
        write(&store, few, put(&format!("peers/{i}"), json!({}))).await;
    }
    assert_eq!(ids(&store, AuditFilter::default()).await, [10, 9, 8]);
    let verified = verify(&store, None).await.unwrap();
    assert!(verified.intact && verified.first == 8, "{verified:?}");
    // Of those written a moment ago, all are too old, and a write drops a few of them.
    let none = Retention {
        days: 0,
        entries: 3,
    };
    write(&store, none, put("peers/x", json!({}))).await;
    assert_eq!(ids(&store, AuditFilter::default()).await, [11]);
    assert!(verify(&store, None).await.unwrap().intact);
}

#[tokio::test]
async fn filters_leave_what_they_say() {
    let store = MemoryStore::default();
    write(&store, ALL, put("peers/a", json!({"name": "A"}))).await;
    write(&store, ALL, put("policies/p", json!({"name": "P"}))).await;
    let text = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default();
    for (filter, wanted) in [
        (
            AuditFilter {
                actor: text("uid:0"),
                ..none.clone()
            },
            vec![2, 1],
        ),
        (
            AuditFilter {
                actor: text("uid:1"),
                ..none.clone()
            },
            vec![],
        ),
        (
            AuditFilter {
                event: text("agent_network.peer.create"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            AuditFilter {
                event: text("agent_network.po*"),
                ..none.clone()
            },
            vec![2],
        ),
        (
            AuditFilter {
                target: text("policy"),
                ..none.clone()
            },
            vec![2],
        ),
        (
            AuditFilter {
                target: text("A"),
                ..none.clone()
            },
            vec![1],
        ),
        (
            AuditFilter {
                to: Some(Timestamp::UNIX_EPOCH),
                ..none.clone()
            },
            vec![],
        ),
        (
            AuditFilter {
                from: Some(Timestamp::UNIX_EPOCH),
                ..none.clone()
            },
            vec![2, 1],
        ),
    ] {
        assert_eq!(ids(&store, filter.clone()).await, wanted, "{filter:?}");
    }
}
