//! The limits that a request counts into: its upper bound is spent before it is sent, and settled when its record is
//! written, whatever happened in between.

use std::{
    cell::OnceCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{body::RequestBody, failure::Failure, io as rt, record::Recorder, worker::Worker};
use crate::{
    dialect::{
        Dialect, Operation,
        elsewhere::{Endless, elsewhere, has_keyed_tools},
        json::inputs::Inputs,
        output::{OutputBound, OutputKeys, output_keys},
    },
    handoff::{
        ledger::{Bucket, Refusal, Unit},
        reason::Reason,
        snapshot::access::LimitMode,
    },
    policy::{
        Ask, Permit,
        bound::Amounts,
        charge::{Charge, Origin, charges},
        plan::{self, Plan, Unplanned, Wants},
    },
};

mod headers;
mod message;
mod watch;

pub use headers::{RateFields, Tightest};
pub use message::unbounded;
pub use watch::{Watch, least_amounts};

/// How long a request waits until what it spends is granted.
pub const GRANT_WAIT: Duration = Duration::from_secs(1);
/// How often it looks.
pub const GRANT_LOOK: Duration = Duration::from_millis(2);
/// Asked for beyond what is needed: so many requests of the same size, or this part of the limit.
const GRANT_REQUESTS: u64 = 4;
const GRANT_PART: u64 = 64;
/// When there may be room again for a request that is one too many at once.
const IN_FLIGHT_RETRY: Duration = Duration::from_secs(1);

/// A request that is to be let through.
#[derive(Clone, Copy)]
pub struct Wish<'r> {
    pub ask: Ask<'r>,
    pub dialect: Dialect,
    pub operation: Operation,
    pub body: &'r RequestBody,
}

impl Wish<'_> {
    fn keys(&self, permit: &Permit<'_>) -> Option<OutputKeys> {
        let catalog_id = &permit.provider().catalog_id;
        output_keys(self.dialect, self.operation, catalog_id, self.ask.model)
    }
}

/// What a request has spent in advance. Dropped, it gives all of it back.
pub struct Reservation<'s> {
    worker: Rc<Worker>,
    held: Vec<Held<'s>>,
    /// A bound that must be written into the request, which has none.
    pub output_bound: Option<OutputBound>,
}

/// An amount that was spent in advance.
struct Held<'s> {
    bucket: &'s Arc<Bucket>,
    most: u64,
    mode: LimitMode,
    window: u64,
    taken: u64,
    /// Of tokens or money, and hard.
    is_hard: bool,
    /// More was used than was spent in advance.
    is_outgrown: bool,
}

impl<'s> Held<'s> {
    fn new(charge: &Charge<'s>, window: u64, taken: u64) -> Self {
        Self {
            bucket: charge.bucket,
            most: charge.most,
            mode: charge.mode,
            window,
            taken,
            is_hard: plan::is_hard(charge),
            is_outgrown: false,
        }
    }
}

/// What is known of a request's use when its record is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spending {
    /// Nothing was sent, or the provider refused it.
    #[default]
    None,
    /// It was sent; nobody says what it used.
    Unknown,
    /// It was cut short, and used this at least.
    Part,
    /// The record has all of it.
    Whole,
}

impl Spending {
    /// What a limit counts for a request that has taken so much of it in advance, and used so much as far as is known.
    pub fn counted(self, unit: Unit, mode: LimitMode, taken: u64, used: u64) -> u64 {
        match (unit, self, mode) {
            // A request was made, however it ended.
            (Unit::Requests, _, _) => taken,
            (Unit::InFlight, _, _) | (_, Self::None, _) => 0,
            (_, Self::Whole, _) | (_, Self::Part, LimitMode::Soft) => used,
            // The provider may have charged for all that it could have used.
            (_, Self::Part, LimitMode::Hard) | (_, Self::Unknown, _) => taken.max(used),
        }
    }
}

/// Spends the upper bound of a request from every limit that holds for it, until its record is written. The first
/// policy with room pays; the permit that comes back is by that one.
///
/// # Errors
/// When a limit has no room, and when a hard one holds for a request that has no upper bound.
pub async fn reserve<'s>(
    worker: &Rc<Worker>,
    permit: Permit<'s>,
    wish: Wish<'_>,
    recorder: &mut Recorder<'s>,
) -> Result<Permit<'s>, Failure> {
    recorder.policy = Some(permit.policy());
    let (permit, reservation) = by_any_policy(worker, permit, &wish).await?;
    recorder.policy = Some(permit.policy());
    recorder.reservation = Some(reservation);
    Ok(permit)
}

/// As [`reserve`], by this policy alone and without waiting: `None` while a grant is on its way.
///
/// # Errors
/// As [`reserve`].
pub fn reserve_now<'s>(
    worker: &Rc<Worker>,
    permit: &Permit<'s>,
    wish: &Wish<'_>,
) -> Result<Option<Reservation<'s>>, Failure> {
    match attempt(worker, permit, wish, &OnceCell::new()) {
        Ok(reservation) => Ok(Some(reservation)),
        Err(Denial::Ungranted) => Ok(None),
        Err(Denial::ByPolicy(failure) | Denial::Final(failure)) => Err(failure),
    }
}

