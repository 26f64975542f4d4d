use std::{fs, future::Future, path::PathBuf, pin::pin, sync::Arc, task::Poll};

use tempfile::TempDir;

use super::*;
use crate::{
    control_plane::store::SledStore,
    handoff::ledger::{GrantQueue, Refusal},
};

const DAY: u32 = 86_400;

struct Home {
    directory: TempDir,
    queue: Arc<GrantQueue>,
}

impl Home {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            queue: Arc::default(),
        }
    }

    /// As after a start: what is left of earlier runs lies in the store, and in the file if the machine still runs.
    async fn open(&self) -> (Arc<dyn Store>, Arc<Ledger>) {
        let opened = SledStore::open(&self.directory.path().join("store"), 0).unwrap();
        let store: Arc<dyn Store> = Arc::new(opened.store);
        let tally = Tally::open(&self.tally(), store.as_ref()).await.unwrap();
        let ledger = Ledger::load(store.as_ref(), tally, now()).await.unwrap();
        (store, Arc::new(ledger))
    }

    fn tally(&self) -> PathBuf {
        self.directory.path().join("limits")
    }

    fn lose_power(&self) {
        fs::remove_file(self.tally()).unwrap();
    }
}

pub(super) fn key(user: &str) -> BucketKey {
    BucketKey {
        scope: Scope::User(user.to_owned()),
        unit: Unit::Tokens,
        window_seconds: DAY,
        is_durable: true,
    }
}

/// Asks as workers do, and waits until it is granted.
async fn grant(home: &Home, store: &Arc<dyn Store>, ledger: &Arc<Ledger>, asked: &[(&str, u64)]) {
    let buckets: Vec<_> = asked
        .iter()
        .map(|(user, amount)| {
            let bucket = ledger.bucket(key(user));
            home.queue.ask(&bucket, *amount);
            (bucket, *amount)
        })
        .collect();
    let mut keeping = pin!(keep(
        Arc::clone(ledger),
        Arc::clone(store),
        Arc::clone(&home.queue)
    ));
    std::future::poll_fn(|cx| {
        assert!(keeping.as_mut().poll(cx).is_pending());
        let mut buckets = buckets.iter();
        let is_granted = buckets.all(|(bucket, amount)| {
            let granted = bucket.granted();
            granted.is_some_and(|grant| grant.amount >= *amount)
        });
        match is_granted {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

#[tokio::test]
async fn after_a_kill_all_is_as_it_was() {
    let home = Home::new();
    {
        let (store, ledger) = home.open().await;
        let bucket = ledger.bucket(key("ada"));
        assert!(matches!(
            bucket.spend(now(), 1, 100),
            Err(Refusal::Grant(_))
        ));
        grant(&home, &store, &ledger, &[("ada", 40), ("eve", 7)]).await;
        let window = bucket.spend(now(), 10, 100).unwrap();
        bucket.settle(window, 10, 3);
        bucket.spend(now(), 20, 100).unwrap();
        // Killed, with 20 in flight: nobody says goodbye.
    }
    let (_, ledger) = home.open().await;
    let bucket = ledger.bucket(key("ada"));
    assert_eq!(bucket.spent(now()), 23);
    bucket.spend(now(), 17, 100).unwrap();
    assert!(matches!(
        bucket.spend(now(), 1, 100),
        Err(Refusal::Grant(_))
    ));
    assert_eq!(ledger.bucket(key("eve")).spent(now()), 0);
}

#[tokio::test]
async fn what_was_granted_is_spent_after_a_power_cut_and_what_was_spent_after_a_stop() {
    let home = Home::new();
    {
        let (store, ledger) = home.open().await;
        grant(&home, &store, &ledger, &[("ada", 40), ("eve", 7)]).await;
        ledger.bucket(key("ada")).spend(now(), 10, 100).unwrap();
    }
    home.lose_power();
    {
        let (store, ledger) = home.open().await;
        let bucket = ledger.bucket(key("ada"));
        assert_eq!(bucket.spent(now()), 40);
        grant(&home, &store, &ledger, &[("ada", 50)]).await;
        bucket.spend(now(), 5, 100).unwrap();
        close(&ledger, store.as_ref(), now()).await.unwrap();
    }
    home.lose_power();
    let (_, ledger) = home.open().await;
    assert_eq!(ledger.bucket(key("ada")).spent(now()), 45);
    assert_eq!(ledger.bucket(key("eve")).spent(now()), 7);
    assert_eq!(ledger.bucket(key("joe")).spent(now()), 0);
}

#[tokio::test]
async fn a_bucket_that_comes_back_has_spent_what_it_had() {
    let home = Home::new();
    let (store, ledger) = home.open().await;
    grant(&home, &store, &ledger, &[("ada", 40)]).await;
    ledger.bucket(key("ada")).spend(now(), 10, 100).unwrap();
    ledger.forget_unused();
    assert_eq!(ledger.lock().buckets.len(), 0);
    assert_eq!(ledger.bucket(key("ada")).spent(now()), 10);
}

#[tokio::test]
async fn windows_that_are_over_are_forgotten() {
    let home = Home::new();
    {
        let (store, _) = home.open().await;
        let doc = |window| {
            let doc = GrantDoc {
                window,
                window_seconds: DAY,
                amount: 5,
            };
            serde_json::to_vec(&doc).unwrap()
        };
        let today = now() / u64::from(DAY);
        let put = |name: &str, value| Operation::Put {
            key: format!("{LEDGER}{name}"),
            value,
        };
        let operations = vec![
            put(&key("old").to_string(), doc(today - 1)),
            put(&key("new").to_string(), doc(today)),
            put("damaged", b"{".to_vec()),
        ];
        let transaction = Transaction {
            operations,
            ..Transaction::default()
        };
        store.transact(transaction).await.unwrap();
    }
    let (store, ledger) = home.open().await;
    let kept = store.range(LEDGER).await.unwrap().entries;
    let kept: Vec<_> = kept.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(kept, ["ledger/tokens/86400/user/new"]);
    assert_eq!(ledger.bucket(key("new")).spent(now()), 5);
}

#[test]
fn a_bucket_lives_as_long_as_somebody_counts_by_it() {
    let ledger = Ledger::default();
    let held = ledger.bucket(key("ada"));
    drop(ledger.bucket(key("eve")));
    ledger.forget_unused();
    assert!(held.is(&ledger.bucket(key("ada"))));
    assert_eq!(ledger.lock().buckets.len(), 1);
}
