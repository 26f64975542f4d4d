//! Documents in the store as typed values with their revision, and what every resource does with them.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{actor::Actor, error::ApiError, state::AppState};
use crate::control_plane::{
    audit,
    store::{Compare, Operation, Revision, Store, Transaction},
};

/// How often a write that depends on other documents is tried again when one of them changed.
pub(super) const CONFLICT_TRIES: usize = 4;

/// A document and the revision of its last change.
pub(super) struct Versioned<T> {
    pub(super) value: T,
    pub(super) revision: Revision,
}

/// The document at `key`.
pub(super) async fn load<T: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<Versioned<T>>, ApiError> {
    let range = store.range(key).await?;
    // A key is also a prefix of longer keys.
    let Some(entry) = range.entries.into_iter().find(|entry| entry.key == key) else {
        return Ok(None);
    };
    Ok(Some(Versioned {
        value: decode(key, &entry.value)?,
        revision: entry.mod_revision,
    }))
}

/// Holds as long as the document at `key` stays as it is; `None` when there is none.
pub(super) async fn still_there<T: DeserializeOwned>(
    store: &dyn Store,
    key: String,
) -> Result<Option<Compare>, ApiError> {
    let document = load::<T>(store, &key).await?;
    Ok(document.map(|document| unchanged(key, document.revision)))
}

/// All documents under `prefix`, by key.
pub(super) async fn list<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
) -> Result<Vec<T>, ApiError> {
    let range = store.range(prefix).await?;
    range
        .entries
        .iter()
        .map(|entry| decode(&entry.key, &entry.value))
        .collect()
}

pub(super) fn put<T: Serialize>(key: impl Into<String>, document: &T) -> Operation {
    Operation::Put {
        key: key.into(),
        value: serde_json::to_vec(document).expect("our documents have string keys only"),
    }
}

pub(super) fn unchanged(key: impl Into<String>, revision: Revision) -> Compare {
    Compare::ModRevision {
        key: key.into(),
        revision,
    }
}

/// Writes the transaction, and to the audit log what it changes; `false` when a compare did not hold.
pub(super) async fn commit(
    state: &AppState,
    actor: &Actor,
    transaction: Transaction,
) -> Result<bool, ApiError> {
    let store = state.store.as_ref();
    Ok(audit::commit(store, state.audit, &actor.author, transaction).await?)
}

/// See `resource::key::PROVIDERS_GUARD`: marks that something with references changed.
pub(super) fn touch_guard(guard: &str, transaction: &mut Transaction) {
    transaction.operations.push(Operation::Put {
        key: guard.to_owned(),
        value: b"{}".to_vec(),
    });
}

/// Reads a guard; the returned compare holds as long as nobody touched it since.
pub(super) async fn watch_guard(store: &dyn Store, guard: &str) -> Result<Compare, ApiError> {
    let range = store.range(guard).await?;
    let entry = range.entries.into_iter().find(|entry| entry.key == guard);
    Ok(match entry {
        Some(entry) => unchanged(guard, entry.mod_revision),
        None => Compare::Absent {
            key: guard.to_owned(),
        },
    })
}

/// `If-Match` (RFC 9110 section 13.1.1), for callers that want their own read to be compared.
pub(super) fn check_if_match(headers: &HeaderMap, revision: Revision) -> Result<(), ApiError> {
    let Some(wanted) = headers.get(header::IF_MATCH) else {
        return Ok(());
    };
    if wanted == "*" || wanted == etag(revision) {
        Ok(())
    } else {
        Err(ApiError::precondition(format!(
            "the document is not as If-Match has it: its revision is \"{revision}\""
        )))
    }
}

/// 200 with the document and its revision as entity tag.
pub(super) fn respond<T: Serialize>(shown: &T, revision: Revision) -> Response {
    ([(header::ETAG, etag(revision))], Json(shown)).into_response()
}

/// Deletes the document as it was at `revision`, and answers so.
pub(super) async fn delete(
    state: &AppState,
    actor: &Actor,
    key: String,
    revision: Revision,
) -> Result<Response, ApiError> {
    let transaction = Transaction {
        compares: vec![unchanged(key.as_str(), revision)],
        operations: vec![Operation::Delete { key }],
    };
    if !commit(state, actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    Ok(deleted())
}

/// 200 with an empty object, as the original answers deletions.
pub(super) fn deleted() -> Response {
    Json(serde_json::json!({})).into_response()
}

fn etag(revision: Revision) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).expect("digits in quotes are a header value")
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(value)
        .map_err(|error| ApiError::internal(format!("document {key}: {error}")))
}
