//! `/peers` and `/groups`: those of every source to see, those of the store to change. An overlay address
//! and a public key belong to one peer of the store.

mod view;

use std::{collections::BTreeMap, net::IpAddr};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    actor::Actor,
    body::JsonBody,
    documents::{self, Versioned},
    error::ApiError,
    id,
    state::AppState,
    validate,
};
use crate::control_plane::{
    resource::{GroupDoc, PeerDoc, key},
    store::{Compare, Store, Transaction},
};
pub(super) use view::PeerView;

const ADDRESSES_LIMIT: usize = 16;
const GROUPS_LIMIT: usize = 100;
const PUBLIC_KEY_BYTES: usize = 32;

#[derive(Deserialize, ToSchema)]
pub(super) struct PeerRequest {
    #[schema(required, nullable = false)]
    name: Option<String>,
    #[serde(default)]
    addresses: Vec<String>,
    public_key: Option<String>,
    user_id: Option<String>,
    user_email: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    blocked: bool,
}

pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Vec<PeerView>>, ApiError> {
    let mut peers: Vec<PeerDoc> = documents::list(state.store.as_ref(), key::PEERS).await?;
    Ok(Json(view::all(&mut peers, &state.identity)))
}

pub(super) async fn groups(State(state): State<AppState>) -> Result<Json<Vec<GroupDoc>>, ApiError> {
    let stored: Vec<GroupDoc> = documents::list(state.store.as_ref(), key::GROUPS).await?;
    let identity = state.identity.current();
    let by_id: BTreeMap<&str, &GroupDoc> = identity
        .groups(&stored)
        .map(|group| (group.id.as_str(), group))
        .collect();
    Ok(Json(by_id.into_values().cloned().collect()))
}

pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    match documents::load::<PeerDoc>(state.store.as_ref(), &store_key(&id)).await? {
        Some(stored) => {
            let shown = view::one(&stored.value, &state.identity);
            Ok(documents::respond(&shown, stored.revision))
        }
        None => match view::foreign(&id, &state.identity) {
            Some(shown) => Ok(Json(shown).into_response()),
            None => Err(ApiError::not_found("peer")),
        },
    }
}

pub(super) async fn create(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    JsonBody(request): JsonBody<PeerRequest>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let id = id::new_id("peer_", now);
    let peer = document(request, id.clone(), now)?;
    for _ in 0..documents::CONFLICT_TRIES {
        let absent = Compare::Absent {
            key: store_key(&id),
        };
        if write(&state, &actor, &peer, absent).await? {
            return show(State(state), Path(id)).await;
        }
    }
    Err(ApiError::changed_meanwhile())
}

