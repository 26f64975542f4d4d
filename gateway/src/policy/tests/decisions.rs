//! The order of decisions, from documents to the answer: which policies apply, the model, limits of the account,
//! limits of policies in the order in which they pay, and the group that a request is counted for.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{super::plan::Plan, *};
use crate::{
    config::{Estimate, LimitsConfig},
    control_plane::{
        api::testing::compile,
        explain::{Question, Stored, explain},
        ledger::{BucketKey, Ledger, Scope},
        snapshot::{Compiler, Documents},
    },
    handoff::ledger::{Grant, Unit},
    policy::{bound::Size, charge::Origin, plan::Wants},
};

const DAY: u32 = 86_400;
/// Within some day.
const NOW: u64 = 20_000 * 86_400 + 7;
const LIMITS: LimitsConfig = LimitsConfig {
    soft: Estimate {
        output_tokens: 1,
        bytes_per_token: 1,
    },
    hard_output_tokens: 1,
};

/// What exists beside two providers, of which the second has another model, and a caller in groups g2 and g3.
struct Row {
    title: &'static str,
    policies: Vec<Value>,
    rules: Vec<Value>,
    /// Whose bucket is over its cap.
    spent: Vec<(Scope, Unit)>,
    /// The policy that pays and its group, or the code of the refusal.
    expected: Result<(&'static str, &'static str), &'static str>,
}

fn row(
    title: &'static str,
    policies: &[Value],
    expected: Result<(&'static str, &'static str), &'static str>,
) -> Row {
    Row {
        title,
        policies: policies.to_vec(),
        rules: Vec::new(),
        spent: Vec::new(),
        expected,
    }
}

impl Row {
    fn rules(self, rules: &[Value]) -> Self {
        Self {
            rules: rules.to_vec(),
            ..self
        }
    }

    fn spent(self, spent: &[(Scope, Unit)]) -> Self {
        Self {
            spent: spent.to_vec(),
            ..self
        }
    }
}

/// For group g2 and the first provider, made at second 1.
fn policy(id: &str, changes: Value) -> Value {
    let base = json!({
        "id": id, "name": id, "enabled": true, "source_groups": ["g2"],
        "destination_provider_ids": ["one"], "created_at": at(1), "updated_at": at(1),
    });
    merged(base, changes)
}

/// For everyone.
fn rule(id: &str, changes: Value) -> Value {
    let base =
        json!({"id": id, "name": id, "enabled": true, "created_at": at(1), "updated_at": at(1)});
    merged(base, changes)
}

pub(super) fn merged(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        base[name.as_str()] = value.clone();
    }
    base
}

