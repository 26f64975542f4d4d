//! Access tokens for providers whose key is a Google service account: minted ahead of need, so that no
//! request waits for one. `mint/account.rs` reads the key, `mint/assertion.rs` signs with it,
//! `mint/request.rs` asks for a token, `mint/table.rs` decides when; this file does the waiting.

mod account;
mod assertion;
mod request;
mod table;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustls::ClientConfig;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{backoff::chance, resolve::Lookup};
use crate::{handoff::snapshot::Credential, secret::Secret};
pub use account::{AccountError, ServiceAccount};
pub use request::{Fault, MintError, MintFailure};
use request::{Granted, mint};
use table::Table;

/// One mint, from the lookup of the host to the token (NetBird's limit).
pub const MINT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often tokens are looked at that a provider may have refused. Workers only leave a mark.
const REFUSAL_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Mints at one time.
const MINTS_LIMIT: usize = 8;

/// A token to keep current.
#[derive(Debug, Clone)]
pub struct Order {
    pub credential_id: String,
    pub provider_id: String,
    pub provider_name: String,
    /// The service account's JSON.
    pub account: Secret,
    /// A token endpoint on this machine may be asked.
    pub allow_loopback: bool,
    /// How to speak TLS to Google.
    pub google: Arc<ClientConfig>,
    /// How to speak TLS to the provider, and to a token endpoint on this machine.
    pub provider: Option<Arc<ClientConfig>>,
}

/// Everything that is known of tokens.
#[derive(Debug, Default)]
pub struct Minted {
    /// By credential id.
    pub tokens: HashMap<String, TokenState>,
    /// By provider id; for the metrics.
    pub providers: BTreeMap<String, ProviderMints>,
}

impl Minted {
    /// Whether a token was minted from this key, else why not; `None` as long as neither is known.
    pub fn of(&self, credential_id: &str) -> Option<Result<(), String>> {
        let state = self.tokens.get(credential_id)?;
        match (&state.token, &state.failure) {
            (Some(_), _) => Some(Ok(())),
            (None, Some(failure)) => Some(Err(failure.message.clone())),
            (None, None) => None,
        }
    }

    /// How many orders have had their first answer.
    pub fn settled(&self) -> usize {
        let ids = self.tokens.keys();
        ids.filter(|id| self.of(id).is_some()).count()
    }
}

/// What there is for one [`Order`].
#[derive(Debug, Clone, Default)]
pub struct TokenState {
    pub token: Option<Token>,
    /// Why the last mint failed; for the operator.
    pub failure: Option<MintFailure>,
}

/// A token that is valid.
#[derive(Debug, Clone)]
pub struct Token {
    pub credential: Arc<Credential>,
    /// Another one for every token in this process.
    pub serial: u64,
    pub expires_at: Timestamp,
}

/// The mints of one provider since the process started or the provider came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderMints {
    pub name: String,
    pub minted: u64,
    /// Google said no.
    pub refused: u64,
    /// There was no usable answer.
    pub failed: u64,
    /// The latest end of a token that is valid.
    pub expires_at: Option<Timestamp>,
}

/// Names the tokens to keep current, and gives them.
#[derive(Debug)]
pub struct Minter {
    wanted: watch::Sender<Vec<Order>>,
    minted: watch::Receiver<Arc<Minted>>,
}

impl Minter {
    /// Starts the task on the current tokio runtime; it ends when the `Minter` is dropped.
    pub fn start(lookup: Lookup) -> Self {
        let (wanted, wanted_receiver) = watch::channel(Vec::new());
        let (minted_sender, minted) = watch::channel(Arc::default());
        tokio::spawn(run(lookup, wanted_receiver, minted_sender));
        Self { wanted, minted }
    }

    /// Replaces the orders. New ones are minted at once; tokens of those that are gone are dropped.
    pub fn want(&self, orders: Vec<Order>) {
        self.wanted.send_replace(orders);
    }

    /// Changes with every token and every failure.
    pub fn minted(&self) -> watch::Receiver<Arc<Minted>> {
        self.minted.clone()
    }
}

/// Has the first answer for each of `orders`, for settings that are only tried.
pub async fn mint_once(orders: Vec<Order>, lookup: &Lookup) -> Arc<Minted> {
    let minter = Minter::start(Arc::clone(lookup));
    let mut minted = minter.minted();
    let count = orders.len();
    minter.want(orders);
    let settled = minted.wait_for(|minted| minted.settled() >= count).await;
    settled
        .map(|minted| Arc::clone(&minted))
        .unwrap_or_default()
}

async fn run(
    lookup: Lookup,
    mut wanted: watch::Receiver<Vec<Order>>,
    minted: watch::Sender<Arc<Minted>>,
) {
    let mut table = Table::default();
    let mut refusal_look = interval(REFUSAL_LOOK_INTERVAL);
    refusal_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut mints: JoinSet<(u64, Order, Result<Granted, MintError>)> = JoinSet::new();
    loop {
        for (turn, order) in table.due(Instant::now().into_std(), MINTS_LIMIT - mints.len()) {
            let lookup = Arc::clone(&lookup);
            let task = mints.spawn(async move {
                let minted = timeout(MINT_TIMEOUT, mint(&order, &lookup)).await;
                let result = minted.unwrap_or(Err(MintError::Timeout(MINT_TIMEOUT)));
                (turn, order, result)
            });
            table.started(turn, task);
        }
        let next = table.next_due(mints.len() < MINTS_LIMIT);
        let wake = next.map_or_else(Instant::now, Instant::from_std);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let orders = wanted.borrow_and_update().clone();
                if table.want(orders, Instant::now().into_std()) {
                    minted.send_replace(Arc::new(table.minted()));
                }
            }
            Some(finished) = mints.join_next() => {
                // One that was called off leaves nothing to say.
                let Ok((turn, order, result)) = finished else { continue };
                report(&order, &result);
                if table.finished(turn, result, Instant::now().into_std(), chance()) {
                    minted.send_replace(Arc::new(table.minted()));
                }
            }
            _ = refusal_look.tick(), if table.has_tokens() => {
                for order in table.force_refused(Instant::now().into_std()) {
                    let (id, name) = (&order.provider_id, &order.provider_name);
                    warn!(id, name, "the provider refuses its token; minting another");
                }
            }
            () = sleep_until(wake), if next.is_some() => {
                if table.expire(Instant::now().into_std()) {
                    minted.send_replace(Arc::new(table.minted()));
                }
            }
        }
    }
}

fn report(order: &Order, result: &Result<Granted, MintError>) {
    let (id, name) = (&order.provider_id, &order.provider_name);
    match result {
        Ok(granted) => info!(id, name, lifetime = ?granted.lifetime, "minted a token"),
        Err(error) => warn!(id, name, %error, "cannot mint a token"),
    }
}
