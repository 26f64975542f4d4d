//! The management API: authenticate, decode, call the store, encode. Names and JSON shapes under
//! `/api/agent-network` are NetBird's (its OpenAPI document), what this node adds stands beside them.
//!
//! A change answers once it is durable and the workers serve it, so that what an operator does next sees
//! it. Workers learn of it through the store's change log, not from here. Secrets go in and never come out.

mod admission;
mod auth;
mod body;
mod budgets;
mod catalog;
mod documents;
mod error;
mod explain;
mod export;
mod guardrails;
mod id;
mod keys;
mod levels;
mod limits;
mod log_export;
mod log_stream;
mod logs;
mod names;
mod node;
mod pages;
mod peers;
mod policies;
mod prices;
mod providers;
mod resources;
mod serve;
mod settings;
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
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};

pub use pages::with_pages;
pub use serve::{AdminListener, serve_tcp, serve_unix};
pub use state::AppState;

use super::resource::{self, BudgetRuleDoc, GuardrailDoc, PolicyDoc};
use error::ApiError;

/// Largest request body.
pub const BODY_BYTES_LIMIT: usize = 1 << 20;

/// Every route of the management API, behind authentication.
pub fn router(state: AppState) -> Router {
    let agent_network = Router::new()
        .route("/catalog/providers", get(catalog::list))
        .route(
            "/catalog/prices",
            get(prices::show).put(prices::update).delete(prices::remove),
        )
        .route("/catalog/providers/models", post(providers::discover))
        .route("/providers/test", post(providers::test_draft))
        .route("/providers", get(providers::list).post(providers::create))
        .route(
            "/providers/{id}",
            get(providers::show)
                .put(providers::update)
                .delete(providers::remove),
        )
        .route("/providers/{id}/keys", get(keys::list).post(keys::rotate))
        .route("/providers/{id}/keys/{key_id}", delete(keys::remove))
        .route("/providers/{id}/test", post(node::test_provider))
        .route("/policies", resources::all::<PolicyDoc>())
        .route("/policies/explain", post(explain::answer))
        .route("/policies/{id}", resources::one::<PolicyDoc>())
        .route("/guardrails", resources::all::<GuardrailDoc>())
        .route("/guardrails/{id}", resources::one::<GuardrailDoc>())
        .route("/budget-rules", resources::all::<BudgetRuleDoc>())
        .route("/budget-rules/{id}", resources::one::<BudgetRuleDoc>())
        .route(
            "/settings",
            get(settings::show)
                .post(settings::create)
                .put(settings::update)
                .delete(settings::remove),
        )
        .route("/consumption", get(levels::consumption))
        .route("/limits", get(levels::limits))
        .route("/access-logs", get(logs::list))
        .route("/access-logs/export", get(log_export::export))
        .route("/access-logs/stream", get(log_stream::stream))
        .route("/access-logs/{id}", get(logs::show))
        .route("/access-log-sessions", get(logs::sessions))
        .route("/usage/overview", get(usage::overview))
        .route("/usage/breakdown", get(usage::breakdown))
        .route("/peers", get(peers::list).post(peers::create))
        .route(
            "/peers/{id}",
            get(peers::show).put(peers::update).delete(peers::remove),
        )
        .route("/groups", get(peers::groups))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .route("/status", get(node::status))
        .route("/admission", get(admission::status))
        .route("/admission/peers", get(admission::peers))
        .route("/ca", get(node::ca))
        .route("/keys/rotate-master", post(keys::rotate_master))
        .route("/store/export", get(export::export));

    Router::new()
        .nest("/api/agent-network", agent_network)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        // The limit is applied where bodies are read, into memory that is wiped.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(
            state.clone(),
            served_before_answered,
        ))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            auth::authorize,
        ))
        // The last layer comes first: refusals pass it too.
        .layer(middleware::map_response(never_cached))
        .with_state(state)
}

/// Answers name users, peers and new tokens: no proxy or browser is to keep them.
async fn never_cached(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
