//! `/admission`: what the kernel program in front does, and what it counts.

use axum::{Json, extract::State};
use tokio::task::spawn_blocking;

use super::{error::ApiError, state::AppState};
use crate::control_plane::admission::{AdmissionHistory, AdmissionStatus, PeerTraffic};

pub(super) async fn status(
    State(state): State<AppState>,
) -> Result<Json<AdmissionStatus>, ApiError> {
    let read = spawn_blocking(move || state.node.admission()).await;
    read.map(Json).map_err(ApiError::internal)
}

pub(super) async fn history(State(state): State<AppState>) -> Json<AdmissionHistory> {
    Json(state.node.admission_history())
}

pub(super) async fn peers(
    State(state): State<AppState>,
) -> Result<Json<Vec<PeerTraffic>>, ApiError> {
    let read = spawn_blocking(move || state.node.admission_peers()).await;
    read.map(Json).map_err(ApiError::internal)
}
