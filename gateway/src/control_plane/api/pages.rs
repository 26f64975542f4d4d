//! What is served to anybody who reaches the admin listener: the dashboard's files.

use axum::Router;

use super::no_such_route;

/// Everything that is not below `/api`.
pub(super) fn router() -> Router {
    Router::new().fallback(no_such_route)
}
