//! From who asks for what to the provider that serves it. No allocation, no lock: one pass over the
//! snapshot's providers with a running best.

use smallvec::SmallVec;

use crate::{
    dialect::{Classified, Dialect, bedrock, known_ids},
    handoff::{
        counters::model::ModelSlot,
        reason::Reason,
        snapshot::{Group, Listed, Models, Price, Principal, Provider, ProviderSlot, Snapshot},
    },
};

/// A provider that serves the request and that the caller may reach.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    pub provider: &'a Provider,
    /// `None`: no model was named, or nobody knows its price.
    pub price: Option<&'a Price>,
    /// Where exchanges of the model are counted.
    pub slot: ModelSlot,
    principal: &'a Principal,
}

/// Chooses the provider. Among the enabled ones that list `model`, or list nothing, and whose own
/// dialect is the request's, those that the caller's groups reach; of these an explicit list beats a
/// catch-all, then the longest base path wins, then the oldest.
///
/// `principal` must come from the same snapshot, since group indexes have no meaning outside of it.
/// `model` is as the agent meant it (see [`crate::dialect::path::decode_model`] for
/// [`crate::dialect::ModelSource::Path`]). `keeper` is the provider that keeps the object which the request
/// names, where that is known; a request without a model goes there and nowhere else.
///
/// # Errors
///
/// [`Reason::ModelMissing`], [`Reason::ModelNotRoutable`] and [`Reason::NoAuthorisedProvider`].
pub fn route<'a>(
    snapshot: &'a Snapshot,
    principal: &'a Principal,
    classified: &Classified<'_>,
    model: Option<&str>,
    keeper: Option<ProviderSlot>,
) -> Result<Route<'a>, Reason> {
    match model {
        Some(model) => by_model(snapshot, principal, classified.dialect, model),
        None if classified.operation.needs_model() => Err(Reason::ModelMissing),
        None => without_model(snapshot, principal, classified.dialect, keeper),
    }
}

/// The ids under which a model may be listed or priced, the given one first: found once, since every provider is asked
/// for them.
#[derive(Debug)]
pub struct ModelIds<'m> {
    given: &'m str,
    known: SmallVec<[&'m str; 6]>,
}

impl<'m> ModelIds<'m> {
    pub fn of(given: &'m str) -> Self {
        Self {
            given,
            known: known_ids(given).collect(),
        }
    }
}

/// Which of the providers that fit is taken: the greatest, of equals the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// It lists the model, and is no catch-all.
    pub is_listed: bool,
    pub base_path_len: usize,
}

/// Why a provider is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It does not have the model.
    Model,
    /// Its own API does not speak the request's dialect.
    Dialect,
    /// No policy lets the caller reach it.
    Policy,
    /// Another provider keeps the object that the request names.
    Object,
}

/// Whether a provider can be asked for `model`. What [`route`] decides by.
///
/// # Errors
/// Why it cannot.
pub fn fit(
    provider: &Provider,
    principal: &Principal,
    dialect: Dialect,
    model: &ModelIds<'_>,
) -> Result<Rank, Unfit> {
    let models = &provider.models;
    let is_listed = model.known.iter().any(|id| models.listed.contains_key(*id));
    let serves =
        is_listed || models.is_catch_all() && may_have(provider, dialect, Some(model.given));
    if !serves {
        return Err(Unfit::Model);
    }
    reaches(provider, principal, dialect)?;
    Ok(Rank {
        is_listed,
        base_path_len: provider.base_path.len(),
    })
}

/// As [`fit`], for a request that names no model.
///
/// # Errors
/// Why it cannot be asked.
pub fn fit_without_model(
    provider: &Provider,
    principal: &Principal,
    dialect: Dialect,
    keeper: Option<ProviderSlot>,
) -> Result<(), Unfit> {
    reaches(provider, principal, dialect)?;
    match keeper {
        Some(keeper) if provider.slot != keeper => Err(Unfit::Object),
        None if !may_have(provider, dialect, None) => Err(Unfit::Model),
        Some(_) | None => Ok(()),
    }
}

fn reaches(provider: &Provider, principal: &Principal, dialect: Dialect) -> Result<(), Unfit> {
    if !speaks(provider, dialect) {
        return Err(Unfit::Dialect);
    }
    match provider.grants.reach(principal) {
        true => Ok(()),
        false => Err(Unfit::Policy),
    }
}

fn by_model<'a>(
    snapshot: &'a Snapshot,
    principal: &'a Principal,
    dialect: Dialect,
    model: &str,
) -> Result<Route<'a>, Reason> {
    let model = ModelIds::of(model);
    let mut refusal = Reason::ModelNotRoutable;
    let mut best: Option<(Rank, &Provider)> = None;
    for provider in &snapshot.providers {
        match fit(provider, principal, dialect, &model) {
            // Providers come oldest first, so an equal rank does not replace.
            Ok(rank) if best.is_none_or(|(held, _)| rank > held) => best = Some((rank, provider)),
            Ok(_) | Err(Unfit::Model | Unfit::Dialect | Unfit::Object) => {}
            Err(Unfit::Policy) => refusal = Reason::NoAuthorisedProvider,
        }
    }
    let (_, provider) = best.ok_or(refusal)?;
    let own = listed(&provider.models, &model);
    Ok(Route {
        provider,
        price: priced(&provider.models, own, &model).map(|(_, price)| price),
        slot: slot(provider, own),
        principal,
    })
}

