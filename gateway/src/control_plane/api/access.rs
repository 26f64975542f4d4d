//! `Access`: which roles a route is for. Every route names one in `routes`.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{actor::Actor, error::ApiError};
use crate::control_plane::resource::Role;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody who reaches the listener, known or not.
    Open,
    /// Everybody who is known, with a role or without one.
    Known,
    /// How the node does, and nothing of what it is for.
    Health,
    Read,
    /// Changes, and what sends a provider's key somewhere.
    Change,
    /// Tokens, the master key, and everything at once.
    Own,
}

impl Access {
    /// The roles that it lets in; callers without a role aside.
    pub(super) fn roles(self) -> &'static [Role] {
        match self {
            Self::Open | Self::Known | Self::Health => &Role::ALL,
            Self::Read => &[Role::Owner, Role::Admin, Role::Auditor],
            Self::Change => &[Role::Owner, Role::Admin],
            Self::Own => &[Role::Owner],
        }
    }

    fn lets_in(self, role: Option<Role>) -> bool {
        match (self, role) {
            (Self::Open | Self::Known, _) => true,
            (Self::Health | Self::Read | Self::Change | Self::Own, Some(role)) => {
                self.roles().contains(&role)
            }
            (Self::Health | Self::Read | Self::Change | Self::Own, None) => false,
        }
    }
}

/// Middleware of every route but the open ones: refuses callers whose role does not reach.
pub(super) async fn check(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let actor = request.extensions().get::<Actor>();
    let actor = actor.ok_or_else(|| ApiError::internal("a request that nobody authenticated"))?;
    if access.lets_in(actor.author.role) {
        return Ok(next.run(request).await);
    }
    let wanted: Vec<&str> = access.roles().iter().map(|role| role.code()).collect();
    let wanted = wanted.join(" or ");
    Err(ApiError::forbidden(match actor.author.role {
        Some(role) => format!("this is for {wanted}, and you are {}", role.code()),
        None => format!("this is for {wanted}, and your peer is in no group that makes it one"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reaches_what_lesser_ones_do() {
        let all = [
            Access::Open,
            Access::Known,
            Access::Health,
            Access::Read,
            Access::Change,
            Access::Own,
        ];
        for (role, reaches) in [
            (None, 2),
            (Some(Role::Metrics), 3),
            (Some(Role::Auditor), 4),
            (Some(Role::Admin), 5),
            (Some(Role::Owner), 6),
        ] {
            for (place, access) in all.into_iter().enumerate() {
                assert_eq!(access.lets_in(role), place < reaches, "{role:?} {access:?}");
            }
        }
    }
}
