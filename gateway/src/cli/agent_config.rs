//! `keyway agent-config`: how to point an agent or SDK at the endpoint, see [`crate::agent_config`].

use clap::Args;
use serde_json::Value;

use super::{
    Failure,
    client::Client,
    lookup::{items, text},
    output::{Format, Output},
};
use crate::agent_config::{
    CA_FILE_DEFAULT, Opened, PROJECT_PLACEHOLDER, Place, Tool, Via, reachable, usual,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_enum)]
    tool: Tool,
    /// Whose API the tool is to speak, where it knows several
    #[arg(long, value_enum)]
    via: Option<Via>,
    /// Host name (and port) of the endpoint; asked of the node without it
    #[arg(long, value_name = "HOST[:PORT]")]
    endpoint: Option<String>,
    /// Where the CA certificate lies on the agent's machine
    #[arg(long, value_name = "FILE", default_value = CA_FILE_DEFAULT)]
    ca_file: String,
    /// The endpoint's certificate is one that agents trust anyway
    #[arg(long)]
    no_ca: bool,
    /// Model to name; one that a policy opens without it
    #[arg(long)]
    model: Option<String>,
    /// Google Cloud project to name, for Vertex
    #[arg(long, default_value = PROJECT_PLACEHOLDER)]
    project: String,
    /// AWS region or Google location to name [default: us-east-1, global]
    #[arg(long)]
    region: Option<String>,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let via = via(&arguments)?;
    let url = match &arguments.endpoint {
        Some(endpoint) => format!("https://{endpoint}"),
        None => {
            let settings = client.get("/settings").await?;
            text(&settings, "base_url").to_owned()
        }
    };
    if url.is_empty() {
        return Err(Failure::Failed(
            "there is no endpoint yet: connect a provider first (`keyway providers connect`)"
                .to_owned(),
        ));
    }
    // With a certificate of the operator's own the node has no CA to hand out.
    let has_ca =
        !arguments.no_ca && (arguments.endpoint.is_some() || client.get_text("/ca").await.is_ok());
    let known = match (&arguments.model, &arguments.endpoint) {
        (Some(model), _) => Some(model.clone()),
        (None, None) => open_model(client, arguments.tool, via).await?,
        // Another node's endpoint.
        (None, Some(_)) => None,
    };
    let place = Place {
        url,
        ca_file: has_ca.then_some(arguments.ca_file),
        model_is_wanted: arguments.model.is_some(),
        model: known.unwrap_or_else(|| usual(arguments.tool, via).to_owned()),
        project: arguments.project,
        region: arguments
            .region
            .unwrap_or_else(|| via.region_default().to_owned()),
    };
    let setup = place.setup(arguments.tool, via);
    match output.format() {
        Format::Table => output.raw(&setup.text(&place)),
        Format::Json => output.json(&setup.json(&arguments.tool.name(), via.name(), &place)),
    }
}

fn via(arguments: &Arguments) -> Result<Via, Failure> {
    let vias = arguments.tool.vias();
    match arguments.via {
        None => Ok(vias[0]),
        Some(via) if vias.contains(&via) => Ok(via),
        Some(via) => {
            let names: Vec<&str> = vias.iter().map(|via| via.name()).collect();
            Err(Failure::Usage(format!(
                "{} does not speak {}'s API; it goes --via {}",
                arguments.tool.name(),
                via.name(),
                names.join(" or ")
            )))
        }
    }
}

/// One that an enabled policy opens.
async fn open_model(client: &Client, tool: Tool, via: Via) -> Result<Option<String>, Failure> {
    let providers = client.get("/providers").await?;
    let policies = client.get("/policies").await?;
    let catalog = client.get("/catalog/providers").await?;
    let opened = opened(&providers, &policies, &catalog);
    Ok(reachable(&opened, tool, via).map(str::to_owned))
}

fn opened<'a>(providers: &'a Value, policies: &Value, catalog: &'a Value) -> Vec<Opened<'a>> {
    let is_open = |provider: &Value| {
        items(policies).iter().any(|policy| {
            policy["enabled"] == true
                && items(&policy["destination_provider_ids"]).contains(&provider["id"])
        })
    };
    let candidates = items(providers)
        .iter()
        .filter(|provider| provider["enabled"] == true && is_open(provider));
    let ids = |models: &'a Value| {
        items(models)
            .iter()
            .map(|model| text(model, "id"))
            .collect()
    };
    candidates
        .filter_map(|provider| {
            let mut entries = items(catalog).iter();
            let entry = entries.find(|entry| entry["id"] == provider["provider_id"])?;
            Some(Opened {
                dialects: items(&entry["dialects"])
                    .iter()
                    .filter_map(Value::as_str)
                    .collect(),
                listed: ids(&provider["models"]),
                served: ids(&entry["models"]),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_policy_opens_is_told_from_what_is_closed() {
        let catalog = json!([
            {"id": "openai_api", "dialects": ["openai"], "models": [{"id": "gpt-x"}]},
            {"id": "custom", "dialects": [], "models": []},
        ]);
        let provider = |id: &str, kind: &str, models: Value| json!({"id": id, "provider_id": kind, "enabled": id != "off", "models": models});
        let providers = json!([
            provider("closed", "openai_api", json!([])),
            provider("off", "openai_api", json!([])),
            provider("o", "openai_api", json!([{"id": "gpt-listed"}])),
            provider("c", "custom", json!([])),
        ]);
        let policies = json!([
            {"enabled": false, "destination_provider_ids": ["closed"]},
            {"enabled": true, "destination_provider_ids": ["off", "o", "c"]},
        ]);
        let opened = opened(&providers, &policies, &catalog);
        let shown: Vec<_> = opened
            .iter()
            .map(|one| (&*one.dialects, &*one.listed, &*one.served))
            .collect();
        let none: &[&str] = &[];
        assert_eq!(
            shown,
            [
                (&["openai"][..], &["gpt-listed"][..], &["gpt-x"][..]),
                (none, none, none)
            ]
        );
    }
}
