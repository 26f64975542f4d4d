//! How a kind of upstream lists its models, and how it is tried.

use serde::Deserialize;
use utoipa::ToSchema;

/// `GET` that answers with the models that a key may use, and so tries the key as well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// As an agent would ask for it, with its query: joined with the upstream URL's path.
    pub path: String,
    /// Further lists, in the same shape.
    #[serde(default)]
    pub then: Vec<String>,
    pub shape: ListingShape,
}

/// What the body of a listing looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListingShape {
    /// `data[].id`; gateways put `pricing` in dollars per token beside.
    #[serde(rename = "openai")]
    OpenAi,
    /// `data[].id` and `display_name`, in pages.
    Anthropic,
    /// `models[].name` and `displayName`, in pages.
    Google,
    /// LiteLLM's `data[].model_name`, with prices in `model_info`.
    #[serde(rename = "litellm")]
    LiteLlm,
    /// `modelSummaries[]`, or `inferenceProfileSummaries[]` in pages.
    Bedrock,
    /// `publisherModels[].name`, in pages.
    Vertex,
}

/// One call of a model, as cheap as there is one. It says more about a key than a listing does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub form: ProbeForm,
    /// Asked for where the provider itself lists none.
    pub model: String,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeForm {
    /// Bedrock's Converse, for one token.
    Converse,
    /// Vertex AI's counting of tokens, which is free.
    CountTokens,
}

impl Listing {
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let then = self.then.iter().map(String::as_str);
        std::iter::once(self.path.as_str()).chain(then)
    }
}

/// Words for the operator about one kind of upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, ToSchema)]
pub struct Help {
    /// Where the key comes from, and what it looks like.
    #[schema(rename = "key_help", required = false)]
    pub key: String,
    /// What fills the URL's `<parts>`, or whose server it is.
    #[schema(rename = "url_help", required = false)]
    pub url: String,
    /// What to do when the key is good and may still not use a model.
    #[schema(rename = "access_help", required = false)]
    pub access: String,
}
