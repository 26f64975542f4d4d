//! `/access-logs` and `/access-log-sessions`: what the usage index knows about exchanges. `log_export` and
//! `log_stream` are beside it.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Serialize;

use super::{error::ApiError, state::AppState, usage};
use crate::control_plane::usage::{
    AccessLogEntry, AccessLogQuery, Page, SessionEntry, SessionQuery, parse_record_id,
};

/// Decoded query parameters; a name may come several times.
pub(super) type Pairs = Query<Vec<(String, String)>>;

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

/// One exchange, by the id that agents and operators see (with `req_` or without).
pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Exchange>, ApiError> {
    let captures = state.captures.clone();
    usage::ask(state, move |reader| {
        let Some(id) = parse_record_id(&id) else {
            return Ok(None);
        };
        let Some(entry) = reader.exchange(id)? else {
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
    .ok_or_else(|| ApiError::not_found("access log entry"))
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
