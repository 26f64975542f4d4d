//! `/agent-config`: what `keyway agent-config` says, for every tool at once.

use axum::{Json, extract::State};
use clap::ValueEnum as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::{documents, error::ApiError, settings, state::AppState};
use crate::{
    agent_config::{
        CA_FILE_DEFAULT, Opened, PROJECT_PLACEHOLDER, Place, Tool, Via, reachable, usual,
    },
    control_plane::{
        catalog::Catalog,
        resource::{PolicyDoc, ProviderDoc, key},
    },
    dialect::Dialect,
};

/// How to point every tool at the endpoint.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentConfigs {
    /// Where the texts expect the endpoint's CA on the agent's machine; `null` when its certificate comes from
    /// files, and so from a CA that agents are taken to trust.
    #[schema(required)]
    ca_file: Option<&'static str>,
    tools: Vec<AgentTool>,
}

/// An agent or SDK.
#[derive(Serialize, ToSchema)]
struct AgentTool {
    /// As `keyway agent-config` takes it.
    tool: String,
    name: &'static str,
    /// By the API that it speaks; the usual one comes first.
    configs: Vec<AgentConfig>,
}

#[derive(Serialize, ToSchema)]
struct AgentConfig {
    /// As `--via` takes it.
    via: &'static str,
    name: &'static str,
    /// One that a policy opens, else the vendor's usual one.
    model: String,
    blocks: Vec<AgentConfigBlock>,
}

/// A file, variables of the environment, or code.
#[derive(Serialize, ToSchema)]
struct AgentConfigBlock {
    /// A file's path, `environment`, or the language.
    title: String,
    /// What to mind.
    note: String,
    text: String,
}

pub(super) async fn show(State(state): State<AppState>) -> Result<Json<AgentConfigs>, ApiError> {
    let url = settings::base_url(&state).await?;
    let url = url.ok_or_else(|| {
        ApiError::precondition("there is no endpoint yet: connect a provider first")
    })?;
    let store = state.store.as_ref();
    let mut providers: Vec<ProviderDoc> = documents::list(store, key::PROVIDERS).await?;
    providers.sort_by_key(|provider| provider.created_at);
    let policies: Vec<PolicyDoc> = documents::list(store, key::POLICIES).await?;
    let catalog = state.catalog.current();
    let opened = opened(&providers, &policies, &catalog);
    let ca_file = state.node.ca_pem().map(|_| CA_FILE_DEFAULT);
    let config = |tool: Tool, via: Via| {
        let model = reachable(&opened, tool, via).unwrap_or_else(|| usual(tool, via));
        let place = Place {
            url: url.clone(),
            ca_file: ca_file.map(str::to_owned),
            model: model.to_owned(),
            model_is_wanted: false,
            project: PROJECT_PLACEHOLDER.to_owned(),
            region: via.region_default().to_owned(),
        };
        let setup = place.setup(tool, via);
        let blocks = setup.shown().map(|block| AgentConfigBlock {
            title: block.title,
            note: block.note,
            text: block.text,
        });
        AgentConfig {
            via: via.name(),
            name: via.label(),
            blocks: blocks.collect(),
            model: place.model.clone(),
        }
    };
    let tools = Tool::value_variants().iter().map(|tool| AgentTool {
        tool: tool.name(),
        name: tool.label(),
        configs: tool.vias().iter().map(|via| config(*tool, *via)).collect(),
    });
    Ok(Json(AgentConfigs {
        ca_file,
        tools: tools.collect(),
    }))
}

fn opened<'a>(
    providers: &'a [ProviderDoc],
    policies: &[PolicyDoc],
    catalog: &'a Catalog,
) -> Vec<Opened<'a>> {
    let is_open = |provider: &&ProviderDoc| {
        let opens = |policy: &PolicyDoc| {
            policy.enabled && policy.destination_provider_ids.contains(&provider.id)
        };
        provider.enabled && policies.iter().any(opens)
    };
    providers
        .iter()
        .filter(is_open)
        .filter_map(|provider| {
            let entry = catalog.entry(&provider.provider_id)?;
            let speaks = |dialect: &Dialect| entry.dialects.contains(*dialect);
            Some(Opened {
                dialects: Dialect::ALL
                    .into_iter()
                    .filter(speaks)
                    .map(Dialect::code)
                    .collect(),
                listed: provider.models.iter().map(|model| &*model.id).collect(),
                served: entry.models.iter().map(|model| &*model.id).collect(),
            })
        })
        .collect()
}
