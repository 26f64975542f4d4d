//! The catalog: what can be connected, how its credential and the caller's identity are written, and
//! what its models cost. Data lies in `config/catalog.toml` and `config/prices.toml`, compiled in;
//! files of the operator may replace either.

mod changes;
mod identity;
mod listing;
mod litellm;
mod live;
mod prices;
mod problem;
pub mod rate;
mod raw;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod reckoned;

use std::{path::Path, sync::Arc};

use http::HeaderName;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

pub use changes::PriceChange;
pub use identity::{BodyFields, HeaderPair, IdentityInjection, InvalidIdentityName, JsonMetadata};
pub use listing::{Help, Listing, ListingShape, Probe, ProbeForm};
pub use litellm::NotLiteLlm;
pub use live::LiveCatalog;
pub use problem::{CatalogError, File, Problem};

use crate::{
    dialect::{Dialect, DialectSet, IdentityFormat, known_ids},
    handoff::snapshot::{AuthHeader, Price, ReportedCost},
};

/// List prices by model id.
pub type PriceTable = foldhash::HashMap<Box<str>, Price>;

/// In `auth_header_template`, where the provider's key goes.
pub const KEY_PLACEHOLDER: &str = "${API_KEY}";

const CATALOG_TOML: &str = include_str!("../../../config/catalog.toml");
const PRICES_TOML: &str = include_str!("../../../config/prices.toml");

/// A file of an operator's is not read beyond this.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Every entry with its prices.
#[derive(Debug)]
pub struct Catalog {
    /// In the order of the file.
    entries: Vec<Arc<CatalogEntry>>,
}

impl Catalog {
    /// The compiled-in catalog.
    pub fn built_in() -> Self {
        Self::parse(CATALOG_TOML, PRICES_TOML).expect("a test parses the compiled-in files")
    }

    /// Reads the text of both files; the error lists the mistakes of all entries and models.
    pub fn parse(catalog: &str, prices: &str) -> Result<Self, CatalogError> {
        raw::resolve(catalog, &[prices]).map_err(|problems| CatalogError::new(problems, None, None))
    }

    pub fn entries(&self) -> &[Arc<CatalogEntry>] {
        &self.entries
    }

