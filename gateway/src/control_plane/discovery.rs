//! Vendors' model listings, read by the shape that the catalog names. Pure: bytes in, models out.

mod bedrock;
mod vertex;

use http::Uri;
use serde::Deserialize;
use serde_json::Number;

use super::catalog::{CatalogEntry, ListingShape, rate};
use crate::{
    dialect,
    handoff::snapshot::{NanoUsdPerMillion, Rates},
};

/// Pages of one list that are asked for.
pub const PAGES_LIMIT: usize = 10;

/// Models of one listing; a provider's own list has the same limit.
pub const MODELS_LIMIT: usize = 1000;

/// One model as its vendor lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    pub id: String,
    /// A name for people, where it is another than the id.
    pub label: Option<String>,
    /// The model behind it, where the id does not tell.
    pub base_model: Option<String>,
    /// Where the listing itself tells it.
    pub price: Option<Rates>,
}

/// One page of a listing.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub models: Vec<ListedModel>,
    /// Query parameter that asks for the next page.
    pub next: Option<(&'static str, String)>,
}

/// Reads one page; `None` when the body is no listing of that shape.
pub fn read(shape: ListingShape, body: &[u8]) -> Option<Page> {
    match shape {
        ListingShape::OpenAi => read_openai(body),
        ListingShape::Anthropic => read_anthropic(body),
        ListingShape::Google => read_google(body),
        ListingShape::LiteLlm => read_litellm(body),
        ListingShape::Bedrock => bedrock::read(body),
        ListingShape::Vertex => vertex::read(body),
    }
}

/// Where the models are listed that `url` serves, when that is on another host.
pub fn listing_url(entry: &CatalogEntry, url: &str) -> Option<String> {
    if entry.id != dialect::bedrock::CATALOG_ID {
        return None;
    }
    let host = url.parse::<Uri>().ok()?.host()?.to_ascii_lowercase();
    let host = dialect::bedrock::host::control_host(&host)?;
    Some(format!("https://{host}"))
}

