//! `/tokens`: access to this API over TCP. The token is shown once, in the answer that creates it; the
//! store has its hash.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    actor::Actor, auth, body::JsonBody, documents, error::ApiError, id, state::AppState, validate,
};
use crate::control_plane::{
    resource::{Role, TokenDoc, key},
    store::{Compare, Transaction},
};

const TOKENS_LIMIT: usize = 256;
const EXPIRES_IN_DAYS_MAX: u16 = 3650;
const SECONDS_PER_DAY: i64 = 86_400;

/// A token as the API shows it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    #[schema(required)]
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) expires_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub(super) struct CreatedView<'a> {
    #[serde(flatten)]
    shown: TokenView,
    token: &'a str,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct TokenRequest {
    #[schema(required, nullable = false)]
    name: Option<String>,
    /// An owner's when omitted.
    #[serde(default)]
    role: Role,
    /// Never expires when omitted.
    expires_in_days: Option<u16>,
}

pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Vec<TokenView>>, ApiError> {
    let mut tokens: Vec<TokenDoc> = documents::list(state.store.as_ref(), key::TOKENS).await?;
    tokens.sort_by_key(|token| token.created_at);
    Ok(Json(tokens.into_iter().map(view).collect()))
}

pub(super) async fn create(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let name = request
        .name
        .as_deref()
        .ok_or_else(|| ApiError::invalid("name", "is required"))?;
    let expires_at = request
        .expires_in_days
        .map(|days| expiry(now, days))
        .transpose()?;
    let existing: Vec<TokenDoc> = documents::list(state.store.as_ref(), key::TOKENS).await?;
    if existing.len() >= TOKENS_LIMIT {
        return Err(ApiError::precondition(format!(
            "there are {TOKENS_LIMIT} tokens already; revoke one first"
        )));
    }
    let (token, hash) = auth::new_token();
    let document = TokenDoc {
        id: id::new_id("token_", now),
        name: validate::display_name("name", name)?,
        hash,
        role: request.role,
        created_at: now,
        expires_at,
    };
    let transaction = Transaction {
        compares: vec![Compare::Absent {
            key: store_key(&document.id),
        }],
        operations: vec![documents::put(store_key(&document.id), &document)],
    };
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    let created = CreatedView {
        shown: view(document),
        token: &token,
    };
    Ok(axum::response::IntoResponse::into_response(Json(created)))
}

pub(super) async fn revoke(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let current = documents::load::<TokenDoc>(state.store.as_ref(), &store_key(&id))
        .await?
        .ok_or_else(|| ApiError::not_found("token"))?;
    documents::check_if_match(&headers, current.revision)?;
    documents::delete(&state, &actor, store_key(&id), current.revision).await
}

fn expiry(now: Timestamp, days: u16) -> Result<Timestamp, ApiError> {
    if !(1..=EXPIRES_IN_DAYS_MAX).contains(&days) {
        return Err(ApiError::invalid(
            "expires_in_days",
            format!("must be 1 to {EXPIRES_IN_DAYS_MAX}"),
        ));
    }
    now.checked_add(SignedDuration::from_secs(i64::from(days) * SECONDS_PER_DAY))
        .map_err(|_| ApiError::invalid("expires_in_days", "is too far away"))
}

fn store_key(id: &str) -> String {
    format!("{}{id}", key::TOKENS)
}

fn view(token: TokenDoc) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name,
        role: token.role,
        created_at: token.created_at,
        expires_at: token.expires_at,
    }
}
