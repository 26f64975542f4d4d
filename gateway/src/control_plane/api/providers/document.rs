//! From a request to the document that is stored, field by field.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use utoipa::ToSchema;

use super::view::model_view;
use crate::control_plane::{
    api::{body::SecretText, error::ApiError, limits, validate},
    catalog::CatalogEntry,
    discovery::MODELS_LIMIT,
    resource::{ModelDoc, ProviderDoc, ProviderRateLimitDoc},
};

const EXTRA_VALUES_LIMIT: usize = 32;
const CA_PEM_BYTES_LIMIT: usize = 256 << 10;

/// Fields are optional so that a missing one is answered by name.
#[derive(Default, Deserialize, ToSchema)]
pub(in crate::control_plane::api) struct ProviderRequest {
    /// A stored provider whose key is meant; only where settings are tried.
    pub(super) id: Option<String>,
    #[schema(required, nullable = false)]
    pub(super) provider_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) upstream_url: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(super) api_key: Option<SecretText>,
    #[serde(default)]
    pub(super) models: Vec<ModelDoc>,
    #[serde(default)]
    pub(super) extra_values: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) identity_header_user_id: String,
    #[serde(default)]
    pub(super) identity_header_groups: String,
    pub(super) enabled: Option<bool>,
    #[serde(default)]
    pub(super) skip_tls_verification: bool,
    #[serde(default)]
    pub(super) metadata_disabled: bool,
    /// Kept when omitted; true for custom servers on create.
    pub(super) allow_private_addresses: Option<bool>,
    /// Kept when omitted; empty removes it.
    pub(super) ca_pem: Option<String>,
    /// Kept when omitted.
    pub(super) rate_limit: Option<ProviderRateLimitDoc>,
}

impl ProviderRequest {
    /// The key, when there is one; an empty one is none.
    pub(super) fn given_key(&self) -> Option<&SecretText> {
        self.api_key
            .as_ref()
            .filter(|api_key| !api_key.expose().is_empty())
    }
}

/// What the request makes of `base`, which is new or stored.
pub(super) fn document(
    entry: &CatalogEntry,
    request: &ProviderRequest,
    base: ProviderDoc,
) -> Result<ProviderDoc, ApiError> {
    let upstream_url = request
        .upstream_url
        .as_deref()
        .ok_or_else(|| ApiError::invalid("upstream_url", "is required"))?;
    Ok(ProviderDoc {
        name: validate::required_name(request.name.as_deref())?,
        upstream_url: validate::upstream_url("upstream_url", upstream_url)?,
        models: as_stored(entry, models(entry, &request.models)?, &base.models),
        extra_values: extra_values(entry, &request.extra_values)?,
        identity_header_user_id: validate::header_name(
            "identity_header_user_id",
            &request.identity_header_user_id,
        )?,
        identity_header_groups: validate::header_name(
            "identity_header_groups",
            &request.identity_header_groups,
        )?,
        enabled: request.enabled.unwrap_or(base.enabled),
        skip_tls_verification: request.skip_tls_verification,
        metadata_disabled: request.metadata_disabled,
        ca_pem: match request.ca_pem.as_deref() {
            None => base.ca_pem,
            Some("") => None,
            Some(pem) => Some(ca_pem(pem)?),
        },
        allow_private_addresses: request
            .allow_private_addresses
            .unwrap_or(base.allow_private_addresses),
        rate_limit: match &request.rate_limit {
            None => base.rate_limit,
            Some(limit) => {
                limits::provider_rate_limit(limit)?;
                limit.clone()
            }
        },
        ..base
    })
}

fn models(entry: &CatalogEntry, models: &[ModelDoc]) -> Result<Vec<ModelDoc>, ApiError> {
    if models.len() > MODELS_LIMIT {
        return Err(ApiError::invalid(
            "models",
            format!("at most {MODELS_LIMIT} models"),
        ));
    }
    let mut seen = HashSet::new();
    for (i, model) in models.iter().enumerate() {
        let field = |name: &str| format!("models[{i}].{name}");
        let fits = !model.id.is_empty()
            && model.id.len() <= crate::handoff::record::MODEL_BYTES_LIMIT
            && model.id.trim() == model.id
            && !model.id.chars().any(char::is_control);
        if !fits {
            return Err(ApiError::invalid(field("id"), "is not a model id"));
        }
        if !seen.insert(&model.id) {
            return Err(ApiError::invalid(field("id"), "is listed twice"));
        }
        // Unknown, it would leave the model without a price, and nobody would be told.
        if let Some(base) = &model.base_model
            && entry.price(base).is_none()
        {
            let message = format!("the catalog has no price of {base:?} for {}", entry.id);
            return Err(ApiError::invalid(field("base_model"), message));
        }
        validate::rate(&field("input_per_1k"), model.input_per_1k.as_ref())?;
        validate::rate(&field("output_per_1k"), model.output_per_1k.as_ref())?;
        validate::rate(
            &field("cached_input_per_1k"),
            model.cached_input_per_1k.as_ref(),
        )?;
        validate::rate(
            &field("cache_read_per_1k"),
            model.cache_read_per_1k.as_ref(),
        )?;
        validate::rate(
            &field("cache_creation_per_1k"),
            model.cache_creation_per_1k.as_ref(),
        )?;
    }
    Ok(models.to_vec())
}

/// A client that sends back what it was shown must not turn the catalog's prices into the operator's.
fn as_stored(entry: &CatalogEntry, mut sent: Vec<ModelDoc>, stored: &[ModelDoc]) -> Vec<ModelDoc> {
    for model in &mut sent {
        let Some(stored) = stored.iter().find(|stored| stored.id == model.id) else {
            continue;
        };
        let shown = model_view(Some(entry), stored);
        if stored.input_per_1k.is_none() && model.input_per_1k.as_ref() == Some(&shown.input_per_1k)
        {
            model.input_per_1k = None;
        }
        if stored.output_per_1k.is_none()
            && model.output_per_1k.as_ref() == Some(&shown.output_per_1k)
        {
            model.output_per_1k = None;
        }
    }
    sent
}

/// Only headers that the catalog names; empty values drop theirs.
fn extra_values(
    entry: &CatalogEntry,
    sent: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ApiError> {
    if sent.len() > EXTRA_VALUES_LIMIT {
        return Err(ApiError::invalid("extra_values", "too many values"));
    }
    let mut kept = BTreeMap::new();
    for (name, value) in sent {
        let Some(declared) = entry.extra_header(name) else {
            return Err(ApiError::invalid(
                "extra_values",
                format!("{} takes no such header", entry.id),
            ));
        };
        if !value.is_empty() {
            validate::header_value(&format!("extra_values.{}", declared.name), value)?;
            kept.insert(declared.name.clone(), value.clone());
        }
    }
    Ok(kept)
}

/// Certificates only: a private key in here would be shown to every reader.
fn ca_pem(pem: &str) -> Result<String, ApiError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let refused = |message| ApiError::invalid("ca_pem", message);
    if pem.len() > CA_PEM_BYTES_LIMIT {
        return Err(refused("is too long"));
    }
    if pem.contains("PRIVATE KEY") {
        return Err(refused("must hold certificates only"));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(pem.to_owned()),
        _ => Err(refused("holds no PEM certificate")),
    }
}
