//! `/providers/{id}/keys`: credentials of a provider, known by fingerprint. Rotation adds the new key
//! first and drops the old ones in a second transaction, so that there is no moment without a key.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    actor::Actor,
    body::{JsonBody, SecretText},
    catalog, documents,
    error::ApiError,
    id, providers,
    state::AppState,
};
use crate::{
    control_plane::{
        audit::Recorder,
        catalog::KeyKind,
        mint::ServiceAccount,
        resource::{CredentialDoc, ProviderDoc, key},
        seal::{Keyring, UnlockError},
        snapshot::Unseal,
        store::{Operation, Transaction},
    },
    secret::{Secret, SecretInput},
};

/// Keys of one provider.
const KEYS_LIMIT: usize = 16;

/// A credential as the API shows it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ProviderKey)]
pub(crate) struct KeyView {
    pub(crate) id: String,
    pub(crate) fingerprint: String,
    pub(crate) created_at: Timestamp,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct RotateRequest {
    #[schema(value_type = Option<String>, required, nullable = false)]
    api_key: Option<SecretText>,
    /// Leave the keys there are in place.
    #[serde(default)]
    keep_others: bool,
}

/// What an exchange of the master key did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RotateMasterReport {
    /// Id of the new master key.
    key_id: String,
    /// Records sealed again.
    resealed: usize,
    /// What the operator has left to do.
    #[schema(required)]
    advice: Option<String>,
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
    Extension(actor): Extension<Actor>,
    Path(provider_id): Path<String>,
    JsonBody(request): JsonBody<RotateRequest>,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    let Some(api_key) = &request.api_key else {
        return Err(ApiError::invalid("api_key", "is required"));
    };
    let provider = providers::load(&state, &provider_id).await?;
    let entry = providers::catalog_entry(&state, Some(&provider.value.provider_id))?;
    let secret = checked(api_key, entry.key, provider.value.allow_private_addresses)?;
    let old = of_provider(&state, &provider_id).await?;
    if request.keep_others && old.len() >= KEYS_LIMIT {
        return Err(ApiError::precondition(format!(
            "a provider has at most {KEYS_LIMIT} keys; remove one first"
        )));
    }
    let keyring = state.keyring.read().await;
    let (new, put) = put_sealed(&keyring, &provider_id, &secret, Timestamp::now())?;
    let adding = Transaction {
        // The provider must still be there, or its key would outlive it.
        compares: vec![documents::unchanged(
            providers::store_key(&provider_id),
            provider.revision,
        )],
        operations: vec![put],
    };
    if !documents::commit(&state, &actor, adding).await? {
        return Err(ApiError::changed_meanwhile());
    }
    drop(keyring);
    if !request.keep_others {
        drop_old(&state, &actor, entry.key, &provider.value, &old, &new).await?;
    }
    list(State(state), Path(provider_id)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path((provider_id, key_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let provider = providers::load(&state, &provider_id).await?;
    documents::check_if_match(&headers, provider.revision)?;
    let credentials = of_provider(&state, &provider_id).await?;
    let Some(credential) = credentials.iter().find(|one| one.id == key_id) else {
        return Err(ApiError::not_found("key"));
    };
    let optional = state
        .catalog
        .current()
        .entry(&provider.value.provider_id)
        .is_some_and(|entry| catalog::key_is_optional(entry));
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
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    Ok(documents::deleted())
}

pub(super) async fn rotate_master(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
) -> Result<Json<RotateMasterReport>, ApiError> {
    let recorder = Recorder {
        author: &actor.author,
        retention: state.audit,
    };
    let rotating = state.keyring.rotate(state.store.as_ref(), Some(recorder));
    match rotating.await {
        Ok(rotated) => Ok(Json(RotateMasterReport {
            key_id: rotated.key_id,
            resealed: rotated.records,
            advice: rotated.advice,
        })),
        // What is missing and where, as only the operator can put it there.
        Err(
            error @ (UnlockError::Source(_)
            | UnlockError::WrongKey { .. }
            | UnlockError::MissingKey { .. }
            | UnlockError::MissingNextKey { .. }
            | UnlockError::NoNextKey { .. }
            | UnlockError::OtherRotation { .. }
            | UnlockError::Busy),
        ) => Err(ApiError::precondition(error.to_string())),
        Err(
            error @ (UnlockError::BadRecord { .. } | UnlockError::Seal(_) | UnlockError::Store(_)),
        ) => Err(ApiError::internal(error)),
    }
}

/// Key text that a provider of this kind can use, in locked memory.
pub(super) fn checked(
    text: &SecretText,
    kind: KeyKind,
    allow_private_addresses: bool,
) -> Result<Secret, ApiError> {
    let secret = SecretInput::from_text(text.expose().trim().to_owned())
        .map(SecretInput::into_secret)
        .map_err(|error| ApiError::invalid("api_key", error.to_string()))?;
    match kind {
        KeyKind::Text | KeyKind::Aws => Ok(secret),
        KeyKind::GoogleServiceAccount => {
            ServiceAccount::normalise(&secret, allow_private_addresses)
                .map_err(|error| ApiError::invalid("api_key", error.to_string()))
        }
    }
}

/// Drops the keys that `new` stands for. Where tokens are minted from keys, only once it has given one: else
/// it goes itself.
pub(super) async fn drop_old(
    state: &AppState,
    actor: &Actor,
    kind: KeyKind,
    provider: &ProviderDoc,
    old: &[CredentialDoc],
    new: &CredentialDoc,
) -> Result<(), ApiError> {
    if old.is_empty() {
        return Ok(());
    }
    let failure = match kind {
        KeyKind::GoogleServiceAccount if provider.enabled => {
            state.node.mints(new.id.clone()).await.err()
        }
        KeyKind::GoogleServiceAccount | KeyKind::Text | KeyKind::Aws => None,
    };
    let dropping = Transaction {
        compares: Vec::new(),
        operations: match failure {
            None => old.iter().map(deletion).collect(),
            Some(_) => vec![deletion(new)],
        },
    };
    if !documents::commit(state, actor, dropping).await? {
        return Err(ApiError::changed_meanwhile());
    }
    match failure {
        None => Ok(()),
        Some(reason) => Err(ApiError::precondition(format!(
            "the new key gives no token, so the old one stays: {reason}"
        ))),
    }
}

/// A new credential and its write; the keyring is held until that is committed.
pub(super) fn put_sealed(
    keyring: &Keyring,
    provider_id: &str,
    secret: &Secret,
    now: Timestamp,
) -> Result<(CredentialDoc, Operation), ApiError> {
    let mut credential = CredentialDoc {
        id: id::new_id("cred_", now),
        provider_id: provider_id.to_owned(),
        sealed: String::new(),
        fingerprint: keyring.fingerprint(secret),
        created_at: now,
    };
    let key = store_key(&credential);
    credential.sealed = keyring.seal(&key, secret).map_err(ApiError::internal)?;
    let put = documents::put(key, &credential);
    Ok((credential, put))
}

pub(super) fn prefix(provider_id: &str) -> String {
    format!("{}{provider_id}/", key::CREDENTIALS)
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

/// The key that a provider is tried with: its newest one, unsealed; `None` when it has none.
pub(super) async fn newest(
    state: &AppState,
    provider_id: &str,
) -> Result<Option<Secret>, ApiError> {
    let keyring = state.keyring.read().await;
    let credentials = of_provider(state, provider_id).await?;
    let newest = credentials
        .iter()
        .max_by_key(|credential| (credential.created_at, &credential.id));
    newest
        .map(|credential| keyring.unseal(credential).map_err(ApiError::internal))
        .transpose()
}

fn view(credential: CredentialDoc) -> KeyView {
    KeyView {
        id: credential.id,
        fingerprint: credential.fingerprint,
        created_at: credential.created_at,
    }
}
