//! The task that keeps the workers' snapshot current: it watches everything a snapshot is made from,
//! waits a moment for changes to settle, compiles and publishes. It also frees snapshots that no worker
//! holds any more, and with them keys that were removed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Compiled, Compiler, Documents, Problem, ProviderState, ProviderStatus, SkippedDocument,
    Surroundings, endpoint_names,
};
use crate::{
    control_plane::{
        catalog::LiveCatalog,
        identity::Identity,
        ledger::Ledger,
        mint::{Minted, Minter},
        resolve::{Answers, Resolver},
        resource::{SettingsDoc, key::LEDGER},
        seal::LiveKeyring,
        store::{Change, Revision, Store, StoreError},
    },
    handoff::{
        publish::SnapshotPublisher,
        snapshot::{Endpoint, Snapshot, Timeouts},
    },
};

/// Changes that come together become one snapshot.
const SETTLE_TIME: Duration = Duration::from_millis(10);

/// How often retired snapshots are looked at.
const REAP_INTERVAL: Duration = Duration::from_millis(250);

/// Pause after the store failed.
const STORE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// At start, how long the first snapshot may wait for addresses and tokens of providers.
const FIRST_ANSWERS_WAIT: Duration = Duration::from_secs(2);

/// The endpoint's side of TLS.
#[derive(Clone)]
pub struct Certified {
    pub tls: Arc<ServerConfig>,
    /// Until when the certificate is valid.
    pub expires_at: Timestamp,
}

/// Makes the endpoint's side of TLS.
pub trait CertificateSource: Send {
    /// A configuration whose certificate is good for `names`; ALPN offers `h2` and `http/1.1`.
    ///
    /// # Errors
    /// The previous configuration stays in use; the error is for the operator.
    fn certify(&mut self, names: &[Box<str>]) -> anyhow::Result<Certified>;
}

/// Everything a snapshot is made from, and where it comes from. When a sender of one of the watches goes
/// away, the task ends.
pub struct BuilderInputs {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub keyring: Arc<LiveKeyring>,
    pub resolver: Resolver,
    pub minter: Minter,
    pub ledger: Arc<Ledger>,
    pub certificates: Box<dyn CertificateSource>,
    /// A change means: ask `certificates` again, though the names are the same.
    pub certificate_epoch: watch::Receiver<u64>,
    /// Addresses the endpoint listens on.
    pub addresses: watch::Receiver<Vec<IpAddr>>,
    pub timeouts: watch::Receiver<Timeouts>,
    /// See [`Surroundings::traced`].
    pub traced: Vec<String>,
    /// Peers that are not, or not wholly, in the store.
    pub identity: watch::Receiver<Arc<Identity>>,
}

/// What the newest snapshot looks like from outside.
#[derive(Debug, Clone)]
pub struct SnapshotReport {
    /// The one that workers serve from.
    pub snapshot: Arc<Snapshot>,
    pub store_revision: Revision,
    /// `None` until the endpoint has its name.
    pub settings: Option<SettingsDoc>,
    /// Every provider, disabled and skipped ones included.
    pub providers: Vec<ProviderStatus>,
    pub skipped: Vec<SkippedDocument>,
    /// Of the endpoint's certificate, when there is one.
    pub certificate_expires_at: Option<Timestamp>,
    /// Why the endpoint has no certificate, or an old one.
    pub certificate_failure: Option<String>,
}

/// See the module.
pub struct SnapshotBuilder {
    inputs: BuilderInputs,
    answers: watch::Receiver<Arc<Answers>>,
    minted: watch::Receiver<Arc<Minted>>,
    /// Tokens that the newest snapshot needs.
    ordered: usize,
    compiler: Compiler,
    publisher: SnapshotPublisher,
    report: watch::Sender<Arc<SnapshotReport>>,
    documents: Documents,
    store_revision: Revision,
    endpoint: EndpointState,
}

#[derive(Default)]
struct EndpointState {
    names: Vec<Box<str>>,
    epoch: Option<u64>,
    certified: Option<Certified>,
    failure: Option<String>,
}

