//! `/providers/{id}/keys`: credentials of a provider, known by fingerprint. Rotation adds the new key
//! first and drops the old ones in a second transaction, so that there is no moment without a key.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    body::{JsonBody, SecretText},
    documents,
    error::ApiError,
    id, providers,
    state::AppState,
    validate,
};
use crate::control_plane::{
    resource::{CredentialDoc, key},
    store::{Operation, Transaction},
};

/// Service-account files are the longest keys in use (about 2.5 KiB).
const KEY_BYTES_LIMIT: usize = 16 << 10;
/// Keys of one provider.
const KEYS_LIMIT: usize = 16;

/// A credential as the API shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyView {
    pub(crate) id: String,
    pub(crate) fingerprint: String,
    pub(crate) created_at: Timestamp,
}

#[derive(Deserialize)]
pub(super) struct RotateRequest {
    api_key: Option<SecretText>,
    /// Leave the keys there are in place.
    #[serde(default)]
    keep_others: bool,
}

/// What a re-sealing did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RotateMasterReport {
    /// Credentials now sealed under the current master key.
    pub(crate) resealed: usize,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Path(provider_id): Path<String>,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    providers::load(&state, &provider_id).await?;
    let credentials = of_provider(&state, &provider_id).await?;
    Ok(Json(credentials.into_iter().map(view).collect()))
}

pub(super) async fn rotate(
    State(state): State<AppState>,
    Path(provider_id): Path<String>,
    JsonBody(request): JsonBody<RotateRequest>,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    let api_key = request.api_key.as_ref().map_or("", SecretText::expose);
    let api_key = check("api_key", api_key)?;
    let provider = providers::load(&state, &provider_id).await?;
    let old = of_provider(&state, &provider_id).await?;
    if request.keep_others && old.len() >= KEYS_LIMIT {
        return Err(ApiError::precondition(format!(
            "a provider has at most {KEYS_LIMIT} keys; remove one first"
        )));
    }
    let credential = sealed(&state, &provider_id, api_key, Timestamp::now())?;
    let adding = Transaction {
        // The provider must still be there, or its key would outlive it.
        compares: vec![documents::unchanged(
            providers::store_key(&provider_id),
            provider.revision,
        )],
        operations: vec![put(&credential)],
    };
    if !documents::commit(state.store.as_ref(), adding).await? {
        return Err(ApiError::changed_meanwhile());
    }
    if !request.keep_others && !old.is_empty() {
        let dropping = Transaction {
            compares: Vec::new(),
            operations: old.iter().map(deletion).collect(),
        };
        documents::commit(state.store.as_ref(), dropping).await?;
    }
    list(State(state), Path(provider_id)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Path((provider_id, key_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let provider = providers::load(&state, &provider_id).await?;
    let credentials = of_provider(&state, &provider_id).await?;
    let Some(credential) = credentials.iter().find(|one| one.id == key_id) else {
        return Err(ApiError::not_found("key"));
    };
    let optional = state
        .catalog
        .entry(&provider.value.provider_id)
        .is_some_and(super::catalog::CatalogProvider::key_is_optional);
    if credentials.len() == 1 && !optional {
        return Err(ApiError::precondition(
            "this is the provider's only key; add another one first",
        ));
    }
    // All of them unchanged: two removals at once must not leave none.
    let mut compares = Vec::with_capacity(credentials.len());
    for one in &credentials {
        let current = documents::load::<CredentialDoc>(state.store.as_ref(), &store_key(one))
            .await?
            .ok_or_else(ApiError::changed_meanwhile)?;
        compares.push(documents::unchanged(store_key(one), current.revision));
    }
    let transaction = Transaction {
        compares,
        operations: vec![deletion(credential)],
    };
    if !documents::commit(state.store.as_ref(), transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    Ok(documents::deleted())
}

/// Seals every credential again under the current master key; run it after the configuration names a
/// new master key beside the old one.
pub(super) async fn rotate_master(State(state): State<AppState>) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let range = store.range(key::CREDENTIALS).await?;
    let mut resealed = 0;
    for entry in range.entries {
        let mut credential: CredentialDoc = serde_json::from_slice(&entry.value)
            .map_err(|error| ApiError::internal(format!("document {}: {error}", entry.key)))?;
        let secret = state
            .sealer
            .unseal(&entry.key, &credential.sealed)
            .map_err(ApiError::internal)?;
        credential.sealed = state
            .sealer
            .seal(&entry.key, secret.expose())
            .map_err(ApiError::internal)?;
        let transaction = Transaction {
            compares: vec![documents::unchanged(&entry.key, entry.mod_revision)],
            operations: vec![documents::put(&entry.key, &credential)],
        };
        // A credential that changed meanwhile was sealed under the current key by whoever changed it.
        if documents::commit(store, transaction).await? {
            resealed += 1;
        }
    }
    Ok(Json(RotateMasterReport { resealed }).into_response())
}

/// A key that fits into a header, without the white space that copying adds.
pub(super) fn check<'a>(field: &str, api_key: &'a str) -> Result<&'a str, ApiError> {
    let api_key = api_key.trim();
    if api_key.is_empty() {
        return Err(ApiError::invalid(field, "is required"));
    }
    if api_key.len() > KEY_BYTES_LIMIT {
        return Err(ApiError::invalid(
            field,
            format!("is longer than {KEY_BYTES_LIMIT} bytes"),
        ));
    }
    validate::header_value(field, api_key)?;
    Ok(api_key)
}

pub(super) fn sealed(
    state: &AppState,
    provider_id: &str,
    api_key: &str,
    now: Timestamp,
) -> Result<CredentialDoc, ApiError> {
    let mut credential = CredentialDoc {
        id: id::new_id("cred_", now),
        provider_id: provider_id.to_owned(),
        sealed: String::new(),
        fingerprint: state.sealer.fingerprint(api_key.as_bytes()),
        created_at: now,
    };
    credential.sealed = state
        .sealer
        .seal(&store_key(&credential), api_key.as_bytes())
        .map_err(ApiError::internal)?;
    Ok(credential)
}

pub(super) fn prefix(provider_id: &str) -> String {
    format!("{}{provider_id}/", key::CREDENTIALS)
}

pub(super) fn put(credential: &CredentialDoc) -> Operation {
    documents::put(store_key(credential), credential)
}

pub(super) fn deletion(credential: &CredentialDoc) -> Operation {
    Operation::Delete {
        key: store_key(credential),
    }
}

fn store_key(credential: &CredentialDoc) -> String {
    format!("{}{}", prefix(&credential.provider_id), credential.id)
}

async fn of_provider(state: &AppState, provider_id: &str) -> Result<Vec<CredentialDoc>, ApiError> {
    documents::list(state.store.as_ref(), &prefix(provider_id)).await
}

fn view(credential: CredentialDoc) -> KeyView {
    KeyView {
        id: credential.id,
        fingerprint: credential.fingerprint,
        created_at: credential.created_at,
    }
}