/// Caps per day; 0 for none.
fn caps(group_tokens: u64, group_usd: u64, user_tokens: u64, user_usd: u64) -> Value {
    json!({"limits": {
        "token_limit": {"enabled": group_tokens + user_tokens > 0, "group_cap": group_tokens,
            "user_cap": user_tokens, "window_seconds": DAY},
        "budget_limit": {"enabled": group_usd + user_usd > 0, "group_cap_usd": group_usd,
            "user_cap_usd": user_usd, "window_seconds": DAY},
    }})
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn group(id: &str) -> Scope {
    Scope::Group(id.to_owned())
}

fn user() -> Scope {
    Scope::User("u1".to_owned())
}

fn everyone(rule: &str) -> Scope {
    Scope::Rule(rule.to_owned())
}

fn table() -> Vec<Row> {
    let listing = |ids: &[&str]| json!({"guardrail_ids": ids});
    let both = |a: Value, b: Value| merged(a, b);
    let (tokens, usd) = (caps(100, 0, 0, 0), caps(0, 5, 0, 0));
    vec![
        // Which policies apply.
        row(
            "default is deny",
            &[],
            Err("llm_policy.no_authorised_provider"),
        ),
        row(
            "one for the caller's group",
            &[policy("p", json!({}))],
            Ok(("p", "g2")),
        ),
        row(
            "one for another group",
            &[policy("p", json!({"source_groups": ["g1"]}))],
            Err("llm_policy.no_authorised_provider"),
        ),
        row(
            "one for another provider",
            &[policy("p", json!({"destination_provider_ids": ["two"]}))],
            Err("llm_policy.no_authorised_provider"),
        ),
        row(
            "a disabled one",
            &[policy("p", json!({"enabled": false}))],
            Err("llm_policy.no_authorised_provider"),
        ),
        // The model.
        row(
            "a guardrail without the model",
            &[policy("p", listing(&["claude"]))],
            Err("llm_policy.model_blocked"),
        ),
        row(
            "guardrails of one policy add up",
            &[policy("p", listing(&["claude", "gpt"]))],
            Ok(("p", "g2")),
        ),
        row(
            "case and space around do not count",
            &[policy("p", listing(&["shouting"]))],
            Ok(("p", "g2")),
        ),
        row(
            "a list that is off restricts nothing",
            &[policy("p", listing(&["off"]))],
            Ok(("p", "g2")),
        ),
        row(
            "another policy without a list lets the model through",
            &[policy("a", listing(&["claude"])), policy("b", json!({}))],
            Ok(("b", "g2")),
        ),
        row(
            "the model comes before limits of the account",
            &[policy("p", listing(&["claude"]))],
            Err("llm_policy.model_blocked"),
        )
        .rules(&[rule("r", tokens.clone())])
        .spent(&[(everyone("r"), Unit::Tokens)]),
        // Limits of the account.
        row(
            "tokens of everyone together",
            &[policy("p", json!({}))],
            Err("llm_account.token_cap_exceeded"),
        )
        .rules(&[rule("r", tokens.clone())])
        .spent(&[(everyone("r"), Unit::Tokens)]),
        row(
            "dollars of the user",
            &[policy("p", json!({}))],
            Err("llm_account.budget_cap_exceeded"),
        )
        .rules(&[rule("r", caps(0, 0, 0, 5))])
        .spent(&[(user(), Unit::NanoUsd)]),
        row(
            "all rules have to pass",
            &[policy("p", json!({}))],
            Err("llm_account.budget_cap_exceeded"),
        )
        .rules(&[rule("r1", tokens.clone()), rule("r2", usd.clone())])
        .spent(&[(everyone("r2"), Unit::NanoUsd)]),
        row(
            "a rule for another group",
            &[policy("p", json!({}))],
            Ok(("p", "g2")),
        )
        .rules(&[rule(
            "r",
            both(tokens.clone(), json!({"target_groups": ["g1"]})),
        )])
        .spent(&[(group("g1"), Unit::Tokens)]),
        row(
            "a rule for another user",
            &[policy("p", json!({}))],
            Ok(("p", "g2")),
        )
        .rules(&[rule(
            "r",
            both(caps(0, 0, 100, 0), json!({"target_users": ["u2"]})),
        )])
        .spent(&[(user(), Unit::Tokens)]),
        row(
            "limits of the account come before those of policies",
            &[policy("p", tokens.clone())],
            Err("llm_account.budget_cap_exceeded"),
        )
        .rules(&[rule("r", usd.clone())])
        .spent(&[(group("g2"), Unit::Tokens), (everyone("r"), Unit::NanoUsd)]),
        row(
            "no other policy helps against them",
            &[policy("a", json!({})), policy("b", json!({}))],
            Err("llm_account.token_cap_exceeded"),
        )
        .rules(&[rule("r", tokens.clone())])
        .spent(&[(everyone("r"), Unit::Tokens)]),
        // Limits of policies.
        row(
            "tokens of the group",
            &[policy("p", tokens.clone())],
            Err("llm_policy.token_cap_exceeded"),
        )
        .spent(&[(group("g2"), Unit::Tokens)]),
        row(
            "dollars of the user, by a policy",
            &[policy("p", caps(0, 0, 0, 5))],
            Err("llm_policy.budget_cap_exceeded"),
        )
        .spent(&[(user(), Unit::NanoUsd)]),
        row(
            "what is used up is passed over",
            &[policy("a", caps(0, 0, 100, 0)), policy("b", tokens.clone())],
            Ok(("b", "g2")),
        )
        .spent(&[(user(), Unit::Tokens)]),
        row(
            "all are used up: the last one's reason",
            &[policy("last", tokens.clone()), policy("first", usd.clone())],
            Err("llm_policy.token_cap_exceeded"),
        )
        .spent(&[(group("g2"), Unit::Tokens), (group("g2"), Unit::NanoUsd)]),
        // Who pays.
        row(
            "the uncapped first",
            &[policy("a", tokens.clone()), policy("b", json!({}))],
            Ok(("b", "g2")),
        ),
        row(
            "then the larger cap on a group's tokens",
            &[
                policy("a", caps(100, 9, 90, 9)),
                policy("b", caps(101, 1, 10, 1)),
            ],
            Ok(("b", "g2")),
        ),
        row(
            "then on its dollars",
            &[
                policy("a", caps(100, 5, 90, 9)),
                policy("b", caps(100, 6, 10, 1)),
            ],
            Ok(("b", "g2")),
        ),
        row(
            "then on a user's tokens",
            &[
                policy("a", caps(100, 5, 8, 9)),
                policy("b", caps(100, 5, 9, 1)),
            ],
            Ok(("b", "g2")),
        ),
        row(
            "then on a user's dollars",
            &[
                policy("a", caps(100, 5, 9, 8)),
                policy("b", caps(100, 5, 9, 9)),
            ],
            Ok(("b", "g2")),
        ),
        row(
            "then the oldest",
            &[
                policy("a", json!({"created_at": at(2)})),
                policy("b", json!({"created_at": at(1)})),
            ],
            Ok(("b", "g2")),
        ),
        // For which group.
        row(
            "the lowest id of those in common",
            &[policy("p", json!({"source_groups": ["g3", "g2", "g1"]}))],
            Ok(("p", "g2")),
        ),
        row(
            "only that group's limit holds",
            &[policy(
                "p",
                both(tokens, json!({"source_groups": ["g2", "g3"]})),
            )],
            Ok(("p", "g2")),
        )
        .spent(&[(group("g3"), Unit::Tokens)]),
    ]
}

fn documents(row: &Row) -> Documents {
    let provider = |id: &str, model: &str| {
        json!({
            "id": id, "provider_id": "openai_api", "name": id, "enabled": true,
            "upstream_url": "https://api.example.com", "models": [{"id": model}],
            "created_at": at(1), "updated_at": at(1),
        })
    };
    let credential = |provider: &str| {
        json!({
            "id": provider, "provider_id": provider, "sealed": "", "fingerprint": "",
            "created_at": at(1),
        })
    };
    let guardrail = |id: &str, is_on: bool, model: &str| {
        json!({
            "id": id, "name": id, "created_at": at(1), "updated_at": at(1),
            "checks": {"model_allowlist": {"enabled": is_on, "models": [model]}},
        })
    };
    let peer = json!({
        "id": "peer", "name": "laptop", "addresses": ["100.64.0.7"], "user_id": "u1",
        "groups": ["g2", "g3"], "created_at": at(1), "updated_at": at(1),
    });
    fn all<T: serde::de::DeserializeOwned>(values: &[Value]) -> Vec<T> {
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        values.iter().map(read).collect()
    }
    Documents {
        providers: all(&[provider("one", "gpt-4o"), provider("two", "o3")]),
        credentials: all(&[credential("one"), credential("two")]),
        guardrails: all(&[
            guardrail("claude", true, "claude-*"),
            guardrail("gpt", true, "gpt-4o"),
            guardrail("shouting", true, " GPT-4O "),
            guardrail("off", false, "claude-*"),
        ]),
        policies: all(&row.policies),
        budgets: all(&row.rules),
        peers: all(&[peer]),
        ..Documents::default()
    }
}

/// As the data plane decides: spends from the first policy that has room.
fn decide(
    first: Result<Permit<'_>, Reason>,
    ask: Ask<'_>,
    wants: Wants,
) -> Result<(String, String), String> {
    let code = |reason: Reason| reason.public_code().into_owned();
    let mut permit = first.map_err(code)?;
    loop {
        let plan = Plan::new(&permit, wants, &LIMITS, || Ok(Elsewhere::default()));
        let Ok(plan) = plan else {
            panic!("no limit is hard")
        };
        let refused = plan.charges.iter().find(|charge| {
            let amount = plan.amount(charge).unwrap();
            charge.bucket.spend(NOW, amount, charge.most).is_err()
        });
        match refused {
            None => {
                let policy = permit.policy();
                let group = &permit.snapshot().groups[permit.group().0 as usize];
                return Ok((policy.id.to_string(), group.id.to_string()));
            }
            Some(charge) => {
                let next = match charge.origin {
                    Origin::Policy => permit.next(ask),
                    Origin::Account(_) | Origin::Provider => None,
                };
                permit = next.ok_or_else(|| code(charge.refusal()))?;
            }
        }
    }
}

#[test]
fn decisions_come_in_their_order() {
    for row in table() {
        let documents = documents(&row);
        let ledger = Ledger::default();
        let snapshot = compile(&mut Compiler::default(), &documents, &ledger);
        for unit in [Unit::Tokens, Unit::NanoUsd] {
            let rules = row
                .rules
                .iter()
                .map(|rule| everyone(rule["id"].as_str().unwrap()));
            let scopes = [group("g1"), group("g2"), group("g3"), user()];
            for scope in scopes.into_iter().chain(rules) {
                let is_over = row.spent.contains(&(scope.clone(), unit));
                let bucket = ledger.bucket(BucketKey {
                    scope,
                    unit,
                    window_seconds: DAY,
                    is_durable: true,
                });
                let window = bucket.window_at(NOW);
                // More than any cap in the table.
                let amount = if is_over { 1 << 40 } else { 0 };
                bucket.recover(Grant { window, amount });
                let amount = u64::MAX;
                bucket.grant(Grant { window, amount });
            }
        }
        let question = Question {
            principal: &snapshot.peers[&"100.64.0.7".parse().unwrap()],
            classified: request(Dialect::OpenAi, Operation::ChatCompletions),
            ask: Ask {
                path: "/v1/chat/completions",
                model: Some("gpt-4o"),
                keeper: None,
            },
            wants: Wants {
                operation: Operation::ChatCompletions,
                size: Size {
                    body_bytes: 1,
                    output_tokens_max: None,
                    answers: 1,
                },
                may_be_bounded: true,
            },
            elsewhere: Elsewhere::default(),
        };
        let stored = Stored {
            providers: documents.providers.clone(),
            policies: documents.policies.clone(),
            guardrails: documents.guardrails.clone(),
        };
        let told = explain(&snapshot, &question, &stored, &LIMITS, NOW);
        let told = match (told.policy, told.group, told.denial) {
            (Some(policy), Some(group), None) => Ok((policy.id, group.id)),
            (None, None, Some(denial)) => Err(denial.code),
            other => panic!("{}: {other:?}", row.title),
        };
        let Question {
            principal,
            classified,
            ask,
            wants,
            ..
        } = question;
        let first = permit(&snapshot, principal, &classified, ask);
        let found = decide(first, ask, wants);
        let expected = row
            .expected
            .map(|(policy, group)| (policy.to_owned(), group.to_owned()));
        let expected = expected.map_err(str::to_owned);
        assert_eq!(found, expected, "{}", row.title);
        assert_eq!(told, expected, "{}: what is explained", row.title);
    }
}