impl SnapshotBuilder {
    /// Reads the store and publishes the first snapshot; [`run`](Self::run) keeps it current.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(
        inputs: BuilderInputs,
        publisher: SnapshotPublisher,
    ) -> Result<Self, StoreError> {
        let nothing = SnapshotReport {
            snapshot: publisher.current(),
            store_revision: 0,
            settings: None,
            providers: Vec::new(),
            skipped: Vec::new(),
            certificate_expires_at: None,
            certificate_failure: None,
        };
        let mut builder = Self {
            answers: inputs.resolver.answers(),
            minted: inputs.minter.minted(),
            ordered: 0,
            inputs,
            compiler: Compiler::default(),
            publisher,
            report: watch::Sender::new(Arc::new(nothing)),
            documents: Documents::default(),
            store_revision: 0,
            endpoint: EndpointState::default(),
        };
        builder.read_store().await?;
        builder.rebuild().await;
        if builder.wait_for_answers().await {
            builder.rebuild().await;
        }
        Ok(builder)
    }

    pub fn reports(&self) -> watch::Receiver<Arc<SnapshotReport>> {
        self.report.subscribe()
    }

    /// Runs until a sender of the inputs goes away.
    pub async fn run(mut self) {
        let mut reap = interval(REAP_INTERVAL);
        reap.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let store = Arc::clone(&self.inputs.store);
        loop {
            let watched = tokio::select! {
                changes = store.changes("", self.store_revision) => match changes {
                    Ok(changes) => {
                        // Grants come often, and no snapshot is made of them.
                        if changes.iter().all(|change| change.key.starts_with(LEDGER)) {
                            self.pass_over(&changes);
                            continue;
                        }
                        Ok(())
                    }
                    Err(StoreError::Compacted(_)) => Ok(()),
                    Err(error) => {
                        warn!(%error, "cannot follow the store; the workers keep what they have");
                        sleep(STORE_RETRY_INTERVAL).await;
                        continue;
                    }
                },
                changed = self.answers.changed() => changed,
                changed = self.minted.changed() => changed,
                changed = self.inputs.addresses.changed() => changed,
                changed = self.inputs.timeouts.changed() => changed,
                changed = self.inputs.identity.changed() => changed,
                changed = self.inputs.certificate_epoch.changed() => changed,
                _ = reap.tick() => {
                    self.publisher.reap();
                    continue;
                }
            };
            if watched.is_err() {
                return;
            }
            sleep(SETTLE_TIME).await;
            if let Err(error) = self.read_store().await {
                warn!(%error, "cannot read the store; the workers keep what they have");
                sleep(STORE_RETRY_INTERVAL).await;
                continue;
            }
            self.rebuild().await;
        }
    }

    /// The snapshot stays, and is that of a later revision: there may be somebody who waits for it.
    fn pass_over(&mut self, changes: &[Change]) {
        let Some(last) = changes.last() else { return };
        self.store_revision = last.revision;
        self.report.send_modify(|report| {
            *report = Arc::new(SnapshotReport {
                store_revision: last.revision,
                ..SnapshotReport::clone(report)
            });
        });
    }

    /// One consistent read of everything: thousands of small documents at most.
    async fn read_store(&mut self) -> Result<(), StoreError> {
        let range = self.inputs.store.range("").await?;
        if range.revision != self.store_revision || self.store_revision == 0 {
            self.documents = Documents::from_entries(&range.entries);
            self.store_revision = range.revision;
        }
        Ok(())
    }

    async fn rebuild(&mut self) {
        let addresses = self.inputs.addresses.borrow_and_update().clone();
        self.endpoint.refresh(
            endpoint_names(self.documents.settings.as_ref(), &addresses),
            *self.inputs.certificate_epoch.borrow_and_update(),
            self.inputs.certificates.as_mut(),
        );
        let certified = self.endpoint.certified.as_ref();
        let answers = Arc::clone(&self.answers.borrow_and_update());
        let minted = Arc::clone(&self.minted.borrow_and_update());
        let identity = Arc::clone(&self.inputs.identity.borrow_and_update());
        self.inputs.catalog.follow(self.documents.prices.as_ref());
        let catalog = self.inputs.catalog.current();
        // While the master key is being exchanged this waits: no document is halfway then.
        let keyring = self.inputs.keyring.read().await;
        let Compiled {
            snapshot,
            providers,
            skipped,
            hosts,
            orders,
        } = self.compiler.compile(
            &self.documents,
            &self.inputs.ledger,
            Surroundings {
                catalog: &catalog,
                unseal: &*keyring,
                answers: &answers,
                minted: &minted,
                identity: &identity,
                endpoint: Endpoint {
                    names: self.endpoint.names.clone(),
                    tls: certified.map(|certified| Arc::clone(&certified.tls)),
                },
                timeouts: *self.inputs.timeouts.borrow_and_update(),
                traced: &self.inputs.traced,
            },
        );
        drop(keyring);
        self.inputs.resolver.want(hosts);
        self.ordered = orders.len();
        self.inputs.minter.want(orders);
        self.publisher.publish(snapshot);
        self.inputs.ledger.forget_unused();
        let report = SnapshotReport {
            snapshot: self.publisher.current(),
            store_revision: self.store_revision,
            settings: self.documents.settings.clone(),
            providers,
            skipped,
            certificate_expires_at: certified.map(|certified| certified.expires_at),
            certificate_failure: self.endpoint.failure.clone(),
        };
        log_changes(&self.report.borrow(), &report);
        self.report.send_replace(Arc::new(report));
    }

    /// Waits for the hosts and tokens that the first compilation asked for; returns whether any came.
    async fn wait_for_answers(&mut self) -> bool {
        let hosts: Vec<String> = self
            .report
            .borrow()
            .providers
            .iter()
            .filter_map(|provider| provider.host.clone())
            .collect();
        let ordered = self.ordered;
        if hosts.is_empty() && ordered == 0 {
            return false;
        }
        let all = |answers: &Arc<Answers>| hosts.iter().all(|host| answers.contains_key(host));
        let answered = async {
            let _ = self.answers.wait_for(all).await;
            let _ = self.minted.wait_for(|m| m.settled() >= ordered).await;
        };
        // Late answers come through `run`.
        let _ = timeout(FIRST_ANSWERS_WAIT, answered).await;
        !self.answers.borrow().is_empty() || self.minted.borrow().settled() > 0
    }
}

