//! What there is and what happens, at random.

use std::net::{IpAddr, Ipv4Addr};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    super::decisions::{at, merged},
    *,
};
use crate::{
    config::{Estimate, LimitsConfig},
    policy::bound::Size,
};

pub(super) const MODEL: &str = "gpt-4o";
/// When the first step is, within windows of every length.
pub(super) const BEGUN: u64 = 20_000 * 86_400 + 30_007;
pub(super) const LIMITS: LimitsConfig = LimitsConfig {
    soft: Estimate {
        output_tokens: 20,
        bytes_per_token: 3,
    },
    hard_output_tokens: 50,
};
const USERS: usize = 3;
const GROUPS: [&str; 3] = ["g1", "g2", "g3"];
const WINDOWS: [u32; 2] = [600, 86_400];
/// Above every bound that requests set, and above what soft limits take them to use.
const OUTPUT_TOKENS: u64 = 60;
const BODY_BYTES: u64 = 300;

#[derive(Debug, Clone)]
pub(super) struct World {
    policies: Vec<Value>,
    rules: Vec<Value>,
    /// Of each user.
    groups: Vec<Vec<&'static str>>,
    /// In millionths of a dollar per thousand tokens.
    prices: (u64, u64),
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Arrive(Arrival),
    End {
        place: usize,
        end: End,
    },
    /// Seconds.
    Clock(i64),
    Grant(Keeper),
    Restart(Restart),
}

#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) user: usize,
    pub(super) body_bytes: u64,
    pub(super) output_tokens_max: Option<u64>,
    pub(super) keeper: Keeper,
}

/// What becomes of a wish for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Writes,
    Fails,
    IsAway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    Kill,
    PowerCut,
    /// A clean one, and then another boot.
    Stop,
}

/// How a request ends, and what part of what it may use it has used.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) spending: Spending,
    input_percent: u64,
    output_percent: u64,
}

impl World {
    pub(super) fn documents(&self) -> Documents {
        let price = |micro_usd: u64| json!(micro_usd as f64 / 1e6);
        let (input, output) = self.prices;
        let provider = json!({
            "id": "one", "provider_id": "openai_api", "name": "one", "enabled": true,
            "upstream_url": "https://api.example.com", "created_at": at(1), "updated_at": at(1),
            "models": [{
                "id": MODEL, "input_per_1k": price(input), "output_per_1k": price(output),
            }],
        });
        let credential = json!({
            "id": "one", "provider_id": "one", "sealed": "", "fingerprint": "", "created_at": at(1),
        });
        let peers = self.groups.iter().enumerate().map(|(user, groups)| {
            json!({
                "id": format!("p{user}"), "name": "laptop", "addresses": [address(user)],
                "user_id": format!("u{user}"), "groups": groups,
                "created_at": at(1), "updated_at": at(1),
            })
        });
        Documents {
            providers: all([provider]),
            credentials: all([credential]),
            policies: all(self.policies.clone()),
            budgets: all(self.rules.clone()),
            peers: all(peers),
            ..Documents::default()
        }
    }
}

impl Arrival {
    pub(super) fn size(&self) -> Size {
        Size {
            body_bytes: self.body_bytes,
            output_tokens_max: self.output_tokens_max,
            answers: 1,
        }
    }
}

impl End {
    /// Nothing was sent.
    pub(super) const NOTHING: Self = Self {
        spending: Spending::None,
        input_percent: 0,
        output_percent: 0,
    };
    pub(super) const WHOLE: Self = Self {
        spending: Spending::Whole,
        input_percent: 100,
        output_percent: 100,
    };

    pub(super) fn usage(self, body_bytes: u64, output_tokens_max: Option<u64>) -> Usage {
        let output = output_tokens_max.unwrap_or(OUTPUT_TOKENS);
        Usage {
            // No token is shorter than a byte.
            input_tokens: body_bytes * self.input_percent / 100,
            output_tokens: output * self.output_percent / 100,
            ..Usage::default()
        }
    }
}

pub(super) fn address(user: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(100, 64, 0, user as u8 + 1))
}

fn all<T: DeserializeOwned>(values: impl IntoIterator<Item = Value>) -> Vec<T> {
    let read = |value| serde_json::from_value(value).unwrap();
    values.into_iter().map(read).collect()
}

