//! The management API: authenticate, decode, call the store, encode. Names and JSON shapes under
//! `/api/agent-network` are NetBird's (its OpenAPI document), what this node adds stands beside them.
//!
//! A change answers once it is durable and the workers serve it, so that what an operator does next sees
//! it. Workers learn of it through the store's change log, not from here. Secrets go in and never come out.

mod access;
mod actor;
mod admission;
mod agent_config;
mod audit;
mod auth;
mod body;
mod budgets;
mod catalog;
mod docs;
mod documents;
mod error;
mod explain;
mod export;
mod guardrails;
mod headers;
mod id;
mod keys;
mod levels;
mod limits;
mod log_export;
mod log_stream;
mod logs;
mod names;
mod node;
mod openapi;
mod overlay;
mod pages;
mod peers;
mod policies;
mod prices;
mod providers;
mod resources;
mod route;
mod routes;
mod serve;
mod session;
mod sessions;
mod settings;
mod setup;
pub mod state;
mod streamed;
mod tokens;
mod usage;
mod validate;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
pub(crate) mod testing;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

pub use overlay::OverlayListeners;
pub use serve::{AdminListener, serve_tcp, serve_unix};
pub use state::AppState;

use super::resource;
use access::Access;
use error::ApiError;

/// Largest request body.
pub const BODY_BYTES_LIMIT: usize = 1 << 20;

/// The management API, behind authentication, and the dashboard's files beside it.
pub fn router(state: AppState) -> Router {
    let mut open = Router::new();
    let mut guarded = Router::new();
    for route in routes::all().into_iter().flat_map(|(_, routes)| routes) {
        match route.access {
            Access::Open => open = route.mount(open),
            Access::Known | Access::Health | Access::Read | Access::Change | Access::Own => {
                guarded = route.mount(guarded);
            }
        }
    }
    let api = guarded
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(
            state.clone(),
            served_before_answered,
        ))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            auth::authorize,
        ))
        .merge(open)
        // The limit is applied where bodies are read, into memory that is wiped.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(auth::check_site))
        // The last layer comes first: refusals pass it too.
        .layer(middleware::map_response(headers::never_cached))
        .layer(middleware::map_response(error::uniform));

    Router::new()
        .nest("/api", api)
        .fallback_service(pages::router())
        .layer(middleware::from_fn_with_state(
            state.clone(),
            auth::check_name,
        ))
        .layer(middleware::map_response(headers::hardened))
        .with_state(state)
}

/// Holds the answer to a change back until the workers serve it.
async fn served_before_answered(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let changes = !request.method().is_safe();
    let response = next.run(request).await;
    if changes && response.status().is_success() {
        // Reading one document tells the revision of the whole store.
        if let Ok(range) = state.store.range(resource::key::SETTINGS).await {
            state.node.serves(range.revision).await;
        }
    }
    response
}

async fn no_such_route() -> impl IntoResponse {
    ApiError::not_found("route")
}

async fn no_such_method() -> impl IntoResponse {
    ApiError::method_not_allowed()
}
