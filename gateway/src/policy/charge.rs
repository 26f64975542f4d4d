//! Which buckets a permitted request counts into.

use smallvec::SmallVec;

use super::Permit;
use crate::handoff::{
    ledger::{Bucket, Unit},
    reason::Reason,
    snapshot::{
        GroupIndex,
        access::{Cap, LimitMode, Limits, attribution},
    },
};

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A budget rule, by its name. No other policy helps where it denies.
    Account(&'a str),
    Provider,
    Policy,
}

/// A limit that a request counts into.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'a> {
    pub bucket: &'a Bucket,
    pub most: u64,
    pub mode: LimitMode,
    pub origin: Origin<'a>,
}

/// As many as most requests have need no allocation.
pub type Charges<'a> = SmallVec<[Charge<'a>; 4]>;

impl Charge<'_> {
    /// Why a request is denied for which this limit has no room.
    pub fn refusal(&self) -> Reason {
        match (self.bucket.unit(), self.origin) {
            (Unit::Requests, _) => Reason::RequestRateExceeded,
            (Unit::InFlight, _) => Reason::ConcurrencyExceeded,
            (Unit::Tokens, _) if !self.bucket.is_durable() => Reason::TokenRateExceeded,
            (Unit::Tokens, Origin::Account(_)) => Reason::AccountTokenCapExceeded,
            (Unit::Tokens, Origin::Policy | Origin::Provider) => Reason::TokenCapExceeded,
            (Unit::NanoUsd, Origin::Account(_)) => Reason::AccountBudgetCapExceeded,
            (Unit::NanoUsd, Origin::Policy | Origin::Provider) => Reason::BudgetCapExceeded,
        }
    }
}

/// All limits of a permitted request, budget rules first. A bucket that several of them share comes once, with the
/// least of their caps.
pub fn charges<'a>(permit: &Permit<'a>) -> Charges<'a> {
    let mut charges = Charges::new();
    let (snapshot, principal) = (permit.snapshot(), permit.principal());
    for place in &principal.budget_rules {
        let rule = &snapshot.budget_rules[*place as usize];
        let group = attribution(&rule.groups, principal);
        add(
            &mut charges,
            permit,
            &rule.limits,
            group,
            Origin::Account(&rule.name),
        );
    }
    for cap in &permit.provider().caps {
        add_cap(
            &mut charges,
            permit,
            cap,
            LimitMode::Soft,
            None,
            Origin::Provider,
        );
    }
    let policy = permit.policy();
    let group = Some(permit.group());
    add(&mut charges, permit, &policy.limits, group, Origin::Policy);
    charges
}

fn add<'a>(
    charges: &mut Charges<'a>,
    permit: &Permit<'a>,
    limits: &'a Limits,
    group: Option<GroupIndex>,
    origin: Origin<'a>,
) {
    for cap in &limits.caps {
        add_cap(charges, permit, cap, limits.mode, group, origin);
    }
}

fn add_cap<'a>(
    charges: &mut Charges<'a>,
    permit: &Permit<'a>,
    cap: &'a Cap,
    mode: LimitMode,
    group: Option<GroupIndex>,
    origin: Origin<'a>,
) {
    let of_groups = &permit.snapshot().group_buckets;
    let Some(bucket) = cap.bucket(permit.principal(), of_groups, group) else {
        return;
    };
    let most = cap.most;
    let held = charges.iter_mut().find(|held| held.bucket.is(bucket));
    let Some(held) = held else {
        charges.push(Charge {
            bucket,
            most,
            mode,
            origin,
        });
        return;
    };
    if most < held.most {
        (held.most, held.origin) = (most, origin);
    }
    if mode == LimitMode::Hard {
        held.mode = mode;
    }
}