pub(super) fn worlds() -> impl Strategy<Value = World> {
    let policies = prop::collection::vec((limits(), groups()), 1..4);
    let rules = prop::collection::vec((limits(), groups(), any::<bool>()), 0..3);
    let members = prop::collection::vec(groups(), USERS);
    (policies, rules, members, (100..3000u64, 100..9000u64)).prop_map(
        |(policies, rules, groups, prices)| World {
            policies: numbered(policies.into_iter().map(|(limits, groups)| {
                merged(
                    json!({"source_groups": groups, "destination_provider_ids": ["one"]}),
                    json!({"limits": limits}),
                )
            })),
            rules: numbered(rules.into_iter().map(|(limits, groups, is_for_all)| {
                let groups = if is_for_all { Vec::new() } else { groups };
                json!({"target_groups": groups, "limits": limits})
            })),
            groups,
            prices,
        },
    )
}

fn numbered(documents: impl Iterator<Item = Value>) -> Vec<Value> {
    let number = |(number, document)| {
        let base = json!({
            "id": format!("d{number}"), "name": format!("d{number}"), "enabled": true,
            "created_at": at(number), "updated_at": at(number),
        });
        merged(base, document)
    };
    (1..).zip(documents).map(number).collect()
}

fn groups() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(GROUPS.to_vec(), 1..=GROUPS.len())
}

/// 0 is no cap.
fn cap(caps: std::ops::Range<u64>) -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), caps]
}

fn limits() -> impl Strategy<Value = Value> {
    let (tokens, micro_usd) = (1..9000, 100..20_000);
    let amounts = (
        cap(tokens.clone()),
        cap(tokens.clone()),
        cap(micro_usd.clone()),
        cap(micro_usd),
    );
    let rates = (cap(1..6), cap(1..6), cap(tokens), cap(1..4));
    let windows = prop::sample::select(&WINDOWS[..]);
    let mode = prop::sample::select(&["soft", "hard"][..]);
    (amounts, rates, windows.clone(), windows, mode).prop_map(
        |(amounts, rates, of_tokens, of_usd, mode)| {
            let (group_tokens, user_tokens, group_usd, user_usd) = amounts;
            let (group_requests, user_requests, user_rate, user_concurrency) = rates;
            let usd = |micro_usd: u64| json!(micro_usd as f64 / 1e6);
            json!({
                "mode": mode,
                "token_limit": {"enabled": group_tokens + user_tokens > 0,
                    "group_cap": group_tokens, "user_cap": user_tokens,
                    "window_seconds": of_tokens},
                "budget_limit": {"enabled": group_usd + user_usd > 0,
                    "group_cap_usd": usd(group_usd), "user_cap_usd": usd(user_usd),
                    "window_seconds": of_usd},
                "rate_limit": {"enabled": true, "group_requests_per_minute": group_requests,
                    "user_requests_per_minute": user_requests,
                    "user_tokens_per_minute": user_rate, "user_concurrency": user_concurrency},
            })
        },
    )
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let place = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
    let clock = prop_oneof![
        4 => 0..90i64,
        1 => -2000..0i64,
        1 => 600..100_000i64,
    ];
    prop_oneof![
        10 => arrivals().prop_map(Step::Arrive),
        8 => (place, ends()).prop_map(|(place, end)| Step::End { place, end }),
        3 => clock.prop_map(Step::Clock),
        1 => keepers().prop_map(Step::Grant),
        1 => prop::sample::select(&[Restart::Kill, Restart::PowerCut, Restart::Stop][..])
            .prop_map(Step::Restart),
    ]
}

fn arrivals() -> impl Strategy<Value = Arrival> {
    let bound = prop::option::of(1..OUTPUT_TOKENS);
    (0..USERS, 1..BODY_BYTES, bound, keepers()).prop_map(
        |(user, body_bytes, output_tokens_max, keeper)| Arrival {
            user,
            body_bytes,
            output_tokens_max,
            keeper,
        },
    )
}

fn keepers() -> impl Strategy<Value = Keeper> {
    prop_oneof![
        6 => Just(Keeper::Writes),
        1 => Just(Keeper::Fails),
        1 => Just(Keeper::IsAway),
    ]
}

fn ends() -> impl Strategy<Value = End> {
    let spending = [
        Spending::None,
        Spending::Unknown,
        Spending::Part,
        Spending::Whole,
    ];
    let spending = prop::sample::select(spending.to_vec());
    (spending, 0..=100u64, 0..=100u64).prop_map(|(spending, input_percent, output_percent)| End {
        spending,
        input_percent,
        output_percent,
    })
}
