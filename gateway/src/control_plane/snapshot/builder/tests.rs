#![allow(clippy::unwrap_used)]

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use rustls::{crypto::aws_lc_rs, server::ResolvesServerCertUsingSni};

use super::*;
use crate::{
    config::MasterKeySource,
    control_plane::{
        identity::{NetbirdMap, Peer},
        resolve::Lookup,
        seal::{Keyring, MasterKey},
        store::{Operation, SledStore, Transaction, TransactionOutcome},
    },
    handoff::publish::SnapshotReader,
    secret::Secret,
};

/// Remembers what it was asked for; fails when told to.
#[derive(Clone, Default)]
struct Certificates {
    asked: Arc<Mutex<Vec<Vec<Box<str>>>>>,
    failing: Arc<AtomicUsize>,
}

impl CertificateSource for Certificates {
    fn certify(&mut self, names: &[Box<str>]) -> anyhow::Result<Certified> {
        self.asked.lock().unwrap().push(names.to_vec());
        if self.failing.load(Ordering::Relaxed) > 0 {
            anyhow::bail!("the key is gone");
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        Ok(Certified {
            tls: Arc::new(config),
            expires_at: Timestamp::MAX,
        })
    }
}

struct Running {
    store: Arc<dyn Store>,
    keyring: Keyring,
    certificates: Certificates,
    epoch: watch::Sender<u64>,
    addresses: watch::Sender<Vec<IpAddr>>,
    timeouts: watch::Sender<Timeouts>,
    identity: watch::Sender<Arc<Identity>>,
    reports: watch::Receiver<Arc<SnapshotReport>>,
    worker: SnapshotReader,
    _directory: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let opened = SledStore::open(&directory.path().join("store"), 0).unwrap();
        let store: Arc<dyn Store> = Arc::new(opened.store);
        let certificates = Certificates::default();
        let epoch = watch::Sender::new(0);
        let addresses = watch::Sender::new(vec![IpAddr::from([100, 64, 0, 9])]);
        let timeouts = watch::Sender::new(Timeouts {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(120),
            total: None,
        });
        let identity = watch::Sender::new(Arc::new(Identity {
            uses_static: true,
            ..Identity::default()
        }));
        let lookup: Lookup =
            Arc::new(|_| Box::pin(async { Ok(vec![IpAddr::from([203, 0, 113, 1])]) }));
        let keyring = Keyring::of(MasterKey::generate().unwrap());
        let source = MasterKeySource::File(directory.path().join("master.key"));
        let publisher = SnapshotPublisher::empty();
        let worker = publisher.reader();
        let builder = SnapshotBuilder::load(
            BuilderInputs {
                store: Arc::clone(&store),
                catalog: Arc::new(LiveCatalog::built_in()),
                keyring: Arc::new(LiveKeyring::new(keyring.clone(), source)),
                resolver: Resolver::start(Arc::clone(&lookup)),
                minter: Minter::start(lookup),
                ledger: Arc::default(),
                certificates: Box::new(certificates.clone()),
                certificate_epoch: epoch.subscribe(),
                addresses: addresses.subscribe(),
                timeouts: timeouts.subscribe(),
                traced: Vec::new(),
                identity: identity.subscribe(),
            },
            publisher,
        )
        .await
        .unwrap();
        let reports = builder.reports();
        tokio::spawn(builder.run());
        Self {
            store,
            keyring,
            certificates,
            epoch,
            addresses,
            timeouts,
            identity,
            reports,
            worker,
            _directory: directory,
        }
    }

    async fn write(&self, operations: Vec<Operation>) -> Revision {
        let transaction = Transaction {
            compares: Vec::new(),
            operations,
        };
        match self.store.transact(transaction).await.unwrap() {
            TransactionOutcome::Committed { revision } => revision,
            TransactionOutcome::Conflict { .. } => panic!("there is nothing to conflict with"),
        }
    }

    async fn until(&mut self, condition: impl Fn(&SnapshotReport) -> bool) -> Arc<SnapshotReport> {
        let wait = self.reports.wait_for(|report| condition(report));
        let report = timeout(Duration::from_secs(10), wait)
            .await
            .expect("it comes");
        Arc::clone(&report.unwrap())
    }
}

fn put(key: &str, value: &serde_json::Value) -> Operation {
    Operation::Put {
        key: key.to_owned(),
        value: serde_json::to_vec(value).unwrap(),
    }
}

