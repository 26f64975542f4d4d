//! Decisions on random documents, beside a slow and plain reading of the same documents.

use std::collections::BTreeMap;

use super::{
    worlds::{MODELS, Numbers, PATHS},
    *,
};
use crate::{
    control_plane::{
        api::testing::compile,
        ledger::{BucketKey, Ledger, Scope},
        resource::{LimitsDoc, PeerDoc, PolicyDoc, ProviderDoc},
        snapshot::{Compiler, Documents},
    },
    handoff::{ledger::Unit, snapshot::access::LimitMode},
    policy::charge::charges,
};

const WORLDS: u64 = 15;
const QUESTIONS: usize = 200;
const MINUTE: u32 = 60;

/// A policy that lets the request through, the group that it counts for, and by bucket what it may spend.
type Payer = (String, String, BTreeMap<BucketKey, (u64, LimitMode)>);

/// The policies that let a request through, in the order in which they pay.
fn plainly(
    documents: &Documents,
    peer: &PeerDoc,
    model: &str,
    path: &str,
) -> Result<Vec<Payer>, Reason> {
    let mut policies: Vec<&PolicyDoc> = documents.policies.iter().collect();
    policies.retain(|policy| policy.enabled);
    policies.sort_by_key(|policy| {
        let limits = limits(&policy.limits, "", Some(Scope::Rule(String::new())));
        let tokens = &policy.limits.token_limit;
        let cap = |cap: u64| match tokens.enabled && cap > 0 {
            true => u64::MAX - cap,
            false => 0,
        };
        (
            !limits.is_empty(),
            cap(tokens.group_cap),
            cap(tokens.user_cap),
            policy.created_at,
            policy.id.clone(),
        )
    });
    // The lowest of the groups in common.
    let common = |groups: &[String]| {
        let common = groups.iter().filter(|group| peer.groups.contains(group));
        common.min().cloned()
    };
    let reaching = |provider: &str| {
        let policies = policies.iter().filter(|policy| {
            let mut to = policy.destination_provider_ids.iter();
            to.any(|id| id == provider) && common(&policy.source_groups).is_some()
        });
        policies.copied().collect::<Vec<_>>()
    };
    let serves = |provider: &&ProviderDoc| {
        provider.models.is_empty() || provider.models.iter().any(|listed| listed.id == model)
    };
    let mut serving: Vec<&ProviderDoc> = documents.providers.iter().filter(serves).collect();
    if serving.is_empty() {
        return Err(Reason::ModelNotRoutable);
    }
    serving.retain(|provider| !reaching(&provider.id).is_empty());
    serving.sort_by_key(|provider| {
        let longest = usize::MAX - provider.upstream_url.len();
        let age = (provider.created_at, &provider.id);
        (provider.models.is_empty(), longest, age)
    });
    let provider = serving.first().ok_or(Reason::NoAuthorisedProvider)?;

    let (mut blocked_by_model, mut payers) = (false, Vec::new());
    for policy in reaching(&provider.id) {
        let group = common(&policy.source_groups).unwrap();
        let guardrails = &policy.guardrail_ids;
        if !guardrails.is_empty() && !guardrails.iter().any(|listed| listed == model) {
            blocked_by_model = true;
        } else if policy.allowed_paths.is_empty()
            || policy.allowed_paths.iter().any(|allowed| allowed == path)
        {
            let mut all: BTreeMap<BucketKey, (u64, LimitMode)> = BTreeMap::new();
            let user = peer.user_id.as_ref().unwrap();
            let of_rules = documents.budgets.iter().filter(|rule| rule.enabled);
            let of_rules = of_rules.flat_map(|rule| {
                let group = common(&rule.target_groups);
                let everyone = rule.target_groups.is_empty().then(|| rule.id.clone());
                let holds = everyone.is_some() && rule.target_users.is_empty()
                    || rule.target_users.contains(user)
                    || group.is_some();
                let shared = everyone
                    .map(Scope::Rule)
                    .or_else(|| group.map(Scope::Group));
                let found = holds.then(|| limits(&rule.limits, user, shared));
                found.unwrap_or_default()
            });
            let own = limits(&policy.limits, user, Some(Scope::Group(group.clone())));
            for (key, most, mode) in of_rules.chain(own) {
                let held = all.entry(key).or_insert((most, mode));
                held.0 = held.0.min(most);
                if mode == LimitMode::Hard {
                    held.1 = mode;
                }
            }
            payers.push((policy.id.clone(), group, all));
        }
    }
    match (payers.is_empty(), blocked_by_model) {
        (false, _) => Ok(payers),
        (true, true) => Err(Reason::ModelBlocked),
        (true, false) => Err(Reason::PathBlocked),
    }
}

