//! What NetBird's management API answers, as far as it matters here (its OpenAPI document, schemas
//! `PeerBatch`, `Group` and `User`). What decides and is missing makes the whole answer malformed; other
//! fields are passed over. The listings come whole: these routes have no pages.

use serde::Deserialize;

/// One of `GET /api/peers`.
#[derive(Debug, Deserialize)]
pub(super) struct PeerShape {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) ip: String,
    pub(super) ipv6: Option<String>,
    /// Empty or absent for machines.
    pub(super) user_id: Option<String>,
    /// `null` where Go has an empty slice.
    pub(super) groups: Option<Vec<GroupShape>>,
    pub(super) login_expired: bool,
    pub(super) approval_required: bool,
}

/// One of `GET /api/groups`, and of a peer's groups. Who is in a group is read from the peers.
#[derive(Debug, Deserialize)]
pub(super) struct GroupShape {
    pub(super) id: String,
    pub(super) name: String,
}

/// One of `GET /api/users`.
#[derive(Debug, Deserialize)]
pub(super) struct UserShape {
    pub(super) id: String,
    pub(super) email: String,
    /// `active`, `invited` or `blocked`.
    pub(super) status: String,
    pub(super) is_blocked: bool,
    /// Servers that know no such state leave it out.
    #[serde(default)]
    pub(super) pending_approval: bool,
}