fn provider() -> serde_json::Value {
    serde_json::json!({
        "id": "one", "provider_id": "openai_api", "name": "One",
        "upstream_url": "https://api.example.com", "models": [], "enabled": true,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn credential(keyring: &Keyring) -> serde_json::Value {
    let secret = Secret::new(b"sk-1".to_vec());
    let sealed = keyring.seal("credentials/one/k1", &secret).unwrap();
    serde_json::json!({
        "id": "k1", "provider_id": "one", "sealed": sealed, "fingerprint": "",
        "created_at": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn a_connected_provider_reaches_the_workers_and_a_removed_one_leaves_them() {
    let mut node = Running::start().await;
    assert!(node.worker.get().providers.is_empty());
    let revision = node
        .write(vec![
            put("providers/one", &provider()),
            put("credentials/one/k1", &credential(&node.keyring)),
        ])
        .await;
    let report = node
        .until(|report| {
            matches!(report.providers.as_slice(),
            [status] if matches!(status.state, ProviderState::Ready { .. }))
        })
        .await;
    assert!(report.store_revision >= revision);
    let target = Arc::downgrade(&node.worker.get().providers[0].targets[0]);
    assert_eq!(node.worker.get().revision, report.snapshot.revision);
    drop(report);

    let removed = ["providers/one", "credentials/one/k1"].map(|key| Operation::Delete {
        key: key.to_owned(),
    });
    node.write(removed.to_vec()).await;
    node.until(|report| report.providers.is_empty()).await;
    assert!(node.worker.get().providers.is_empty());
    // The worker let go, so the control plane frees it, key and all, without another change.
    let freed = async {
        while target.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), freed)
        .await
        .expect("it is freed");
}

#[tokio::test]
async fn certificates_follow_names_and_epochs_and_an_old_one_outlives_a_failure() {
    let mut node = Running::start().await;
    let first = node
        .until(|report| report.snapshot.endpoint.tls.is_some())
        .await;
    node.write(vec![put("peers/x", &serde_json::json!({}))])
        .await;
    node.until(|report| !report.skipped.is_empty()).await;
    let asked = || node.certificates.asked.lock().unwrap().len();
    assert_eq!(asked(), 1, "the names are the same");

    node.certificates.failing.store(1, Ordering::Relaxed);
    node.epoch.send_replace(1);
    let report = node
        .until(|report| report.certificate_failure.is_some())
        .await;
    assert!(Arc::ptr_eq(
        report.snapshot.endpoint.tls.as_ref().unwrap(),
        first.snapshot.endpoint.tls.as_ref().unwrap()
    ));

    node.certificates.failing.store(0, Ordering::Relaxed);
    node.addresses
        .send_replace(vec!["fd00::9".parse().unwrap()]);
    let report = node
        .until(|report| report.certificate_failure.is_none())
        .await;
    assert_eq!(
        *report.snapshot.endpoint.names,
        [Box::<str>::from("fd00::9")]
    );
    assert_eq!(
        node.certificates.asked.lock().unwrap().last().unwrap()[..],
        [Box::<str>::from("fd00::9")]
    );
}

#[tokio::test]
async fn reloaded_timeouts_travel_in_the_snapshot() {
    let mut node = Running::start().await;
    node.write(vec![
        put("providers/one", &provider()),
        put("credentials/one/k1", &credential(&node.keyring)),
    ])
    .await;
    node.timeouts
        .send_modify(|timeouts| timeouts.connect = Duration::from_secs(4));
    node.until(|report| {
        report
            .snapshot
            .providers
            .iter()
            .any(|provider| provider.timeouts.connect == Duration::from_secs(4))
    })
    .await;
}

#[tokio::test]
async fn another_sources_peers_come_and_go() {
    let mut node = Running::start().await;
    let map = NetbirdMap {
        peers: vec![Peer {
            id: "nb-1".to_owned(),
            name: "laptop".to_owned(),
            addresses: vec![[100, 64, 0, 7].into()],
            user_id: None,
            user_email: None,
            groups: Vec::new(),
            denial: None,
        }],
        groups: Vec::new(),
        usable: true,
    };
    node.identity.send_modify(|identity| {
        Arc::make_mut(identity).netbird = Some(Arc::new(map));
    });
    node.until(|report| report.snapshot.peers.principals().count() == 1)
        .await;
    node.identity
        .send_modify(|identity| *identity = Arc::default());
    node.until(|report| report.snapshot.peers.principals().next().is_none())
        .await;
    assert!(node.worker.get().peers.principals().next().is_none());
}

#[tokio::test]
async fn a_grant_is_reached_without_a_snapshot_of_its_own() {
    let mut node = Running::start().await;
    let first = node.reports.borrow().clone();
    let grant = put("ledger/tokens/60/user/ada", &serde_json::json!({}));
    let revision = node.write(vec![grant]).await;
    let report = node.until(|report| report.store_revision >= revision).await;
    assert!(Arc::ptr_eq(&report.snapshot, &first.snapshot));
}
