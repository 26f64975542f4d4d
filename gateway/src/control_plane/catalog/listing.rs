//! How a kind of upstream lists its models, and how it is tried where it does not.

use serde::Deserialize;

/// `GET` that answers with the models that a key may use, and so tries the key as well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// As an agent would ask for it: joined with the upstream URL's path.
    pub path: String,
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
}

/// A `POST` that costs nothing, as its body is refused; which status comes says whether the key is good.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Joined with the upstream URL's path.
    pub path: String,
    pub body: String,
    /// Status of the refusal that only a good key meets.
    pub passes: u16,
}

impl Listing {
    /// What to ask for first: pages as long as the vendor gives them.
    pub fn query(&self) -> &'static str {
        match self.shape {
            ListingShape::OpenAi | ListingShape::LiteLlm => "",
            ListingShape::Anthropic => "limit=1000",
            ListingShape::Google => "pageSize=1000",
        }
    }
}

/// Words for the operator about one kind of upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Help {
    /// Where the key comes from, and what it looks like.
    pub key: String,
    /// What fills the URL's `<parts>`, or whose server it is.
    pub url: String,
    /// What to do when the key is good and may still not use a model.
    pub access: String,
}
