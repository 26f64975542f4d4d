//! Random documents: providers, policies, budget rules and peers of a few groups and users.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, json};

use crate::{
    control_plane::{
        resource::{LimitsDoc, RateLimitDoc, TokenLimitDoc},
        snapshot::Documents,
    },
    handoff::snapshot::access::LimitMode,
};

pub(super) const MODELS: [&str; 3] = ["alpha", "beta", "gamma"];
pub(super) const PATHS: [&str; 2] = ["/v1/chat/completions", "/v1/responses"];
const PROVIDERS: [&str; 3] = ["one", "two", "three"];
const GROUPS: [&str; 6] = ["g0", "g1", "g2", "g3", "g4", "g5"];
const USERS: [&str; 3] = ["u0", "u1", "u2"];
const WINDOWS: [u64; 2] = [3600, 86_400];

/// Deterministic.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    pub(super) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Up to `most`, in any order; some may come twice.
    fn some(&mut self, of: &[&str], most: usize) -> Vec<String> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.one(of).to_owned()).collect()
    }

    /// A document that lacks nothing but its times.
    fn document<T: DeserializeOwned>(&mut self, mut document: Value) -> T {
        for time in ["created_at", "updated_at"] {
            let at = Timestamp::from_second(self.below(4) as i64).unwrap();
            document[time] = json!(at);
        }
        from_value(document).unwrap()
    }

    pub(crate) fn documents(&mut self) -> Documents {
        let providers = PROVIDERS.map(|id| self.provider(id));
        let guardrails = MODELS.map(|model| {
            let models = json!({"enabled": true, "models": [model]});
            let checks = json!({"model_allowlist": models});
            self.document(json!({"id": model, "name": model, "checks": checks}))
        });
        Documents {
            providers: providers.map(|document| self.document(document)).into(),
            // One for each model, with its name.
            guardrails: guardrails.into(),
            policies: (0..self.below(30))
                .map(|number| {
                    let policy = self.policy(number);
                    self.document(policy)
                })
                .collect(),
            budgets: (0..self.below(5))
                .map(|number| {
                    let rule = self.rule(number);
                    self.document(rule)
                })
                .collect(),
            peers: (0..4)
                .map(|number| {
                    let peer = self.peer(number);
                    self.document(peer)
                })
                .collect(),
            ..Documents::default()
        }
    }

    fn provider(&mut self, id: &str) -> Value {
        let path = self.one(&["", "/v1", "/api/v1"]);
        let models = self.some(&MODELS, 2);
        let models = models.into_iter().map(|id| json!({"id": id}));
        json!({
            "id": id, "provider_id": "custom", "name": id, "enabled": true,
            "upstream_url": format!("https://api.example.com{path}"),
            "models": models.collect::<Vec<_>>(),
        })
    }

    fn policy(&mut self, number: usize) -> Value {
        let id = format!("p{number}");
        json!({
            "id": id, "name": id, "enabled": self.below(8) > 0,
            "source_groups": self.some(&GROUPS, 3),
            "destination_provider_ids": self.some(&PROVIDERS, 2),
            "guardrail_ids": self.some(&MODELS, 1), "allowed_paths": self.some(&PATHS, 1),
            "limits": self.limits(),
        })
    }

    fn rule(&mut self, number: usize) -> Value {
        let id = format!("r{number}");
        json!({
            "id": id, "name": id, "enabled": self.below(8) > 0,
            "target_groups": self.some(&GROUPS, 2), "target_users": self.some(&USERS, 1),
            "limits": self.limits(),
        })
    }

    /// The first and the last one are machines of one user.
    fn peer(&mut self, number: usize) -> Value {
        json!({
            "id": format!("peer{number}"), "name": "", "addresses": [format!("100.64.0.{number}")],
            "user_id": USERS[number % USERS.len()], "groups": self.some(&GROUPS, 4),
        })
    }

    fn limits(&mut self) -> LimitsDoc {
        LimitsDoc {
            token_limit: TokenLimitDoc {
                enabled: self.below(2) == 0,
                group_cap: self.below(3) as u64,
                user_cap: self.below(3) as u64,
                window_seconds: self.one(&WINDOWS),
            },
            rate_limit: RateLimitDoc {
                enabled: self.below(3) == 0,
                group_requests_per_minute: self.below(3) as u64,
                user_requests_per_minute: self.below(3) as u64,
                ..RateLimitDoc::default()
            },
            mode: self.one(&[LimitMode::Soft, LimitMode::Hard]),
            ..LimitsDoc::default()
        }
    }
}
