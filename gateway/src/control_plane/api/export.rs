//! `/store/export` and `/store/import`: the documents as they are, keys sealed. An import needs the same
//! master key and an empty place for every document.

use std::collections::BTreeMap;

use axum::{Json, body::Body, extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{body, documents, error::ApiError, state::AppState};
use crate::control_plane::{
    resource::{
        CredentialDoc, GroupDoc, PeerDoc, PolicyDoc, ProviderDoc, SettingsDoc, TokenDoc, key,
    },
    store::{Compare, Operation, Transaction},
};

/// Largest import.
const IMPORT_BYTES_LIMIT: usize = 64 << 20;
/// Raised when a document's shape changes so that older nodes cannot read it.
const FORMAT: u32 = 1;

/// A whole store as text.
#[derive(Serialize, Deserialize)]
pub(super) struct Export {
    format: u32,
    /// Store revision that was read.
    revision: u64,
    documents: BTreeMap<String, Box<RawValue>>,
}

#[derive(Serialize)]
pub(super) struct ImportReport {
    documents: usize,
}

pub(super) async fn export(State(state): State<AppState>) -> Result<Json<Export>, ApiError> {
    let range = state.store.range("").await?;
    let mut documents = BTreeMap::new();
    for entry in range.entries {
        let value = String::from_utf8(entry.value)
            .map_err(ApiError::internal)
            .and_then(|text| RawValue::from_string(text).map_err(ApiError::internal))?;
        documents.insert(entry.key, value);
    }
    Ok(Json(Export {
        format: FORMAT,
        revision: range.revision,
        documents,
    }))
}

pub(super) async fn import(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ImportReport>, ApiError> {
    body::require_json(&headers)?;
    let bytes = body::read(body, IMPORT_BYTES_LIMIT).await?;
    let export: Export = body::decode(&bytes)?;
    if export.format != FORMAT {
        return Err(ApiError::invalid(
            "format",
            format!("this node reads format {FORMAT}"),
        ));
    }
    let mut transaction = Transaction::default();
    for (key, value) in &export.documents {
        check(key, value.get())?;
        transaction
            .compares
            .push(Compare::Absent { key: key.clone() });
        transaction.operations.push(Operation::Put {
            key: key.clone(),
            value: value.get().as_bytes().to_vec(),
        });
    }
    if !documents::commit(state.store.as_ref(), transaction).await? {
        return Err(ApiError::conflict(
            "some of these documents exist here already; nothing was imported",
        ));
    }
    Ok(Json(ImportReport {
        documents: export.documents.len(),
    }))
}

/// A document must be one that this node can read; guards and the CA are taken as they are.
fn check(key: &str, json: &str) -> Result<(), ApiError> {
    let readable = if key.starts_with(key::PROVIDERS) {
        reads::<ProviderDoc>(json)
    } else if key.starts_with(key::CREDENTIALS) {
        reads::<CredentialDoc>(json)
    } else if key.starts_with(key::POLICIES) {
        reads::<PolicyDoc>(json)
    } else if key.starts_with(key::PEERS) {
        reads::<PeerDoc>(json)
    } else if key.starts_with(key::GROUPS) {
        reads::<GroupDoc>(json)
    } else if key.starts_with(key::TOKENS) {
        reads::<TokenDoc>(json)
    } else if key == key::SETTINGS {
        reads::<SettingsDoc>(json)
    } else {
        key == key::CA || key.starts_with("guards/")
    };
    if readable {
        Ok(())
    } else {
        Err(ApiError::invalid(
            format!("documents.{key}"),
            "is not a document of this node",
        ))
    }
}

fn reads<T: DeserializeOwned>(json: &str) -> bool {
    serde_json::from_str::<T>(json).is_ok()
}