/// Files, batches and the like belong to an account, not to a model: the provider that keeps the object, else
/// always the same, first one. An object whose provider the caller may not reach (any more) is denied: no
/// other provider has it.
fn without_model<'a>(
    snapshot: &'a Snapshot,
    principal: &'a Principal,
    dialect: Dialect,
    keeper: Option<ProviderSlot>,
) -> Result<Route<'a>, Reason> {
    let mut providers = snapshot.providers.iter();
    let provider = providers
        .find(|provider| fit_without_model(provider, principal, dialect, keeper).is_ok())
        .ok_or(Reason::NoAuthorisedProvider)?;
    Ok(Route {
        provider,
        price: None,
        slot: slot(provider, None),
        principal,
    })
}

/// What the caller may use in a dialect, for a listing: ids by name, each with the oldest provider that
/// has it. Of a catch-all those that its catalog entry knows.
pub fn usable_models<'a>(
    snapshot: &'a Snapshot,
    principal: &'a Principal,
    dialect: Dialect,
) -> Vec<(&'a str, &'a Provider)> {
    let mut models = Vec::new();
    let providers = snapshot.providers.iter().map(|provider| &**provider);
    for provider in providers.filter(|provider| reaches(provider, principal, dialect).is_ok()) {
        let Models { listed, defaults } = &provider.models;
        let defaults = listed.is_empty().then(|| defaults.keys());
        let known = listed.keys().chain(defaults.into_iter().flatten());
        models.extend(known.map(|id| (&**id, provider)));
    }
    // Stable: of equal ids the oldest provider's stays first.
    models.sort_by_key(|(id, _)| *id);
    models.dedup_by_key(|(id, _)| *id);
    models
}

/// Where exchanges of a model are counted that the request did not name, but its answer does.
pub fn slot_of(provider: &Provider, model: &str) -> ModelSlot {
    slot(provider, listed(&provider.models, &ModelIds::of(model)))
}

impl<'a> Route<'a> {
    /// The price of a model that the request did not name, but its answer does.
    pub fn price_of(&self, model: &str) -> Option<&'a Price> {
        self.priced(model).map(|(_, price)| price)
    }

    /// The model's id binds it to a geography, and its price is that of an id which does not.
    pub fn pays_for_region(&self, model: &str) -> bool {
        let (_, is_regional) = bedrock::price_key(model);
        is_regional && (self.priced(model)).is_some_and(|(id, _)| !bedrock::price_key(id).1)
    }

    fn priced<'m>(&self, model: &'m str) -> Option<(&'m str, &'a Price)> {
        let (models, ids) = (&self.provider.models, ModelIds::of(model));
        priced(models, listed(models, &ids), &ids)
    }

    pub fn principal(&self) -> &'a Principal {
        self.principal
    }

    /// The caller's groups that reach this provider by any policy: all that it is told about the caller.
    pub fn authorising_groups(&self) -> impl Iterator<Item = &'a Group> + Clone + use<'a> {
        let grants = &self.provider.grants;
        let groups = self.principal.named_groups();
        groups.filter(move |group| grants.reaches(group.index))
    }
}

fn speaks(provider: &Provider, dialect: Dialect) -> bool {
    provider.dialects.is_any() || provider.dialects.contains(dialect)
}

/// Bedrock speaks other vendors' dialects, with models of its own.
fn may_have(provider: &Provider, dialect: Dialect, model: Option<&str>) -> bool {
    *provider.catalog_id != *bedrock::CATALOG_ID || bedrock::may_serve(dialect, model)
}

/// The operator's entry for a model, by the most exact id that is known; with the id that it stands at.
fn listed<'a, 'm>(models: &'a Models, model: &ModelIds<'m>) -> Option<(&'m str, &'a Listed)> {
    let mut known = model.known.iter();
    known.find_map(|id| Some((*id, models.listed.get(*id)?)))
}

/// The price that the operator `listed`, else the catalog's, with the id that it stands at.
fn priced<'a, 'm>(
    models: &'a Models,
    listed: Option<(&'m str, &'a Listed)>,
    model: &ModelIds<'m>,
) -> Option<(&'m str, &'a Price)> {
    let own = listed.and_then(|(id, listed)| Some((id, listed.price.as_ref()?)));
    let by_catalog = || {
        let mut known = model.known.iter();
        known.find_map(|id| Some((*id, models.defaults.get(*id)?)))
    };
    // A list price that was copied for a less exact id does not stand before the model's own.
    own.filter(|(_, price)| price.is_own)
        .or_else(by_catalog)
        .or(own)
}

/// Models without counters of their own share their provider's.
fn slot(provider: &Provider, listed: Option<(&str, &Listed)>) -> ModelSlot {
    let own = listed.and_then(|(_, listed)| listed.slot);
    own.unwrap_or_else(|| ModelSlot::other(provider.slot))
}
