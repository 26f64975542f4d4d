//! A node with many policies, and requests of its peers.

use std::{
    collections::BTreeSet,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use gateway::{
    config::{Estimate, LimitsConfig},
    control_plane::{
        catalog::Catalog,
        identity::Identity,
        ledger::Ledger,
        mint::Minted,
        resolve::Answers,
        resource::CredentialDoc,
        snapshot::{Compiler, Documents, Surroundings, Unseal},
    },
    dialect::{Classified, Dialect, ModelSource, Object, Operation, elsewhere::Elsewhere},
    handoff::{
        ledger::{Grant, Refusal},
        snapshot::{Endpoint, Snapshot, Timeouts},
    },
    policy::{
        Ask,
        bound::Size as Bytes,
        permit,
        plan::{Plan, Wants},
    },
    secret::Secret,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const PROVIDERS: u32 = 10;
const GROUPS_OF_A_POLICY: usize = 3;
const GROUPS_OF_A_PEER: usize = 5;
const DAY: u64 = 86_400;
/// Within some day.
pub(crate) const NOW: u64 = 20_000 * DAY + 7;
const MADE_AT: &str = "2026-01-01T00:00:00Z";
/// So that no cap is met.
const CAP: u64 = u64::MAX / 2;
const FIRST_PEER: u32 = 0x6440_0100;
const USED_TOKENS: u64 = 10;

const LIMITS: LimitsConfig = LimitsConfig {
    soft: Estimate {
        output_tokens: 4096,
        bytes_per_token: 3,
    },
    hard_output_tokens: 8192,
};
const WANTS: Wants = Wants {
    operation: Operation::ChatCompletions,
    size: Bytes {
        body_bytes: 1000,
        output_tokens_max: None,
        answers: 1,
    },
    may_be_bounded: true,
};
const CHAT: Classified<'static> = Classified {
    dialect: Dialect::OpenAi,
    operation: Operation::ChatCompletions,
    model: ModelSource::Body,
    object: Object::None,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) policies: u32,
    pub(crate) groups: u32,
    pub(crate) peers: u32,
}

pub(crate) struct Fleet {
    pub(crate) size: Size,
    pub(crate) snapshot: Snapshot,
    models: Vec<String>,
    numbers: Numbers,
}

impl Fleet {
    pub(crate) fn compile(size: Size) -> Self {
        let mut numbers = Numbers(7);
        let documents = documents(size, &mut numbers);
        let second = Duration::from_secs(1);
        let surroundings = Surroundings {
            traced: &[],
            catalog: &Catalog::built_in(),
            unseal: &AnyKey,
            answers: &Answers::default(),
            minted: &Minted::default(),
            identity: &Identity {
                uses_static: true,
                ..Identity::default()
            },
            endpoint: Endpoint::default(),
            timeouts: Timeouts {
                connect: second,
                first_byte: second,
                idle: second,
                total: None,
            },
        };
        let compiled = Compiler::default().compile(&documents, &Ledger::default(), surroundings);
        Self {
            size,
            snapshot: compiled.snapshot,
            models: (0..PROVIDERS).map(model).collect(),
            numbers,
        }
    }

    /// As the data plane decides on a request of a random peer, and settles it; whether it was permitted.
    pub(crate) fn decide(&mut self, turn: usize) -> bool {
        let address = address(self.numbers.below(self.size.peers));
        let Some(principal) = self.snapshot.peers.get(&address) else {
            return false;
        };
        let ask = Ask {
            path: "/v1/chat/completions",
            model: Some(&self.models[turn % self.models.len()]),
            keeper: None,
        };
        let Ok(permit) = permit(&self.snapshot, principal, &CHAT, ask) else {
            return false;
        };
        let Ok(plan) = Plan::new(&permit, WANTS, &LIMITS, || Ok(Elsewhere::default())) else {
            return false;
        };
        for charge in &plan.charges {
            let Ok(amount) = plan.amount(charge) else {
                return false;
            };
            let spend = || charge.bucket.spend(NOW, amount, charge.most);
            let mut spent = spend();
            // Once for each bucket.
            if let Err(Refusal::Grant(Grant { window, .. })) = spent {
                let amount = u64::MAX;
                charge.bucket.grant(Grant { window, amount });
                spent = spend();
            }
            let Ok(window) = spent else {
                return false;
            };
            charge.bucket.settle(window, amount, USED_TOKENS);
        }
        !black_box(&plan.charges).is_empty()
    }
}

fn documents(size: Size, numbers: &mut Numbers) -> Documents {
    let group = |index: u32| format!("group-{index}");
    let groups = |numbers: &mut Numbers, count: usize| {
        let mut drawn = BTreeSet::new();
        while drawn.len() < count {
            drawn.insert(numbers.below(size.groups));
        }
        drawn.into_iter().map(group).collect::<Vec<_>>()
    };
    let dated = |mut document: Value| {
        document["created_at"] = MADE_AT.into();
        document["updated_at"] = MADE_AT.into();
        document
    };
    let providers = (0..PROVIDERS).map(|number| {
        dated(json!({
            "id": number.to_string(), "provider_id": "openai_api", "name": number.to_string(),
            "enabled": true, "upstream_url": "https://api.example.com",
            "models": [{"id": model(number), "input_per_1k": 0.001, "output_per_1k": 0.002}],
        }))
    });
    let providers = read(providers);
    let credentials = read((0..PROVIDERS).map(|number| {
        dated(json!({
            "id": number.to_string(), "provider_id": number.to_string(), "sealed": "",
            "fingerprint": "",
        }))
    }));
    let policies = read((0..size.policies).map(|number| {
        dated(json!({
            "id": format!("policy-{number}"), "name": format!("Policy {number}"), "enabled": true,
            "source_groups": groups(numbers, GROUPS_OF_A_POLICY),
            "destination_provider_ids": [(number % PROVIDERS).to_string()],
            "limits": {"token_limit": {
                "enabled": true, "group_cap": CAP, "user_cap": CAP, "window_seconds": DAY,
            }},
        }))
    }));
    let peers = read((0..size.peers).map(|number| {
        dated(json!({
            "id": format!("peer-{number}"), "name": format!("machine-{number}"),
            "addresses": [address(number)], "user_id": format!("user-{number}"),
            "user_email": format!("user-{number}@example.com"),
            "groups": groups(numbers, GROUPS_OF_A_PEER),
        }))
    }));
    Documents {
        providers,
        credentials,
        policies,
        peers,
        ..Documents::default()
    }
}

fn read<T: DeserializeOwned>(documents: impl Iterator<Item = Value>) -> Vec<T> {
    let documents = documents.map(serde_json::from_value);
    documents
        .collect::<Result<_, _>>()
        .expect("the documents above are whole")
}

fn model(provider: u32) -> String {
    format!("model-{provider}")
}

fn address(peer: u32) -> IpAddr {
    Ipv4Addr::from(FIRST_PEER + peer).into()
}

/// Deterministic, and good enough to spread peers and groups.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

struct AnyKey;

impl Unseal for AnyKey {
    fn unseal(&self, _: &CredentialDoc) -> Result<Secret, String> {
        Ok(Secret::new(b"sk-unsealed".to_vec()))
    }
}
