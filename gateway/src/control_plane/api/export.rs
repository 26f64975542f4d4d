//! `/store/export`: the whole store as text, keys sealed. Putting it back is not for a running node:
//! `keyway store import` does it while the node is stopped.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{error::ApiError, state::AppState};
use crate::control_plane::store;

pub(super) async fn export(State(state): State<AppState>) -> Result<Response, ApiError> {
    let mut text = Vec::new();
    store::export(state.store.as_ref(), "", &mut text)
        .await
        .map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], text).into_response())
}
