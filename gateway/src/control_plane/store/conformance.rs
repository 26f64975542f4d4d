//! What every engine must do. Each engine's tests call [`suite`] on a store it has opened; all keys are
//! under one prefix per case, so that a shared engine can be used too. What only an engine can bring
//! about (reopening, compaction) has a check of its own to call at the right moment.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{
    Change, Compare, Entry, KEY_BYTES_MAX, OPERATIONS_MAX, Operation, Revision, Store, StoreError,
    Transaction, TransactionOutcome, VALUE_BYTES_MAX,
};

/// All cases that need nothing but the interface. `run` keeps the keys of runs apart.
pub(crate) async fn suite(store: Arc<dyn Store>, run: &str) {
    ranges(&*store, &format!("{run}/ranges/")).await;
    prefixes(&*store, &format!("{run}/prefixes/")).await;
    entries_know_their_revisions(&*store, &format!("{run}/revisions/")).await;
    compares(&*store, &format!("{run}/compares/")).await;
    conflicts_write_nothing(&*store, &format!("{run}/conflicts/")).await;
    idle_transactions_make_no_revision(&*store, &format!("{run}/idle/")).await;
    bounds(&*store, &format!("{run}/bounds/")).await;
    changes_in_order(&*store, &format!("{run}/changes/")).await;
    followers_wake(&store, &format!("{run}/wake/")).await;
    eight_writers(&store, &format!("{run}/writers/")).await;
}

/// Writes one value; its revision.
pub(crate) async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    committed(store, Vec::new(), vec![put_operation(key, value)]).await
}

/// What [`check_reopened`] wants to see again.
pub(crate) async fn fill(store: &dyn Store, prefix: &str) -> (Revision, Vec<Entry>, Vec<Change>) {
    let before = store.range("").await.unwrap().revision;
    for number in 0..50 {
        put(
            store,
            &format!("{prefix}{number:03}"),
            &"x".repeat(number * 11),
        )
        .await;
    }
    put(store, &format!("{prefix}000"), "again").await;
    committed(store, Vec::new(), vec![delete(&format!("{prefix}001"))]).await;
    let changes = store.changes(prefix, before).await.unwrap();
    let entries = store.range(prefix).await.unwrap().entries;
    (before, entries, changes)
}

/// The same store, opened again after [`fill`].
pub(crate) async fn check_reopened(
    store: &dyn Store,
    prefix: &str,
    (before, entries, changes): &(Revision, Vec<Entry>, Vec<Change>),
) {
    let range = store.range(prefix).await.unwrap();
    assert_eq!(&range.entries, entries);
    assert_eq!(&store.changes(prefix, *before).await.unwrap(), changes);
    let next = put(store, &format!("{prefix}after"), "").await;
    assert_eq!(next, range.revision + 1, "the counter goes on");
}

/// After the engine has dropped the history up to and including `gone`.
pub(crate) async fn check_compacted(store: &dyn Store, gone: Revision) {
    for after in 0..gone.min(10) {
        assert!(matches!(
            store.changes("", after).await,
            Err(StoreError::Compacted(_))
        ));
    }
    let Err(StoreError::Compacted(oldest)) = store.changes("", gone - 1).await else {
        panic!("revision {gone} is still there");
    };
    let first = &store.changes("", oldest - 1).await.unwrap()[0];
    assert_eq!(
        first.revision, oldest,
        "nothing between the edge and the first change is missing"
    );
}

async fn ranges(store: &dyn Store, prefix: &str) {
    let empty = store.range(prefix).await.unwrap();
    assert_eq!(empty.entries, []);
    for key in ["b", "a", "c/2", "c/10", "c/1"] {
        put(store, &format!("{prefix}{key}"), key).await;
    }
    let range = store.range(prefix).await.unwrap();
    assert_eq!(range.revision, empty.revision + 5);
    assert_eq!(
        keys(&range.entries, prefix),
        ["a", "b", "c/1", "c/10", "c/2"]
    );
    assert!(
        range
            .entries
            .iter()
            .all(|entry| entry.key.as_bytes().ends_with(&entry.value))
    );
    let part = store.range(&format!("{prefix}c/")).await.unwrap();
    assert_eq!(keys(&part.entries, prefix), ["c/1", "c/10", "c/2"]);
}