fn read_openai(body: &[u8]) -> Option<Page> {
    #[derive(Deserialize)]
    struct Body {
        /// Ollama says `null` when it has none; without the key it is no listing.
        #[serde(deserialize_with = "Option::deserialize")]
        data: Option<Vec<Model>>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
        name: Option<String>,
        pricing: Option<serde_json::Value>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let models = body.data.unwrap_or_default().into_iter();
    Some(Page {
        models: models
            .map(|model| ListedModel {
                label: label(model.name, &model.id),
                id: model.id,
                base_model: None,
                price: model.pricing.and_then(pricing),
            })
            .collect(),
        next: None,
    })
}

/// Dollars per token, as decimal text: OpenRouter's names, then Vercel's.
fn pricing(value: serde_json::Value) -> Option<Rates> {
    #[derive(Deserialize)]
    struct Pricing {
        #[serde(alias = "input")]
        prompt: String,
        #[serde(alias = "output", default)]
        completion: String,
        input_cache_read: Option<String>,
        input_cache_write: Option<String>,
    }
    let pricing: Pricing = serde_json::from_value(value).ok()?;
    let rate = |text: &str| rate::from_per_token(text).ok();
    Some(Rates {
        input: rate(&pricing.prompt)?,
        // Embeddings have none.
        output: rate(&pricing.completion).unwrap_or_default(),
        cache_read: pricing.input_cache_read.as_deref().and_then(rate),
        cache_write: pricing.input_cache_write.as_deref().and_then(rate),
        ..Rates::default()
    })
}

fn read_anthropic(body: &[u8]) -> Option<Page> {
    #[derive(Deserialize)]
    struct Body {
        data: Vec<Model>,
        #[serde(default)]
        has_more: bool,
        last_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
        display_name: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let models = body.data.into_iter().map(|model| ListedModel {
        label: label(model.display_name, &model.id),
        id: model.id,
        base_model: None,
        price: None,
    });
    Some(Page {
        models: models.collect(),
        next: body
            .last_id
            .filter(|_| body.has_more)
            .map(|last| ("after_id", last)),
    })
}

fn read_google(body: &[u8]) -> Option<Page> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        models: Vec<Model>,
        next_page_token: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Model {
        name: String,
        display_name: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let models = body.models.into_iter().map(|model| {
        let id = model.name.strip_prefix("models/").unwrap_or(&model.name);
        ListedModel {
            id: id.to_owned(),
            label: label(model.display_name, id),
            base_model: None,
            price: None,
        }
    });
    Some(Page {
        models: models.collect(),
        next: body
            .next_page_token
            .filter(|token| !token.is_empty())
            .map(|token| ("pageToken", token)),
    })
}

/// A model group may have several deployments: the first one's price counts.
fn read_litellm(body: &[u8]) -> Option<Page> {
    #[derive(Deserialize)]
    struct Body {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        model_name: String,
        #[serde(default)]
        model_info: Info,
    }
    #[derive(Default, Deserialize)]
    struct Info {
        input_cost_per_token: Option<Number>,
        output_cost_per_token: Option<Number>,
        cache_read_input_token_cost: Option<Number>,
        cache_creation_input_token_cost: Option<Number>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let mut models: Vec<ListedModel> = Vec::new();
    for Model {
        model_name: id,
        model_info: info,
    } in body.data
    {
        if models.iter().any(|known| known.id == id) {
            continue;
        }
        let input = per_token(info.input_cost_per_token);
        let output = per_token(info.output_cost_per_token);
        // Zero is what the proxy says of models that it does not know.
        let is_known =
            input.is_some_and(|rate| rate.0 > 0) || output.is_some_and(|rate| rate.0 > 0);
        models.push(ListedModel {
            id,
            label: None,
            base_model: None,
            price: is_known.then(|| Rates {
                input: input.unwrap_or_default(),
                output: output.unwrap_or_default(),
                cache_read: per_token(info.cache_read_input_token_cost),
                cache_write: per_token(info.cache_creation_input_token_cost),
                ..Rates::default()
            }),
        });
    }
    Some(Page { models, next: None })
}

fn per_token(rate: Option<Number>) -> Option<NanoUsdPerMillion> {
    rate::from_per_token(&rate?.to_string()).ok()
}

fn label(name: Option<String>, id: &str) -> Option<String> {
    name.filter(|name| !name.is_empty() && name != id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ListingShape::{Anthropic, Bedrock, Google, LiteLlm, OpenAi, Vertex};

    use super::*;

    #[test]
    fn every_shape_is_read() {
        type Listed = (&'static str, Option<&'static str>, Option<(u64, u64)>);
        let table: [(ListingShape, &str, &[Listed]); 9] = [
            (
                OpenAi,
                r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","owned_by":"x"}]}"#,
                &[("gpt-4o", None, None)],
            ),
            (OpenAi, r#"{"object":"list","data":null}"#, &[]),
            // OpenRouter
            (
                OpenAi,
                r#"{"data":[{"id":"a/b","name":"A: B","pricing":{"prompt":"0.0000025","completion":"0.00001",
                    "request":"0","input_cache_read":"0.00000025"}},
                    {"id":"openrouter/auto","name":"Auto","pricing":{"prompt":"-1","completion":"-1"}}]}"#,
                &[
                    ("a/b", Some("A: B"), Some((2_500_000_000, 10_000_000_000))),
                    ("openrouter/auto", Some("Auto"), None),
                ],
            ),
            // Vercel
            (
                OpenAi,
                r#"{"data":[{"id":"x/e","name":"E","pricing":{"input":"0.00000002"}},
                    {"id":"x/i","name":"x/i","pricing":{"image":"0.04"}}]}"#,
                &[
                    ("x/e", Some("E"), Some((20_000_000, 0))),
                    ("x/i", None, None),
                ],
            ),
            (
                Anthropic,
                r#"{"data":[{"type":"model","id":"claude-x","display_name":"Claude X"}],"has_more":false}"#,
                &[("claude-x", Some("Claude X"), None)],
            ),
            (
                Google,
                r#"{"models":[{"name":"models/gemini-x","displayName":"Gemini X"}]}"#,
                &[("gemini-x", Some("Gemini X"), None)],
            ),
            (
                LiteLlm,
                r#"{"data":[
                    {"model_name":"m","model_info":{"input_cost_per_token":1.5e-07,"output_cost_per_token":6e-07}},
                    {"model_name":"m","model_info":{"input_cost_per_token":1.0}},
                    {"model_name":"free?","model_info":{"input_cost_per_token":0,"output_cost_per_token":0}},
                    {"model_name":"bare"}]}"#,
                &[
                    ("m", None, Some((150_000_000, 600_000_000))),
                    ("free?", None, None),
                    ("bare", None, None),
                ],
            ),
            (OpenAi, r#"{"data":[]}"#, &[]),
            (LiteLlm, r#"{"data":[]}"#, &[]),
        ];
        for (shape, body, expected) in table {
            let page = read(shape, body.as_bytes()).unwrap();
            let models: Vec<_> = page
                .models
                .iter()
                .map(|model| {
                    let price = model.price.as_ref();
                    (
                        model.id.as_str(),
                        model.label.as_deref(),
                        price.map(|price| (price.input.0, price.output.0)),
                    )
                })
                .collect();
            assert_eq!(models, expected, "{body}");
            assert_eq!(page.next, None, "{body}");
        }
    }

    #[test]
    fn pages_name_the_next_one() {
        let anthropic = br#"{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}"#;
        let next = read(Anthropic, anthropic).unwrap().next;
        assert_eq!(next, Some(("after_id", "a".to_owned())));
        let google = br#"{"models":[{"name":"models/g"}],"nextPageToken":"t"}"#;
        let next = read(Google, google).unwrap().next;
        assert_eq!(next, Some(("pageToken", "t".to_owned())));
    }

    #[test]
    fn what_is_no_listing_is_none() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"error":{}}"#,
            r#"{"data":[{"name":"x"}]}"#,
        ] {
            for shape in [OpenAi, Anthropic, Google, LiteLlm, Bedrock, Vertex] {
                assert_eq!(read(shape, body.as_bytes()), None, "{shape:?} {body}");
            }
        }
    }
}
