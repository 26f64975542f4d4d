//! Which tokens there are, and when the next one is minted. Pure: `now` and chance are arguments, mints
//! happen elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::task::AbortHandle;

use super::{
    Fault, Granted, MintError, MintFailure, Minted, Order, ProviderMints, Token, TokenState,
};
use crate::{
    control_plane::backoff::Backoff,
    handoff::snapshot::{Credential, MintedFor},
};

/// Of a token's life, when the next one is minted: between these, by chance, so that tokens that began
/// together do not end together.
const REFRESH_PERCENT: (u32, u32) = (70, 80);

/// Between a mint and the next of the same credential.
const MINT_INTERVAL_MIN: Duration = Duration::from_secs(1);

const RETRY: Backoff = Backoff {
    shortest: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// Between mints of the same credential because the provider refuses its token: a provider that refuses every
/// one does not make the node hammer Google.
const FORCED_MINT_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<String, Entry>,
    providers: BTreeMap<String, ProviderMints>,
    /// Numbers mints and, in the same row, tokens.
    last_turn: u64,
}

struct Entry {
    order: Order,
    /// `None`: never, as long as the order is the same.
    due: Option<Instant>,
    in_flight: Option<InFlight>,
    /// When a mint was last due because the token was refused.
    forced_at: Option<Instant>,
    failures_in_a_row: u32,
    token: Option<(Token, Instant)>,
    failure: Option<MintFailure>,
}

struct InFlight {
    turn: u64,
    task: Option<AbortHandle>,
}

impl Table {
    /// Replaces the orders; returns whether what is known changed. Mints for what is not wanted are called
    /// off.
    pub(super) fn want(&mut self, orders: Vec<Order>, now: Instant) -> bool {
        let mut changed = false;
        let wanted: BTreeSet<String> = orders.iter().map(|o| o.credential_id.clone()).collect();
        let providers: BTreeSet<String> = orders.iter().map(|o| o.provider_id.clone()).collect();
        self.entries.retain(|id, entry| {
            let stays = wanted.contains(id);
            changed |= !stays;
            if !stays {
                entry.call_off();
            }
            stays
        });
        self.providers.retain(|id, _| providers.contains(id));
        for order in orders {
            let mints = self.providers.entry(order.provider_id.clone()).or_default();
            changed |= mints.name != order.provider_name;
            mints.name.clone_from(&order.provider_name);
            match self.entries.get_mut(&order.credential_id) {
                Some(entry) if entry.order.mints_like(&order) => entry.order = order,
                Some(entry) => {
                    entry.call_off();
                    *entry = Entry::new(order, now);
                    changed = true;
                }
                None => {
                    let id = order.credential_id.clone();
                    self.entries.insert(id, Entry::new(order, now));
                }
            }
        }
        changed
    }

    /// At most `limit` mints to begin, each with its number; [`started`](Self::started) is to follow.
    pub(super) fn due(&mut self, now: Instant, limit: usize) -> Vec<(u64, Order)> {
        let Self {
            entries, last_turn, ..
        } = self;
        let due = |entry: &&mut Entry| {
            entry.in_flight.is_none() && entry.due.is_some_and(|due| due <= now)
        };
        entries
            .values_mut()
            .filter(due)
            .take(limit)
            .map(|entry| {
                *last_turn += 1;
                let turn = *last_turn;
                entry.in_flight = Some(InFlight { turn, task: None });
                (turn, entry.order.clone())
            })
            .collect()
    }

    /// The task that does mint `turn`.
    pub(super) fn started(&mut self, turn: u64, task: AbortHandle) {
        if let Some(entry) = self.in_flight(turn) {
            entry.in_flight = Some(InFlight {
                turn,
                task: Some(task),
            });
        }
    }

    /// When something is to be done. Mints count only where one may begin.
    pub(super) fn next_due(&self, may_begin: bool) -> Option<Instant> {
        let mints = self
            .entries
            .values()
            .filter_map(|entry| match entry.in_flight {
                None if may_begin => entry.due,
                None | Some(_) => None,
            });
        let ends = self
            .entries
            .values()
            .filter_map(|entry| Some(entry.token.as_ref()?.1));
        mints.chain(ends).min()
    }

    pub(super) fn has_tokens(&self) -> bool {
        self.entries.values().any(|entry| entry.token.is_some())
    }

    /// Makes a mint due for every token that its provider refuses; returns the orders.
    pub(super) fn force_refused(&mut self, now: Instant) -> Vec<&Order> {
        let entries = self.entries.values_mut();
        entries
            .filter_map(|entry| entry.force_refused(now).then_some(&entry.order))
            .collect()
    }

