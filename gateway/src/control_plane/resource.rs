//! The documents kept in the store, one JSON value per key. What the API shows is made from these.
//! Secrets are never in here: a provider's key is a sealed record of its own.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

/// Key prefixes in the store.
pub mod key {
    pub const PROVIDERS: &str = "providers/";
    /// Sealed credentials: `credentials/<provider id>/<credential id>`.
    pub const CREDENTIALS: &str = "credentials/";
    pub const POLICIES: &str = "policies/";
    pub const PEERS: &str = "peers/";
    pub const GROUPS: &str = "groups/";
    pub const TOKENS: &str = "tokens/";
    /// Prices that came after the node's own file.
    pub const PRICES: &str = "prices";
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
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// A model of a provider, with the operator's prices in dollars per thousand tokens as decimal text,
/// so that nothing drifts. Absent prices come from the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelDoc {
    pub id: String,
    /// The catalog's model whose price this one has, where the id is a name of the operator's own: a
    /// deployment on Azure.
    #[serde(default)]
    pub base_model: Option<String>,
    #[serde(default)]
    pub input_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    pub output_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    pub cached_input_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    pub cache_read_per_1k: Option<serde_json::Number>,
    #[serde(default)]
    pub cache_creation_per_1k: Option<serde_json::Number>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyDoc {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub enabled: bool,
    /// Group ids.
    pub source_groups: Vec<String>,
    pub destination_provider_ids: Vec<String>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}
