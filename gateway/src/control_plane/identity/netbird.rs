//! The `netbird` source: peers, groups and users as NetBird's management API lists them. It has no way to
//! tell of changes, so it is asked again and again. `netbird/client.rs` asks, `netbird/mapping.rs` says
//! what the answers mean, `netbird/schedule.rs` when to ask, `netbird/kept.rs` keeps the last reading;
//! this file does the waiting.

mod client;
mod kept;
mod mapping;
mod schedule;
mod shapes;

use std::{
    collections::BTreeMap,
    path::Path,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use super::{Denial, Identity, Peer, SourceStatus};
use crate::{
    config::NetbirdConfig,
    control_plane::{
        backoff::chance,
        resolve::{Lookup, system_lookup},
        resource::GroupDoc,
        snapshot::Problem,
    },
};
use client::{Client, ReadError};
use kept::Kept;
use schedule::Schedule;

/// One reading, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetbirdMap {
    pub peers: Vec<Peer>,
    pub groups: Vec<GroupDoc>,
    /// It is not too old.
    pub usable: bool,
}

/// Why no reading can ever come: the URL or the CA bundle of the configuration is no good.
pub(super) fn obstacle(config: &NetbirdConfig) -> Option<Problem> {
    Client::new(config, system_lookup()).err()
}

/// Keeps [`Identity::netbird`] current.
pub(super) struct Netbird {
    max_age: Duration,
    client: Client,
    kept: Arc<Kept>,
    /// The file is the last reading.
    is_kept: bool,
    keeping_failed: bool,
    schedule: Schedule,
    identity: Arc<watch::Sender<Arc<Identity>>>,
    status: watch::Sender<SourceStatus>,
}

/// When a reading was asked for, by both clocks.
struct Asked {
    at: Instant,
    wall: SystemTime,
}

impl Netbird {
    /// Begins with what an earlier process read, if it is not too old.
    ///
    /// # Errors
    /// When the URL or the CA bundle of the configuration is no good.
    pub(super) fn new(
        config: &NetbirdConfig,
        directory: &Path,
        lookup: Lookup,
        identity: Arc<watch::Sender<Arc<Identity>>>,
    ) -> Result<Self, Problem> {
        let client = Client::new(config, lookup)?;
        let kept = Kept::new(directory, &config.url);
        let now = SystemTime::now();
        let known = kept.load(now).unwrap_or_else(|error| {
            warn!(%error, "NetBird's last reading cannot be read from its file");
            None
        });
        let known = known.filter(|(_, age)| *age <= config.max_age);
        let age = known.as_ref().map(|(_, age)| *age);
        let mut netbird = Self {
            max_age: config.max_age,
            client,
            kept: Arc::new(kept),
            is_kept: known.is_some(),
            keeping_failed: false,
            schedule: Schedule::new(config, Instant::now().into_std(), age),
            identity,
            status: watch::Sender::new(SourceStatus {
                stale: true,
                ..SourceStatus::default()
            }),
        };
        let (map, read_at) = match known {
            Some((map, age)) => (map, Some(now - age)),
            None => (NetbirdMap::default(), None),
        };
        if let Some(read_at) = read_at {
            info!(
                peers = map.peers.len(),
                ?age,
                "NetBird's last reading holds until the next"
            );
            netbird.note_reading(&map, read_at);
        }
        netbird.publish(&Arc::new(map));
        Ok(netbird)
    }

