//! `/usage/overview`: sums per period; `/usage/breakdown` beside it: sums per provider, model or user.

use axum::{
    Json,
    extract::{Query, State},
};
use jiff::Timestamp;

use super::{error::ApiError, logs::Pairs, state::AppState};
use crate::control_plane::usage::{
    OverviewQuery, QueryError, TotalBy, UsageBucket, UsageError, UsageReader, UsageTotal,
};

pub(super) async fn overview(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<UsageBucket>>, ApiError> {
    let query = OverviewQuery::from_pairs(&pairs, Timestamp::now())?;
    ask(state, move |reader| reader.overview(&query))
        .await
        .map(Json)
}

/// Takes the parameters of the overview, and `by`.
pub(super) async fn breakdown(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<UsageTotal>>, ApiError> {
    let by = match parameter(&pairs, "by") {
        Some("provider") => TotalBy::Provider,
        Some("model") => TotalBy::Model,
        Some("user") => TotalBy::User,
        Some(_) | None => {
            return Err(ApiError::invalid("by", "must be provider, model or user"));
        }
    };
    let query = OverviewQuery::from_pairs(&pairs, Timestamp::now())?;
    ask(state, move |reader| reader.totals(by, &query.filter))
        .await
        .map(Json)
}

/// Runs a query where it may wait for the disk.
pub(super) async fn ask<T: Send + 'static>(
    state: AppState,
    query: impl FnOnce(&UsageReader) -> Result<T, UsageError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(move || query(&state.usage))
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::internal)
}

pub(super) fn parameter<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .rev()
        .find(|(candidate, value)| candidate == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::invalid(error.parameter, error.problem)
    }
}
