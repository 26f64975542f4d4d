//! Settings that are tried before they are stored: `/providers/test`, and the models that a vendor lists
//! for a key, `/catalog/providers/models`. Where a stored provider is named, its key is used unless the
//! request holds another one.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    catalog_entry,
    document::{ProviderRequest, document},
    draft, load,
};
use crate::{
    control_plane::{
        api::{
            body::{JsonBody, SecretText},
            error::ApiError,
            keys,
            state::{AppState, TestReport},
        },
        catalog::{CatalogEntry, rate},
        diagnosis::Diagnosis,
        discovery::{ListedModel, MODELS_LIMIT},
        snapshot::Draft,
    },
    handoff::snapshot::{NanoUsdPerMillion, Rates},
};

/// The body is what would be created, or with `id` what would replace a stored provider; `name` may be
/// left out.
pub(in crate::control_plane::api) async fn test_draft(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<ProviderRequest>,
) -> Result<Json<TestReport>, ApiError> {
    let entry = &*catalog_entry(&state, request.provider_id.as_deref())?;
    let draft = tried(&state, entry, request).await?;
    Ok(Json(state.tester.test_draft(draft).await))
}

/// NetBird's fields are the first four; the others are for servers of the operator's. What is left out is
/// as the stored provider has it.
#[derive(Deserialize, ToSchema)]
pub(in crate::control_plane::api) struct DiscoverRequest {
    #[schema(required, nullable = false)]
    catalog_provider_id: Option<String>,
    upstream_url: Option<String>,
    #[schema(value_type = Option<String>)]
    api_key: Option<SecretText>,
    /// A stored provider.
    provider_id: Option<String>,
    extra_values: Option<BTreeMap<String, String>>,
    skip_tls_verification: Option<bool>,
    allow_private_addresses: Option<bool>,
    ca_pem: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DiscoveredModels)]
pub(in crate::control_plane::api) struct Discovered {
    models: Vec<DiscoveredModel>,
    /// The vendor lists more than a provider may have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Rates in dollars per thousand tokens.
#[derive(Serialize, ToSchema)]
struct DiscoveredModel {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    label: Option<String>,
    /// What it is priced as, where its id does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    base_model: Option<String>,
    /// Where not, the zeros mean nothing.
    pricing_known: bool,
    /// `catalog`: known to this node, so that a model without a price of its own gets it; `vendor`: told by
    /// the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pricing_source: Option<&'static str>,
    #[schema(value_type = f64)]
    input_per_1k: serde_json::Number,
    #[schema(value_type = f64)]
    output_per_1k: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    cache_read_per_1k: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false)]
    cache_creation_per_1k: Option<serde_json::Number>,
}

pub(in crate::control_plane::api) async fn discover(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<DiscoverRequest>,
) -> Result<Json<Discovered>, ApiError> {
    let entry = &*catalog_entry(&state, request.catalog_provider_id.as_deref())
        .map_err(|_| ApiError::invalid("catalog_provider_id", "is not in the catalog"))?;
    if let Some(reason) = &entry.unlisted {
        return Err(ApiError::invalid("catalog_provider_id", reason));
    }
    let stored = match &request.provider_id {
        Some(id) => Some(load(&state, id).await?.value),
        None => None,
    };
    let (extra_values, skips) = stored.map_or_else(Default::default, |stored| {
        (stored.extra_values, stored.skip_tls_verification)
    });
    let request = ProviderRequest {
        id: request.provider_id,
        provider_id: Some(entry.id.clone()),
        upstream_url: request.upstream_url,
        api_key: request.api_key,
        extra_values: request.extra_values.unwrap_or(extra_values),
        skip_tls_verification: request.skip_tls_verification.unwrap_or(skips),
        allow_private_addresses: request.allow_private_addresses,
        ca_pem: request.ca_pem,
        ..ProviderRequest::default()
    };
    let draft = tried(&state, entry, request).await?;
    let listed = state.tester.list_models(draft).await.map_err(refusal)?;
    let truncated = listed.len() > MODELS_LIMIT;
    let models = listed.into_iter().take(MODELS_LIMIT);
    Ok(Json(Discovered {
        models: models.map(|model| discovered(entry, model)).collect(),
        truncated,
    }))
}

/// What is to be tried: the request over the stored provider that it names, or over nothing.
async fn tried(
    state: &AppState,
    entry: &CatalogEntry,
    mut request: ProviderRequest,
) -> Result<Draft, ApiError> {
    request.name.get_or_insert_with(|| entry.name.clone());
    let now = Timestamp::now();
    let Some(id) = request.id.clone() else {
        if !entry.default_url.is_empty() {
            let usual = || entry.default_url.clone();
            request.upstream_url.get_or_insert_with(usual);
        }
        return draft(entry, &request, String::new(), now);
    };
    let stored = load(state, &id).await?.value;
    let usual = || stored.upstream_url.clone();
    request.upstream_url.get_or_insert_with(usual);
    let doc = document(entry, &request, stored)?;
    let secret = match request.given_key() {
        Some(api_key) => Some(keys::checked(
            api_key,
            entry.key,
            doc.allow_private_addresses,
        )?),
        None => keys::newest(state, &id).await?,
    };
    Ok(Draft { doc, secret })
}

fn refusal(diagnosis: Diagnosis) -> ApiError {
    ApiError::bad_gateway(match diagnosis.remedy.as_str() {
        "" => diagnosis.message,
        remedy => format!("{}. {remedy}", diagnosis.message),
    })
}

fn discovered(entry: &CatalogEntry, model: ListedModel) -> DiscoveredModel {
    let priced_as = model.base_model.as_ref().unwrap_or(&model.id);
    let (price, source) = match (entry.price(priced_as), &model.price) {
        (Some(price), _) => (Some(&price.standard.rates), Some("catalog")),
        (None, Some(price)) => (Some(price), Some("vendor")),
        (None, None) => (None, None),
    };
    let rate =
        |of: fn(&Rates) -> NanoUsdPerMillion| rate::to_per_1k(price.map(of).unwrap_or_default());
    let cache =
        |of: fn(&Rates) -> Option<NanoUsdPerMillion>| price.and_then(of).map(rate::to_per_1k);
    DiscoveredModel {
        pricing_known: price.is_some(),
        pricing_source: source,
        input_per_1k: rate(|price| price.input),
        output_per_1k: rate(|price| price.output),
        cache_read_per_1k: cache(|price| price.cache_read),
        cache_creation_per_1k: cache(|price| price.cache_write),
        id: model.id,
        label: model.label,
        base_model: model.base_model,
    }
}
