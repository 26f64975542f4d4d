//! `/providers`: connect, show, replace, remove. A provider and its first credential are written in one
//! transaction; the key itself is sealed before it reaches the store and is never shown.

mod document;
mod trial;
mod view;

use std::collections::BTreeMap;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    actor::Actor,
    body::JsonBody,
    catalog,
    documents::{self, Versioned},
    error::ApiError,
    id, keys, policies, settings,
    state::AppState,
};
use crate::control_plane::{
    catalog::{CatalogEntry, KeyKind},
    resource::{CredentialDoc, ProviderDoc, ProviderRateLimitDoc, key},
    snapshot::Draft,
    store::{Compare, Operation, Transaction},
};
use document::document;
use view::view;

pub(super) use document::ProviderRequest;
pub(super) use trial::{DiscoverRequest, Discovered, discover, test_draft};
pub(super) use view::ProviderView;

pub(super) async fn list(State(state): State<AppState>) -> Result<Response, ApiError> {
    let mut providers: Vec<ProviderDoc> =
        documents::list(state.store.as_ref(), key::PROVIDERS).await?;
    providers.sort_by_key(|provider| provider.created_at);
    let shown: Vec<_> = providers
        .iter()
        .map(|provider| view(&state, provider))
        .collect();
    Ok(Json(shown).into_response())
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
    Extension(actor): Extension<Actor>,
    JsonBody(request): JsonBody<ProviderRequest>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let entry = &*catalog_entry(&state, request.provider_id.as_deref())?;
    let id = id::new_id("ainp_", now);
    let Draft {
        doc: provider,
        secret,
    } = draft(entry, &request, id.clone(), now)?;

    let keyring = state.keyring.read().await;
    for _ in 0..documents::CONFLICT_TRIES {
        let mut transaction = Transaction {
            compares: vec![Compare::Absent {
                key: store_key(&id),
            }],
            operations: vec![documents::put(store_key(&id), &provider)],
        };
        if let Some(secret) = &secret {
            let (_, put) = keys::put_sealed(&keyring, &id, secret, now)?;
            transaction.operations.push(put);
        }
        documents::touch_guard(key::PROVIDERS_GUARD, &mut transaction);
        settings::ensure_named(&state, &mut transaction, now).await?;
        if documents::commit(&state, &actor, transaction).await? {
            drop(keyring);
            return show(State(state), Path(id)).await;
        }
    }
    Err(ApiError::changed_meanwhile())
}

/// A new provider as the request describes it, and its key.
fn draft(
    entry: &CatalogEntry,
    request: &ProviderRequest,
    id: String,
    now: Timestamp,
) -> Result<Draft, ApiError> {
    let key_is_optional = catalog::key_is_optional(entry);
    // Self-hosted servers are where private addresses are meant.
    let allow_private_addresses = request.allow_private_addresses.unwrap_or(key_is_optional);
    let secret = match request.given_key() {
        Some(api_key) => Some(keys::checked(api_key, entry.key, allow_private_addresses)?),
        None if key_is_optional => None,
        None => return Err(ApiError::invalid("api_key", "is required")),
    };
    let base = ProviderDoc {
        id,
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
        rate_limit: ProviderRateLimitDoc::default(),
        created_at: now,
        updated_at: now,
    };
    let doc = document(entry, request, base)?;
    Ok(Draft { doc, secret })
}

pub(super) async fn update(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ProviderRequest>,
) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let now = Timestamp::now();
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let entry = &*catalog_entry(&state, request.provider_id.as_deref())?;
    let mut provider = document(entry, &request, current.value)?;
    provider.provider_id.clone_from(&entry.id);
    provider.updated_at = now;

    let keyring = state.keyring.read().await;
    let mut transaction = Transaction {
        compares: vec![documents::unchanged(store_key(&id), current.revision)],
        operations: vec![documents::put(store_key(&id), &provider)],
    };
    let mut exchanged = None;
    if let Some(api_key) = request.given_key() {
        let secret = keys::checked(api_key, entry.key, provider.allow_private_addresses)?;
        let old: Vec<CredentialDoc> = documents::list(store, &keys::prefix(&id)).await?;
        let (new, put) = keys::put_sealed(&keyring, &id, &secret, now)?;
        transaction.operations.push(put);
        match entry.key {
            KeyKind::Text | KeyKind::Aws => {
                let deletions = old.iter().map(keys::deletion);
                transaction.operations.extend(deletions);
            }
            KeyKind::GoogleServiceAccount => exchanged = Some((old, new)),
        }
    }
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    drop(keyring);
    if let Some((old, new)) = exchanged {
        keys::drop_old(&state, &actor, entry.key, &provider, &old, &new).await?;
    }
    show(State(state), Path(id)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let unused = policies::unused(store, "provider", |policy| {
        policy.destination_provider_ids.contains(&id)
    })
    .await?;
    let credentials: Vec<CredentialDoc> = documents::list(store, &keys::prefix(&id)).await?;
    let mut operations = vec![Operation::Delete {
        key: store_key(&id),
    }];
    operations.extend(credentials.iter().map(keys::deletion));
    let transaction = Transaction {
        compares: vec![
            documents::unchanged(store_key(&id), current.revision),
            unused,
        ],
        operations,
    };
    if !documents::commit(&state, &actor, transaction).await? {
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

pub(super) fn catalog_entry(
    state: &AppState,
    id: Option<&str>,
) -> Result<Arc<CatalogEntry>, ApiError> {
    let id = id.ok_or_else(|| ApiError::invalid("provider_id", "is required"))?;
    state.catalog.current().entry(id).cloned().ok_or_else(|| {
        ApiError::invalid(
            "provider_id",
            "is not in the catalog (`keyway catalog list`)",
        )
    })
}