impl EndpointState {
    fn refresh(
        &mut self,
        names: Vec<Box<str>>,
        epoch: u64,
        certificates: &mut dyn CertificateSource,
    ) {
        if names.is_empty() || (self.names == names && self.epoch == Some(epoch)) {
            self.names = names;
            return;
        }
        self.names = names;
        self.epoch = Some(epoch);
        match certificates.certify(&self.names) {
            Ok(certified) => {
                self.certified = Some(certified);
                self.failure = None;
            }
            Err(error) => {
                let failure = format!("{error:#}");
                warn!(failure, "cannot renew the endpoint's certificate");
                self.failure = Some(failure);
            }
        }
    }
}

/// Says what an operator should know, once: when it changes.
fn log_changes(before: &SnapshotReport, after: &SnapshotReport) {
    for status in &after.providers {
        let old = before.providers.iter().find(|old| old.id == status.id);
        if old.is_some_and(|old| old.state == status.state) {
            continue;
        }
        let (id, name) = (&status.id, &status.name);
        match &status.state {
            ProviderState::Ready { addresses } => info!(id, name, ?addresses, "provider is ready"),
            ProviderState::Disabled => info!(id, name, "provider is disabled"),
            ProviderState::Unreachable(Problem::Unresolved) => {
                debug!(id, name, "provider waits for its address");
            }
            ProviderState::Unreachable(problem) => {
                warn!(id, name, %problem, "provider cannot be reached");
            }
            ProviderState::Skipped(problem) => warn!(id, name, %problem, "provider is left out"),
        }
    }
    for document in &after.skipped {
        if !before.skipped.contains(document) {
            warn!(
                key = document.key,
                reason = document.reason,
                "a document is left out"
            );
        }
    }
}

#[cfg(test)]
mod tests;
