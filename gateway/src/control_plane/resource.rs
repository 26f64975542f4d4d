//! The documents kept in the store, one JSON value per key. What the API shows is made from these.
//! Secrets are never in here: a provider's key is a sealed record of its own.

mod guardrail;
mod limits;
mod role;

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU64};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use guardrail::{
    CAPTURE_BYTES_DEFAULT, ChecksDoc, GuardrailDoc, ModelAllowlistDoc, OutputLimitDoc,
    PromptCaptureDoc,
};
pub use limits::{
    BudgetLimitDoc, BudgetRuleDoc, LimitMode, LimitsDoc, ProviderRateLimitDoc, RateLimitDoc,
    TokenLimitDoc,
};
pub use role::Role;

/// Key prefixes in the store.
pub mod key {
    pub const PROVIDERS: &str = "providers/";
    /// Sealed credentials: `credentials/<provider id>/<credential id>`.
    pub const CREDENTIALS: &str = "credentials/";
    pub const POLICIES: &str = "policies/";
    pub const GUARDRAILS: &str = "guardrails/";
    pub const BUDGETS: &str = "budgets/";
    pub const PEERS: &str = "peers/";
    pub const GROUPS: &str = "groups/";
    pub const TOKENS: &str = "tokens/";
    /// Prices that came after the node's own file.
    pub const PRICES: &str = "prices";
    /// How far limits may be spent: `ledger/<unit>/<window>/<scope>/<id>`.
    pub const LEDGER: &str = "ledger/";
    /// Which file has the counters of limits.
    pub const TALLY: &str = "tally";
    /// The one settings document.
    pub const SETTINGS: &str = "settings";
    /// Sealed key and certificate of the internal CA.
    pub const CA: &str = "ca";
    /// Written by every change of what refers to something else, so that a deletion which found
    /// nothing in the way can compare its revision and lose the race if a reference came meanwhile.
    pub const PROVIDERS_GUARD: &str = "guards/providers";
    pub const POLICIES_GUARD: &str = "guards/policies";
    /// Two peers must not claim one address.
    pub const PEERS_GUARD: &str = "guards/peers";
}

/// A connected provider (`/api/agent-network/providers`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderDoc {
    pub id: String,
    /// Catalog id.
    pub provider_id: String,
    pub name: String,
    pub upstream_url: String,
    pub models: Vec<ModelDoc>,
    #[serde(default)]
    pub extra_values: BTreeMap<String, String>,
    #[serde(default)]
    pub identity_header_user_id: Option<String>,
    #[serde(default)]
    pub identity_header_groups: Option<String>,
    pub enabled: bool,
    #[serde(default)]
    pub skip_tls_verification: bool,
    #[serde(default)]
    pub metadata_disabled: bool,
    /// PEM bundle to trust for this provider in place of the system's roots.
    #[serde(default)]
    pub ca_pem: Option<String>,
    /// Loopback and private addresses are allowed (self-hosted servers).
    #[serde(default)]
    pub allow_private_addresses: bool,
    #[serde(default)]
    pub rate_limit: ProviderRateLimitDoc,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// A model of a provider, with the operator's prices in dollars per thousand tokens as decimal text,
/// so that nothing drifts. Absent prices come from the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProviderModelRequest)]
pub struct ModelDoc {
    pub id: String,
    /// The catalog's model whose price this one has, where the id is a name of the operator's own: a
    /// deployment on Azure.
    #[serde(default)]
    pub base_model: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub input_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub output_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub cached_input_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub cache_read_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub cache_creation_per_1k: Option<serde_json::Number>,
    /// Tokens that one call of the model takes in at most; over the catalog's.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub context: Option<NonZeroU64>,
}

/// A sealed provider key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CredentialDoc {
    pub id: String,
    pub provider_id: String,
    /// See `control_plane::seal`.
    pub sealed: String,
    /// First bytes of a keyed hash, to tell keys apart without showing them.
    pub fingerprint: String,
    pub created_at: jiff::Timestamp,
}

/// `/api/agent-network/policies`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Policy)]
pub struct PolicyDoc {
    pub id: String,
    pub name: String,
    #[serde(default)]
    #[schema(required)]
    pub description: String,
    pub enabled: bool,
    /// Group ids.
    pub source_groups: Vec<String>,
    pub destination_provider_ids: Vec<String>,
    #[serde(default)]
    #[schema(required)]
    pub guardrail_ids: Vec<String>,
    #[serde(default)]
    #[schema(required)]
    pub limits: LimitsDoc,
    /// Paths as agents send them, every one when empty. A `*` at the end of one stands for any rest.
    #[serde(default)]
    #[schema(required)]
    pub allowed_paths: Vec<String>,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// A peer of the `static` identity source, or with a public key of the `wireguard` source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerDoc {
    pub id: String,
    pub name: String,
    /// Overlay addresses; none where there is a public key.
    pub addresses: Vec<IpAddr>,
    /// WireGuard's, in base64: the overlay's device knows the addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Owner; a machine has none and is its own principal.
    #[serde(default)]
    pub user_id: Option<String>,
    #[serde(default)]
    pub user_email: Option<String>,
    /// Group ids.
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub blocked: bool,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// A group; made when a peer or policy first names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Group)]
pub struct GroupDoc {
    pub id: String,
    pub name: String,
}

/// A management API token; the token itself is never stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenDoc {
    pub id: String,
    pub name: String,
    /// SHA-256 of the token, base64.
    pub hash: String,
    #[serde(default)]
    pub role: Role,
    pub created_at: jiff::Timestamp,
    #[serde(default)]
    pub expires_at: Option<jiff::Timestamp>,
}

