//! Anthropic's messages: usage in a JSON body, and as a stream, where `message_start` has the first
//! counts and each `message_delta` running totals, never increments. Input excludes the cache; the
//! record includes it.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Metered,
    count::Count,
    event_body::event_type,
    least::Least,
    report::{Reported, add_tier, service_tier},
};
use crate::{
    dialect::{json::capture::plain_text, sse::Event},
    handoff::record::{ServiceTier, Terms, ToolCalls, Usage},
};

/// Usage of a message that came as one JSON object.
pub(super) fn read(json: &[u8]) -> Option<Reported> {
    let mut totals = Totals::default();
    totals.update(serde_json::from_slice(json).ok()?);
    totals.reported()
}

#[derive(Debug, Default)]
pub(super) struct AnthropicEvents {
    totals: Totals,
}

impl AnthropicEvents {
    pub(super) fn event(&mut self, event: &Event<'_>, metered: &mut Metered) {
        let usage = match event_type(event) {
            b"content_block_delta" => {
                metered.content_started = true;
                if let Some(least) = &mut metered.least {
                    read_text(&event.data, least);
                }
                return;
            }
            b"message_start" => {
                let Ok(start) = serde_json::from_slice::<MessageStart<'_>>(&event.data) else {
                    return;
                };
                let model = start.message.model.map(RawValue::get);
                metered.name_model(model.and_then(plain_text));
                start.message.usage
            }
            b"message_delta" => serde_json::from_slice(&event.data)
                .ok()
                .and_then(|delta: MessageDelta| delta.usage),
            b"message_stop" => {
                metered.complete = true;
                return;
            }
            b"error" => {
                metered.error_event = true;
                return;
            }
            _ => return,
        };
        if let Some(usage) = usage {
            self.totals.update(usage);
            if let Some(reported) = self.totals.reported() {
                reported.add_to(metered);
            }
        }
    }
}

/// Reads what a `content_block_delta` says.
fn read_text(data: &[u8], least: &mut Least) {
    #[derive(Deserialize)]
    struct BlockDelta<'a> {
        #[serde(default)]
        index: u64,
        #[serde(borrow)]
        delta: Delta<'a>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        partial_json: Option<&'a RawValue>,
    }
    least.more();
    if let Ok(BlockDelta { index, delta }) = serde_json::from_slice(data) {
        least.read(index, delta.text);
        least.read(index, delta.partial_json);
    }
}

#[derive(Deserialize)]
struct MessageStart<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    usage: Option<UsageObject>,
}

#[derive(Deserialize)]
struct MessageDelta {
    usage: Option<UsageObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageObject {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<ServerToolUse>,
    service_tier: Value,
    speed: Value,
    inference_geo: Value,
}

impl UsageObject {
    fn terms(&self) -> Terms {
        Terms {
            // `fast` is a mode with prices of its own, whatever the tier.
            tier: Some(service_tier(self.speed.as_str()))
                .filter(|tier| *tier != ServiceTier::Standard)
                .unwrap_or_else(|| service_tier(self.service_tier.as_str())),
            // Processing in the United States costs more; elsewhere is not sold apart.
            regional: self.inference_geo == "us",
        }
    }
}

/// Fetching pages is free beyond its tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerToolUse {
    web_search_requests: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

/// The latest report of each count.
#[derive(Debug, Default)]
struct Totals {
    input: Count,
    output: Count,
    cache_read: Count,
    cache_creation: Count,
    cache_creation_5m: Count,
    cache_creation_1h: Count,
    thinking: Count,
    web_searches: Count,
    terms: Terms,
}

impl Totals {
    fn update(&mut self, later: UsageObject) {
        let terms = later.terms();
        self.terms.regional |= terms.regional;
        add_tier(&mut self.terms, terms.tier);
        let tools = later.server_tool_use.unwrap_or_default();
        self.web_searches.update(tools.web_search_requests);
        let by_lifetime = later.cache_creation.unwrap_or_default();
        let output_details = later.output_tokens_details.unwrap_or_default();
        self.input.update(later.input_tokens);
        self.output.update(later.output_tokens);
        self.cache_read.update(later.cache_read_input_tokens);
        self.cache_creation
            .update(later.cache_creation_input_tokens);
        self.cache_creation_5m
            .update(by_lifetime.ephemeral_5m_input_tokens);
        self.cache_creation_1h
            .update(by_lifetime.ephemeral_1h_input_tokens);
        self.thinking.update(output_details.thinking_tokens);
    }

    /// With server tools the split by lifetime covers the first iteration only, while the total covers
    /// all: what the split leaves out counts as short-lived.
    fn reported(&self) -> Option<Reported> {
        if self.input.get().is_none() && self.output.get().is_none() {
            return None;
        }
        let long = self.cache_creation_1h.or_zero();
        let split = long.saturating_add(self.cache_creation_5m.or_zero());
        let written = self.cache_creation.or_zero().max(split);
        let read = self.cache_read.or_zero();
        let output = self.output.or_zero();
        let usage = Usage {
            input_tokens: self
                .input
                .or_zero()
                .saturating_add(read)
                .saturating_add(written),
            output_tokens: output,
            cache_read_input_tokens: read,
            cache_creation_input_tokens: written - long,
            cache_creation_long_input_tokens: long,
            reasoning_tokens: self.thinking.or_zero().min(output),
            tool_calls: ToolCalls {
                web_search: self.web_searches.or_zero(),
                ..ToolCalls::default()
            },
            ..Usage::default()
        };
        Some(Reported {
            usage,
            terms: self.terms,
            cost: None,
        })
    }
}
