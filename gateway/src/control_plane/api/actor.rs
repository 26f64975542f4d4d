//! `Actor`: who calls, and how that is known.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control_plane::resource::Role;

/// Put into a request's extensions once it is authenticated.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    /// `uid:<id>`, `token:<id>`, or `peer:<id>`.
    pub(super) id: String,
    /// For people: a token's or a peer's.
    pub(super) name: Option<String>,
    /// `None`: a peer of the overlay that is no admin.
    pub(super) role: Option<Role>,
    pub(super) via: Via,
    pub(super) expires_at: Option<Timestamp>,
    /// Where the connection is from; `None` on the unix socket.
    pub(super) address: Option<IpAddr>,
}

/// What a caller is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Via {
    /// The user id at the other end of the unix socket.
    Socket,
    Token,
    /// The session of a browser.
    Cookie,
    /// The overlay address of a peer.
    Tunnel,
}
