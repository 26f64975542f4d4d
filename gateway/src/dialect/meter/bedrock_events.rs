//! Bedrock's event streams: ConverseStream's events are JSON as they are; InvokeModelWithResponseStream
//! wraps each event of the vendor's own stream in a `chunk`, in base64.

use std::{borrow::Cow, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Metered,
    anthropic::AnthropicEvents,
    bedrock::{self, InvocationMetrics},
    count::Count,
    event_body::event_type,
    least::Least,
    report::{add_tier, plain},
};
use crate::dialect::{
    event_stream::{Framer, MESSAGE_BYTES_LIMIT, Message},
    json::capture::plain_text,
    sse::Event,
};

/// Keys of events that count something; others are not parsed.
static COUNTING: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["\"usage\"", "_token_count\"", METRICS].map(Finder::new));
static METRICS_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(METRICS));
const METRICS: &str = "\"amazon-bedrock-invocationMetrics\"";

#[derive(Debug, Default)]
pub(super) struct BedrockEvents {
    framer: Framer,
    anthropic: AnthropicEvents,
    /// The vendor's event at hand.
    decoded: Vec<u8>,
    /// The vendor's own words were read, which say more than the service's metrics.
    has_vendor_usage: bool,
}

impl BedrockEvents {
    pub(super) fn feed(&mut self, input: &[u8], metered: &mut Metered) {
        let Self {
            framer,
            anthropic,
            decoded,
            has_vendor_usage,
        } = self;
        framer.feed(input, &mut |message| {
            let mut reader = Reader {
                anthropic,
                decoded,
                has_vendor_usage,
                metered,
            };
            reader.message(&message);
        });
        if self.framer.is_broken() {
            metered.complete = false;
        }
    }

    /// The stream is damaged, or it ended inside a message.
    pub(super) fn is_torn(&self) -> bool {
        self.framer.is_broken() || self.framer.is_within_message()
    }
}

struct Reader<'a> {
    anthropic: &'a mut AnthropicEvents,
    decoded: &'a mut Vec<u8>,
    has_vendor_usage: &'a mut bool,
    metered: &'a mut Metered,
}

impl Reader<'_> {
    fn message(&mut self, message: &Message<'_>) {
        match message.header(":message-type") {
            Some("event") => {}
            Some("exception" | "error") => {
                self.metered.error_event = true;
                return;
            }
            Some(_) | None => return,
        }
        match (message.header(":event-type"), message.payload) {
            (Some("chunk"), Some(payload)) => self.chunk(payload),
            // So long is only content: a picture.
            (Some("chunk"), None) => self.metered.content_started = true,
            (Some("contentBlockDelta"), payload) => {
                self.metered.content_started = true;
                if let (Some(least), Some(payload)) = (&mut self.metered.least, payload) {
                    read_text(payload, least);
                }
            }
            (Some("metadata"), payload) => {
                self.metered.complete = true;
                if let Some(payload) = payload {
                    self.metadata(payload);
                }
            }
            (Some(_) | None, _) => {}
        }
    }

    /// The last event of ConverseStream.
    fn metadata(&mut self, payload: &[u8]) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata<'a> {
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
            #[serde(default)]
            service_tier: Value,
            #[serde(default)]
            performance_config: Value,
        }
        let Ok(metadata) = serde_json::from_slice::<Metadata<'_>>(payload) else {
            return;
        };
        let usage = metadata
            .usage
            .and_then(|usage| bedrock::in_converse(usage.get().as_bytes()));
        self.metered.usage = usage.or(self.metered.usage);
        let tier = bedrock::served_in(&metadata.service_tier, &metadata.performance_config);
        add_tier(&mut self.metered.terms, tier);
    }

    /// `{"bytes":"<base64>"}` and padding beside it.
    fn chunk(&mut self, payload: &[u8]) {
        #[derive(Deserialize)]
        struct Chunk<'a> {
            #[serde(borrow)]
            bytes: Cow<'a, str>,
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(payload) else {
            return;
        };
        let mut decoded = std::mem::take(self.decoded);
        decoded.clear();
        if STANDARD.decode_vec(&*chunk.bytes, &mut decoded).is_ok() {
            self.vendor_event(&decoded);
        }
        decoded.shrink_to(MESSAGE_BYTES_LIMIT);
        *self.decoded = decoded;
    }

    fn vendor_event(&mut self, data: &[u8]) {
        let event = Event {
            name: b"",
            data: Cow::Borrowed(data),
        };
        // No other vendor's events have a type.
        let is_anthropics = !event_type(&event).is_empty();
        if is_anthropics {
            self.anthropic.event(&event, self.metered);
            *self.has_vendor_usage |= self.metered.usage.is_some();
        } else {
            self.metered.content_started = true;
        }
        if is_anthropics && METRICS_KEY.find(data).is_none()
            || COUNTING.iter().all(|key| key.find(data).is_none())
        {
            return;
        }
        if let Ok(event) = serde_json::from_slice::<VendorEvent<'_>>(data) {
            self.counts(&event, is_anthropics);
        }
    }

    fn counts(&mut self, event: &VendorEvent<'_>, is_anthropics: bool) {
        let model = event.model.map(RawValue::get);
        self.metered.name_model(model.and_then(plain_text));
        let usage = event
            .usage
            .or_else(|| event.metadata.as_ref()?.usage)
            .filter(|_| !is_anthropics);
        if let Some(reported) = usage.and_then(|usage| bedrock::in_any(usage.get().as_bytes())) {
            reported.add_to(self.metered);
            *self.has_vendor_usage = true;
        }
        let Some(metrics) = &event.metrics else {
            return;
        };
        // Only the last event has them.
        self.metered.complete = true;
        if !*self.has_vendor_usage {
            let by_vendor = plain(event.prompt_token_count, event.generation_token_count);
            self.metered.usage = metrics.usage().or(by_vendor);
        }
    }
}

/// Reads what Converse's `contentBlockDelta` says.
fn read_text(payload: &[u8], least: &mut Least) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct BlockDelta<'a> {
        #[serde(default)]
        content_block_index: u64,
        #[serde(borrow)]
        delta: Delta<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Delta<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
        #[serde(borrow)]
        tool_use: Option<ToolUse<'a>>,
    }
    #[derive(Deserialize)]
    struct ToolUse<'a> {
        #[serde(borrow)]
        input: Option<&'a RawValue>,
    }
    if let Ok(block) = serde_json::from_slice::<BlockDelta<'_>>(payload) {
        least.read(block.content_block_index, block.delta.text);
        let input = block.delta.tool_use.and_then(|call| call.input);
        least.read(block.content_block_index, input);
    }
}

/// What counts in an event of any vendor's: of Nova `metadata.usage`, of OpenAI `usage`, of Llama two
/// counts.
#[derive(Deserialize)]
struct VendorEvent<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    /// OpenAI's again; Anthropic's names it elsewhere.
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<NovaMetadata<'a>>,
    #[serde(default)]
    prompt_token_count: Count,
    #[serde(default)]
    generation_token_count: Count,
    #[serde(rename = "amazon-bedrock-invocationMetrics")]
    metrics: Option<InvocationMetrics>,
}

#[derive(Deserialize)]
struct NovaMetadata<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}
