//! `/access-logs` and `/access-log-sessions`: what the usage index knows about exchanges. `log_export` and
//! `log_stream` are beside it.

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{actor::Actor, error::ApiError, state::AppState, usage};
use crate::control_plane::resource::Role;
use crate::control_plane::usage::{
    AccessLogEntry, AccessLogQuery, Page, SessionEntry, SessionQuery, parse_record_id,
};

/// Decoded query parameters; a name may come several times.
pub(super) type Pairs = Query<Vec<(String, String)>>;

/// One exchange with its captured texts, which are unsealed for nobody else.
#[derive(Serialize, ToSchema)]
pub(super) struct Exchange {
    #[serde(flatten)]
    entry: AccessLogEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Exchange>, ApiError> {
    let captures = state.captures.clone();
    let reads_texts = actor.author.role.is_some_and(Role::reads_texts);
    usage::ask(state, move |reader| {
        let Some(id) = parse_record_id(&id) else {
            return Ok(None);
        };
        let Some(entry) = reader.exchange(id)? else {
            return Ok(None);
        };
        let texts = match reads_texts {
            true => Some(captures.texts(id)?),
            false => None,
        };
        let (request, answer) = texts.map_or((None, None), |texts| (texts.request, texts.answer));
        Ok(Some(Exchange {
            entry,
            request_prompt: request,
            response_completion: answer,
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
