//! `/catalog/providers`: the catalog in NetBird's shape, which its entries serialise to.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::state::AppState;
use crate::control_plane::catalog::{CatalogEntry, Kind};

pub(super) async fn list(State(state): State<AppState>) -> Response {
    Json(state.catalog.current().entries()).into_response()
}

/// Self-hosted servers may run without a key.
pub(super) fn key_is_optional(entry: &CatalogEntry) -> bool {
    match entry.kind {
        Kind::Custom => true,
        Kind::Provider | Kind::Gateway => false,
    }
}
