//! `Actor`: who calls, once that is known. Every change asks for one.

use jiff::Timestamp;

use crate::control_plane::audit::Author;

/// Put into a request's extensions by `auth`, and nowhere else.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    /// With no role: a peer of the overlay that is no admin.
    pub(super) author: Author,
    /// `None`: what it is known by does not end by itself.
    pub(super) expires_at: Option<Timestamp>,
}
