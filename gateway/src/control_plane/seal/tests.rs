#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicI32, Ordering},
};

use super::*;
use crate::control_plane::{
    resource,
    store::{
        Change, ImportMode, Range, Revision, SledStore, StoreFuture, Transaction,
        TransactionOutcome, conformance::put,
    },
};

fn open(directory: &Path) -> SledStore {
    SledStore::open(directory, 0).unwrap().store
}

async fn fill(store: &dyn Store, keyring: &Keyring) -> Vec<(String, Secret)> {
    let mut records = Vec::new();
    for number in 0..5 {
        let key = format!("{}p/{number}", resource::key::CREDENTIALS);
        records.push((key, Secret::new(format!("sk-{number}").into_bytes())));
    }
    records.push((resource::key::CA.to_owned(), Secret::copy_of(b"ca key")));
    for (key, secret) in &records {
        let doc = serde_json::json!({
            "id": "x",
            "sealed": keyring.seal(key, secret).unwrap(),
            "fingerprint": keyring.fingerprint(secret),
        });
        put(store, key, &doc.to_string()).await;
    }
    put(store, "ca-unrelated", "not sealed").await;
    records
}

async fn check_all(store: &dyn Store, keyring: &Keyring, records: &[(String, Secret)]) {
    for (key, secret) in records {
        let doc = state::read::<serde_json::Value>(store, key)
            .await
            .unwrap()
            .unwrap()
            .doc;
        let opened = keyring.open(key, doc["sealed"].as_str().unwrap()).unwrap();
        assert_eq!(&opened, secret, "{key}");
        assert_eq!(doc["id"], "x");
    }
}

#[tokio::test]
async fn a_key_file_is_made_once_and_compared_ever_after() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store"));
    let path = directory.path().join("key");
    let source = MasterKeySource::File(path.clone());
    let first = Keyring::unlock(&source, &store).await.unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = Keyring::unlock(&source, &store).await.unwrap();
    assert_eq!(first.key_id(), again.key_id());
    assert!(!again.rotation_pending());
    let sealed = first.seal("r", &Secret::copy_of(b"s")).unwrap();
    assert_eq!(again.open("r", &sealed).unwrap().expose(), b"s");

    // Lost: no new key is made over a store that is sealed.
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(
        matches!(&error, UnlockError::MissingKey { expected, .. } if expected == first.key_id())
    );
    assert!(!path.exists());

    // Wrong: says which key is expected.
    let other_store = open(&directory.path().join("other"));
    Keyring::unlock(&source, &other_store).await.unwrap();
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(matches!(error, UnlockError::WrongKey { .. }));
    assert!(error.to_string().contains(first.key_id()), "{error}");

    // Put back: all is well.
    fs::write(&path, kept).unwrap();
    Keyring::unlock(&source, &store).await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(matches!(
        error,
        UnlockError::Source(SourceError::Insecure { mode: 0o640, .. })
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for bad in ["", "c2hvcnQ=\n", "not base64!", &"A".repeat(5000)] {
        fs::write(&path, bad).unwrap();
        let error = Keyring::unlock(&source, &store).await.unwrap_err();
        assert!(
            matches!(error, UnlockError::Source(SourceError::Malformed { .. })),
            "{bad}"
        );
    }
}

/// Sealed records without a check record, as after importing a part of a store.
#[tokio::test]
async fn sealed_records_alone_tell_which_key_is_expected() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store"));
    let lost = Keyring::of(MasterKey::generate().unwrap());
    fill(&store, &lost).await;
    let source = MasterKeySource::File(directory.path().join("key"));
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(matches!(error, UnlockError::MissingKey { expected, .. } if expected == lost.key_id()));
}

#[tokio::test]
async fn a_passphrase_gives_the_same_key_with_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store"));
    let path = directory.path().join("passphrase");
    let source = MasterKeySource::PassphraseFile(path.clone());
    let write = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&path, "too short\n");
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(matches!(
        error,
        UnlockError::Source(SourceError::ShortPassphrase { .. })
    ));
    write(&path, "correct horse battery\n");
    let first = Keyring::unlock(&source, &store).await.unwrap();
    write(&path, "correct horse battery");
    assert_eq!(
        Keyring::unlock(&source, &store).await.unwrap().key_id(),
        first.key_id()
    );
    write(&path, "correct horse buttery");
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(matches!(error, UnlockError::WrongKey { .. }));

    write(&path, "correct horse battery");
    let records = fill(&store, &first).await;
    let error = Keyring::rotate(&source, &store, None).await.unwrap_err();
    assert!(matches!(error, UnlockError::NoNextKey { .. }));
    write(
        &directory.path().join("passphrase.next"),
        "another passphrase",
    );
    let (rotated, report) = Keyring::rotate(&source, &store, None).await.unwrap();
    assert!(report.advice.unwrap().contains("passphrase.next"));
    check_all(&store, &rotated, &records).await;
    // The operator has not done it yet: both are there, and the newer one is current.
    let between = Keyring::unlock(&source, &store).await.unwrap();
    assert_eq!(between.key_id(), rotated.key_id());
    write(&path, "another passphrase");
    let after = Keyring::unlock(&source, &store).await.unwrap();
    assert_eq!(after.key_id(), rotated.key_id());
    assert!(!after.rotation_pending());
}