    pub fn entry(&self, id: &str) -> Option<&Arc<CatalogEntry>> {
        self.entries.iter().find(|entry| entry.id == id)
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// LiteLLM's price file as a price file of ours. Of `kept`, another price file, it takes over what LiteLLM
/// does not have: labels, and models.
///
/// # Errors
/// [`NotLiteLlm`] when it is none.
pub fn prices_from_litellm(
    json: &str,
    kept: &str,
    source: &str,
    date: &str,
) -> Result<String, NotLiteLlm> {
    let mut converted = litellm::convert(json)?;
    litellm::keep(&mut converted, kept)?;
    Ok(litellm::write(&converted, source, date))
}

/// One thing to connect. Serialises to NetBird's `AgentNetworkCatalogProvider`, with `dialects`, `key_kind`,
/// `unlisted` and the texts of [`Help`] beside.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = CatalogProvider)]
pub struct CatalogEntry {
    pub id: String,
    pub name: String,
    pub description: String,
    /// `default_url` as people type it: `https://` is understood.
    pub default_host: String,
    /// Empty when only the operator knows it; may hold `<parts>` to fill in.
    #[serde(skip)]
    pub default_url: String,
    pub kind: Kind,
    /// With [`KEY_PLACEHOLDER`].
    pub auth_header_template: String,
    #[serde(skip)]
    pub auth_header_name: HeaderName,
    pub default_content_type: &'static str,
    pub brand_color: String,
    /// For selection, in the order to show.
    pub models: Vec<CatalogModel>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pricing_surfaces: Vec<Surface>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_headers: Vec<ExtraHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub identity_injection: Option<IdentityInjection>,
    #[serde(serialize_with = "dialect_codes")]
    #[schema(value_type = Vec<String>)]
    pub dialects: DialectSet,
    #[serde(skip)]
    pub stream_usage: StreamUsage,
    /// `GET /v1/responses` can become a WebSocket there.
    #[serde(skip)]
    pub responses_websocket: bool,
    #[serde(skip)]
    pub reported_cost: Option<ReportedCost>,
    #[serde(skip)]
    pub listing: Option<Listing>,
    /// How it is tried, rather than by its listing.
    #[serde(skip)]
    pub probe: Option<Probe>,
    /// Why the models cannot be imported; `None` where they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unlisted: Option<String>,
    #[serde(flatten, serialize_with = "help_fields")]
    pub help: Help,
    #[serde(rename = "key_kind", skip_serializing_if = "KeyKind::is_text")]
    pub key: KeyKind,
    #[serde(skip)]
    prices: Arc<PriceTable>,
}

impl CatalogEntry {
    /// The header that carries a provider's credential.
    pub fn auth_header(&self) -> AuthHeader {
        let prefix = self
            .auth_header_template
            .strip_suffix(KEY_PLACEHOLDER)
            .unwrap_or_default();
        AuthHeader {
            name: self.auth_header_name.clone(),
            prefix: prefix.into(),
        }
    }

    /// List prices of this entry's own models; empty for gateways and servers of the operator's, whose
    /// prices only the operator knows.
    pub fn prices(&self) -> Arc<PriceTable> {
        Arc::clone(&self.prices)
    }

    /// The catalog's price of a model, by the most exact of its ids that has one.
    pub fn price(&self, model: &str) -> Option<&Price> {
        known_ids(model).find_map(|id| self.prices.get(id))
    }

    /// The declared name of an extra header, compared without case.
    pub fn extra_header(&self, name: &str) -> Option<&ExtraHeader> {
        self.extra_headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
    }

    /// How callers are told to this provider. `user` and `groups` are the operator's own names where the
    /// entry is customizable: `None` keeps the catalog's name, an empty one turns the dimension off.
    pub fn identity_format(
        &self,
        user: Option<&str>,
        groups: Option<&str>,
    ) -> Result<Option<IdentityFormat>, InvalidIdentityName> {
        self.identity_injection
            .as_ref()
            .map_or(Ok(None), |identity| identity.format(user, groups))
    }
}

/// How the picker groups entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CatalogKind)]
pub enum Kind {
    Provider,
    Gateway,
    Custom,
}

/// When streams of chat tell their usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// When asked by `stream_options.include_usage`.
    #[default]
    Asked,
    /// Always; the option is refused.
    Always,
}

/// What an operator gives as a provider's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// What goes upstream.
    #[default]
    Text,
    /// What goes upstream, or IAM access keys that sign it: `iam::<id>:<secret>[:<session token>]`.
    Aws,
    /// A Google service account's JSON; see [`crate::control_plane::mint`].
    GoogleServiceAccount,
}

impl KeyKind {
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// The rule that a provider's usage is billed under.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = PricingSurface)]
pub enum Surface {
    #[serde(rename = "openai")]
    OpenAi,
    Anthropic,
    Bedrock,
    Google,
}

impl Surface {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Bedrock, Self::Google];

    pub fn code(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Google => "google",
        }
    }

    /// Cached tokens are part of the reported input (else beside it).
    pub fn includes_cached_input(self) -> bool {
        match self {
            Self::OpenAi | Self::Google => true,
            Self::Anthropic | Self::Bedrock => false,
        }
    }
}

/// A model for selection; rates in dollars per thousand tokens, as the API has them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CatalogModel {
    pub id: String,
    pub label: String,
    #[schema(value_type = f64)]
    pub input_per_1k: serde_json::Number,
    #[schema(value_type = f64)]
    pub output_per_1k: serde_json::Number,
    /// Cache read rate, under the name that surfaces with cached tokens inside the input use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    pub cached_input_per_1k: Option<serde_json::Number>,
    /// Cache read rate, under the name that surfaces with cached tokens beside the input use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    pub cache_read_per_1k: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    pub cache_creation_per_1k: Option<serde_json::Number>,
    /// In tokens.
    pub context_window: u64,
}

/// A header whose value the operator may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExtraHeader {
    pub name: String,
}

/// Flattened beside the entry's other fields; an empty text is left out.
fn help_fields<S: Serializer>(help: &Help, serializer: S) -> Result<S::Ok, S::Error> {
    let fields = [
        ("key_help", &help.key),
        ("url_help", &help.url),
        ("access_help", &help.access),
    ];
    serializer.collect_map(fields.into_iter().filter(|(_, text)| !text.is_empty()))
}

fn dialect_codes<S: Serializer>(dialects: &DialectSet, serializer: S) -> Result<S::Ok, S::Error> {
    let set = Dialect::ALL.into_iter().filter(|&d| dialects.contains(d));
    serializer.collect_seq(set.map(Dialect::code))
}

#[cfg(test)]
mod tests;
