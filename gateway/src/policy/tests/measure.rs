//! What a decision costs, by the number of policies and peers.

use std::{collections::HashMap, hint::black_box, sync::Arc, time::Instant};

use super::*;
use crate::{
    config::{Estimate, LimitsConfig},
    handoff::{
        ledger::{Bucket, Unit},
        snapshot::access::{Buckets, Cap, Limits},
    },
    policy::{
        bound::Size,
        plan::{Plan, Wants},
    },
};

const GROUPS: u32 = 1000;
const GROUPS_OF_A_POLICY: u32 = 3;
const GROUPS_OF_A_PEER: u32 = 5;
const PROVIDERS: usize = 10;
const DAY: u32 = 86_400;

/// Deterministic, and good enough to spread groups.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) % u64::from(end)) as u32
    }

    fn groups(&mut self, count: u32) -> Vec<u32> {
        let mut groups: Vec<u32> = (0..count).map(|_| self.below(GROUPS)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

fn capped(id: usize, groups: &[u32], of_groups: &HashMap<u32, Arc<Bucket>>) -> Policy {
    let cap = |unit, buckets| Cap {
        unit,
        most: u64::MAX / 2,
        buckets,
    };
    let of_groups = groups.iter().map(|group| Arc::clone(&of_groups[group]));
    let caps = [
        cap(Unit::Tokens, Buckets::Groups(of_groups.collect())),
        cap(Unit::Tokens, Buckets::User(0)),
    ];
    Policy {
        limits: Limits {
            caps: caps.into(),
            ..Limits::default()
        },
        ..policy(&id.to_string(), groups)
    }
}

/// Nanoseconds of a decision with two limits, spent and settled.
fn nanos(policies: usize, peers: usize) -> f64 {
    let mut numbers = Numbers(7);
    let bucket = || Arc::new(Bucket::volatile(Unit::Tokens, DAY));
    let of_groups = (0..GROUPS).map(|group| (group, bucket())).collect();
    let policies: Vec<Policy> = (0..policies)
        .map(|id| capped(id, &numbers.groups(GROUPS_OF_A_POLICY), &of_groups))
        .collect();
    let providers = (0..PROVIDERS).map(|number| {
        let mut own = provider(&number.to_string(), "");
        let listed = format!("model-{number}");
        own.models.listed = [(listed.as_str().into(), Some(price_of(1)))]
            .into_iter()
            .collect();
        let own_policies = policies.iter().enumerate();
        own.grants = Grants::new(own_policies.filter(|(place, _)| place % PROVIDERS == number));
        own
    });
    let mut snapshot = snapshot(providers.collect());
    snapshot.policies = policies;
    let peers: Vec<Principal> = (0..peers)
        .map(|_| Principal {
            buckets: [bucket()].into(),
            ..principal(&numbers.groups(GROUPS_OF_A_PEER))
        })
        .collect();
    let config = LimitsConfig {
        soft: Estimate {
            output_tokens: 4096,
            bytes_per_token: 3,
        },
        hard_output_tokens: 8192,
    };
    let chat = request(Dialect::OpenAi, Operation::ChatCompletions);
    let wants = Wants {
        operation: Operation::ChatCompletions,
        size: Size {
            body_bytes: 1000,
            output_tokens_max: None,
            answers: 1,
        },
        may_be_bounded: true,
    };
    let models: Vec<String> = (0..PROVIDERS)
        .map(|number| format!("model-{number}"))
        .collect();
    let rounds = 200_000;
    let begun = Instant::now();
    let mut permitted = 0;
    for round in 0..rounds {
        let peer = &peers[numbers.below(peers.len() as u32) as usize];
        let ask = Ask {
            path: "/v1/chat/completions",
            model: Some(&models[round % PROVIDERS]),
            keeper: None,
        };
        let Ok(permit) = permit(&snapshot, peer, &chat, ask) else {
            continue;
        };
        let plan = Plan::new(&permit, wants, &config, || Ok(Elsewhere::default()))
            .unwrap_or_else(|_| unreachable!());
        for charge in &plan.charges {
            let amount = plan.amount(charge).unwrap();
            let window = charge.bucket.spend(1, amount, charge.most).unwrap();
            charge.bucket.settle(window, amount, 10);
        }
        permitted += 1;
        black_box(plan.charges.len());
    }
    assert!(permitted > 0, "nobody may do anything");
    begun.elapsed().as_nanos() as f64 / rounds as f64
}

#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn decisions_cost_the_same_however_many_there_are() {
    for (policies, peers) in [(100, 1000), (1000, 10_000), (10_000, 100_000)] {
        println!(
            "{policies} policies, {peers} peers: {:.0} ns",
            nanos(policies, peers)
        );
    }
}
