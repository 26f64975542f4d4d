//! Whether a principal may send a request, to which provider, and which limits it counts into. Sees the snapshot and
//! nothing else, so that the data plane decides by it and the control plane explains by it.

pub mod bound;
pub mod charge;
pub mod plan;
pub mod route;

use route::Route;

use crate::{
    dialect::{Classified, Object, known_ids},
    handoff::{
        ledger::Bucket,
        objects::ObjectTable,
        reason::Reason,
        snapshot::{
            GroupIndex, Policy, Price, Principal, Provider, ProviderSlot, Snapshot,
            access::{Granted, Pattern},
        },
    },
};

/// What of a request decides, beside its dialect.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'r> {
    /// As the agent sent it, without the query.
    pub path: &'r str,
    /// As the agent meant it (see [`crate::dialect::path::decode_model`]).
    pub model: Option<&'r str>,
    /// The provider that keeps the object which the request names, where that is known.
    pub keeper: Option<ProviderSlot>,
}

/// The provider that keeps the object which a request names, where its caller made it: nobody else reaches it there by
/// the id alone.
pub fn keeper(
    objects: &ObjectTable,
    principal: &Principal,
    classified: &Classified<'_>,
) -> Option<ProviderSlot> {
    match classified.object {
        Object::Named(id) => objects.provider(&principal.id, id),
        Object::None | Object::Made => None,
    }
}

/// Proof that this principal may send this request to this provider, and by which policy. Only
/// [`permit`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    snapshot: &'a Snapshot,
    route: Route<'a>,
    granted: Granted,
}

/// Default is deny: there must be a provider for the request, and a policy that lets the caller reach
/// it with this model, by this path.
///
/// # Errors
///
/// Those of [`route::route`], [`Reason::ModelBlocked`] and [`Reason::PathBlocked`].
pub fn permit<'a>(
    snapshot: &'a Snapshot,
    principal: &'a Principal,
    classified: &Classified<'_>,
    ask: Ask<'_>,
) -> Result<Permit<'a>, Reason> {
    // Most limits are users', and nobody's line is in the cache where there are many.
    principal.buckets.iter().for_each(Bucket::prefetch);
    let route = route::route(snapshot, principal, classified, ask.model, ask.keeper)?;
    let mut refusal = Reason::NoAuthorisedProvider;
    for granted in route.provider.grants.hold_from(principal, 0) {
        match admits(&snapshot.policies[granted.policy as usize], ask) {
            Ok(()) => {
                return Ok(Permit {
                    snapshot,
                    route,
                    granted,
                });
            }
            // The model is what the agent is likelier to have got wrong.
            Err(blocked) if refusal != Reason::ModelBlocked => refusal = blocked,
            Err(_) => {}
        }
    }
    Err(refusal)
}

impl<'a> Permit<'a> {
    /// The same by the next policy that lets the request through, in the order in which they pay.
    pub fn next(&self, ask: Ask<'_>) -> Option<Self> {
        let grants = &self.provider().grants;
        let mut later = grants.hold_from(self.principal(), self.granted.policy + 1);
        let policies = &self.snapshot.policies;
        let granted = later.find(|held| admits(&policies[held.policy as usize], ask).is_ok())?;
        Some(Self { granted, ..*self })
    }

    pub fn principal(&self) -> &'a Principal {
        self.route.principal()
    }

    pub fn provider(&self) -> &'a Provider {
        self.route.provider
    }

    /// Of the policy, in the snapshot.
    pub fn place(&self) -> usize {
        self.granted.policy as usize
    }

    pub fn policy(&self) -> &'a Policy {
        &self.snapshot.policies[self.place()]
    }

    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// `None`: no model was named, or nobody knows its price.
    pub fn price(&self) -> Option<&'a Price> {
        self.route.price
    }

    pub fn route(&self) -> &Route<'a> {
        &self.route
    }

    /// The caller's group that the policy counts it for.
    pub fn group(&self) -> GroupIndex {
        self.granted.group
    }
}

/// Whether a policy lets a request through that its groups may make.
///
/// # Errors
/// [`Reason::ModelBlocked`] and [`Reason::PathBlocked`].
pub fn admits(policy: &Policy, ask: Ask<'_>) -> Result<(), Reason> {
    let is_admitted = match ask.model {
        Some(model) => admits_model(policy, model),
        None => policy.models.is_none(),
    };
    if !is_admitted {
        return Err(Reason::ModelBlocked);
    }
    if !policy.paths.is_empty() && !policy.paths.iter().any(|path| path.matches(ask.path)) {
        return Err(Reason::PathBlocked);
    }
    Ok(())
}

/// Whether a policy's guardrails let a model through.
pub fn admits_model(policy: &Policy, model: &str) -> bool {
    let models = policy.models.as_ref();
    models.is_none_or(|models| lists(models, model))
}

/// Whatever the vendor takes for the same model is the same here; case makes no difference.
fn lists(models: &[Pattern], model: &str) -> bool {
    let model = model.trim().to_ascii_lowercase();
    known_ids(&model).any(|id| models.iter().any(|listed| listed.matches(id)))
}

#[cfg(test)]
pub(crate) mod tests;
