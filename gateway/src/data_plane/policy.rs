//! Whether a principal may send a request: a yes is a [`Permit`], which the next stage asks for.

use std::sync::Arc;

use super::route::{Route, route};
use crate::{
    dialect::Classified,
    handoff::{
        reason::Reason,
        snapshot::{Policy, Price, Principal, Provider, ProviderSlot, Snapshot},
    },
};

/// Proof that this principal may send this request to this provider, and by which policy. Only
/// [`permit`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    route: Route<'a>,
}

/// Default is deny: there must be a provider for the request, and a policy that lets the caller reach
/// it.
///
/// # Errors
///
/// Those of [`route`].
pub fn permit<'a>(
    snapshot: &'a Snapshot,
    principal: &'a Principal,
    classified: &Classified<'_>,
    model: Option<&str>,
    keeper: Option<ProviderSlot>,
) -> Result<Permit<'a>, Reason> {
    route(snapshot, principal, classified, model, keeper).map(|route| Permit { route })
}

impl<'a> Permit<'a> {
    pub fn principal(&self) -> &'a Principal {
        self.route.principal()
    }

    pub fn provider(&self) -> &'a Arc<Provider> {
        self.route.provider
    }

    pub fn policy(&self) -> &'a Arc<Policy> {
        &self.route.grant.policy
    }

    /// `None`: no model was named, or nobody knows its price.
    pub fn price(&self) -> Option<&'a Price> {
        self.route.price
    }

    pub fn route(&self) -> &Route<'a> {
        &self.route
    }
}
