//! Policies, guardrails and budget rules to what workers decide by.

use std::{cmp::Reverse, collections::HashMap};

use super::{Documents, SkippedDocument, captures::Captures, peers::Groups};
use crate::{
    control_plane::{
        catalog::rate,
        ledger::{BucketKey, Ledger, Scope},
        resource::{
            BudgetRuleDoc, GuardrailDoc, LimitsDoc, PolicyDoc, ProviderRateLimitDoc,
            key::{BUDGETS, POLICIES},
        },
    },
    handoff::{
        ledger::{Bucket, Unit},
        snapshot::{
            BudgetRule, Grants, GroupIndex, Policy,
            access::{Buckets, Cap, Caps, GroupBuckets, Limits, Pattern},
        },
    },
};

/// Windows of rates.
const MINUTE: u32 = 60;

/// Everything that says who may use what.
pub(super) struct Access<'d> {
    /// In the order in which they pay, with the providers that each reaches.
    pub(super) policies: Vec<(Policy, &'d [String])>,
    pub(super) rules: Vec<(BudgetRule, &'d BudgetRuleDoc)>,
    /// What limits count for each user: the order of a principal's buckets.
    pub(super) meters: Vec<Meter>,
    pub(super) group_buckets: GroupBuckets,
}

/// What limits ask for beside their caps.
struct Counted<'l> {
    ledger: &'l Ledger,
    /// See [`Access::meters`].
    of_users: Vec<Meter>,
    of_groups: Vec<Meter>,
    group_buckets: HashMap<(GroupIndex, u32), Bucket>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meter {
    unit: Unit,
    window_seconds: u32,
    is_durable: bool,
}

impl Meter {
    pub(super) fn bucket(self, scope: Scope, ledger: &Ledger) -> Bucket {
        ledger.bucket(BucketKey {
            scope,
            unit: self.unit,
            window_seconds: self.window_seconds,
            is_durable: self.is_durable,
        })
    }
}

impl<'d> Access<'d> {
    /// What cannot be understood is left out with a reason: it lets nobody in.
    pub(super) fn compile(
        documents: &'d Documents,
        groups: &Groups,
        ledger: &Ledger,
        skipped: &mut Vec<SkippedDocument>,
    ) -> Self {
        let mut counted = Counted {
            ledger,
            of_users: Vec::new(),
            of_groups: Vec::new(),
            group_buckets: HashMap::new(),
        };
        let guardrails: HashMap<&str, &GuardrailDoc> = documents
            .guardrails
            .iter()
            .map(|guardrail| (guardrail.id.as_str(), guardrail))
            .collect();
        let captures = Captures::of(documents.settings.as_ref());
        let mut policies = Vec::new();
        for doc in documents.policies.iter().filter(|policy| policy.enabled) {
            match policy(doc, groups, &guardrails, captures, &mut counted) {
                Ok(policy) => policies.push((doc, policy)),
                Err(reason) => skipped.push(SkippedDocument {
                    key: format!("{POLICIES}{}", doc.id),
                    reason,
                }),
            }
        }
        policies.sort_by_cached_key(|(doc, policy)| pays(doc, policy));
        let mut rules = Vec::new();
        for doc in documents.budgets.iter().filter(|rule| rule.enabled) {
            match rule(doc, groups, &mut counted) {
                Ok(rule) => rules.push((rule, doc)),
                Err(reason) => skipped.push(SkippedDocument {
                    key: format!("{BUDGETS}{}", doc.id),
                    reason,
                }),
            }
        }
        Self {
            policies: policies
                .into_iter()
                .map(|(doc, policy)| (policy, doc.destination_provider_ids.as_slice()))
                .collect(),
            rules,
            meters: counted.of_users,
            group_buckets: GroupBuckets::new(
                groups.all().len(),
                counted.of_groups.len(),
                counted.group_buckets,
            ),
        }
    }

    /// The enabled policies that let a group reach `provider_id`.
    pub(super) fn grants(&self, provider_id: &str) -> Grants {
        let policies = self.policies.iter().enumerate();
        let reaching = policies
            .filter(|(_, (_, providers))| providers.iter().any(|id| id == provider_id))
            .map(|(place, (policy, _))| (place, policy));
        Grants::new(reaching)
    }

    /// The rules that hold for a caller, as places.
    pub(super) fn rules_of(&self, principal_id: &str, groups: &[GroupIndex]) -> Box<[u32]> {
        let holds = |(rule, doc): &(BudgetRule, &BudgetRuleDoc)| {
            doc.target_groups.is_empty() && doc.target_users.is_empty()
                || doc.target_users.iter().any(|user| user == principal_id)
                || groups
                    .iter()
                    .any(|group| rule.groups.binary_search(group).is_ok())
        };
        (0..)
            .zip(&self.rules)
            .filter(|(_, rule)| holds(rule))
            .map(|(place, _)| place)
            .collect()
    }
}

fn policy(
    doc: &PolicyDoc,
    groups: &Groups,
    guardrails: &HashMap<&str, &GuardrailDoc>,
    mut captures: Captures,
    counted: &mut Counted<'_>,
) -> Result<Policy, String> {
    let members = groups.of(&doc.source_groups);
    let mut models: Option<Vec<Pattern>> = None;
    let mut output_tokens_max = None;
    for id in &doc.guardrail_ids {
        let guardrail = guardrails.get(id.as_str());
        let checks = &guardrail
            .ok_or_else(|| format!("there is no guardrail {id}"))?
            .checks;
        if checks.model_allowlist.enabled {
            let listed = checks.model_allowlist.models.iter();
            let listed = listed.map(|model| Pattern::new(&model.trim().to_ascii_lowercase()));
            models.get_or_insert_default().extend(listed);
        }
        if checks.output_limit.enabled {
            let most = checks.output_limit.max_tokens;
            output_tokens_max = output_tokens_max.into_iter().chain([most]).min();
        }
        captures.read(&checks.prompt_capture);
    }
    Ok(Policy {
        id: doc.id.as_str().into(),
        name: doc.name.as_str().into(),
        models: models.map(Into::into),
        paths: doc
            .allowed_paths
            .iter()
            .map(|path| Pattern::new(path))
            .collect(),
        output_tokens_max,
        capture: captures.of_policy(),
        limits: limits(&doc.limits, &members, groups, &doc.id, counted)?,
        groups: members.into_vec().into(),
    })
}

fn rule(
    doc: &BudgetRuleDoc,
    groups: &Groups,
    counted: &mut Counted<'_>,
) -> Result<BudgetRule, String> {
    let members = groups.of(&doc.target_groups);
    Ok(BudgetRule {
        id: doc.id.as_str().into(),
        name: doc.name.as_str().into(),
        limits: limits(&doc.limits, &members, groups, &doc.id, counted)?,
        groups: members.into_vec().into(),
    })
}

/// What may go to a provider, from everybody together.
pub(super) fn provider_caps(id: &str, doc: &ProviderRateLimitDoc, ledger: &Ledger) -> Box<[Cap]> {
    let rates = [
        (Unit::Requests, MINUTE, doc.requests_per_minute),
        (Unit::Tokens, MINUTE, doc.tokens_per_minute),
        (Unit::InFlight, 0, doc.concurrency),
    ];
    let caps = rates
        .into_iter()
        .filter(|(_, _, most)| doc.enabled && *most > 0)
        .map(|(unit, window_seconds, most)| {
            let meter = Meter {
                unit,
                window_seconds,
                is_durable: false,
            };
            let bucket = meter.bucket(Scope::Provider(id.to_owned()), ledger);
            Cap {
                unit,
                most,
                buckets: Buckets::One(Box::new(bucket)),
            }
        });
    caps.collect()
}

/// What pays first: the uncapped, then those with the larger caps, then the oldest.
fn pays(doc: &PolicyDoc, policy: &Policy) -> impl Ord + use<> {
    let caps = &policy.limits.caps;
    let cap = |unit: Unit, is_of_group: bool| {
        let found = caps.iter().find(|cap| {
            let of_group = !matches!(cap.buckets, Buckets::User(_));
            cap.unit == unit && of_group == is_of_group
        });
        Reverse(found.map_or(u64::MAX, |cap| cap.most))
    };
    (
        !caps.is_empty(),
        cap(Unit::Tokens, true),
        cap(Unit::NanoUsd, true),
        cap(Unit::Tokens, false),
        cap(Unit::NanoUsd, false),
        doc.created_at,
        doc.id.clone(),
    )
}

/// `id` is the policy's or the rule's, `members` are the groups that it names.
fn limits(
    doc: &LimitsDoc,
    members: &[GroupIndex],
    groups: &Groups,
    id: &str,
    counted: &mut Counted<'_>,
) -> Result<Limits, String> {
    let mut caps = Caps::new();
    let mut add = |unit, window_seconds: u64, is_durable, group_cap: u64, user_cap: u64| {
        let meter = Meter {
            unit,
            window_seconds: u32::try_from(window_seconds)
                .map_err(|_| format!("a window of {window_seconds} seconds"))?,
            is_durable,
        };
        if group_cap > 0 {
            let buckets = match members {
                [] => {
                    let bucket = meter.bucket(Scope::Rule(id.to_owned()), counted.ledger);
                    Buckets::One(Box::new(bucket))
                }
                members => counted.of_groups(meter, members, groups),
            };
            caps.push(Cap {
                unit,
                most: group_cap,
                buckets,
            });
        }
        if user_cap > 0 {
            caps.push(Cap {
                unit,
                most: user_cap,
                buckets: Buckets::User(place(&mut counted.of_users, meter)),
            });
        }
        Ok::<_, String>(())
    };
    let (tokens, budget, rates) = (&doc.token_limit, &doc.budget_limit, &doc.rate_limit);
    if tokens.enabled {
        add(
            Unit::Tokens,
            tokens.window_seconds,
            true,
            tokens.group_cap,
            tokens.user_cap,
        )?;
    }
    if budget.enabled {
        let usd = |cap: &serde_json::Number| {
            let nano = rate::per_piece(&cap.to_string());
            nano.map(|nano| nano.0)
                .map_err(|error| format!("${cap}: {error}"))
        };
        let (group, user) = (usd(&budget.group_cap_usd)?, usd(&budget.user_cap_usd)?);
        add(Unit::NanoUsd, budget.window_seconds, true, group, user)?;
    }
    if rates.enabled {
        let minute = u64::from(MINUTE);
        let (group, user) = (
            rates.group_requests_per_minute,
            rates.user_requests_per_minute,
        );
        add(Unit::Requests, minute, false, group, user)?;
        let (group, user) = (rates.group_tokens_per_minute, rates.user_tokens_per_minute);
        add(Unit::Tokens, minute, false, group, user)?;
        add(
            Unit::InFlight,
            0,
            false,
            rates.group_concurrency,
            rates.user_concurrency,
        )?;
    }
    Ok(Limits {
        mode: doc.mode,
        caps,
    })
}

impl Counted<'_> {
    /// Sees to it that each of the groups has a bucket of the meter.
    fn of_groups(&mut self, meter: Meter, members: &[GroupIndex], groups: &Groups) -> Buckets {
        let place = place(&mut self.of_groups, meter);
        for group in members {
            let bucket = || meter.bucket(Scope::Group(groups.id(*group).to_owned()), self.ledger);
            let held = self.group_buckets.entry((*group, place));
            held.or_insert_with(bucket);
        }
        Buckets::Groups(place)
    }
}

/// Of a meter among others, of which it becomes one if need be.
fn place(meters: &mut Vec<Meter>, meter: Meter) -> u32 {
    let place = meters.iter().position(|held| *held == meter);
    let place = place.unwrap_or_else(|| {
        meters.push(meter);
        meters.len() - 1
    });
    u32::try_from(place).expect("there are fewer limits than that")
}