    /// Drops tokens whose life is over; returns whether there was one.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut dropped = false;
        for entry in self.entries.values_mut() {
            let over = entry.token.as_ref().is_some_and(|(_, end)| *end <= now);
            if over {
                entry.token = None;
                dropped = true;
            }
        }
        dropped
    }

    /// Takes the result of mint `turn`; false when it was called off. `chance` is in 0..1.
    pub(super) fn finished(
        &mut self,
        turn: u64,
        result: Result<Granted, MintError>,
        now: Instant,
        chance: f64,
    ) -> bool {
        let Some(entry) = self.in_flight(turn) else {
            return false;
        };
        entry.in_flight = None;
        let provider_id = entry.order.provider_id.clone();
        let counted: fn(&mut ProviderMints) -> &mut u64 = match result {
            Ok(granted) => {
                entry.granted(turn, granted, now, chance);
                |mints| &mut mints.minted
            }
            Err(error) => {
                let failure = MintFailure::from(&error);
                let is_refusal = match failure.fault {
                    Fault::Refused(_) => true,
                    Fault::Key | Fault::Unreached => false,
                };
                entry.failed(failure, now, chance);
                match is_refusal {
                    true => |mints| &mut mints.refused,
                    false => |mints| &mut mints.failed,
                }
            }
        };
        if let Some(mints) = self.providers.get_mut(&provider_id) {
            *counted(mints) += 1;
        }
        true
    }

    /// Everything that is known.
    pub(super) fn minted(&self) -> Minted {
        let mut providers = self.providers.clone();
        for entry in self.entries.values() {
            if let (Some(mints), Some((token, _))) =
                (providers.get_mut(&entry.order.provider_id), &entry.token)
            {
                mints.expires_at = mints.expires_at.max(Some(token.expires_at));
            }
        }
        let state = |entry: &Entry| TokenState {
            token: entry.token.as_ref().map(|(token, _)| token.clone()),
            failure: entry.failure.clone(),
        };
        let tokens = self.entries.iter();
        Minted {
            tokens: tokens
                .map(|(id, entry)| (id.clone(), state(entry)))
                .collect(),
            providers,
        }
    }

    fn in_flight(&mut self, turn: u64) -> Option<&mut Entry> {
        self.entries.values_mut().find(|entry| {
            entry
                .in_flight
                .as_ref()
                .is_some_and(|mint| mint.turn == turn)
        })
    }
}

impl Entry {
    fn new(order: Order, now: Instant) -> Self {
        Self {
            order,
            due: Some(now),
            in_flight: None,
            forced_at: None,
            failures_in_a_row: 0,
            token: None,
            failure: None,
        }
    }

    fn call_off(&mut self) {
        if let Some(task) = self.in_flight.take().and_then(|mint| mint.task) {
            task.abort();
        }
    }

    /// Returns whether a mint became due.
    fn force_refused(&mut self, now: Instant) -> bool {
        let minted = self.token.as_ref();
        let minted = minted.and_then(|(token, _)| token.credential.minted.as_ref());
        let is_held_back = |at| now < at + FORCED_MINT_INTERVAL;
        let is_refused = minted.is_some_and(MintedFor::is_refused);
        // After a failure the next mint has its time already.
        let is_awaited = self.in_flight.is_some() || self.failures_in_a_row > 0;
        if !is_refused || is_awaited || self.forced_at.is_some_and(is_held_back) {
            return false;
        }
        self.forced_at = Some(now);
        self.due = Some(now);
        true
    }

    fn granted(&mut self, serial: u64, granted: Granted, now: Instant, chance: f64) {
        let Granted {
            token,
            project,
            asked_at,
            lifetime,
        } = granted;
        let (earliest, latest) = REFRESH_PERCENT;
        let early = lifetime * earliest / 100;
        let spread = lifetime * (latest - earliest) / 100;
        let due = asked_at + early + spread.mul_f64(chance);
        self.due = Some(due.max(now + MINT_INTERVAL_MIN));
        self.failures_in_a_row = 0;
        self.failure = None;
        let end = asked_at + lifetime;
        let left = SignedDuration::try_from(end.saturating_duration_since(now));
        let token = Token {
            credential: Arc::new(Credential {
                secret: token,
                signer: None,
                minted: Some(MintedFor::new(&project)),
            }),
            serial,
            expires_at: Timestamp::now()
                .saturating_add(left.unwrap_or_default())
                .unwrap_or(Timestamp::MAX),
        };
        self.token = Some((token, end));
    }

    fn failed(&mut self, failure: MintFailure, now: Instant, chance: f64) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let wait = RETRY.after(self.failures_in_a_row, chance);
        // What is wrong with the key stays wrong.
        self.due = (failure.fault != Fault::Key).then(|| now + wait);
        self.failure = Some(failure);
    }
}

impl Order {
    /// What this one's tokens are made of is what `other`'s are.
    fn mints_like(&self, other: &Self) -> bool {
        self.account == other.account
            && self.allow_loopback == other.allow_loopback
            && self.provider_id == other.provider_id
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
