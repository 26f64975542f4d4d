//! `/catalog/providers`: the catalog in NetBird's shape.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::state::AppState;

/// One catalog entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CatalogProvider {
    pub id: String,
    pub name: String,
    pub description: String,
    /// Without a scheme; empty when the operator brings their own.
    pub default_host: String,
    pub kind: CatalogKind,
    /// `Bearer ${API_KEY}` or `${API_KEY}`.
    pub auth_header_template: String,
    pub default_content_type: String,
    pub brand_color: String,
    pub models: Vec<CatalogModel>,
    /// Which cache rates apply: `openai`, `anthropic`, `bedrock`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pricing_surfaces: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_headers: Vec<CatalogExtraHeader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_injection: Option<IdentityInjection>,
}

impl CatalogProvider {
    /// Self-hosted servers may run without a key.
    pub fn key_is_optional(&self) -> bool {
        self.kind == CatalogKind::Custom
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogKind {
    Provider,
    Gateway,
    Custom,
}

impl CatalogKind {
    pub fn code(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Gateway => "gateway",
            Self::Custom => "custom",
        }
    }
}

/// A model with list prices in dollars per thousand tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CatalogModel {
    pub id: String,
    pub label: String,
    pub input_per_1k: serde_json::Number,
    pub output_per_1k: serde_json::Number,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_per_1k: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_per_1k: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_per_1k: Option<serde_json::Number>,
    /// In tokens.
    pub context_window: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CatalogExtraHeader {
    pub name: String,
}

/// How the caller's identity is told to a gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityInjection {
    HeaderPair {
        customizable: bool,
        end_user_id_header: String,
        tags_header: String,
    },
    JsonMetadata {
        customizable: bool,
        header: String,
        user_key: String,
        groups_key: String,
    },
}

pub(super) async fn list(State(state): State<AppState>) -> Json<Vec<CatalogProvider>> {
    Json(state.catalog.entries().to_vec())
}
