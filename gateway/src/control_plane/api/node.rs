//! `/status`, `/health`, `/ca` and `/providers/{id}/test`: what the node knows about itself and its upstreams.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    error::ApiError,
    providers,
    state::{AppState, NodeStatus, TestReport},
};

pub(super) async fn status(State(state): State<AppState>) -> Json<NodeStatus> {
    Json(state.node.status())
}

/// `GET /health`.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `not_ready`.
    status: &'static str,
    /// What readiness is waiting for.
    not_ready: Vec<String>,
}

pub(super) async fn health(State(state): State<AppState>) -> Response {
    let NodeStatus {
        ready, not_ready, ..
    } = state.node.status();
    let (code, status) = match ready {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, Json(Health { status, not_ready })).into_response()
}

pub(super) async fn ca(State(state): State<AppState>) -> Result<Response, ApiError> {
    let Some(pem) = state.node.ca_pem() else {
        return Err(ApiError::not_found(
            "internal CA (the endpoint's certificate comes from files)",
        ));
    };
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
}

pub(super) async fn test_provider(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<TestReport>, ApiError> {
    providers::load(&state, &id).await?;
    Ok(Json(state.tester.test(id).await))
}
