//! A running node: every part, in the order in which they start and stop.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info};

use super::{
    Readiness, admission,
    catalog_view::ShownCatalog,
    endpoint_tls::{CertificateFiles, NoCa},
    file_watch::FileWatch,
    node_view::RunningNode,
    provider_test::UpstreamTester,
    reload::{provider_timeouts, restart_sections},
    sealer::UnlockedSealer,
    unseal::StoredCredentials,
    usage_queries::NoIndex,
    workers::Workers,
};
use crate::{
    config::{AdmissionMode, Config, EndpointTls, StoreConfig},
    control_plane::{
        api::{self, AdminListener, AppState, state::EndpointNaming},
        catalog::Catalog,
        listeners::{self, ListenerStatus, Listeners},
        resolve::{Resolver, system_lookup},
        seal::Keyring,
        snapshot::{BuilderInputs, CertificateSource, SnapshotBuilder, SnapshotReport},
        store::{SledStore, Store, keep_exported},
    },
    handoff::{publish::SnapshotPublisher, queue::record_queue, snapshot::Timeouts},
};

/// How often the certificate's files are looked at.
const FILE_WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Least time between two exports of the store that are kept beside it.
const EXPORT_INTERVAL_MIN: Duration = Duration::from_secs(60);

/// A node that serves.
pub struct Node {
    config: Arc<Config>,
    readiness: Readiness,
    listeners: watch::Receiver<ListenerStatus>,
    reports: watch::Receiver<Arc<SnapshotReport>>,
    timeouts: watch::Sender<Timeouts>,
    certificate_epoch: Arc<watch::Sender<u64>>,
    workers: Workers,
    admin: Vec<AdminListener>,
    /// End with the node.
    tasks: JoinSet<()>,
}

impl Node {
    /// Starts every part; when this returns, everything that can be bound is bound.
    ///
    /// # Errors
    /// When a part cannot start. A missing overlay device is no error: the node waits for it, not ready.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let mut tasks = JoinSet::new();

        let store = open_store(&config.store)?;
        tasks.spawn(keep_exported(
            Arc::clone(&store) as Arc<dyn Store>,
            store.exports_directory(),
            EXPORT_INTERVAL_MIN,
        ));
        let store: Arc<dyn Store> = store;
        let keyring = Keyring::unlock(&config.secrets.master_key, store.as_ref()).await?;
        let sealer = Arc::new(UnlockedSealer(keyring));
        let catalog = Arc::new(Catalog::built_in());

        let (senders, _receiver) = record_queue(
            config.workers.count,
            config.usage.queue_batches_limit,
            config.usage.flush_interval,
        );

        // Workers serve an empty snapshot, and nobody, until the first one is compiled.
        let publisher = SnapshotPublisher::empty();
        let workers = Workers::start(&config, random_node(), &publisher, senders)?;

        let mut listeners = Listeners::new(&config.endpoint, &config.overlay, workers.commands());
        let timeouts = watch::Sender::new(provider_timeouts(&config.timeouts));
        let certificate_epoch = Arc::new(watch::Sender::new(0));
        let builder = SnapshotBuilder::load(
            BuilderInputs {
                store: Arc::clone(&store),
                catalog: Arc::clone(&catalog),
                unseal: Arc::new(StoredCredentials(sealer.clone())),
                resolver: Resolver::start(system_lookup()),
                certificates: certificates(&config.endpoint.tls),
                certificate_epoch: certificate_epoch.subscribe(),
                addresses: listeners.addresses(),
                timeouts: timeouts.subscribe(),
            },
            publisher,
        )
        .await?;
        let reports = builder.reports();
        tasks.spawn(builder.run());
        if let EndpointTls::Files { certificate, key } = &config.endpoint.tls {
            let paths = vec![certificate.clone(), key.clone()];
            tasks.spawn(watch_files(paths, Arc::clone(&certificate_epoch)));
        }

        // The kernel program is attached here: after everything that can fail without it, before the
        // first socket that agents can reach.
        admission::stand_in_front(config.admission)?;
        listeners.open_first()?;
        let listening = listeners.status();
        tasks.spawn(listeners.run());
        let readiness = Readiness::new(listening.clone(), reports.clone());

        let state = AppState {
            store,
            sealer,
            catalog: Arc::new(ShownCatalog::new(&catalog)),
            usage: Arc::new(NoIndex),
            tester: Arc::new(UpstreamTester {
                reports: reports.clone(),
            }),
            node: Arc::new(RunningNode {
                workers: config.workers.clone(),
                readiness: readiness.clone(),
                listeners: listening.clone(),
                reports: reports.clone(),
                ca_pem: None,
            }),
            naming: EndpointNaming {
                domain: config.endpoint.domain.clone(),
                name: config.endpoint.name.clone(),
            },
            admin_hosts: Arc::new([]),
        };
        let admin = serve_admin(&config, state).await?;

