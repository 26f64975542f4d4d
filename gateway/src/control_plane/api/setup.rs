//! `/me/setup`: what whoever calls may use, for tools that set an agent up.

use std::collections::BTreeSet;

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{actor::Actor, documents, error::ApiError, state::AppState};
use crate::{
    control_plane::{
        audit::Via,
        resource::{Role, SettingsDoc, key},
    },
    dialect::Dialect,
    handoff::snapshot::{Policy, Principal, Provider, Snapshot},
    policy::admits_model,
};

/// NetBird's shape.
#[derive(Serialize, ToSchema)]
pub(super) struct Setup {
    /// The endpoint has its name, and there is something to use.
    configured: bool,
    /// Its host name; empty before it has one.
    endpoint: String,
    providers: Vec<SetupProvider>,
}

#[derive(Serialize, ToSchema)]
struct SetupProvider {
    name: String,
    catalog_id: String,
    /// The dialect to speak; `openai` where any will do.
    api_flavor: &'static str,
    /// Any model may be asked for, not only those of `models`.
    all_models_allowed: bool,
    /// By id.
    models: Vec<String>,
}

/// Of a peer what policies let it use, of who reads the configuration everything.
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
) -> Result<Json<Setup>, ApiError> {
    let settings = documents::load::<SettingsDoc>(state.store.as_ref(), key::SETTINGS).await?;
    let snapshot = state.node.snapshot();
    let author = &actor.author;
    let principal = match (author.via, author.address) {
        (Via::Tunnel, Some(address)) => Some(
            snapshot
                .peers
                .get(&address)
                .ok_or_else(|| ApiError::forbidden("your address is no peer's any more"))?,
        ),
        (Via::Tunnel, None) | (Via::Socket | Via::Token | Via::Cookie, _) => None,
    };
    if principal.is_none() && author.role == Some(Role::Metrics) {
        return Err(ApiError::forbidden(
            "this is for peers, and for who reads the configuration",
        ));
    }
    let providers: Vec<_> = snapshot
        .providers
        .iter()
        .filter_map(|provider| usable(&snapshot, provider, principal))
        .collect();
    let endpoint = settings.map_or_else(String::new, |settings| settings.value.endpoint);
    Ok(Json(Setup {
        configured: !endpoint.is_empty() && !providers.is_empty(),
        endpoint,
        providers,
    }))
}

/// `None` where no policy lets the caller reach it.
fn usable(
    snapshot: &Snapshot,
    provider: &Provider,
    principal: Option<&Principal>,
) -> Option<SetupProvider> {
    let policies: Option<Vec<&Policy>> = principal.map(|principal| {
        let held = provider.grants.hold_from(principal, 0);
        held.map(|granted| &snapshot.policies[granted.policy as usize])
            .collect()
    });
    if policies.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    let lets = |model: &str| {
        policies
            .as_ref()
            .is_none_or(|policies| policies.iter().any(|policy| admits_model(policy, model)))
    };
    let unrestricted = policies
        .as_ref()
        .is_none_or(|policies| policies.iter().any(|policy| policy.models.is_none()));
    let is_catch_all = provider.models.is_catch_all();
    let defaults = is_catch_all.then(|| provider.models.defaults.keys());
    let known = provider
        .models
        .listed
        .keys()
        .chain(defaults.into_iter().flatten());
    let models: BTreeSet<&str> = known.map(|id| &**id).filter(|id| lets(id)).collect();
    let flavor = Dialect::ALL
        .into_iter()
        .find(|dialect| provider.dialects.contains(*dialect))
        .unwrap_or(Dialect::OpenAi);
    Some(SetupProvider {
        name: (*provider.name).to_owned(),
        catalog_id: (*provider.catalog_id).to_owned(),
        api_flavor: flavor.code(),
        all_models_allowed: is_catch_all && unrestricted,
        models: models.into_iter().map(str::to_owned).collect(),
    })
}
