//! A model to name in examples: one that a policy opens, else the vendor's usual one.

use serde_json::Value;

use super::{Tool, Via};
use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, text},
};

/// The first model of the first provider that speaks this API and that an enabled policy opens.
pub(super) async fn reachable(
    client: &Client,
    tool: Tool,
    via: Via,
) -> Result<Option<String>, Failure> {
    let providers = client.get("/providers").await?;
    let policies = client.get("/policies").await?;
    let catalog = client.get("/catalog/providers").await?;
    Ok(pick(&providers, &policies, &catalog, tool, via))
}

/// What the vendor's newcomers begin with.
pub(super) fn usual(tool: Tool, via: Via) -> &'static str {
    match via {
        Via::Vertex if maker(tool, via) == Some(CLAUDE) => "claude-sonnet-5-5",
        Via::OpenAi => "gpt-5.4-mini",
        Via::Anthropic => "claude-sonnet-5-5",
        Via::Bedrock => "us.anthropic.claude-sonnet-5",
        Via::Vertex | Via::Gemini => "gemini-3.8-flash",
    }
}

fn pick(
    providers: &Value,
    policies: &Value,
    catalog: &Value,
    tool: Tool,
    via: Via,
) -> Option<String> {
    let is_open = |provider: &Value| {
        items(policies).iter().any(|policy| {
            policy["enabled"] == true
                && items(&policy["destination_provider_ids"]).contains(&provider["id"])
        })
    };
    let candidates = items(providers)
        .iter()
        .filter(|provider| provider["enabled"] == true && is_open(provider));
    let mut models = candidates.filter_map(|provider| {
        let mut entries = items(catalog).iter();
        let entry = entries.find(|entry| entry["id"] == provider["provider_id"])?;
        let dialects = items(&entry["dialects"]);
        if !dialects.is_empty() && !dialects.iter().any(|dialect| dialect == via.name()) {
            return None;
        }
        // A list is what the operator chose; without one the vendor's own models are served.
        let models = match items(&provider["models"]) {
            [] => items(&entry["models"]),
            listed => listed,
        };
        let fits = |model: &&Value| {
            let id = text(model, "id");
            !is_embedding(id) && maker(tool, via).is_none_or(|maker| id.contains(maker))
        };
        models
            .iter()
            .find(fits)
            .map(|model| text(model, "id").to_owned())
    });
    models.next()
}

fn is_embedding(id: &str) -> bool {
    id.contains("embed")
}

const CLAUDE: &str = "claude";
const GEMINI: &str = "gemini";

/// What is in the ids of the models that a tool can speak to, where a provider serves several vendors'.
fn maker(tool: Tool, via: Via) -> Option<&'static str> {
    match (tool, via) {
        (Tool::ClaudeCode | Tool::Anthropic, Via::Bedrock | Via::Vertex) => Some(CLAUDE),
        (Tool::GoogleGenai | Tool::GeminiCli, Via::Vertex) | (_, Via::Gemini) => Some(GEMINI),
        (_, Via::OpenAi | Via::Anthropic | Via::Bedrock | Via::Vertex) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_open_model_of_the_right_api_is_named() {
        let catalog = json!([
            {"id": "openai_api", "dialects": ["openai"],
             "models": [{"id": "text-embedding-3-small"}, {"id": "gpt-x"}]},
            {"id": "anthropic_api", "dialects": ["anthropic"], "models": [{"id": "claude-x"}]},
            {"id": "vertex_ai_api", "dialects": ["vertex"],
             "models": [{"id": "gemini-embedding-2"}, {"id": "gemini-x"}, {"id": "claude-y"}]},
            {"id": "custom", "dialects": [], "models": []},
        ]);
        let provider = |id: &str, kind: &str, models: Value| json!({"id": id, "provider_id": kind, "enabled": true, "models": models});
        let providers = json!([
            provider("closed", "openai_api", json!([{"id": "gpt-closed"}])),
            provider("o", "openai_api", json!([])),
            provider("a", "anthropic_api", json!([{"id": "claude-listed"}])),
            provider("v", "vertex_ai_api", json!([])),
        ]);
        let policies = json!([
            {"enabled": false, "destination_provider_ids": ["closed"]},
            {"enabled": true, "destination_provider_ids": ["o", "a", "v"]},
        ]);
        for (tool, via, expected) in [
            (Tool::OpenAi, Via::OpenAi, Some("gpt-x")),
            (Tool::Anthropic, Via::Anthropic, Some("claude-listed")),
            (Tool::GoogleGenai, Via::Gemini, None),
            (Tool::GoogleGenai, Via::Vertex, Some("gemini-x")),
            (Tool::ClaudeCode, Via::Vertex, Some("claude-y")),
        ] {
            let found = pick(&providers, &policies, &catalog, tool, via);
            assert_eq!(found.as_deref(), expected, "{tool:?} {via:?}");
        }
    }
}
