//! `/session`: how browsers log in and out, and who calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    actor::Actor,
    auth::{self, Connection},
    body::{self, JsonBody, SecretText},
    documents,
    error::ApiError,
    sessions::{Session, Told},
    state::AppState,
};
use crate::control_plane::{audit::Via, resource::Role};

/// The cookie of a browser's session.
pub(super) const COOKIE: &str = "keyway_session";
const LOGIN_BYTES_LIMIT: usize = 4096;

/// Exactly one of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// Of a login link.
    #[schema(value_type = Option<String>)]
    code: Option<SecretText>,
    #[schema(value_type = Option<String>)]
    token: Option<SecretText>,
}

/// Who calls.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionView {
    /// `uid:<id>`, `token:<id>` or `peer:<id>`.
    actor: String,
    /// Of the token or peer.
    #[schema(required)]
    name: Option<String>,
    /// `null` for a peer that is no admin.
    #[schema(required)]
    role: Option<Role>,
    via: Via,
    /// `null`: it does not end by itself.
    #[schema(required)]
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = SessionCodeRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeRequest {
    /// Of the session that it begins; an owner's unless given.
    #[serde(default)]
    role: Role,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SessionCode)]
pub(super) struct CodeView {
    code: String,
    expires_at: Timestamp,
    /// For a browser on the node's machine.
    url: String,
}

/// The one route that anybody may call.
pub(super) async fn create(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let address = match request.extensions().get::<Connection>() {
        Some(Connection::Tcp { peer, .. }) => Some(peer.ip()),
        Some(Connection::Tunnel { peer, .. }) => Some(peer.ip()),
        Some(Connection::Unix { .. }) | None => None,
    };
    let now = Timestamp::now();
    state
        .sessions
        .may_try(address, now)
        .map_err(ApiError::wait)?;
    let (parts, body) = request.into_parts();
    body::require_json(&parts.headers)?;
    let bytes = body::read(body, LOGIN_BYTES_LIMIT).await?;
    let login: LoginRequest = body::decode(&bytes)?;
    let begun = match (&login.code, &login.token) {
        (Some(code), None) => with_code(&state, code, now),
        (None, Some(token)) => with_token(&state, token, now).await,
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::invalid(
                "code",
                "give exactly one of code and token",
            ));
        }
    };
    let (secret, session) = begun.inspect_err(|error| {
        if error.status() == StatusCode::UNAUTHORIZED {
            state.sessions.failed(address, now);
            let from = address.map_or_else(String::new, |address| address.to_string());
            tracing::warn!(from, "failed login");
        }
    })?;
    tracing::info!(actor = session.actor, role = session.role.code(), "login");
    let cookie = cookie(
        &secret,
        session.expires_at.duration_since(now),
        &parts.headers,
    );
    let shown = SessionView {
        actor: session.actor,
        name: session.name,
        role: Some(session.role),
        via: Via::Cookie,
        expires_at: Some(session.expires_at),
    };
    Ok(([(header::SET_COOKIE, cookie)], Json(shown)).into_response())
}

pub(super) async fn show(Extension(actor): Extension<Actor>) -> Json<SessionView> {
    let author = actor.author;
    Json(SessionView {
        actor: author.id,
        name: author.name,
        role: author.role,
        via: author.via,
        expires_at: actor.expires_at,
    })
}

pub(super) async fn end(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
) -> Response {
    if actor.author.via == Via::Cookie
        && let Some(secret) = auth::cookie(&headers)
    {
        state.sessions.end(secret);
    }
    let gone = cookie("", SignedDuration::ZERO, &headers);
    ([(header::SET_COOKIE, gone)], documents::deleted()).into_response()
}

pub(super) async fn create_code(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    JsonBody(request): JsonBody<CodeRequest>,
) -> Result<Json<CodeView>, ApiError> {
    if actor.author.via != Via::Socket {
        return Err(ApiError::forbidden(
            "codes are made over the unix socket only",
        ));
    }
    let listener = state.sessions.listener().ok_or_else(|| {
        ApiError::precondition("no listener for browsers: set `admin.listen` in the configuration")
    })?;
    let (code, expires_at) =
        state
            .sessions
            .new_code(actor.author.id, request.role, Timestamp::now());
    Ok(Json(CodeView {
        url: format!("http://{}/login#code={}", reachable(listener), *code),
        code: code.to_string(),
        expires_at,
    }))
}

fn with_code(
    state: &AppState,
    code: &SecretText,
    now: Timestamp,
) -> Result<(Told, Session), ApiError> {
    let begun = state.sessions.begin_with_code(code.expose().trim(), now);
    begun.ok_or_else(|| {
        ApiError::unauthorized(
            "this code was used, or is too old; `keyway dashboard` makes another",
        )
    })
}

async fn with_token(
    state: &AppState,
    token: &SecretText,
    now: Timestamp,
) -> Result<(Told, Session), ApiError> {
    let store = state.store.as_ref();
    let found = auth::find_token(store, token.expose().trim(), now).await?;
    let token = (found.id, found.name, found.role);
    Ok(state
        .sessions
        .begin_with_token(token, found.expires_at, now))
}

/// Only to be sent where it came from, and over TLS where that is how the browser got here.
fn cookie(secret: &str, lifetime: SignedDuration, headers: &HeaderMap) -> HeaderValue {
    let over_tls = headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if over_tls { "; Secure" } else { "" };
    let seconds = lifetime.as_secs();
    let text =
        format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut value = HeaderValue::try_from(text).expect("a secret of ours is base32hex");
    value.set_sensitive(true);
    value
}

/// Where a browser on this machine finds the listener.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let here = match listener.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    SocketAddr::new(here, listener.port())
}
