//! `/providers`: connect, show, replace, remove. A provider and its first credential are written in one
//! transaction; the key itself is sealed before it reaches the store and is never shown.

use std::collections::{BTreeMap, HashSet};

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    body::{JsonBody, SecretText},
    catalog,
    documents::{self, Versioned},
    error::ApiError,
    id, keys, settings,
    state::AppState,
    validate,
};
use crate::control_plane::{
    catalog::CatalogEntry,
    resource::{CredentialDoc, ModelDoc, PolicyDoc, ProviderDoc, key},
    store::{Compare, Operation, Transaction},
};

const MODELS_LIMIT: usize = 1000;
const EXTRA_VALUES_LIMIT: usize = 32;
const CA_PEM_BYTES_LIMIT: usize = 256 << 10;

/// As the API shows it. `allow_private_addresses` and `ca_pem` are additions to NetBird's shape.
#[derive(Debug, Serialize)]
struct ProviderView<'a> {
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
    ca_pem: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// Prices that the operator left to the catalog are shown as what the catalog says.
#[derive(Debug, Serialize)]
struct ModelView<'a> {
    id: &'a str,
    input_per_1k: serde_json::Number,
    output_per_1k: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input_per_1k: Option<&'a serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_per_1k: Option<&'a serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_per_1k: Option<&'a serde_json::Number>,
}

/// Fields are optional so that a missing one is answered by name.
#[derive(Deserialize)]
pub(super) struct ProviderRequest {
    provider_id: Option<String>,
    name: Option<String>,
    upstream_url: Option<String>,
    api_key: Option<SecretText>,
    #[serde(default)]
    models: Vec<ModelDoc>,
    #[serde(default)]
    extra_values: BTreeMap<String, String>,
    #[serde(default)]
    identity_header_user_id: String,
    #[serde(default)]
    identity_header_groups: String,
    enabled: Option<bool>,
    #[serde(default)]
    skip_tls_verification: bool,
    #[serde(default)]
    metadata_disabled: bool,
    /// Kept when omitted; true for custom servers on create.
    allow_private_addresses: Option<bool>,
    /// Kept when omitted; empty removes it.
    ca_pem: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
) -> Result<Json<Vec<serde_json::Value>>, ApiError> {
    let mut providers: Vec<ProviderDoc> =
        documents::list(state.store.as_ref(), key::PROVIDERS).await?;
    providers.sort_by_key(|provider| provider.created_at);
    let shown = providers
        .iter()
        .map(|provider| {
            serde_json::to_value(view(&state, provider))
                .expect("views have string keys and finite numbers")
        })
        .collect();
    Ok(Json(shown))
}

pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let current = load(&state, &id).await?;
    Ok(documents::respond(
        &view(&state, &current.value),
        current.revision,
    ))
}

pub(super) async fn create(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<ProviderRequest>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let entry = catalog_entry(&state, request.provider_id.as_deref())?;
    let key_is_optional = catalog::key_is_optional(entry);
    let secret = match given_key(&request) {
        Some(api_key) => Some(keys::checked(api_key)?),
        None if key_is_optional => None,
        None => return Err(ApiError::invalid("api_key", "is required")),
    };
    let id = id::new_id("ainp_", now);
    // Self-hosted servers are where private addresses are meant.
    let allow_private_addresses = request.allow_private_addresses.unwrap_or(key_is_optional);
    let provider = document(entry, &request, |entry| ProviderDoc {
        id: id.clone(),
        provider_id: entry.id.clone(),
        name: String::new(),
        upstream_url: String::new(),
        models: Vec::new(),
        extra_values: BTreeMap::new(),
        identity_header_user_id: None,
        identity_header_groups: None,
        enabled: true,
        skip_tls_verification: false,
        metadata_disabled: false,
        ca_pem: None,
        allow_private_addresses,
        created_at: now,
        updated_at: now,
    })?;

    let keyring = state.keyring.read().await;
    for _ in 0..documents::CONFLICT_TRIES {
        let mut transaction = Transaction {
            compares: vec![Compare::Absent {
                key: store_key(&id),
            }],
            operations: vec![documents::put(store_key(&id), &provider)],
        };
        if let Some(secret) = &secret {
            let credential = keys::put_sealed(&keyring, &id, secret, now)?;
            transaction.operations.push(credential);
        }
        documents::touch_guard(key::PROVIDERS_GUARD, &mut transaction);
        settings::ensure_named(&state, &mut transaction, now).await?;
        if documents::commit(state.store.as_ref(), transaction).await? {
            drop(keyring);
            return show(State(state), Path(id)).await;
        }
    }
    Err(ApiError::changed_meanwhile())
}

