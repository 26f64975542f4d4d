//! A provider as the API shows it.

use std::{collections::BTreeMap, num::NonZeroU64};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    control_plane::{
        api::state::AppState,
        catalog::CatalogEntry,
        resource::{ModelDoc, ProviderDoc, ProviderRateLimitDoc},
    },
    dialect::undated_model,
};

/// `allow_private_addresses`, `ca_pem` and `rate_limit` are additions to NetBird's shape.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Provider)]
pub(in crate::control_plane::api) struct ProviderView<'a> {
    id: &'a str,
    provider_id: &'a str,
    name: &'a str,
    upstream_url: &'a str,
    models: Vec<ModelView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra_values: &'a BTreeMap<String, String>,
    identity_header_user_id: &'a str,
    identity_header_groups: &'a str,
    enabled: bool,
    skip_tls_verification: bool,
    metadata_disabled: bool,
    allow_private_addresses: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ca_pem: Option<&'a str>,
    rate_limit: &'a ProviderRateLimitDoc,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// Prices that the operator left to the catalog are shown as what the catalog says. `unpriced` is an
/// addition to NetBird's shape, which has no way to leave a price open.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderModel)]
pub(super) struct ModelView<'a> {
    id: &'a str,
    /// An addition too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    base_model: Option<&'a str>,
    #[schema(value_type = f64)]
    pub(super) input_per_1k: serde_json::Number,
    #[schema(value_type = f64)]
    pub(super) output_per_1k: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    cached_input_per_1k: Option<&'a serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    cache_read_per_1k: Option<&'a serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    cache_creation_per_1k: Option<&'a serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false)]
    context: Option<NonZeroU64>,
    /// Neither the operator nor the catalog knows a price; the zeros mean nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unpriced: bool,
}

pub(super) fn view<'a>(state: &AppState, provider: &'a ProviderDoc) -> ProviderView<'a> {
    let catalog = state.catalog.current();
    let entry = catalog.entry(&provider.provider_id);
    ProviderView {
        id: &provider.id,
        provider_id: &provider.provider_id,
        name: &provider.name,
        upstream_url: &provider.upstream_url,
        models: provider
            .models
            .iter()
            .map(|model| model_view(entry.map(|entry| &**entry), model))
            .collect(),
        extra_values: &provider.extra_values,
        identity_header_user_id: provider.identity_header_user_id.as_deref().unwrap_or(""),
        identity_header_groups: provider.identity_header_groups.as_deref().unwrap_or(""),
        enabled: provider.enabled,
        skip_tls_verification: provider.skip_tls_verification,
        metadata_disabled: provider.metadata_disabled,
        allow_private_addresses: provider.allow_private_addresses,
        ca_pem: provider.ca_pem.as_deref(),
        rate_limit: &provider.rate_limit,
        created_at: provider.created_at,
        updated_at: provider.updated_at,
    }
}

pub(super) fn model_view<'a>(entry: Option<&CatalogEntry>, model: &'a ModelDoc) -> ModelView<'a> {
    let catalog_model = |id: &str| entry?.models.iter().find(|known| known.id == id);
    // As the workers look prices up.
    let priced_as = model.base_model.as_ref().unwrap_or(&model.id);
    let known = catalog_model(priced_as).or_else(|| catalog_model(undated_model(priced_as)?));
    let zero = || serde_json::Number::from(0);
    ModelView {
        id: &model.id,
        base_model: model.base_model.as_deref(),
        input_per_1k: model
            .input_per_1k
            .clone()
            .or_else(|| known.map(|known| known.input_per_1k.clone()))
            .unwrap_or_else(zero),
        output_per_1k: model
            .output_per_1k
            .clone()
            .or_else(|| known.map(|known| known.output_per_1k.clone()))
            .unwrap_or_else(zero),
        cached_input_per_1k: model.cached_input_per_1k.as_ref(),
        cache_read_per_1k: model.cache_read_per_1k.as_ref(),
        cache_creation_per_1k: model.cache_creation_per_1k.as_ref(),
        context: model.context,
        unpriced: model.input_per_1k.is_none()
            && model.output_per_1k.is_none()
            && entry.is_none_or(|entry| entry.price(priced_as).is_none()),
    }
}
