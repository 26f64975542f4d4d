//! Listings of models in the shape that the asking SDK reads: what the caller may use, made by the node.

use serde::Serialize;

use super::{
    Dialect,
    google::listing::{GoogleList, GoogleModel},
};

/// One model that the caller may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedModel<'a> {
    pub id: &'a str,
    /// Name of the provider that serves it.
    pub provider: &'a str,
    /// Unix time in seconds.
    pub created: i64,
}

/// JSON body of `GET /v1/models`: one page with everything.
pub fn render_models<'a>(
    dialect: Dialect,
    models: impl Iterator<Item = ListedModel<'a>>,
) -> Vec<u8> {
    match dialect {
        Dialect::Anthropic => {
            let data: Vec<_> = models.map(AnthropicModel::from).collect();
            json(&AnthropicList {
                has_more: false,
                first_id: data.first().map(|model| model.id),
                last_id: data.last().map(|model| model.id),
                data,
            })
        }
        Dialect::Vertex | Dialect::Gemini => json(&GoogleList::new(dialect, models)),
        Dialect::OpenAi | Dialect::Bedrock | Dialect::Azure => json(&OpenAiList {
            object: "list",
            data: models.map(OpenAiModel::from).collect(),
        }),
    }
}

/// JSON body of `GET /v1/models/{id}`.
pub fn render_model(dialect: Dialect, model: ListedModel<'_>) -> Vec<u8> {
    match dialect {
        Dialect::Anthropic => json(&AnthropicModel::from(model)),
        Dialect::Vertex | Dialect::Gemini => json(&GoogleModel::new(dialect, model)),
        Dialect::OpenAi | Dialect::Bedrock | Dialect::Azure => json(&OpenAiModel::from(model)),
    }
}

#[derive(Serialize)]
struct OpenAiList<'a> {
    object: &'static str,
    data: Vec<OpenAiModel<'a>>,
}

#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    /// Mistral's SDK refuses a model without these two; the others pass over them.
    #[serde(rename = "type")]
    kind: &'static str,
    capabilities: Unknown,
}

/// `{}`: nothing is said.
#[derive(Serialize)]
struct Unknown {}

impl<'a> From<ListedModel<'a>> for OpenAiModel<'a> {
    fn from(model: ListedModel<'a>) -> Self {
        Self {
            id: model.id,
            object: "model",
            created: model.created,
            owned_by: model.provider,
            kind: "base",
            capabilities: Unknown {},
        }
    }
}

#[derive(Serialize)]
struct AnthropicList<'a> {
    data: Vec<AnthropicModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
}

impl<'a> From<ListedModel<'a>> for AnthropicModel<'a> {
    fn from(model: ListedModel<'a>) -> Self {
        let created = jiff::Timestamp::from_second(model.created).unwrap_or_default();
        Self {
            kind: "model",
            id: model.id,
            display_name: model.id,
            created_at: created.to_string(),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MODELS: [ListedModel<'static>; 2] = [
        ListedModel {
            id: "claude-opus-5",
            provider: "anthropic",
            created: 0,
        },
        ListedModel {
            id: "m\"2",
            provider: "own",
            created: 1_790_000_000,
        },
    ];

    fn parsed(body: Vec<u8>) -> Value {
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn lists_in_both_shapes() {
        assert_eq!(
            parsed(render_models(Dialect::OpenAi, MODELS.into_iter())),
            json!({"object": "list", "data": [
                {"id": "claude-opus-5", "object": "model", "created": 0, "owned_by": "anthropic",
                 "type": "base", "capabilities": {}},
                {"id": "m\"2", "object": "model", "created": 1_790_000_000, "owned_by": "own",
                 "type": "base", "capabilities": {}},
            ]})
        );
        assert_eq!(
            parsed(render_models(Dialect::Anthropic, MODELS.into_iter())),
            json!({"data": [
                {"type": "model", "id": "claude-opus-5", "display_name": "claude-opus-5",
                 "created_at": "1970-01-01T00:00:00Z"},
                {"type": "model", "id": "m\"2", "display_name": "m\"2",
                 "created_at": "2026-09-21T14:13:20Z"},
            ], "has_more": false, "first_id": "claude-opus-5", "last_id": "m\"2"})
        );
        assert_eq!(
            parsed(render_models(Dialect::Anthropic, [].into_iter())),
            json!({"data": [], "has_more": false, "first_id": null, "last_id": null})
        );
    }

    #[test]
    fn google_lists_resource_names() {
        let [claude, _] = MODELS;
        let gemini = ListedModel {
            id: "gemini-4-argon",
            ..claude
        };
        let list = |dialect| parsed(render_models(dialect, [claude, gemini].into_iter()));
        assert_eq!(
            list(Dialect::Vertex),
            json!({"publisherModels": [
                {"name": "publishers/anthropic/models/claude-opus-5"},
                {"name": "publishers/google/models/gemini-4-argon"},
            ]})
        );
        let own = list(Dialect::Gemini)["models"][1].clone();
        assert_eq!(own["name"], "models/gemini-4-argon");
        assert_eq!(own, parsed(render_model(Dialect::Gemini, gemini)));
    }

    #[test]
    fn single_models_in_both_shapes() {
        let [model, _] = MODELS;
        assert_eq!(
            parsed(render_model(Dialect::OpenAi, model)),
            json!({"id": "claude-opus-5", "object": "model", "created": 0, "owned_by": "anthropic",
                   "type": "base", "capabilities": {}})
        );
        assert_eq!(
            parsed(render_model(Dialect::Anthropic, model))["display_name"],
            "claude-opus-5"
        );
    }
}