pub(super) async fn update(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ProviderRequest>,
) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let now = Timestamp::now();
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let entry = catalog_entry(&state, request.provider_id.as_deref())?;
    let mut provider = document(entry, &request, |_| current.value.clone())?;
    provider.provider_id.clone_from(&entry.id);
    provider.updated_at = now;

    let keyring = state.keyring.read().await;
    let mut transaction = Transaction {
        compares: vec![documents::unchanged(store_key(&id), current.revision)],
        operations: vec![documents::put(store_key(&id), &provider)],
    };
    if let Some(api_key) = given_key(&request) {
        let secret = keys::checked(api_key)?;
        let old: Vec<CredentialDoc> = documents::list(store, &keys::prefix(&id)).await?;
        transaction
            .operations
            .extend(old.iter().map(keys::deletion));
        let credential = keys::put_sealed(&keyring, &id, &secret, now)?;
        transaction.operations.push(credential);
    }
    if !documents::commit(store, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    drop(keyring);
    show(State(state), Path(id)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let guard = documents::watch_guard(store, key::POLICIES_GUARD).await?;
    let policies: Vec<PolicyDoc> = documents::list(store, key::POLICIES).await?;
    if let Some(policy) = policies
        .iter()
        .find(|policy| policy.destination_provider_ids.contains(&id))
    {
        return Err(ApiError::precondition(format!(
            "provider is used by policy {} ({})",
            policy.name, policy.id
        )));
    }
    let credentials: Vec<CredentialDoc> = documents::list(store, &keys::prefix(&id)).await?;
    let mut operations = vec![Operation::Delete {
        key: store_key(&id),
    }];
    operations.extend(credentials.iter().map(keys::deletion));
    let transaction = Transaction {
        compares: vec![
            documents::unchanged(store_key(&id), current.revision),
            guard,
        ],
        operations,
    };
    if !documents::commit(store, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    Ok(documents::deleted())
}

pub(super) async fn load(state: &AppState, id: &str) -> Result<Versioned<ProviderDoc>, ApiError> {
    documents::load(state.store.as_ref(), &store_key(id))
        .await?
        .ok_or_else(|| ApiError::not_found("provider"))
}

pub(super) fn store_key(id: &str) -> String {
    format!("{}{id}", key::PROVIDERS)
}

pub(super) fn catalog_entry<'a>(
    state: &'a AppState,
    id: Option<&str>,
) -> Result<&'a CatalogEntry, ApiError> {
    let id = id.ok_or_else(|| ApiError::invalid("provider_id", "is required"))?;
    state.catalog.entry(id).ok_or_else(|| {
        ApiError::invalid(
            "provider_id",
            "is not in the catalog (`keyway catalog list`)",
        )
    })
}

fn given_key(request: &ProviderRequest) -> Option<&SecretText> {
    request
        .api_key
        .as_ref()
        .filter(|api_key| !api_key.expose().is_empty())
}

/// What the request makes of the document that `base` starts from.
fn document(
    entry: &CatalogEntry,
    request: &ProviderRequest,
    base: impl FnOnce(&CatalogEntry) -> ProviderDoc,
) -> Result<ProviderDoc, ApiError> {
    let name = request
        .name
        .as_deref()
        .ok_or_else(|| ApiError::invalid("name", "is required"))?;
    let upstream_url = request
        .upstream_url
        .as_deref()
        .ok_or_else(|| ApiError::invalid("upstream_url", "is required"))?;
    let base = base(entry);
    Ok(ProviderDoc {
        name: validate::display_name("name", name)?,
        upstream_url: validate::upstream_url("upstream_url", upstream_url)?,
        models: as_stored(entry, models(&request.models)?, &base.models),
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
        ..base
    })
}

fn models(models: &[ModelDoc]) -> Result<Vec<ModelDoc>, ApiError> {
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

fn view<'a>(state: &AppState, provider: &'a ProviderDoc) -> ProviderView<'a> {
    let entry = state.catalog.entry(&provider.provider_id);
    ProviderView {
        id: &provider.id,
        provider_id: &provider.provider_id,
        name: &provider.name,
        upstream_url: &provider.upstream_url,
        models: provider
            .models
            .iter()
            .map(|model| model_view(entry, model))
            .collect(),
        extra_values: &provider.extra_values,
        identity_header_user_id: provider.identity_header_user_id.as_deref().unwrap_or(""),
        identity_header_groups: provider.identity_header_groups.as_deref().unwrap_or(""),
        enabled: provider.enabled,
        skip_tls_verification: provider.skip_tls_verification,
        metadata_disabled: provider.metadata_disabled,
        allow_private_addresses: provider.allow_private_addresses,
        ca_pem: provider.ca_pem.as_deref(),
        created_at: provider.created_at,
        updated_at: provider.updated_at,
    }
}

fn model_view<'a>(entry: Option<&CatalogEntry>, model: &'a ModelDoc) -> ModelView<'a> {
    let known = entry.and_then(|entry| entry.models.iter().find(|known| known.id == model.id));
    let zero = || serde_json::Number::from(0);
    ModelView {
        id: &model.id,
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
    }
}