/// A prefix is bytes, not a path; the key after the last byte and the empty rest count as well.
async fn prefixes(store: &dyn Store, prefix: &str) {
    for key in ["a", "a/", "a/1", "a0", "b", "ü", "ü\u{10ffff}", "ý"] {
        put(store, &format!("{prefix}{key}"), "").await;
    }
    let cases: [(&str, &[&str]); 7] = [
        ("a", &["a", "a/", "a/1", "a0"]),
        ("a/", &["a/", "a/1"]),
        ("a/1", &["a/1"]),
        ("a/11", &[]),
        ("b", &["b"]),
        ("ü", &["ü", "ü\u{10ffff}"]),
        ("ü\u{10ffff}", &["ü\u{10ffff}"]),
    ];
    for (part, expected) in cases {
        let range = store.range(&format!("{prefix}{part}")).await.unwrap();
        assert_eq!(keys(&range.entries, prefix), expected, "{part:?}");
    }
    let all = store.range("").await.unwrap().entries;
    assert!(all.iter().any(|entry| entry.key == format!("{prefix}b")));
}

async fn entries_know_their_revisions(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}k");
    let created = put(store, &key, "1").await;
    let changed = put(store, &key, "2").await;
    assert!(created < changed);
    let entry = only(store, &key).await.unwrap();
    assert_eq!(
        (entry.create_revision, entry.mod_revision),
        (created, changed)
    );
    assert_eq!(entry.value, b"2");
    let deleted = committed(store, Vec::new(), vec![delete(&key)]).await;
    assert!(changed < deleted);
    assert_eq!(only(store, &key).await, None);
    let again = put(store, &key, "3").await;
    assert_eq!(only(store, &key).await.unwrap().create_revision, again);
    let same = put(store, &key, "3").await;
    assert!(again < same, "writing the same value is a change");
}

async fn compares(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}k");
    let other = format!("{prefix}other");
    let absent = |key: &str| Compare::Absent {
        key: key.to_owned(),
    };
    let at = |key: &str, revision| Compare::ModRevision {
        key: key.to_owned(),
        revision,
    };
    let first = committed(store, vec![absent(&key)], vec![put_operation(&key, "1")]).await;
    let second = put(store, &key, "2").await;
    let cases = [
        (vec![absent(&key)], false),
        (vec![absent(&other)], true),
        (vec![at(&key, second)], true),
        (vec![at(&key, first)], false),
        (vec![at(&key, second + 1)], false),
        (vec![at(&other, 0)], false),
        (vec![absent(&other), at(&key, second)], true),
        (vec![absent(&other), at(&key, first)], false),
        (vec![absent(&key), at(&key, second)], false),
    ];
    for (compares, expected) in cases {
        let label = format!("{compares:?}");
        let outcome = store
            .transact(Transaction {
                compares,
                operations: Vec::new(),
            })
            .await
            .unwrap();
        assert_eq!(
            matches!(outcome, TransactionOutcome::Committed { .. }),
            expected,
            "{label}"
        );
    }
}

async fn conflicts_write_nothing(store: &dyn Store, prefix: &str) {
    let key = format!("{prefix}k");
    let revision = put(store, &key, "1").await;
    let outcome = store
        .transact(Transaction {
            compares: vec![Compare::Absent { key: key.clone() }],
            operations: vec![put_operation(&format!("{prefix}new"), ""), delete(&key)],
        })
        .await
        .unwrap();
    assert_eq!(outcome, TransactionOutcome::Conflict { revision });
    let range = store.range(prefix).await.unwrap();
    assert_eq!(range.revision, revision);
    assert_eq!(keys(&range.entries, prefix), ["k"]);
}

async fn idle_transactions_make_no_revision(store: &dyn Store, prefix: &str) {
    let revision = put(store, &format!("{prefix}k"), "").await;
    for operations in [Vec::new(), vec![delete(&format!("{prefix}absent"))]] {
        assert_eq!(committed(store, Vec::new(), operations).await, revision);
    }
}

async fn bounds(store: &dyn Store, prefix: &str) {
    let revision = store.range("").await.unwrap().revision;
    let key = format!("{prefix}k");
    let long_key = "k".repeat(KEY_BYTES_MAX + 1);
    let many = |count| {
        (0..count)
            .map(|n| put_operation(&format!("{prefix}{n}"), ""))
            .collect()
    };
    let refused: [Vec<Operation>; 5] = [
        vec![put_operation("", "x")],
        vec![put_operation(&long_key, "x")],
        vec![put_operation(&key, &"x".repeat(VALUE_BYTES_MAX + 1))],
        vec![put_operation(&key, "x"), delete(&key)],
        many(OPERATIONS_MAX + 1),
    ];
    for operations in refused {
        let transaction = Transaction {
            compares: Vec::new(),
            operations,
        };
        let refused = store.transact(transaction).await;
        assert!(
            matches!(refused, Err(StoreError::Invalid(_))),
            "{refused:?}"
        );
    }
    assert_eq!(store.range("").await.unwrap().revision, revision);
    let largest = "x".repeat(VALUE_BYTES_MAX);
    put(store, &key, &largest).await;
    assert_eq!(only(store, &key).await.unwrap().value, largest.as_bytes());
    committed(store, Vec::new(), many(OPERATIONS_MAX)).await;
}

