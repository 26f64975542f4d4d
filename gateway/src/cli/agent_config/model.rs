//! A model to name in examples: one that a policy opens, else the vendor's usual one.

use serde_json::Value;

use super::Via;
use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, text},
};

/// The first model of the first provider that speaks this API and that an enabled policy opens.
pub(super) async fn reachable(client: &Client, via: Via) -> Result<Option<String>, Failure> {
    let providers = client.get("/providers").await?;
    let policies = client.get("/policies").await?;
    let catalog = client.get("/catalog/providers").await?;
    Ok(pick(&providers, &policies, &catalog, via))
}

/// What the vendor's newcomers begin with.
pub(super) fn usual(via: Via) -> &'static str {
    match via {
        Via::OpenAi => "gpt-5.4-mini",
        Via::Anthropic => "claude-sonnet-5-5",
        Via::Bedrock => "us.anthropic.claude-sonnet-5",
        Via::Vertex | Via::Gemini => "gemini-3.8-flash",
    }
}

fn pick(providers: &Value, policies: &Value, catalog: &Value, via: Via) -> Option<String> {
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
        let fits =
            |model: &&Value| !is_embedding(text(model, "id")) && fits(via, text(model, "id"));
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

/// One provider may serve several vendors' models.
fn fits(via: Via, id: &str) -> bool {
    match via {
        Via::Gemini => id.contains("gemini"),
        Via::Anthropic | Via::OpenAi | Via::Bedrock | Via::Vertex => true,
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
            {"id": "custom", "dialects": [], "models": []},
        ]);
        let provider = |id: &str, kind: &str, models: Value| json!({"id": id, "provider_id": kind, "enabled": true, "models": models});
        let providers = json!([
            provider("closed", "openai_api", json!([{"id": "gpt-closed"}])),
            provider("o", "openai_api", json!([])),
            provider("a", "anthropic_api", json!([{"id": "claude-listed"}])),
        ]);
        let policies = json!([
            {"enabled": false, "destination_provider_ids": ["closed"]},
            {"enabled": true, "destination_provider_ids": ["o", "a"]},
        ]);
        for (via, expected) in [
            (Via::OpenAi, Some("gpt-x")),
            (Via::Anthropic, Some("claude-listed")),
            (Via::Gemini, None),
        ] {
            let found = pick(&providers, &policies, &catalog, via);
            assert_eq!(found.as_deref(), expected, "{via:?}");
        }
    }
}