/// `shared` is who counts beside the user; `None`: nobody.
fn limits(doc: &LimitsDoc, user: &str, shared: Option<Scope>) -> Vec<(BucketKey, u64, LimitMode)> {
    let (tokens, rates) = (&doc.token_limit, &doc.rate_limit);
    let window = tokens.window_seconds as u32;
    let user = Some(Scope::User(user.to_owned()));
    [
        (
            tokens.enabled,
            &shared,
            Unit::Tokens,
            window,
            tokens.group_cap,
        ),
        (tokens.enabled, &user, Unit::Tokens, window, tokens.user_cap),
        (
            rates.enabled,
            &shared,
            Unit::Requests,
            MINUTE,
            rates.group_requests_per_minute,
        ),
        (
            rates.enabled,
            &user,
            Unit::Requests,
            MINUTE,
            rates.user_requests_per_minute,
        ),
    ]
    .into_iter()
    .filter(|(is_on, _, _, _, most)| *is_on && *most > 0)
    .filter_map(|(_, scope, unit, window_seconds, most)| {
        let key = BucketKey {
            scope: scope.clone()?,
            unit,
            window_seconds,
            is_durable: unit == Unit::Tokens,
        };
        Some((key, most, doc.mode))
    })
    .collect()
}

#[test]
fn decisions_are_those_of_a_plain_reading() {
    let mut permitted = 0;
    for world in 0..WORLDS {
        let mut numbers = Numbers(world);
        let documents = numbers.documents();
        let ledger = Ledger::default();
        let snapshot = compile(&mut Compiler::default(), &documents, &ledger);
        assert_eq!(snapshot.providers.len(), documents.providers.len());
        let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
        for question in 0..QUESTIONS {
            let peer = &documents.peers[numbers.below(documents.peers.len())];
            let (model, path) = (numbers.one(&MODELS), numbers.one(&PATHS));
            let ask = Ask {
                path,
                model: Some(model),
                keeper: None,
            };
            let expected = plainly(&documents, peer, model, path);
            let principal = &snapshot.peers[&peer.addresses[0]];
            let first = permit(&snapshot, principal, &chat, ask);
            let at = format!("world {world}, question {question}");
            assert_eq!(first.as_ref().err(), expected.as_ref().err(), "{at}");
            let found = std::iter::successors(first.ok(), |permit| permit.next(ask));
            let expected = expected.unwrap_or_default();
            permitted += expected.len();
            let ids = found.clone().map(|permit| permit.policy().id.to_string());
            let payers = expected.iter().map(|(policy, _, _)| policy.clone());
            assert_eq!(ids.collect::<Vec<_>>(), payers.collect::<Vec<_>>(), "{at}");
            for (permit, (policy, group, limits)) in found.zip(expected) {
                let counted = &snapshot.groups[permit.group().0 as usize];
                assert_eq!(*counted.id, *group, "{at}, {policy}");
                let charges = charges(&permit);
                assert_eq!(charges.len(), limits.len(), "{at}, {policy}");
                for (key, expected) in limits {
                    let bucket = ledger.bucket(key.clone());
                    let mut charges = charges.iter();
                    let charge = charges.find(|charge| charge.bucket.is(&bucket));
                    let found = charge.map(|charge| (charge.most, charge.mode));
                    assert_eq!(found, Some(expected), "{at}, {policy}: {key}");
                }
            }
        }
    }
    assert!(permitted > 1000, "nearly everything was denied");
}
