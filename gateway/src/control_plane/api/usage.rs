//! `/usage/overview`: sums per period; `/usage/breakdown` beside it: sums per provider, model, user or
//! group. Both also as CSV (`format=csv`).

use axum::{
    Json,
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{error::ApiError, logs::Pairs, state::AppState};
use crate::control_plane::usage::{
    OverviewQuery, QueryError, TotalBy, UsageError, UsageReader, buckets_csv, totals_csv,
};

pub(super) async fn overview(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let is_csv = is_csv(&pairs)?;
    let query = OverviewQuery::from_pairs(&pairs, Timestamp::now())?;
    let buckets = ask(state, move |reader| reader.overview(&query)).await?;
    Ok(match is_csv {
        true => csv(buckets_csv(&buckets)),
        false => Json(buckets).into_response(),
    })
}

/// Takes the parameters of the overview, and `by`.
pub(super) async fn breakdown(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let is_csv = is_csv(&pairs)?;
    let by = match parameter(&pairs, "by") {
        Some("provider") => TotalBy::Provider,
        Some("model") => TotalBy::Model,
        Some("user") => TotalBy::User,
        Some("group") => TotalBy::Group,
        Some(_) | None => {
            return Err(ApiError::invalid(
                "by",
                "must be provider, model, user or group",
            ));
        }
    };
    let query = OverviewQuery::from_pairs(&pairs, Timestamp::now())?;
    let totals = ask(state, move |reader| reader.totals(by, &query.filter)).await?;
    Ok(match is_csv {
        true => csv(totals_csv(&totals)),
        false => Json(totals).into_response(),
    })
}

fn is_csv(pairs: &[(String, String)]) -> Result<bool, ApiError> {
    match parameter(pairs, "format") {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(ApiError::invalid("format", "must be json or csv")),
    }
}

fn csv(text: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
}

/// Runs a query where it may wait for the disk.
pub(super) async fn ask<T: Send + 'static>(
    state: AppState,
    query: impl FnOnce(&UsageReader) -> Result<T, UsageError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(move || query(&state.usage))
        .await
        .map_err(ApiError::internal)?
        .map_err(|error| match error.too_much() {
            Some(problem) => ApiError::invalid("start_date", problem),
            None if error.is_away() => ApiError::unavailable(error.to_string()),
            None => ApiError::internal(error),
        })
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
