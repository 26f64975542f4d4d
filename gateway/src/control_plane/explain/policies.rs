//! Why a policy lets a request through, and whether its limits have room.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::{Charged, Denial, Named, Question, Stored};
use crate::{
    config::LimitsConfig,
    control_plane::{
        catalog::rate,
        resource::{GuardrailDoc, PolicyDoc},
    },
    dialect::output::output_keys,
    handoff::{
        ledger::Unit,
        reason::Reason,
        snapshot::{
            NanoUsd, Provider, Snapshot,
            access::{LimitMode, attribution},
        },
    },
    policy::{
        Permit, admits,
        charge::{Charge, Origin},
        plan::{Plan, Unplanned, Wants},
    },
};

/// Policies shown; those for the caller's groups come first.
const POLICIES_MAX: usize = 200;

/// A stored policy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsideredPolicy)]
pub struct Considered {
    pub id: String,
    pub name: String,
    pub state: PolicyState,
    pub why: String,
    /// The caller's group that it counts the request for.
    #[schema(required)]
    pub group: Option<Named>,
    /// What the request counts into if this policy pays: limits of the account and the provider included.
    pub limits: Vec<Charged>,
}

/// In the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyState {
    /// Its limits have room, and it comes first.
    Pays,
    /// It lets the request through; a limit says no.
    NoRoom,
    /// It lets the request through, and is not asked: another one pays, or none could help.
    Next,
    ModelBlocked,
    PathBlocked,
    /// It names other providers.
    OtherProvider,
    /// It is for other groups.
    OtherGroups,
    Disabled,
    /// It is stored, and cannot be used as it is.
    LeftOut,
}

/// The policies that let the request through, in the order in which they pay.
pub(super) struct Paying(Vec<Tried>);

pub(super) struct Tried {
    /// In the snapshot.
    pub(super) policy_place: usize,
    pub(super) group: Option<Named>,
    state: PolicyState,
    why: String,
    /// Of the first limit without room.
    denial: Option<Denial>,
    limits: Vec<Charged>,
}

impl Paying {
    pub(super) fn payer(&self) -> Option<&Tried> {
        self.0.iter().find(|tried| tried.state == PolicyState::Pays)
    }

    /// What the agent is told if nobody pays: the reason of the last that was asked to.
    pub(super) fn denial(&self) -> Option<&Denial> {
        match self.payer() {
            Some(_) => None,
            None => self.0.iter().rev().find_map(|tried| tried.denial.as_ref()),
        }
    }
}

/// Asks them in their order, as the data plane does.
pub(super) fn pay(
    first: Permit<'_>,
    question: &Question<'_>,
    limits: &LimitsConfig,
    now: u64,
) -> Paying {
    let mut tried = Vec::new();
    let mut is_decided = false;
    for permit in std::iter::successors(Some(first), |permit| permit.next(question.ask)) {
        let outcome = attempt(&permit, question, limits, now);
        let (state, why, denial) = match outcome.refusal {
            _ if is_decided => (
                PolicyState::Next,
                "lets it through; not asked".to_owned(),
                None,
            ),
            None => {
                is_decided = true;
                (PolicyState::Pays, "pays".to_owned(), None)
            }
            Some(refusal) => {
                // No other policy helps there.
                is_decided = refusal.is_final;
                (
                    PolicyState::NoRoom,
                    refusal.why,
                    Some(refusal.reason.into()),
                )
            }
        };
        let policy = permit.policy();
        let index = policy.groups[permit.group_place()].0 as usize;
        let group = permit.snapshot().groups.get(index);
        tried.push(Tried {
            policy_place: permit.place(),
            group: group.map(Named::from),
            state,
            why,
            denial,
            limits: outcome.limits,
        });
    }
    Paying(tried)
}

struct Outcome {
    limits: Vec<Charged>,
    refusal: Option<Refusal>,
}

