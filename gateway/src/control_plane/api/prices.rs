//! `/catalog/prices`: where list prices are from, and newer ones in their place. The text is a price file
//! (`config/prices.toml` shows the form); what it does not have stays as it was.

use axum::{
    Extension, Json,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    actor::Actor,
    body::JsonBody,
    documents::{self, Versioned},
    error::ApiError,
    state::AppState,
};
use crate::control_plane::{
    catalog::PriceChange,
    resource::{PricesDoc, key},
    store::{Compare, Operation, Revision, Transaction},
};

/// Longest description of where prices are from.
const SOURCE_BYTES_LIMIT: usize = 256;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Prices)]
pub(super) struct PricesView {
    /// Models with a price, by catalog entry.
    models: std::collections::BTreeMap<String, usize>,
    /// `null` while only the node's own file is in use.
    #[schema(required)]
    update: Option<UpdateView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PricesUpdate)]
struct UpdateView {
    source: String,
    updated_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PricesUpdateReport)]
pub(super) struct Changes {
    changes: Vec<PriceChange>,
    /// They are in use; false after a dry run.
    applied: bool,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = PricesUpdateRequest)]
pub(super) struct UpdateRequest {
    source: String,
    /// Text of a price file.
    prices: String,
}

#[derive(Deserialize)]
pub(super) struct UpdateQuery {
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn show(State(state): State<AppState>) -> Result<Response, ApiError> {
    let catalog = state.catalog.current();
    let priced = catalog.entries().iter().filter_map(|entry| {
        let models = entry.prices().len();
        (models > 0).then(|| (entry.id.clone(), models))
    });
    let models = priced.collect();
    let stored = load(&state).await?;
    let revision = stored.as_ref().map(|doc| doc.revision);
    let update = stored.map(|doc| UpdateView {
        source: doc.value.source,
        updated_at: doc.value.updated_at,
    });
    let shown = PricesView { models, update };
    Ok(match revision {
        Some(revision) => documents::respond(&shown, revision),
        None => Json(shown).into_response(),
    })
}

pub(super) async fn update(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<UpdateQuery>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<UpdateRequest>,
) -> Result<Response, ApiError> {
    if request.source.len() > SOURCE_BYTES_LIMIT {
        let message = format!("is longer than {SOURCE_BYTES_LIMIT} bytes");
        return Err(ApiError::invalid("source", message));
    }
    let changes = state
        .catalog
        .changes(&request.prices)
        .map_err(|error| ApiError::invalid("prices", error.to_string()))?;
    let current = load(&state).await?.map(|doc| doc.revision);
    match current {
        Some(revision) => documents::check_if_match(&headers, revision)?,
        None if headers.contains_key(header::IF_MATCH) => {
            return Err(ApiError::precondition(
                "there is no update that If-Match could mean",
            ));
        }
        None => {}
    }
    if !query.dry_run {
        let doc = PricesDoc {
            text: request.prices,
            source: request.source,
            updated_at: Timestamp::now(),
        };
        write(&state, &actor, current, documents::put(key::PRICES, &doc)).await?;
    }
    let applied = !query.dry_run;
    Ok(Json(Changes { changes, applied }).into_response())
}

/// Back to the node's own file.
pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let current = load(&state).await?;
    let current = current.ok_or_else(|| ApiError::not_found("price update"))?;
    documents::check_if_match(&headers, current.revision)?;
    let key = key::PRICES.to_owned();
    write(
        &state,
        &actor,
        Some(current.revision),
        Operation::Delete { key },
    )
    .await?;
    Ok(documents::deleted())
}

async fn write(
    state: &AppState,
    actor: &Actor,
    current: Option<Revision>,
    operation: Operation,
) -> Result<(), ApiError> {
    let transaction = Transaction {
        compares: vec![match current {
            Some(revision) => documents::unchanged(key::PRICES, revision),
            None => Compare::Absent {
                key: key::PRICES.to_owned(),
            },
        }],
        operations: vec![operation],
    };
    match documents::commit(state, actor, transaction).await? {
        true => Ok(()),
        false => Err(ApiError::changed_meanwhile()),
    }
}

async fn load(state: &AppState) -> Result<Option<Versioned<PricesDoc>>, ApiError> {
    documents::load(state.store.as_ref(), key::PRICES).await
}