        Ok(Self {
            config,
            readiness,
            listeners: listening,
            reports,
            timeouts,
            certificate_epoch,
            workers,
            admin,
            tasks,
        })
    }

    /// Takes over what can change at run time, and has the certificate read again. Returns the sections
    /// that need a restart for their changes.
    pub fn reload(&mut self, config: Arc<Config>) -> Vec<&'static str> {
        let sections = restart_sections(&self.config, &config);
        self.timeouts
            .send_replace(provider_timeouts(&config.timeouts));
        self.certificate_epoch.send_modify(|epoch| *epoch += 1);
        let mut kept = (*self.config).clone();
        kept.timeouts = config.timeouts.clone();
        self.config = Arc::new(kept);
        sections
    }

    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The endpoint's open listeners, as they change.
    pub fn listeners(&self) -> watch::Receiver<ListenerStatus> {
        self.listeners.clone()
    }

    /// What the workers serve from, as it changes.
    pub fn reports(&self) -> watch::Receiver<Arc<SnapshotReport>> {
        self.reports.clone()
    }

    /// The management API's TCP address.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.iter().find_map(AdminListener::address)
    }

    /// Not ready; what runs may finish; everything recorded is made durable.
    ///
    /// # Errors
    /// When a worker did not end in time, or records could not be made durable.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.readiness.drain();
        let drained = self.workers.drain(self.config.timeouts.drain).await;
        drop(self.admin);
        self.tasks.shutdown().await;
        if !drained {
            return Err(anyhow!("some workers did not end in time"));
        }
        info!("stopped");
        Ok(())
    }
}

/// What a start would meet on this machine, for `keyway check`.
pub(super) fn foresee(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    match listeners::look(&config.overlay.interface) {
        Ok(Some(device)) => notes.extend(
            config
                .overlay
                .addresses
                .iter()
                .filter(|address| !device.addresses.contains(address))
                .map(|address| {
                    format!(
                        "device {} does not have {address}",
                        config.overlay.interface
                    )
                }),
        ),
        Ok(None) => notes.push(format!(
            "there is no device {}; the node waits for it",
            config.overlay.interface
        )),
        Err(error) => notes.push(format!("cannot look at devices: {error}")),
    }
    for (key, listen) in [
        ("admin.listen", config.admin.listen),
        ("telemetry.listen", config.telemetry.listen),
    ] {
        if let Some(Err(error)) = listen.map(TcpListener::bind) {
            notes.push(format!("{key}: {error}"));
        }
    }
    for (key, path) in [
        ("store.path", &config.store.path),
        ("usage.path", &config.usage.path),
    ] {
        if !existing_parent(path).is_some_and(is_writable) {
            notes.push(format!("{key}: {} cannot be written", path.display()));
        }
    }
    if config.admission == AdmissionMode::Required {
        notes.extend(
            admission::stand_in_front(config.admission)
                .err()
                .map(|error| error.to_string()),
        );
    }
    notes
}

fn existing_parent(path: &Path) -> Option<&Path> {
    path.ancestors().find(|ancestor| ancestor.exists())
}

fn is_writable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

fn open_store(config: &StoreConfig) -> anyhow::Result<Arc<SledStore>> {
    let opened = SledStore::open(&config.path, config.free_bytes_min)
        .with_context(|| format!("store {}", config.path.display()))?;
    if let Some(damage) = opened.damage {
        error!(%damage, "changes may be lost");
    }
    Ok(Arc::new(opened.store))
}

fn certificates(tls: &EndpointTls) -> Box<dyn CertificateSource> {
    match tls {
        EndpointTls::Files { certificate, key } => Box::new(CertificateFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        EndpointTls::InternalCa => Box::new(NoCa),
    }
}

/// Has the certificate read again whenever a file changes.
async fn watch_files(paths: Vec<PathBuf>, epoch: Arc<watch::Sender<u64>>) {
    let mut files = FileWatch::new(paths);
    let mut look = interval(FILE_WATCH_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if files.changed() {
            epoch.send_modify(|epoch| *epoch += 1);
        }
    }
}

async fn serve_admin(config: &Config, state: AppState) -> anyhow::Result<Vec<AdminListener>> {
    let router = api::router(state);
    let socket = &config.admin.socket;
    let unix = api::serve_unix(socket, router.clone())
        .await
        .with_context(|| format!("management API on {}", socket.display()))?;
    info!(socket = %socket.display(), "management API");
    let mut admin = vec![unix];
    if let Some(address) = config.admin.listen {
        let tcp = api::serve_tcp(address, router)
            .await
            .with_context(|| format!("management API on {address}"))?;
        info!(%address, "management API and dashboard");
        admin.push(tcp);
    }
    Ok(admin)
}

/// Tells this process's records from those of the one before.
fn random_node() -> u16 {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    u16::from_ne_bytes(bytes)
}
