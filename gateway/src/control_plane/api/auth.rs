//! Who uses the management API: on the unix socket root and the process's own user, on TCP whoever holds a
//! token or a browser's session. Requests that a browser made for another site are refused on either.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::{constant_time, digest};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};

use jiff::Timestamp;

use super::{
    actor::Actor, body::require_json, documents, error::ApiError, id, session::COOKIE,
    state::AppState,
};
use crate::control_plane::{
    audit::{Author, Via},
    resource::{Role, TokenDoc, key},
    store::Store,
};

/// What every token begins with, so that secret scanners can find lost ones.
pub(super) const TOKEN_PREFIX: &str = "kwt_";
/// 200 random bits: 40 characters.
const TOKEN_BYTES: usize = 25;

/// How a request reached the API; put into its extensions by `serve`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Connection {
    /// The user id that the kernel reports for the other end.
    Unix { uid: u32 },
    /// The address that was connected to, and the one from which.
    Tcp { local: SocketAddr, peer: SocketAddr },
    /// As above, through the overlay's device: the address says who it is.
    Tunnel { local: SocketAddr, peer: SocketAddr },
}

/// Middleware of everything: names that are not ours are not served, lest a page whose name was rebound to our
/// address takes us for its own host.
pub(super) async fn check_name(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match request.extensions().get() {
        Some(Connection::Tcp { local, .. }) => {
            check_host(request.headers(), local.ip(), &state.admin_hosts)?;
        }
        Some(Connection::Tunnel { local, .. }) => {
            let snapshot = state.node.snapshot();
            check_host(request.headers(), local.ip(), &snapshot.endpoint.names)?;
        }
        Some(Connection::Unix { .. }) | None => {}
    }
    Ok(next.run(request).await)
}

/// Middleware of the API: what a browser does for another site is refused.
pub(super) async fn check_site(request: Request, next: Next) -> Result<Response, ApiError> {
    refuse_cross_site(request.headers())?;
    Ok(next.run(request).await)
}

/// Middleware: finds out who calls, and logs every change with who made it.
pub(super) async fn authorize(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let connection = request.extensions().get::<Connection>().copied();
    let actor = authenticate(&state, connection, request.headers()).await?;
    if request.method().is_safe() {
        request.extensions_mut().insert(actor);
        return Ok(next.run(request).await);
    }
    if actor.author.via == Via::Cookie {
        check_browser_change(request.method(), request.headers())?;
    }
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let who = actor.author.id.clone();
    request.extensions_mut().insert(actor);
    let response = next.run(request).await;
    let status = response.status();
    // Only a path that worked names something of ours; in another one a key may have slipped.
    let path = match &route {
        Some(_) if status.is_success() => path.as_str(),
        Some(route) => route.as_str(),
        None => "",
    };
    tracing::info!(actor = who, %method, path, status = status.as_u16(), "management change");
    Ok(response)
}

/// A token and what is stored of it.
pub(super) fn new_token() -> (zeroize::Zeroizing<String>, String) {
    let mut bytes = zeroize::Zeroizing::new([0; TOKEN_BYTES]);
    id::fill_random(&mut *bytes);
    let mut token = zeroize::Zeroizing::new(String::with_capacity(
        TOKEN_PREFIX.len() + TOKEN_BYTES * 8 / 5,
    ));
    token.push_str(TOKEN_PREFIX);
    id::encode_into(&*bytes, &mut token);
    let hash = hash(&token);
    (token, hash)
}

async fn authenticate(
    state: &AppState,
    connection: Option<Connection>,
    headers: &HeaderMap,
) -> Result<Actor, ApiError> {
    match connection {
        Some(Connection::Unix { uid }) => {
            let own = nix::unistd::geteuid().as_raw();
            if uid == 0 || uid == own {
                Ok(Actor {
                    author: Author {
                        id: format!("uid:{uid}"),
                        name: None,
                        role: Some(Role::Owner),
                        via: Via::Socket,
                        address: None,
                    },
                    expires_at: None,
                })
            } else {
                Err(ApiError::forbidden(
                    "this socket is for root and the service's own user",
                ))
            }
        }
        Some(Connection::Tcp { peer, .. }) => {
            let now = Timestamp::now();
            if headers.contains_key(header::AUTHORIZATION) {
                with_token(state, headers, peer.ip(), now).await
            } else {
                with_cookie(state, headers, peer.ip(), now).await
            }
        }
        Some(Connection::Tunnel { peer, .. }) => by_tunnel(state, peer.ip()),
        None => Err(ApiError::unauthorized("unknown kind of connection")),
    }
}

