//! Gateways and other hosts of OpenAI's and Anthropic's shapes. Each wants its own credential, its own paths and its
//! own way of being told who calls, and refuses the others'.

use serde_json::Value;

use super::{
    Seen, Shared, anthropic,
    check::Refusal,
    openai,
    wire::{Gone, Out},
};

/// Whose API is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    LiteLlm,
    Portkey,
    Bifrost,
    Cloudflare,
    Vercel,
    OpenRouter,
    Kimi,
    AzureOpenAi,
}

/// Telemetry labels that an operator of Bifrost has declared.
const BIFROST_LABELS: [&str; 4] = ["netbird_user_id", "netbird_groups", "person", "teams"];
/// Vercel's.
const TAGS_LIMIT: usize = 10;
const TAG_BYTES_LIMIT: usize = 64;
const USER_BYTES_LIMIT: usize = 256;
/// Cloudflare's.
const METADATA_ENTRIES_LIMIT: usize = 5;
/// Portkey's.
const METADATA_BYTES_LIMIT: usize = 128;

impl Gateway {
    pub const ALL: [Self; 8] = [
        Self::LiteLlm,
        Self::Portkey,
        Self::Bifrost,
        Self::Cloudflare,
        Self::Vercel,
        Self::OpenRouter,
        Self::Kimi,
        Self::AzureOpenAi,
    ];

    /// Id in the catalog.
    pub fn catalog_id(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm_proxy",
            Self::Portkey => "portkey",
            Self::Bifrost => "bifrost",
            Self::Cloudflare => "cloudflare_ai_gateway",
            Self::Vercel => "vercel_ai_gateway",
            Self::OpenRouter => "openrouter",
            Self::Kimi => "kimi_api",
            Self::AzureOpenAi => "azure_openai_api",
        }
    }

    pub(super) fn credential_header(self) -> &'static str {
        match self {
            Self::LiteLlm | Self::Bifrost | Self::Vercel | Self::OpenRouter | Self::Kimi => {
                "authorization"
            }
            Self::Portkey => "x-portkey-api-key",
            Self::Cloudflare => "cf-aig-authorization",
            Self::AzureOpenAi => "api-key",
        }
    }

    pub(super) fn key_prefix(self) -> &'static str {
        match self {
            Self::Portkey | Self::AzureOpenAi => "",
            Self::LiteLlm
            | Self::Bifrost
            | Self::Cloudflare
            | Self::Vercel
            | Self::OpenRouter
            | Self::Kimi => "Bearer ",
        }
    }

    /// A header that only this gateway may be sent.
    pub(super) fn takes_header(self, name: &str) -> bool {
        match self {
            Self::LiteLlm => ["x-litellm-end-user-id", "x-litellm-tags"].contains(&name),
            Self::Portkey => ["x-portkey-metadata", "x-portkey-config"].contains(&name),
            Self::Bifrost => name
                .strip_prefix("x-bf-dim-")
                .is_some_and(|label| BIFROST_LABELS.contains(&label)),
            Self::Cloudflare => name == "cf-aig-metadata",
            Self::Vercel => ["ai-reporting-user", "ai-reporting-tags"].contains(&name),
            Self::OpenRouter => ["http-referer", "x-openrouter-title"].contains(&name),
            Self::Kimi | Self::AzureOpenAi => false,
        }
    }

    /// What is wrong with the identity or the path.
    pub(super) fn judge(self, seen: &Seen) -> Option<Refusal> {
        let refused = |code, message: &str| Some(Refusal::new(400, code, message));
        if self.route(seen).is_none() {
            let message = format!("no such endpoint: {} {}", seen.method, seen.target);
            return Some(Refusal::new(404, "unknown_url", message));
        }
        match self {
            Self::Portkey => {
                let values = object(seen.header("x-portkey-metadata")?)?;
                let fits = |value: &Value| {
                    value
                        .as_str()
                        .is_some_and(|text| text.len() <= METADATA_BYTES_LIMIT)
                };
                if !values.values().all(fits) {
                    return refused("invalid_metadata", "values are strings of 128 characters");
                }
            }
            Self::Cloudflare => {
                let values = object(seen.header("cf-aig-metadata")?)?;
                if values.len() > METADATA_ENTRIES_LIMIT || values.values().any(Value::is_object) {
                    return refused("invalid_metadata", "five plain values at most");
                }
            }
            Self::Vercel => {
                let tags = seen.header("ai-reporting-tags").unwrap_or("a");
                let fits = |tag: &str| (1..=TAG_BYTES_LIMIT).contains(&tag.len());
                if tags.split(',').count() > TAGS_LIMIT || !tags.split(',').all(fits) {
                    return refused("invalid_tags", "ten tags of 64 characters at most");
                }
                if seen.header("ai-reporting-user").unwrap_or("").len() > USER_BYTES_LIMIT {
                    return refused("invalid_user", "256 characters at most");
                }
            }
            Self::LiteLlm | Self::Bifrost | Self::OpenRouter | Self::Kimi | Self::AzureOpenAi => {}
        }
        None
    }

    /// What comes before the first chunk of a chat.
    pub(super) fn before_stream(self) -> &'static str {
        match self {
            Self::OpenRouter => ": OPENROUTER PROCESSING\n\n",
            Self::AzureOpenAi => {
                "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
                 \"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n"
            }
            Self::LiteLlm
            | Self::Portkey
            | Self::Bifrost
            | Self::Cloudflare
            | Self::Vercel
            | Self::Kimi => "",
        }
    }

    /// The path as the vendor behind would see it; empty for one that it does not have.
    pub(super) fn routed_path(self, seen: &Seen) -> String {
        let routed = self.route(seen);
        routed.map_or_else(String::new, |(_, routed)| routed.path().to_owned())
    }

    /// The request as the vendor behind would see it; `None` for a path that it does not have.
    fn route(self, seen: &Seen) -> Option<(Shape, Seen)> {
        let path = seen.path();
        let under = |prefix: &str| {
            path.strip_prefix(prefix)
                .filter(|rest| !rest.starts_with("v1/"))
        };
        let (shape, rest) = match self {
            Self::LiteLlm | Self::Portkey | Self::Vercel => by_operation(under("/v1/")?),
            Self::OpenRouter => by_operation(under("/api/v1/")?),
            Self::Bifrost => match under("/anthropic/v1/") {
                Some(rest) => (Shape::Anthropic, rest),
                None => (Shape::OpenAi, under("/openai/v1/")?),
            },
            Self::Cloudflare => match under("/v1/acct/gw/anthropic/v1/") {
                Some(rest) => (Shape::Anthropic, rest),
                None => (Shape::OpenAi, under("/v1/acct/gw/openai/")?),
            },
            Self::Kimi => match under("/anthropic/v1/") {
                Some(rest) => (Shape::Anthropic, rest),
                None => (Shape::OpenAi, under("/v1/")?),
            },
            Self::AzureOpenAi => return azure(seen),
        };
        let mut routed = seen.clone();
        routed.target = format!("/v1/{rest}");
        Some((shape, routed))
    }
}

