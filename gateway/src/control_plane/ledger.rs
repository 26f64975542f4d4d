//! The ledger of limits: which buckets there are, and how far their spending is on durable record.

pub mod fullest;
mod keeper;
pub mod levels;
mod tally;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    resource::key::LEDGER,
    store::{OPERATIONS_MAX, Operation, Store, StoreError, Transaction},
};
use crate::handoff::ledger::{Bucket, Grant, Unit};
#[cfg(test)]
pub(crate) use keeper::answer;
pub use keeper::{close, keep};
pub use tally::Tally;

/// Whose spending a bucket counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Group(String),
    /// Or a machine without an owner.
    User(String),
    Provider(String),
    /// Everyone whom a budget rule without groups holds for.
    Rule(String),
}

/// What a bucket counts. Limits that ask for the same share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketKey {
    pub scope: Scope,
    pub unit: Unit,
    /// 0: no windows.
    pub window_seconds: u32,
    /// Survives a restart.
    pub is_durable: bool,
}

impl fmt::Display for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Tokens => "tokens",
            Unit::NanoUsd => "nano_usd",
            Unit::Requests => "requests",
            Unit::InFlight => "in_flight",
        };
        let (scope, id) = match &self.scope {
            Scope::Group(id) => ("group", id),
            Scope::User(id) => ("user", id),
            Scope::Provider(id) => ("provider", id),
            Scope::Rule(id) => ("rule", id),
        };
        write!(f, "{unit}/{}/{scope}/{id}", self.window_seconds)
    }
}

/// A grant in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct GrantDoc {
    window: u64,
    window_seconds: u32,
    amount: u64,
}

/// All buckets that limits have now, and what is on record of these and of earlier ones.
#[derive(Default)]
pub struct Ledger {
    state: Mutex<State>,
    /// For the metrics.
    pub grants: GrantCounts,
}

/// What was written down of what may be spent, and what would be lost without it.
#[derive(Debug, Default)]
pub struct GrantCounts {
    /// Grants, one per bucket and time.
    pub written: AtomicU64,
    /// Grants that could not be written.
    pub failed: AtomicU64,
    /// How long the last write took that went well.
    pub last_write_us: AtomicU64,
    /// Durable buckets whose words a kill loses, as of the last snapshot.
    pub unkept: AtomicU64,
}

#[derive(Default)]
struct State {
    buckets: HashMap<BucketKey, Bucket>,
    /// By the bucket's name.
    recorded: HashMap<String, Grant>,
    tally: Tally,
}

impl Ledger {
    /// Reads what earlier runs were granted, and forgets windows that are over. `tally` has what they spent, as far as
    /// that is known.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn load(store: &dyn Store, tally: Tally, now: u64) -> Result<Self, StoreError> {
        let mut recorded = HashMap::new();
        let mut over = Vec::new();
        for entry in store.range(LEDGER).await?.entries {
            let read = serde_json::from_slice::<GrantDoc>(&entry.value).ok();
            let doc = read.filter(|doc| {
                let ends = (doc.window + 1).saturating_mul(u64::from(doc.window_seconds));
                ends > now
            });
            match (doc, entry.key.strip_prefix(LEDGER)) {
                (Some(GrantDoc { window, amount, .. }), Some(name)) => {
                    recorded.insert(name.to_owned(), Grant { window, amount });
                }
                (None, _) | (Some(_), None) => over.push(Operation::Delete { key: entry.key }),
            }
        }
        for operations in over.chunks(OPERATIONS_MAX) {
            let transaction = Transaction {
                compares: Vec::new(),
                operations: operations.to_vec(),
            };
            store.transact(transaction).await?;
        }
        let state = State {
            buckets: HashMap::new(),
            recorded,
            tally,
        };
        Ok(Self {
            state: Mutex::new(state),
            grants: GrantCounts::default(),
        })
    }

    /// The bucket of `key`, made if need be. Where nobody knows what was spent of it, what is on record counts as spent.
    pub fn bucket(&self, key: BucketKey) -> Bucket {
        let mut state = self.lock();
        if let Some(bucket) = state.buckets.get(&key) {
            return bucket.clone();
        }
        let bucket = match key.is_durable {
            true => state.durable(&key),
            false => Bucket::volatile(key.unit, key.window_seconds),
        };
        state.buckets.insert(key, bucket.clone());
        bucket
    }

    /// Forgets buckets that nothing refers to any more. Their grants stay on record.
    pub fn forget_unused(&self) {
        let mut unkept = 0;
        let State { buckets, tally, .. } = &mut *self.lock();
        buckets.retain(|_, bucket| {
            let is_used = bucket.is_shared();
            match bucket.digest() {
                0 => unkept += u64::from(is_used && bucket.is_durable()),
                digest if !is_used => tally.release(digest),
                _ => {}
            }
            is_used
        });
        tally.reclaim(now());
        self.grants.unkept.store(unkept, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left whole entries behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn durable(&mut self, key: &BucketKey) -> Bucket {
        let name = key.to_string();
        let claimed = self.tally.claim(&name, key.window_seconds);
        let bucket = Bucket::durable(key.unit, key.window_seconds, &name, claimed.words);
        let recorded = self.recorded.get(&name).copied();
        match claimed.is_known {
            // How far it may go on is for the store to say.
            true => bucket.grant(recorded.unwrap_or_default()),
            false => recorded.into_iter().for_each(|grant| bucket.recover(grant)),
        }
        bucket
    }
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