/// Whom the data plane takes it for, too.
fn by_tunnel(state: &AppState, address: IpAddr) -> Result<Actor, ApiError> {
    let address = address.to_canonical();
    let snapshot = state.node.snapshot();
    let principal = snapshot
        .peers
        .get(&address)
        .ok_or_else(|| ApiError::forbidden(format!("{address} is no peer's that is let in")))?;
    let admins = state.overlay_group.as_deref();
    let is_admin = principal
        .named_groups()
        .any(|group| admins.is_some_and(|admins| *group.id == *admins || *group.name == *admins));
    Ok(Actor {
        author: Author {
            id: format!("peer:{}", principal.peer_id),
            name: Some((*principal.display_name).to_owned()),
            role: is_admin.then_some(Role::Admin),
            via: Via::Tunnel,
            address: Some(address),
        },
        expires_at: None,
    })
}

async fn with_token(
    state: &AppState,
    headers: &HeaderMap,
    address: IpAddr,
    now: Timestamp,
) -> Result<Actor, ApiError> {
    let token = presented_token(headers)?;
    let found = find_token(state.store.as_ref(), token, now).await?;
    Ok(Actor {
        author: Author {
            id: format!("token:{}", found.id),
            name: Some(found.name),
            role: Some(found.role),
            via: Via::Token,
            address: Some(address),
        },
        expires_at: found.expires_at,
    })
}

async fn with_cookie(
    state: &AppState,
    headers: &HeaderMap,
    address: IpAddr,
    now: Timestamp,
) -> Result<Actor, ApiError> {
    let secret = cookie(headers).ok_or_else(no_credentials)?;
    let over = || ApiError::unauthorized("the session is over; log in again");
    let session = state.sessions.find(secret, now).ok_or_else(over)?;
    if let Some(id) = &session.token_id {
        let token: Option<_> =
            documents::load::<TokenDoc>(state.store.as_ref(), &format!("{}{id}", key::TOKENS))
                .await?;
        if token.is_none() {
            state.sessions.end(secret);
            return Err(over());
        }
    }
    Ok(Actor {
        author: Author {
            id: session.actor,
            name: session.name,
            role: Some(session.role),
            via: Via::Cookie,
            address: Some(address),
        },
        expires_at: Some(session.expires_at),
    })
}

/// The session's, as it stands in the one `Cookie` header that browsers send.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get(header::COOKIE)?.to_str().ok()?;
    pairs.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// A browser sends cookies by itself: a change has to show that a page of ours made it.
fn check_browser_change(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_ours = match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers.contains_key(header::ORIGIN) && own_origin(headers),
    };
    if !is_ours {
        return Err(ApiError::forbidden(
            "changes with a session have to come from a page of this host",
        ));
    }
    // No form and no link makes a DELETE.
    if *method == Method::DELETE {
        return Ok(());
    }
    require_json(headers)
}

fn no_credentials() -> ApiError {
    ApiError::unauthorized(
        "a token is needed here: `Authorization: Token kwt_…` (make one with `keyway token create`), or a \
         browser's session (`keyway dashboard`)",
    )
}

fn presented_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(no_credentials)?;
    let (scheme, token) = value.split_once(' ').ok_or_else(no_credentials)?;
    if scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(no_credentials())
    }
}