enum Shape {
    OpenAi,
    Anthropic,
}

pub(super) async fn answer(
    gateway: Gateway,
    seen: Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    match gateway.route(&seen) {
        Some((Shape::Anthropic, routed)) => anthropic::answer(&routed, out, shared).await,
        Some((Shape::OpenAi, routed)) => openai::answer(&routed, out, shared).await,
        None => unreachable!("judged before"),
    }
}

fn by_operation(rest: &str) -> (Shape, &str) {
    match rest.starts_with("messages") {
        true => (Shape::Anthropic, rest),
        false => (Shape::OpenAi, rest),
    }
}

/// Classic paths need a dated version, and have the model inside.
fn azure(seen: &Seen) -> Option<(Shape, Seen)> {
    let mut routed = seen.clone();
    if let Some(rest) = seen.path().strip_prefix("/openai/v1/") {
        routed.target = format!("/v1/{rest}");
        return Some((Shape::OpenAi, routed));
    }
    seen.query()
        .split('&')
        .find(|parameter| parameter.starts_with("api-version=20"))?;
    let rest = seen.path().strip_prefix("/openai/")?;
    match rest.strip_prefix("deployments/") {
        Some(rest) => {
            let (deployment, operation) = rest.split_once('/')?;
            routed.target = format!("/v1/{operation}");
            if let Ok(Value::Object(mut body)) = serde_json::from_slice(&seen.body) {
                body.insert("model".to_owned(), deployment.into());
                routed.body = Value::Object(body).to_string().into();
            }
        }
        None => routed.target = format!("/v1/{rest}"),
    }
    Some((Shape::OpenAi, routed))
}

fn object(text: &str) -> Option<serde_json::Map<String, Value>> {
    serde_json::from_str(text).ok()
}
