//! `/access-logs`, `/access-log-sessions`, and `/access-logs/tail` and `/access-logs/{id}` beside them: what the usage index
//! knows about single exchanges.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Serialize;

use super::{error::ApiError, state::AppState, usage};
use crate::control_plane::usage::{
    AccessLogEntry, AccessLogQuery, LogFilter, Page, SessionEntry, SessionQuery,
};

/// Decoded query parameters; a name may come several times.
pub(super) type Pairs = Query<Vec<(String, String)>>;

/// What came after a row, for a live tail.
#[derive(Serialize)]
pub(super) struct Tail {
    /// Oldest first; a bounded number.
    data: Vec<AccessLogEntry>,
    /// To ask with next time, as `after`.
    sequence: i64,
}

/// One exchange with its captured texts, which are unsealed for nobody else.
#[derive(Serialize)]
pub(super) struct Exchange {
    #[serde(flatten)]
    entry: AccessLogEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_completion: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Page<AccessLogEntry>>, ApiError> {
    let query = AccessLogQuery::from_pairs(&pairs)?;
    usage::ask(state, move |reader| reader.access_log(&query))
        .await
        .map(Json)
}

/// By the id of the entry, or as `x-keyway-request-id` says it.
pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Exchange>, ApiError> {
    let digits = id.strip_prefix("req_").unwrap_or(&id);
    let id = u128::from_str_radix(digits, 16).map_err(|_| ApiError::not_found("request"))?;
    let captures = state.captures.clone();
    usage::ask(state, move |reader| {
        let Some(entry) = reader.access_log_entry(id)? else {
            return Ok(None);
        };
        let texts = captures.texts(id)?;
        Ok(Some(Exchange {
            entry,
            request_prompt: texts.request,
            response_completion: texts.answer,
        }))
    })
    .await?
    .map(Json)
    .ok_or_else(|| ApiError::not_found("request"))
}

pub(super) async fn sessions(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Page<SessionEntry>>, ApiError> {
    let query = SessionQuery::from_pairs(&pairs)?;
    usage::ask(state, move |reader| reader.sessions(&query))
        .await
        .map(Json)
}

/// Rows after the sequence `after`; without it none, and where a tail of what is to come begins.
pub(super) async fn tail(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Tail>, ApiError> {
    let filter = LogFilter::from_pairs(&pairs)?;
    let after = match usage::parameter(&pairs, "after") {
        None => None,
        Some(after) => Some(
            after
                .parse::<i64>()
                .map_err(|_| ApiError::invalid("after", "must be a sequence number"))?,
        ),
    };
    usage::ask(state, move |reader| {
        let Some(after) = after else {
            return Ok(Tail {
                data: Vec::new(),
                sequence: reader.last_sequence()?,
            });
        };
        let data = reader.follow(after, &filter)?;
        let sequence = data.last().map_or(after, |entry| entry.sequence);
        Ok(Tail { data, sequence })
    })
    .await
    .map(Json)
}