pub(super) async fn update(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<PeerRequest>,
) -> Result<Response, ApiError> {
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let mut peer = document(request, id.clone(), current.value.created_at)?;
    peer.updated_at = Timestamp::now();
    let unchanged = documents::unchanged(store_key(&id), current.revision);
    if !write(&state, &actor, &peer, unchanged).await? {
        return Err(ApiError::changed_meanwhile());
    }
    show(State(state), Path(id)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    documents::delete(&state, &actor, store_key(&id), current.revision).await
}

/// Adds the groups that do not exist yet; their name is their id until somebody knows better.
pub(super) async fn ensure_groups(
    store: &dyn Store,
    ids: &[String],
    transaction: &mut Transaction,
) -> Result<(), ApiError> {
    for id in ids {
        let group_key = format!("{}{id}", key::GROUPS);
        if documents::load::<GroupDoc>(store, &group_key)
            .await?
            .is_none()
        {
            let group = GroupDoc {
                id: id.clone(),
                name: id.clone(),
            };
            transaction.compares.push(Compare::Absent {
                key: group_key.clone(),
            });
            transaction
                .operations
                .push(documents::put(group_key, &group));
        }
    }
    Ok(())
}

/// Addresses are compared under a guard that every write of a peer touches: two peers cannot claim one
/// address at the same time.
async fn write(
    state: &AppState,
    actor: &Actor,
    peer: &PeerDoc,
    own: Compare,
) -> Result<bool, ApiError> {
    let store = state.store.as_ref();
    let guard = documents::watch_guard(store, key::PEERS_GUARD).await?;
    let others: Vec<PeerDoc> = documents::list(store, key::PEERS).await?;
    for other in others.iter().filter(|other| other.id != peer.id) {
        if let Some(address) = peer
            .addresses
            .iter()
            .find(|address| other.addresses.contains(address))
        {
            return Err(ApiError::invalid(
                "addresses",
                format!("{address} belongs to peer {} ({})", other.name, other.id),
            ));
        }
        if peer.public_key.is_some() && peer.public_key == other.public_key {
            return Err(ApiError::invalid(
                "public_key",
                format!("it belongs to peer {} ({})", other.name, other.id),
            ));
        }
    }
    let mut transaction = Transaction {
        compares: vec![own, guard],
        operations: vec![documents::put(store_key(&peer.id), peer)],
    };
    ensure_groups(store, &peer.groups, &mut transaction).await?;
    documents::touch_guard(key::PEERS_GUARD, &mut transaction);
    documents::commit(state, actor, transaction).await
}

fn document(request: PeerRequest, id: String, created_at: Timestamp) -> Result<PeerDoc, ApiError> {
    let name = request
        .name
        .as_deref()
        .ok_or_else(|| ApiError::invalid("name", "is required"))?;
    if request.groups.len() > GROUPS_LIMIT {
        return Err(ApiError::invalid(
            "groups",
            format!("must be at most {GROUPS_LIMIT}"),
        ));
    }
    let mut groups = request.groups;
    for group in &groups {
        validate::reference("groups", group)?;
    }
    groups.sort();
    groups.dedup();
    let public_key = match request.public_key.as_deref() {
        None | Some("") => None,
        Some(text) => Some(public_key(text)?),
    };
    let addresses = match &public_key {
        None => addresses(&request.addresses)?,
        // What was shown may be sent back; the device knows better.
        Some(_) => Vec::new(),
    };
    Ok(PeerDoc {
        id,
        name: validate::display_name("name", name)?,
        addresses,
        public_key,
        user_id: optional("user_id", request.user_id)?,
        user_email: optional("user_email", request.user_email)?,
        groups,
        blocked: request.blocked,
        created_at,
        updated_at: created_at,
    })
}

fn addresses(sent: &[String]) -> Result<Vec<IpAddr>, ApiError> {
    let refused = |message: String| ApiError::invalid("addresses", message);
    if sent.is_empty() || sent.len() > ADDRESSES_LIMIT {
        return Err(refused(format!("must be 1 to {ADDRESSES_LIMIT}")));
    }
    let mut addresses = Vec::with_capacity(sent.len());
    for text in sent {
        let address: IpAddr = text
            .trim()
            .parse()
            .map_err(|_| refused("holds something that is no IP address".to_owned()))?;
        // As the kernel reports it for the other end of a connection.
        let address = address.to_canonical();
        if address.is_unspecified() || address.is_multicast() {
            return Err(refused(format!("{address} is no peer's address")));
        }
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Of WireGuard: 32 bytes in base64, in the one spelling that `wg` has.
fn public_key(text: &str) -> Result<String, ApiError> {
    match BASE64_STANDARD.decode(text.trim()) {
        Ok(key) if key.len() == PUBLIC_KEY_BYTES => Ok(BASE64_STANDARD.encode(key)),
        Ok(_) | Err(_) => Err(ApiError::invalid(
            "public_key",
            "must be a public key as `wg` shows it",
        )),
    }
}

fn optional(field: &str, text: Option<String>) -> Result<Option<String>, ApiError> {
    match text.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => validate::display_name(field, text).map(Some),
    }
}

/// To be changed, so one of the store.
async fn load(state: &AppState, id: &str) -> Result<Versioned<PeerDoc>, ApiError> {
    let stored = documents::load(state.store.as_ref(), &store_key(id)).await?;
    stored.ok_or_else(|| match view::foreign(id, &state.identity) {
        Some(_) => ApiError::conflict("the peer is NetBird's: change it there"),
        None => ApiError::not_found("peer"),
    })
}

fn store_key(id: &str) -> String {
    format!("{}{id}", key::PEERS)
}