/// Counts what was used before anybody could ask for it: nothing is taken in advance, and no limit refuses it.
pub fn afterwards<'s>(worker: &Rc<Worker>, permit: &Permit<'s>) -> Reservation<'s> {
    let now = now();
    let held = charges(permit)
        .into_iter()
        .map(|charge| Held::new(&charge, charge.bucket.enter(now), 0));
    Reservation {
        worker: Rc::clone(worker),
        held: held.collect(),
        output_bound: None,
    }
}

async fn by_any_policy<'s>(
    worker: &Rc<Worker>,
    mut permit: Permit<'s>,
    wish: &Wish<'_>,
) -> Result<(Permit<'s>, Reservation<'s>), Failure> {
    let mut waited = Duration::ZERO;
    let inputs = OnceCell::new();
    loop {
        match attempt(worker, &permit, wish, &inputs) {
            Ok(reservation) => return Ok((permit, reservation)),
            Err(Denial::Ungranted) if waited >= GRANT_WAIT => {
                return Err(Reason::LedgerBehind.into());
            }
            Err(Denial::Ungranted) => {
                rt::sleep(GRANT_LOOK).await;
                waited += GRANT_LOOK;
            }
            Err(Denial::Final(failure)) => return Err(failure),
            Err(Denial::ByPolicy(failure)) => match permit.next(wish.ask) {
                Some(next) => permit = next,
                None => return Err(failure),
            },
        }
    }
}

/// Why nothing was reserved.
enum Denial {
    /// The control plane was asked for a grant.
    Ungranted,
    /// Another policy may have room.
    ByPolicy(Failure),
    Final(Failure),
}

fn attempt<'s>(
    worker: &Rc<Worker>,
    permit: &Permit<'s>,
    wish: &Wish<'_>,
    inputs: &OnceCell<Option<Inputs>>,
) -> Result<Reservation<'s>, Denial> {
    let Wish {
        operation, body, ..
    } = *wish;
    let keys = wish.keys(permit);
    let wants = Wants {
        operation,
        size: body.size(keys),
        may_be_bounded: body.may_be_bounded(keys),
    };
    let elsewhere = || {
        let inputs = inputs.get_or_init(|| body.inputs(has_keyed_tools(operation)));
        let inputs = inputs.as_ref().ok_or(Endless::Unread)?;
        elsewhere(inputs, operation, &permit.provider().catalog_id)
    };
    let plan = Plan::new(permit, wants, &worker.config.limits, elsewhere);
    let plan = plan.map_err(|why| match why {
        Unplanned::Output { wanted, most } => Denial::ByPolicy(message::output(wanted, most)),
        Unplanned::Unbounded(charge, why) => denied(&charge, message::unbounded(why)),
    })?;
    let mut reservation = Reservation {
        worker: Rc::clone(worker),
        held: Vec::with_capacity(plan.charges.len()),
        output_bound: plan
            .output_tokens_max
            .zip(keys)
            .map(|(tokens, keys)| OutputBound {
                key: keys.written,
                tokens,
            }),
    };
    let now = now();
    for charge in &plan.charges {
        let amount = plan.amount(charge);
        let amount = amount.map_err(|why| denied(charge, message::unbounded(why)))?;
        match charge.bucket.spend(now, amount, charge.most) {
            Ok(window) => reservation.held.push(Held::new(charge, window, amount)),
            Err(Refusal::Cap { left }) => {
                let failure = message::refused(charge, amount, left, now);
                // What was taken of the limits before this one is theirs again.
                drop(reservation);
                let limits = plan
                    .charges
                    .iter()
                    .map(|charge| (charge.bucket, charge.most));
                let tightest = Tightest::of(limits, now);
                return Err(denied(charge, failure.with_tightest(tightest)));
            }
            Err(Refusal::Grant(needed)) => {
                let ahead = (GRANT_REQUESTS.saturating_mul(amount)).max(charge.most / GRANT_PART);
                let wanted = needed.amount.saturating_add(ahead).min(charge.most);
                worker.grants.ask(charge.bucket, wanted);
                return Err(Denial::Ungranted);
            }
        }
    }
    Ok(reservation)
}

fn denied(charge: &Charge<'_>, failure: Failure) -> Denial {
    match charge.origin {
        Origin::Policy => Denial::ByPolicy(failure),
        Origin::Account(_) | Origin::Provider => Denial::Final(failure),
    }
}

impl Reservation<'_> {
    /// What is left of the request's limits, what it has spent in advance not counted.
    pub fn tightest(&self) -> Tightest {
        let limits = self.held.iter().map(|held| (held.bucket, held.most));
        Tightest::of(limits, now())
    }

    /// Replaces what was spent in advance by what was used.
    pub fn settle(mut self, spending: Spending, used: Amounts) {
        for held in self.held.drain(..) {
            let unit = held.bucket.unit();
            let used = spending.counted(unit, held.mode, held.taken, used.of(unit));
            held.bucket.settle(held.window, held.taken, used);
            if let Some(missing) = held.bucket.ungranted() {
                self.worker.grants.ask(held.bucket, missing);
            }
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            held.bucket.settle(held.window, held.taken, 0);
        }
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