    pub(super) fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.subscribe()
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        loop {
            let (asked, reading) = self.reading().await;
            match reading {
                Ok(map) => self.take(map, asked).await,
                Err(error) => self.miss(&error),
            }
        }
    }

    /// Waits for the next reading and does it; meanwhile the last one may become too old.
    async fn reading(&mut self) -> (Asked, Result<NetbirdMap, ReadError>) {
        let Self {
            client, schedule, ..
        } = self;
        let due = Instant::from_std(schedule.next());
        let mut reading = pin!(async {
            sleep_until(due).await;
            let asked = Asked {
                at: Instant::now(),
                wall: SystemTime::now(),
            };
            (asked, client.read().await)
        });
        loop {
            let end = schedule.usable_until().map(Instant::from_std);
            tokio::select! {
                done = &mut reading => return done,
                () = sleep_until(end.unwrap_or(due)), if end.is_some() => {
                    if schedule.ends(Instant::now().into_std()) {
                        error!(
                            max_age = ?self.max_age,
                            "NetBird could not be read for too long: its peers are not let in any more",
                        );
                        expire(&self.identity, &self.status);
                    }
                }
            }
        }
    }

    async fn take(&mut self, map: NetbirdMap, asked: Asked) {
        let now = Instant::now().into_std();
        self.schedule.succeeded(asked.at.into_std(), now, chance());
        let map = Arc::new(map);
        let changed = self.publish(&map);
        self.note_reading(&map, asked.wall);
        let failure = self.status.borrow().failure.is_some();
        self.status.send_modify(|status| {
            status.reads += 1;
            status.changes += u64::from(changed);
            status.failure = None;
        });
        if failure {
            info!("NetBird is read again");
        }
        if changed {
            let denied = map.peers.iter().filter(|peer| peer.denial.is_some());
            info!(
                peers = map.peers.len(),
                denied = denied.count(),
                groups = map.groups.len(),
                "NetBird's peers changed",
            );
        }
        self.keep(map, changed, asked.wall).await;
    }

    fn miss(&mut self, error: &ReadError) {
        let now = Instant::now().into_std();
        self.schedule.failed(now, error.retry_after(), chance());
        let text = error.to_string();
        let is_new = self.status.borrow().failure.as_ref() != Some(&text);
        if is_new {
            warn!(
                error = text,
                "NetBird cannot be read; what is known holds until it is too old"
            );
        } else {
            debug!(error = text, "NetBird cannot be read");
        }
        self.status.send_modify(|status| {
            *status.failures.entry(error.code()).or_default() += 1;
            status.failure = Some(text);
        });
    }

    fn note_reading(&mut self, map: &NetbirdMap, read_at: SystemTime) {
        let mut peers = BTreeMap::new();
        for peer in &map.peers {
            *peers.entry(peer.denial).or_default() += 1;
        }
        self.status.send_modify(|status| {
            status.read_at = Timestamp::try_from(read_at).ok();
            status.stale = false;
            status.peers = peers;
        });
    }

    /// Whether it is another one than before.
    fn publish(&mut self, map: &Arc<NetbirdMap>) -> bool {
        self.identity.send_if_modified(|identity| {
            let changed = identity.netbird.as_ref() != Some(map);
            if changed {
                Arc::make_mut(identity).netbird = Some(Arc::clone(map));
            }
            changed
        })
    }

    /// Writes the file when the reading is another than the one in it, else only its time.
    async fn keep(&mut self, map: Arc<NetbirdMap>, changed: bool, read_at: SystemTime) {
        let kept = Arc::clone(&self.kept);
        let renew = self.is_kept && !changed;
        let written = spawn_blocking(move || match renew {
            true => kept.renew(read_at),
            false => kept.save(&map, read_at),
        });
        let written = written.await.expect("writing a file does not panic");
        if let Err(error) = &written
            && !self.keeping_failed
        {
            warn!(%error, "NetBird's reading cannot be kept for a restart");
        }
        self.is_kept = written.is_ok();
        self.keeping_failed = written.is_err();
    }
}

fn expire(identity: &watch::Sender<Arc<Identity>>, status: &watch::Sender<SourceStatus>) {
    identity.send_modify(|identity| {
        let identity = Arc::make_mut(identity);
        if let Some(map) = &mut identity.netbird {
            Arc::make_mut(map).usable = false;
        }
    });
    status.send_modify(|status| {
        let peers = status.peers.values().sum();
        status.peers = BTreeMap::from([(Some(Denial::SourceStale), peers)]);
        status.stale = true;
    });
}
