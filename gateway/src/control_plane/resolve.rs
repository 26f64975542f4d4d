//! Provider hosts to addresses, looked up in the control plane so that a worker connects to an address
//! that was checked. `resolve/table.rs` decides (what is due, what counts as a change),
//! `resolve/address.rs` says which addresses may be connected to, this file does the waiting.

mod address;
mod table;

use std::{
    collections::BTreeSet, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{info, warn};

pub use address::{AddressRefused, check};
use table::Table;
pub use table::{Answer, Answers};

/// A lookup that takes longer has failed.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Lookups at one time.
const LOOKUPS_LIMIT: usize = 16;

/// Asks a resolver for the addresses of a host; an error is for people.
pub type Lookup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>
        + Send
        + Sync,
>;

/// Names the hosts to keep resolved, and gives the answers.
#[derive(Debug)]
pub struct Resolver {
    wanted: watch::Sender<BTreeSet<String>>,
    answers: watch::Receiver<Arc<Answers>>,
}

impl Resolver {
    /// Starts the task on the current tokio runtime; it ends when the `Resolver` is dropped.
    pub fn start(lookup: Lookup) -> Self {
        let (wanted, wanted_receiver) = watch::channel(BTreeSet::new());
        let (answers_sender, answers) = watch::channel(Arc::default());
        tokio::spawn(run(lookup, wanted_receiver, answers_sender));
        Self { wanted, answers }
    }

    /// Replaces the hosts to resolve: lower-case names, no literal addresses. New ones are looked up at
    /// once, the others every 30 seconds.
    pub fn want(&self, hosts: BTreeSet<String>) {
        self.wanted.send_if_modified(|current| {
            let changed = *current != hosts;
            *current = hosts;
            changed
        });
    }

    /// Everything that is known; changes when any host's usable addresses or state do.
    pub fn answers(&self) -> watch::Receiver<Arc<Answers>> {
        self.answers.clone()
    }
}

/// The system's resolver (`getaddrinfo`).
pub fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move {
            // The port is only there because the call wants one.
            let found = tokio::net::lookup_host((host.as_str(), 0))
                .await
                .map_err(|error| error.to_string())?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// What is known about one host after a lookup outside the table, for settings that are not stored yet.
pub async fn look_up_once(lookup: &Lookup, host: &str) -> Answers {
    let mut table = Table::default();
    table.want(&BTreeSet::from([host.to_owned()]));
    let result = look_up(lookup, host).await;
    table.finished(host, result, Instant::now().into_std());
    table.answers()
}

fn look_up(
    lookup: &Lookup,
    host: &str,
) -> impl Future<Output = Result<Vec<IpAddr>, String>> + Send + use<> {
    let found = lookup(host.to_owned());
    async {
        timeout(LOOKUP_TIMEOUT, found)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {LOOKUP_TIMEOUT:?}")))
    }
}

async fn run(
    lookup: Lookup,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    answers: watch::Sender<Arc<Answers>>,
) {
    let mut table = Table::default();
    let mut lookups: JoinSet<(String, Result<Vec<IpAddr>, String>)> = JoinSet::new();
    loop {
        let now = Instant::now().into_std();
        for host in table.due(now, LOOKUPS_LIMIT - lookups.len()) {
            let found = look_up(&lookup, &host);
            lookups.spawn(async move { (host, found.await) });
        }
        let next = Instant::from_std(table.next_due(now));
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let hosts = wanted.borrow_and_update().clone();
                if table.want(&hosts) {
                    answers.send_replace(Arc::new(table.answers()));
                }
            }
            Some(finished) = lookups.join_next() => {
                let Ok((host, result)) = finished else { continue };
                if table.finished(&host, result.clone(), Instant::now().into_std()) {
                    report(&host, &result);
                    answers.send_replace(Arc::new(table.answers()));
                }
            }
            () = tokio::time::sleep_until(next), if lookups.len() < LOOKUPS_LIMIT => {}
        }
    }
}

fn report(host: &str, result: &Result<Vec<IpAddr>, String>) {
    match result {
        Ok(addresses) => info!(host, ?addresses, "provider host resolved"),
        Err(reason) => warn!(host, reason, "provider host did not resolve"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn new_hosts_are_looked_up_at_once_and_unwanted_ones_forgotten() {
        let lookup: Lookup = Arc::new(|host| {
            Box::pin(async move {
                match host.as_str() {
                    "a.example" => Ok(vec![IpAddr::from([203, 0, 113, 1])]),
                    _ => Err("no such host".to_owned()),
                }
            })
        });
        let resolver = Resolver::start(lookup);
        let mut answers = resolver.answers();

        resolver.want(BTreeSet::from(["a.example".to_owned()]));
        let known = answers
            .wait_for(|answers| answers.contains_key("a.example"))
            .await
            .expect("the task lives")
            .clone();
        assert_eq!(
            known["a.example"].addresses,
            [IpAddr::from([203, 0, 113, 1])]
        );

        resolver.want(BTreeSet::from(["b.example".to_owned()]));
        let known = answers
            .wait_for(|answers| answers.contains_key("b.example"))
            .await
            .expect("the task lives")
            .clone();
        assert_eq!(known["b.example"].failure.as_deref(), Some("no such host"));
        assert!(!known.contains_key("a.example"));
    }
}