#[tokio::test]
async fn an_export_opens_elsewhere_with_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store"));
    let source = MasterKeySource::File(directory.path().join("key"));
    let keyring = Keyring::unlock(&source, &store).await.unwrap();
    let records = fill(&store, &keyring).await;
    let mut export = Vec::new();
    crate::control_plane::store::export(&store, "", &mut export)
        .await
        .unwrap();
    let text = str::from_utf8(&export).unwrap();
    assert!(!text.contains("sk-"), "sealed values stay sealed");
    let elsewhere = open(&directory.path().join("elsewhere"));
    let import =
        crate::control_plane::store::import(&elsewhere, &export[..], ImportMode::IntoEmpty);
    import.await.unwrap();
    let keyring = Keyring::unlock(&source, &elsewhere).await.unwrap();
    check_all(&elsewhere, &keyring, &records).await;
}

/// Stops after every single write, before it and after it; every record stays readable, and running it
/// again ends it.
#[tokio::test]
async fn a_rotation_may_stop_anywhere() {
    for applied in [false, true] {
        for stop_at in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let store = Stopping {
                store: open(&directory.path().join("store")),
                writes_left: AtomicI32::new(i32::MAX),
                applied,
            };
            let path = directory.path().join("key");
            let source = MasterKeySource::File(path.clone());
            let before = Keyring::unlock(&source, &store).await.unwrap();
            let records = fill(&store, &before).await;

            store.writes_left.store(stop_at, Ordering::Relaxed);
            let stopped = Keyring::rotate(&source, &store, None).await;
            store.writes_left.store(i32::MAX, Ordering::Relaxed);
            let middle = Keyring::unlock(&source, &store).await.unwrap();
            check_all(&store, &middle, &records).await;
            if stopped.is_ok() {
                assert!(stop_at >= 8, "six records, a beginning and an end");
                assert!(!middle.rotation_pending());
                break;
            }
            assert!(middle.rotation_pending(), "stopped at {stop_at}");
            // A node that serves meanwhile adds a record.
            let late = Secret::copy_of(b"late");
            let key = format!("{}p/late", resource::key::CREDENTIALS);
            let doc = serde_json::json!({"id": "x", "sealed": middle.seal(&key, &late).unwrap()});
            put(&store, &key, &doc.to_string()).await;

            let (after, _) = Keyring::rotate(&source, &store, None).await.unwrap();
            assert_ne!(after.key_id(), before.key_id());
            check_all(&store, &after, &records).await;
            check_all(&store, &after, &[(key, late)]).await;
            let alone = Keyring::unlock(&source, &store).await.unwrap();
            assert_eq!(alone.key_id(), after.key_id());
            assert!(!alone.rotation_pending());
            assert!(!directory.path().join("key.next").exists());
            let doc = state::read::<serde_json::Value>(&store, &records[0].0)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(doc.doc["fingerprint"], alone.fingerprint(&records[0].1));
        }
    }
}

#[tokio::test]
async fn the_next_key_must_stay_until_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = Stopping {
        store: open(&directory.path().join("store")),
        writes_left: AtomicI32::new(i32::MAX),
        applied: false,
    };
    let source = MasterKeySource::File(directory.path().join("key"));
    let before = Keyring::unlock(&source, &store).await.unwrap();
    fill(&store, &before).await;
    store.writes_left.store(3, Ordering::Relaxed);
    Keyring::rotate(&source, &store, None).await.unwrap_err();
    let next = directory.path().join("key.next");
    fs::rename(&next, directory.path().join("moved")).unwrap();
    let error = Keyring::unlock(&source, &store).await.unwrap_err();
    assert!(matches!(error, UnlockError::MissingNextKey { .. }));
    fs::rename(directory.path().join("moved"), &next).unwrap();
    // Another key in its place is no help, and an error before anything is touched.
    assert!(
        rotation::rotate(
            &store,
            &before.current,
            &MasterKey::generate().unwrap(),
            None
        )
        .await
        .is_err()
    );
    store.writes_left.store(i32::MAX, Ordering::Relaxed);
    Keyring::rotate(&source, &store, None).await.unwrap();
}

/// API handlers run on any thread.
#[test]
fn futures_are_send() {
    fn is_send(_future: impl Send) {}
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let source = MasterKeySource::File(directory.path().join("key"));
    let keyring = Keyring::of(MasterKey::generate().unwrap());
    let mut written = Vec::new();
    is_send(Keyring::unlock(&source, &store));
    is_send(Keyring::rotate(&source, &store, None));
    is_send(crate::control_plane::ca::Ca::open_or_create(
        &store, &keyring, "a",
    ));
    is_send(crate::control_plane::store::export(
        &store,
        "",
        &mut written,
    ));
    is_send(crate::control_plane::store::import(
        &store,
        &b""[..],
        ImportMode::Merge,
    ));
}

/// Fails every write after a number of them; the first failing one may be applied nevertheless, like a
/// process that is killed before it hears of its success.
struct Stopping {
    store: SledStore,
    writes_left: AtomicI32,
    applied: bool,
}

impl Store for Stopping {
    fn range(&self, prefix: &str) -> StoreFuture<'_, Range> {
        self.store.range(prefix)
    }

    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, TransactionOutcome> {
        let left = self.writes_left.fetch_sub(1, Ordering::Relaxed);
        Box::pin(async move {
            if left > 0 {
                return self.store.transact(transaction).await;
            }
            if left == 0 && self.applied {
                self.store.transact(transaction).await?;
            }
            Err(StoreError::Engine("stopped".into()))
        })
    }

    fn changes(&self, prefix: &str, after: Revision) -> StoreFuture<'_, Vec<Change>> {
        self.store.changes(prefix, after)
    }
}