/// `/api/agent-network/catalog/prices`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PricesDoc {
    /// Text of a price file.
    pub text: String,
    /// Where it is from, for people.
    pub source: String,
    pub updated_at: jiff::Timestamp,
}

/// `/api/agent-network/settings`. Exists once the endpoint has its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingsDoc {
    /// The endpoint's host name; immutable.
    pub endpoint: String,
    /// The name was claimed as it stands; otherwise it is one generated label under a domain.
    #[serde(default)]
    pub dedicated: bool,
    pub enable_log_collection: bool,
    pub enable_prompt_collection: bool,
    pub redact_pii: bool,
    /// 0 or less keeps forever.
    pub access_log_retention_days: i64,
    /// Of captured texts, which never outlive the log's entry; 0 or less: as long as that.
    #[serde(default)]
    pub prompt_retention_days: i64,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

impl SettingsDoc {
    /// Days for which entries of the access log are kept; 0: for ever.
    pub fn log_days(&self) -> u32 {
        days(self.access_log_retention_days)
    }

    /// Days for which captured texts are kept; 0: for ever.
    pub fn text_days(&self) -> u32 {
        match (self.log_days(), days(self.prompt_retention_days)) {
            (0, texts) => texts,
            (log, 0) => log,
            (log, texts) => log.min(texts),
        }
    }
}

fn days(days: i64) -> u32 {
    u32::try_from(days.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_earlier_versions_are_read() {
        let times =
            json!({"created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z"});
        let read = |mut document: serde_json::Value| {
            for (name, time) in times.as_object().unwrap() {
                document[name] = time.clone();
            }
            document
        };
        let policy: PolicyDoc = serde_json::from_value(read(json!({
            "id": "ainpol_1", "name": "Everyone", "enabled": true, "source_groups": ["agents"],
            "destination_provider_ids": ["ainp_1"],
        })))
        .unwrap();
        assert_eq!(policy.limits, LimitsDoc::default());
        assert!(policy.guardrail_ids.is_empty() && policy.allowed_paths.is_empty());
        let provider: ProviderDoc = serde_json::from_value(read(json!({
            "id": "ainp_1", "provider_id": "openai_api", "name": "OpenAI", "models": [],
            "upstream_url": "https://api.openai.com", "enabled": true,
        })))
        .unwrap();
        assert_eq!(provider.rate_limit, ProviderRateLimitDoc::default());
        // As NetBird writes it: nothing of ours.
        let guardrail: GuardrailDoc = serde_json::from_value(read(json!({
            "id": "ainguard_1", "name": "Strict",
            "checks": {
                "model_allowlist": {"enabled": true, "models": ["gpt-4o"]},
                "prompt_capture": {"enabled": true, "redact_pii": true},
            },
        })))
        .unwrap();
        assert_eq!(
            guardrail.checks.prompt_capture.max_bytes,
            CAPTURE_BYTES_DEFAULT
        );
        assert!(!guardrail.checks.output_limit.enabled);
    }

    #[test]
    fn texts_do_not_outlive_their_entry() {
        for (log, prompts, expected) in
            [(30, 0, 30), (30, 7, 7), (7, 30, 7), (0, 7, 7), (-1, -1, 0)]
        {
            let settings: SettingsDoc = serde_json::from_value(json!({
                "endpoint": "a.example", "enable_log_collection": true,
                "enable_prompt_collection": true, "redact_pii": false,
                "access_log_retention_days": log, "prompt_retention_days": prompts,
                "created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z",
            }))
            .unwrap();
            assert_eq!(settings.text_days(), expected);
        }
    }

    #[test]
    fn a_limit_that_is_not_understood_is_not_dropped() {
        for limits in [
            json!({"token_limit": {"enabled": true, "user_capp": 5, "window_seconds": 60}}),
            json!({"day_limit": {}}),
            json!({"mode": "harder"}),
        ] {
            assert!(
                serde_json::from_value::<LimitsDoc>(limits.clone()).is_err(),
                "{limits}"
            );
        }
        let checks = json!({"tool_allowlist": {"enabled": true}});
        assert!(serde_json::from_value::<ChecksDoc>(checks).is_err());
    }

    #[test]
    fn limits_have_the_names_of_the_api() {
        assert_eq!(
            serde_json::to_value(LimitsDoc::default()).unwrap(),
            json!({
                "token_limit": {"enabled": false, "group_cap": 0, "user_cap": 0, "window_seconds": 0},
                "budget_limit": {
                    "enabled": false, "group_cap_usd": 0, "user_cap_usd": 0, "window_seconds": 0,
                },
                "rate_limit": {
                    "enabled": false, "group_requests_per_minute": 0, "user_requests_per_minute": 0,
                    "group_tokens_per_minute": 0, "user_tokens_per_minute": 0,
                    "group_concurrency": 0, "user_concurrency": 0,
                },
                "mode": "soft",
            })
        );
    }
}