struct Refusal {
    reason: Reason,
    is_final: bool,
    why: String,
}

fn attempt(
    permit: &Permit<'_>,
    question: &Question<'_>,
    config: &LimitsConfig,
    now: u64,
) -> Outcome {
    let dialect = question.classified.dialect;
    let wants = question.wants;
    let catalog_id = &permit.provider().catalog_id;
    let keys = output_keys(dialect, wants.operation, catalog_id, question.ask.model);
    let wants = Wants {
        may_be_bounded: wants.may_be_bounded && keys.is_some(),
        ..wants
    };
    let plan = match Plan::new(permit, wants, config, || Ok(question.elsewhere)) {
        Ok(plan) => plan,
        Err(Unplanned::Output { wanted, most }) => {
            let not = match wanted {
                Some(wanted) => format!("not {wanted}"),
                None => "and nobody knows what the request wants".to_owned(),
            };
            return Outcome {
                limits: Vec::new(),
                refusal: Some(Refusal {
                    reason: Reason::OutputLimitExceeded,
                    is_final: false,
                    why: format!("a guardrail allows {most} output tokens, {not}"),
                }),
            };
        }
        Err(Unplanned::Unbounded(charge, _)) => {
            return Outcome {
                limits: Vec::new(),
                refusal: Some(unbounded(&charge)),
            };
        }
    };
    let mut refusal = None;
    let mut limits = Vec::new();
    for charge in &plan.charges {
        let takes = plan.amount(charge).ok();
        let spent = charge.bucket.spent(now);
        let after = takes.and_then(|takes| spent.checked_add(takes));
        let has_room = after.is_some_and(|after| after <= charge.most);
        let no_room = match takes {
            _ if has_room => None,
            Some(_) => Some(Refusal {
                reason: charge.refusal(),
                is_final: is_final(charge),
                why: format!(
                    "{} has no room ({})",
                    whose(charge),
                    charge.bucket.unit().code()
                ),
            }),
            None => Some(unbounded(charge)),
        };
        let unit = charge.bucket.unit();
        limits.push(Charged {
            set_by: match charge.origin {
                Origin::Account(_) => "account",
                Origin::Provider => "provider",
                Origin::Policy => "policy",
            },
            rule: match charge.origin {
                Origin::Account(name) => Some(name.to_owned()),
                Origin::Provider | Origin::Policy => None,
            },
            unit: unit.code(),
            window_seconds: charge.bucket.window_seconds(),
            hard: charge.mode == LimitMode::Hard,
            cap: number(unit, charge.most),
            spent: number(unit, spent),
            left: number(unit, charge.most.saturating_sub(spent)),
            takes: takes.map(|takes| number(unit, takes)),
            has_room,
            denial: no_room.as_ref().map(|refusal| refusal.reason.into()),
        });
        // The first one answers.
        refusal = refusal.or(no_room);
    }
    Outcome { limits, refusal }
}

fn unbounded(charge: &Charge<'_>) -> Refusal {
    Refusal {
        reason: Reason::Unboundable,
        is_final: is_final(charge),
        why: format!(
            "{} is hard, and the request has no upper bound",
            whose(charge)
        ),
    }
}

fn is_final(charge: &Charge<'_>) -> bool {
    match charge.origin {
        Origin::Policy => false,
        Origin::Account(_) | Origin::Provider => true,
    }
}

fn whose(charge: &Charge<'_>) -> String {
    match charge.origin {
        Origin::Account(rule) => format!("budget rule {rule}"),
        Origin::Provider => "the provider's limit".to_owned(),
        Origin::Policy => "its limit".to_owned(),
    }
}

fn number(unit: Unit, amount: u64) -> Number {
    match unit {
        Unit::NanoUsd => rate::to_usd(NanoUsd(amount)),
        Unit::Tokens | Unit::Requests | Unit::InFlight => amount.into(),
    }
}