/// The stored one that `token` is.
pub(super) async fn find_token(
    store: &dyn Store,
    token: &str,
    now: Timestamp,
) -> Result<TokenDoc, ApiError> {
    let presented = hash(token);
    let tokens: Vec<TokenDoc> = documents::list(store, key::TOKENS).await?;
    // Every token is compared, each in constant time, so that time tells nothing about hashes.
    let mut found = None;
    for document in tokens {
        let same =
            constant_time::verify_slices_are_equal(document.hash.as_bytes(), presented.as_bytes())
                .is_ok();
        if same && document.expires_at.is_none_or(|end| now < end) {
            found = Some(document);
        }
    }
    found.ok_or_else(|| ApiError::unauthorized("token is unknown, revoked or expired"))
}

/// What is kept of a random secret.
pub(super) fn hash(token: &str) -> String {
    BASE64_STANDARD.encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

/// Only names that are this listener's: a page whose name was rebound to our address has its own.
fn check_host<N: AsRef<str>>(
    headers: &HeaderMap,
    local: IpAddr,
    names: &[N],
) -> Result<(), ApiError> {
    let refused = || ApiError::forbidden("this name is not served here (Host header)");
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(refused());
    };
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| refused())?;
    if authority.as_str().contains('@') {
        return Err(refused());
    }
    let name = authority.host().to_ascii_lowercase();
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    let own_address = literal
        .parse::<IpAddr>()
        .is_ok_and(|address| address == local || local.is_loopback() && address.is_loopback());
    let own_name =
        name == "localhost" && local.is_loopback() || names.iter().any(|own| own.as_ref() == name);
    if own_address || own_name {
        Ok(())
    } else {
        Err(refused())
    }
}

/// Fetch metadata where the browser sends it, else `Origin` (which must name the same host).
fn refuse_cross_site(headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = || ApiError::forbidden("cross-site requests are refused");
    if let Some(site) = headers.get("sec-fetch-site") {
        return if site == "same-origin" || site == "none" {
            Ok(())
        } else {
            Err(refused())
        };
    }
    if headers.contains_key(header::ORIGIN) && !own_origin(headers) {
        return Err(refused());
    }
    Ok(())
}

/// `Origin` names the host that the request is for.
fn own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name)?.to_str().ok();
    let origin = text(header::ORIGIN).and_then(|origin| {
        origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
    });
    origin.is_some() && origin == text(header::HOST)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn host_must_be_the_listeners_own() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let overlay = IpAddr::from([100, 64, 0, 1]);
        for (host, local, ok) in [
            ("localhost:8081", loopback, true),
            ("LOCALHOST", loopback, true),
            ("127.0.0.1:8081", loopback, true),
            ("[::1]:8081", loopback, true),
            ("100.64.0.1:8081", overlay, true),
            ("admin.example", overlay, true),
            ("localhost", overlay, false),
            ("127.0.0.1", overlay, false),
            ("evil.example", loopback, false),
            ("localhost@evil.example", loopback, false),
            ("evil@localhost", loopback, false),
            ("localhost/", loopback, false),
            ("", loopback, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            let allowed = check_host(&headers, local, &["admin.example".to_owned()]).is_ok();
            assert_eq!(allowed, ok, "{host} on {local}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::HOST, "localhost".parse().unwrap());
        twice.append(header::HOST, "localhost".parse().unwrap());
        assert!(check_host::<&str>(&twice, loopback, &[]).is_err());
        assert!(check_host::<&str>(&HeaderMap::new(), loopback, &[]).is_err());
    }

    #[test]
    fn browsers_of_other_sites_are_refused() {
        for (name, value, ok) in [
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
            ("origin", "http://localhost:1", true),
            ("origin", "http://evil.example", false),
            ("origin", "null", false),
            ("accept", "*/*", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:1".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            assert_eq!(refuse_cross_site(&headers).is_ok(), ok, "{name}: {value}");
        }
    }

    #[test]
    fn tokens_have_their_format() {
        let (token, hashed) = new_token();
        assert_eq!(token.len(), 44);
        assert!(token.starts_with(TOKEN_PREFIX));
        assert_eq!(hash(&token), hashed);
        assert_ne!(*token, *new_token().0);
    }
}
