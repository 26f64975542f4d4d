//! Listings of models as google-genai reads them: the Gemini API's own, and Vertex AI's of publishers.

use serde::Serialize;

use crate::dialect::{Dialect, model_list::ListedModel};

/// A page with everything.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::dialect) enum GoogleList<'a> {
    Gemini {
        models: Vec<GoogleModel<'a>>,
    },
    Vertex {
        #[serde(rename = "publisherModels")]
        publisher_models: Vec<GoogleModel<'a>>,
    },
}

/// A model; what the node does not know is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialect) struct GoogleModel<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_generation_methods: Option<&'static [&'static str]>,
}

impl<'a> GoogleList<'a> {
    pub(in crate::dialect) fn new(
        dialect: Dialect,
        models: impl Iterator<Item = ListedModel<'a>>,
    ) -> Self {
        let models = models
            .map(|model| GoogleModel::new(dialect, model))
            .collect();
        match dialect {
            Dialect::Vertex => Self::Vertex {
                publisher_models: models,
            },
            Dialect::Gemini
            | Dialect::OpenAi
            | Dialect::Anthropic
            | Dialect::Bedrock
            | Dialect::Azure => Self::Gemini { models },
        }
    }
}

impl<'a> GoogleModel<'a> {
    pub(in crate::dialect) fn new(dialect: Dialect, model: ListedModel<'a>) -> Self {
        let id = model.id;
        match dialect {
            Dialect::Vertex => {
                let publisher = match id.starts_with("claude-") {
                    true => "anthropic",
                    false => "google",
                };
                Self {
                    name: format!("publishers/{publisher}/models/{id}"),
                    display_name: None,
                    supported_generation_methods: None,
                }
            }
            Dialect::Gemini
            | Dialect::OpenAi
            | Dialect::Anthropic
            | Dialect::Bedrock
            | Dialect::Azure => Self {
                name: format!("models/{id}"),
                display_name: Some(id),
                supported_generation_methods: Some(match id.contains("embedding") {
                    true => &["embedContent", "batchEmbedContents"],
                    false => &["generateContent", "streamGenerateContent", "countTokens"],
                }),
            },
        }
    }
}