/// Every stored policy with what became of it, and how many more there are.
pub(super) fn considered(
    snapshot: &Snapshot,
    question: &Question<'_>,
    asked: Option<&Provider>,
    paying: Option<Paying>,
    stored: &Stored,
) -> (Vec<Considered>, usize) {
    let places: HashMap<&str, usize> = (0..)
        .zip(&snapshot.policies)
        .map(|(place, policy)| (&*policy.id, place))
        .collect();
    let mut tried: HashMap<usize, Tried> = paying
        .map(|paying| paying.0)
        .unwrap_or_default()
        .into_iter()
        .map(|tried| (tried.policy_place, tried))
        .collect();
    let granting: HashSet<usize> = asked
        .map(|asked| {
            let held = asked.grants.hold_from(question.principal, 0);
            held.map(|held| held.policy as usize).collect()
        })
        .unwrap_or_default();
    let mut rows: Vec<(PolicyState, Option<usize>, Considered)> = stored
        .policies
        .iter()
        .map(|doc| {
            let place = places.get(doc.id.as_str()).copied();
            let row = match place.and_then(|place| tried.remove(&place)) {
                Some(tried) => Considered {
                    id: doc.id.clone(),
                    name: doc.name.clone(),
                    state: tried.state,
                    why: tried.why,
                    group: tried.group,
                    limits: tried.limits,
                },
                None => refused(
                    snapshot,
                    question,
                    doc,
                    place,
                    &granting,
                    &stored.guardrails,
                ),
            };
            (row.state, place, row)
        })
        .collect();
    // Those that were asked come in the order in which they were.
    let is_tried = |state: PolicyState| state <= PolicyState::Next;
    rows.sort_by_key(|(state, place, _)| match is_tried(*state) {
        true => (PolicyState::Pays, *place),
        false => (*state, *place),
    });
    let left_out = rows.len().saturating_sub(POLICIES_MAX);
    rows.truncate(POLICIES_MAX);
    (rows.into_iter().map(|(_, _, row)| row).collect(), left_out)
}

fn refused(
    snapshot: &Snapshot,
    question: &Question<'_>,
    doc: &PolicyDoc,
    place: Option<usize>,
    granting: &HashSet<usize>,
    guardrails: &[GuardrailDoc],
) -> Considered {
    let (state, why) = match place {
        None if doc.enabled => (
            PolicyState::LeftOut,
            "cannot be used as it is; the node's log says why".to_owned(),
        ),
        None => (PolicyState::Disabled, "is disabled".to_owned()),
        Some(place) => {
            let policy = &snapshot.policies[place];
            if attribution(&policy.groups, question.principal).is_none() {
                (PolicyState::OtherGroups, "is for other groups".to_owned())
            } else if !granting.contains(&place) {
                (
                    PolicyState::OtherProvider,
                    "is for other providers".to_owned(),
                )
            } else {
                match admits(policy, question.ask) {
                    Err(Reason::PathBlocked) => (
                        PolicyState::PathBlocked,
                        format!("allows other paths: {}", doc.allowed_paths.join(", ")),
                    ),
                    // What it admits was asked to pay.
                    Ok(()) | Err(_) => (
                        PolicyState::ModelBlocked,
                        format!("guardrail {} has other models", lists(doc, guardrails)),
                    ),
                }
            }
        }
    };
    Considered {
        id: doc.id.clone(),
        name: doc.name.clone(),
        state,
        why,
        group: None,
        limits: Vec::new(),
    }
}

/// The names of the guardrails that list models.
fn lists(doc: &PolicyDoc, guardrails: &[GuardrailDoc]) -> String {
    let names: Vec<&str> = guardrails
        .iter()
        .filter(|guardrail| doc.guardrail_ids.contains(&guardrail.id))
        .filter(|guardrail| guardrail.checks.model_allowlist.enabled)
        .map(|guardrail| guardrail.name.as_str())
        .collect();
    names.join(", ")
}
