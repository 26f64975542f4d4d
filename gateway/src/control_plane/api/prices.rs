//! `/catalog/prices`: where list prices are from, and newer ones in their place. The text is a price file
//! (`config/prices.toml` shows the form); what it does not have stays as it was.

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::JsonBody,
    documents::{self, Versioned},
    error::ApiError,
    state::AppState,
};
use crate::control_plane::{
    catalog::PriceChange,
    resource::{PricesDoc, key},
    store::{Operation, Transaction},
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
    let update = load(&state).await?.map(|doc| UpdateView {
        source: doc.value.source,
        updated_at: doc.value.updated_at,
    });
    let models = priced.collect();
    Ok(Json(PricesView { models, update }).into_response())
}

pub(super) async fn update(
    State(state): State<AppState>,
    Query(query): Query<UpdateQuery>,
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
    if !query.dry_run {
        let doc = PricesDoc {
            text: request.prices,
            source: request.source,
            updated_at: Timestamp::now(),
        };
        write(&state, documents::put(key::PRICES, &doc)).await?;
    }
    let applied = !query.dry_run;
    Ok(Json(Changes { changes, applied }).into_response())
}

/// Back to the node's own file.
pub(super) async fn remove(State(state): State<AppState>) -> Result<Response, ApiError> {
    if load(&state).await?.is_none() {
        return Err(ApiError::not_found("price update"));
    }
    let key = key::PRICES.to_owned();
    write(&state, Operation::Delete { key }).await?;
    Ok(documents::deleted())
}

async fn write(state: &AppState, operation: Operation) -> Result<(), ApiError> {
    let transaction = Transaction {
        compares: Vec::new(),
        operations: vec![operation],
    };
    documents::commit(state.store.as_ref(), transaction).await?;
    Ok(())
}

async fn load(state: &AppState) -> Result<Option<Versioned<PricesDoc>>, ApiError> {
    documents::load(state.store.as_ref(), key::PRICES).await
}