async fn changes_in_order(store: &dyn Store, prefix: &str) {
    let key = |name: &str| format!("{prefix}{name}");
    let first = put(store, &key("a"), "1").await;
    put(
        store,
        &format!("{}x", prefix.replace("changes", "elsewhere")),
        "not ours",
    )
    .await;
    let second = committed(
        store,
        Vec::new(),
        vec![
            put_operation(&key("c"), "2"),
            delete(&key("a")),
            put_operation(&key("b"), "3"),
        ],
    )
    .await;
    let change = |revision, name: &str, value: Option<&str>| Change {
        revision,
        key: key(name),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    let expected = [
        change(first, "a", Some("1")),
        change(second, "c", Some("2")),
        change(second, "a", None),
        change(second, "b", Some("3")),
    ];
    assert_eq!(store.changes(prefix, first - 1).await.unwrap(), expected);
    assert_eq!(store.changes(prefix, first).await.unwrap(), expected[1..]);
    assert_eq!(
        store.changes(&key("b"), first - 1).await.unwrap(),
        expected[3..]
    );
}

async fn followers_wake(store: &Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k");
    let before = put(&**store, &key, "before").await;
    let follow = |prefix: String| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.changes(&prefix, before).await.unwrap() })
    };
    let followers = [follow(prefix.to_owned()), follow(key.clone())];
    // Something else changes first: a follower must not wake for it.
    put(
        &**store,
        &format!("{}x", prefix.replace("wake", "elsewhere")),
        "",
    )
    .await;
    let revision = put(&**store, &key, "after").await;
    for follower in followers {
        let changes = follower.await.unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].revision, revision);
        assert_eq!(changes[0].value.as_deref(), Some(&b"after"[..]));
    }
}

/// Each writer adds to one counter by compare and set: no addition may be lost.
async fn eight_writers(store: &Arc<dyn Store>, prefix: &str) {
    const WRITERS: usize = 8;
    const ADDITIONS: usize = 10;
    let key = format!("{prefix}counter");
    let first = put(&**store, &key, "0").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (store, key) = (Arc::clone(store), key.clone());
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                while revisions.len() < ADDITIONS {
                    let entry = only(&*store, &key).await.unwrap();
                    let count: usize = str::from_utf8(&entry.value).unwrap().parse().unwrap();
                    let outcome = store
                        .transact(Transaction {
                            compares: vec![Compare::ModRevision {
                                key: key.clone(),
                                revision: entry.mod_revision,
                            }],
                            operations: vec![put_operation(&key, &(count + 1).to_string())],
                        })
                        .await
                        .unwrap();
                    match outcome {
                        TransactionOutcome::Committed { revision } => revisions.push(revision),
                        TransactionOutcome::Conflict { .. } => {}
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for writer in writers {
        let own = writer.await.unwrap();
        assert!(own.is_sorted(), "revisions grow");
        revisions.extend(own);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(
        revisions.len(),
        WRITERS * ADDITIONS,
        "every commit has a revision of its own"
    );
    let entry = only(&**store, &key).await.unwrap();
    assert_eq!(entry.value, (WRITERS * ADDITIONS).to_string().as_bytes());
    let values: Vec<usize> = store
        .changes(&key, first)
        .await
        .unwrap()
        .iter()
        .map(|change| {
            str::from_utf8(change.value.as_ref().unwrap())
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(
        values.iter().copied().eq(1..=WRITERS * ADDITIONS),
        "{values:?}"
    );
}

pub(crate) async fn committed(
    store: &dyn Store,
    compares: Vec<Compare>,
    operations: Vec<Operation>,
) -> Revision {
    let transaction = Transaction {
        compares,
        operations,
    };
    match store.transact(transaction).await.unwrap() {
        TransactionOutcome::Committed { revision } => revision,
        TransactionOutcome::Conflict { revision } => panic!("a conflict at {revision}"),
    }
}

pub(crate) fn put_operation(key: &str, value: &str) -> Operation {
    Operation::Put {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
    }
}

fn delete(key: &str) -> Operation {
    Operation::Delete {
        key: key.to_owned(),
    }
}

async fn only(store: &dyn Store, key: &str) -> Option<Entry> {
    let entries = store.range(key).await.unwrap().entries;
    entries.into_iter().find(|entry| entry.key == key)
}

fn keys<'a>(entries: &'a [Entry], prefix: &str) -> Vec<&'a str> {
    entries
        .iter()
        .map(|entry| entry.key.strip_prefix(prefix).unwrap())
        .collect()
}
