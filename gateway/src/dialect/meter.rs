//! Reads usage from a response while it passes: incremental, in constant memory, over any chunking.
//!
//! One module per shape of response: [`openai_chat`], [`openai_responses`], [`anthropic`] and [`gemini`] read
//! event streams, [`media`] those of transcripts, pictures and speech, [`bedrock_events`] those of AWS, [`json_body`] reads single objects, [`array_body`] a stream
//! that is one array; [`openai_usage`] and [`response_object`] are what OpenAI's operations share.

mod anthropic;
mod array_body;
mod bedrock;
mod bedrock_events;
mod count;
mod event_body;
mod gemini;
pub(in crate::dialect) mod inflate;
mod json_body;
mod least;
mod lines_body;
mod media;
mod messages;
mod openai_chat;
mod openai_responses;
mod openai_usage;
mod realtime_answer;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod replay;
mod report;
mod response_object;

pub use least::tells_thoughts;
pub use messages::{RealtimeEvent, ResponsesMessages, realtime_event};
pub use realtime_answer::{RealtimeAnswer, RealtimeDelta, realtime_delta};

use super::{Dialect, Operation, event_stream};
use crate::handoff::record::{MODEL_BYTES_LIMIT, Terms, Usage};

use array_body::ArrayBody;
use bedrock_events::BedrockEvents;
use event_body::{EventBody, Events};
use inflate::Inflate;
use json_body::{JsonBody, Shape};
use least::Least;
use lines_body::LinesBody;

/// What a finished (or abandoned) meter knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metered {
    /// `None` when the response reported none (yet), and for operations that bill nothing. That of a stored
    /// response may have been billed before.
    pub usage: Option<Usage>,
    /// How `usage` was served.
    pub terms: Terms,
    /// What the provider says that `usage` cost, in dollars × 10⁻⁹.
    pub cost: Option<u64>,
    /// Id of the object that the answer is: a response that is kept, a file, a batch….
    pub object: Option<Box<str>>,
    /// The model that answered, as the answer names it.
    pub model: Option<Box<str>>,
    /// The dialect's own end was seen (`[DONE]`, `message_stop`, the JSON object's end…): an agent that
    /// leaves after this point has its answer. A body whose end has no mark of its own is complete when
    /// [`Meter::finish`] was called.
    pub complete: bool,
    /// The stream carried the dialect's error event.
    pub error_event: bool,
    /// A content byte (token) was seen. Of a body that is no event stream: any byte.
    pub content_started: bool,
    /// Kept where somebody watches.
    least: Option<Box<Least>>,
}

/// What an answer has used so far, at the least. More of it may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoFar {
    pub usage: Usage,
    /// Part of `usage` is reported; then so are the terms.
    pub is_reported: bool,
    pub terms: Terms,
    /// See [`Metered::cost`].
    pub cost: Option<u64>,
}

impl Metered {
    /// Notes what the answer calls its model; the last word counts.
    fn name_model(&mut self, name: Option<&str>) {
        if let Some(name) = name
            && (1..=MODEL_BYTES_LIMIT).contains(&name.len())
            && self.model.as_deref() != Some(name)
        {
            self.model = Some(name.into());
        }
    }

    /// `None` where nobody watches, and when nothing has come since the provider's last count: it may be the very last.
    fn so_far(&self) -> Option<SoFar> {
        let least = self.least.as_ref().filter(|least| least.has_more())?;
        if self.complete || self.error_event {
            return None;
        }
        let mut usage = self.usage.unwrap_or_default();
        usage.output_tokens = usage.output_tokens.max(least.tokens());
        Some(SoFar {
            usage,
            is_reported: self.usage.is_some(),
            terms: self.terms,
            cost: self.cost,
        })
    }
}

/// One per response.
///
/// Gzip and deflate are decoded on the side; the bytes passed on stay compressed. Other encodings are
/// passed on unread.
#[derive(Debug)]
pub struct Meter {
    metered: Metered,
    /// Errors use nothing and make nothing.
    is_success: bool,
    inflate: Option<Inflate>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Events(Box<EventBody>),
    Bedrock(Box<BedrockEvents>),
    Json(Box<JsonBody>),
    Array(Box<ArrayBody>),
    Lines(Box<LinesBody>),
    /// Passed on unread.
    Opaque,
}

impl Meter {
    /// `hide_usage_chunk`: the node asked for OpenAI's usage chunk, the agent did not; drop it on the
    /// way. Nothing is dropped from a compressed stream: ask the provider for `identity` when hiding.
    pub fn new(
        dialect: Dialect,
        operation: Operation,
        status: u16,
        content_type: &[u8],
        content_encoding: &[u8],
        hide_usage_chunk: bool,
    ) -> Self {
        let is_plain = content_encoding.is_empty() || names(content_encoding, "identity");
        let inflate = Inflate::new(content_encoding);
        let is_readable = is_plain || inflate.is_some();
        let media_type = content_type.split(|byte| *byte == b';').next();
        Self {
            metered: Metered::default(),
            is_success: (200..300).contains(&status),
            inflate,
            body: match media_type {
                Some(media_type) if is_readable => {
                    Body::new(dialect, operation, media_type, hide_usage_chunk && is_plain)
                }
                _ => Body::Opaque,
            },
        }
    }

    /// Takes counts from the answer's head: they hold where the body tells none.
    pub fn read_head<'h>(&mut self, header: impl Fn(&str) -> Option<&'h [u8]>) {
        self.metered = bedrock::in_headers(header);
    }

    /// Looks at the next bytes of the body. `forward` is called with what the agent shall get, in order;
    /// without `hide_usage_chunk` that is `input` itself, in one call.
    pub fn feed(&mut self, input: &[u8], forward: &mut dyn FnMut(&[u8])) {
        if input.is_empty() {
            return;
        }
        if let Body::Events(events) = &mut self.body
            && events.holds_back()
        {
            events.feed(input, &mut self.metered, forward);
            return;
        }
        forward(input);
        let Some(inflate) = &mut self.inflate else {
            self.body.read(input, &mut self.metered);
            return;
        };
        let decoded = inflate.feed(input, &mut |plain| {
            self.body.read(plain, &mut self.metered);
        });
        if decoded.is_err() {
            self.inflate = None;
            self.body = Body::Opaque;
        }
    }

    /// The body ended; forwards what was held back.
    pub fn finish(&mut self, forward: &mut dyn FnMut(&[u8])) {
        match &mut self.body {
            Body::Events(events) => events.finish(&mut self.metered, forward),
            Body::Json(json) => self.metered.complete |= json.failed(),
            // Its last event is its end.
            Body::Bedrock(_) => {}
            Body::Array(array) => self.metered.complete |= array.failed(),
            Body::Lines(lines) => lines.finish(&mut self.metered),
            Body::Opaque => self.metered.complete = true,
        }
    }

    /// Has [`Self::so_far`] tell what is used; `tells_thoughts`: see [`tells_thoughts`]. To be called before the first
    /// byte; events are passed on whole from there on.
    pub fn watch(&mut self, tells_thoughts: bool) {
        if !self.is_success {
            return;
        }
        self.metered.least = Some(Box::new(Least::new(tells_thoughts)));
        if let Body::Events(events) = &mut self.body
            && self.inflate.is_none()
        {
            events.hold_back();
        }
    }

    /// See [`Self::watch`].
    pub fn so_far(&self) -> Option<SoFar> {
        self.metered.so_far()
    }

    /// An event of the node's own may follow what was passed on.
    pub fn is_between_events(&self) -> bool {
        match &self.body {
            Body::Events(events) => events.holds_back(),
            Body::Bedrock(events) => !events.is_torn(),
            Body::Array(array) => array.is_between(),
            Body::Lines(lines) => lines.is_between(),
            Body::Json(_) | Body::Opaque => false,
        }
    }

    /// The stream is one JSON array.
    pub fn is_array(&self) -> bool {
        matches!(self.body, Body::Array(_))
    }

    /// The body is a stream of lines.
    pub fn is_lines(&self) -> bool {
        matches!(&self.body, Body::Lines(lines) if lines.is_stream())
    }

    /// See [`Metered::content_started`].
    pub fn content_started(&self) -> bool {
        self.metered.content_started
    }

    /// The body ended, but not where its own framing says so.
    pub fn is_torn(&self) -> bool {
        match &self.body {
            Body::Bedrock(events) => events.is_torn(),
            Body::Events(_) | Body::Json(_) | Body::Array(_) | Body::Lines(_) | Body::Opaque => {
                false
            }
        }
    }

    /// [`Metered::object`], as soon as it is known: before the agent has got enough to ask for it.
    pub fn object(&self) -> Option<&str> {
        match &self.body {
            _ if !self.is_success => None,
            Body::Json(json) => json.object(),
            Body::Events(_) => self.metered.object.as_deref(),
            Body::Array(_) | Body::Bedrock(_) | Body::Lines(_) | Body::Opaque => None,
        }
    }

    /// What is known so far; valid at any time, also after a cut.
    pub fn metered(&self) -> Metered {
        let mut metered = self.metered.clone();
        if let Body::Json(json) = &self.body {
            json.read(&mut metered);
        }
        if !self.is_success {
            metered = Metered {
                usage: None,
                terms: Terms::default(),
                cost: None,
                object: None,
                model: None,
                ..metered
            };
        }
        metered
    }
}

impl Body {
    fn new(dialect: Dialect, operation: Operation, media_type: &[u8], hide: bool) -> Self {
        match dialect {
            Dialect::OpenAi
            | Dialect::Anthropic
            | Dialect::Vertex
            | Dialect::Azure
            | Dialect::Gemini => {}
            Dialect::Ollama => return Self::of_ollama(operation, media_type),
            Dialect::Bedrock if names(media_type, event_stream::MEDIA_TYPE) => {
                return Self::Bedrock(Box::default());
            }
            Dialect::Bedrock => {}
        }
        if names(media_type, "text/event-stream") {
            return Events::new(operation).map_or(Self::Opaque, |events| {
                Self::Events(Box::new(EventBody::new(events, hide)))
            });
        }
        // Small compatible servers leave the type out.
        let media_type = media_type.trim_ascii();
        if media_type.is_empty()
            || names(media_type, "application/json")
            || media_type.to_ascii_lowercase().ends_with(b"+json")
        {
            if operation == Operation::StreamGenerateContent {
                return Self::Array(Box::default());
            }
            return Self::Json(Box::new(JsonBody::new(shape(operation))));
        }
        Self::Opaque
    }

    fn of_ollama(operation: Operation, media_type: &[u8]) -> Self {
        let is_stream = names(media_type, "application/x-ndjson");
        let is_metered = matches!(
            operation,
            Operation::ChatCompletions | Operation::Completions | Operation::Embeddings
        );
        if is_metered && (is_stream || names(media_type, "application/json")) {
            Self::Lines(Box::new(LinesBody::new(is_stream)))
        } else {
            Self::Opaque
        }
    }

    fn read(&mut self, plain: &[u8], metered: &mut Metered) {
        match self {
            Self::Events(events) => events.feed(plain, metered, &mut |_| {}),
            Self::Bedrock(events) => events.feed(plain, metered),
            Self::Json(json) => json.feed(plain, metered),
            Self::Array(array) => array.feed(plain, metered),
            Self::Lines(lines) => lines.feed(plain, metered),
            Self::Opaque => metered.content_started = true,
        }
    }
}

/// What a single JSON object tells.
fn shape(operation: Operation) -> Shape {
    match operation {
        Operation::ChatCompletions | Operation::Completions | Operation::Embeddings => {
            Shape::OpenAi
        }
        Operation::Responses | Operation::StoredResponse => Shape::Response,
        Operation::Messages => Shape::Anthropic,
        Operation::Converse | Operation::ConverseStream => Shape::Converse,
        Operation::Invoke | Operation::InvokeStream => Shape::Invoke,
        Operation::GenerateContent | Operation::StreamGenerateContent => Shape::Gemini,
        Operation::EmbedContent => Shape::GoogleEmbeddings,
        Operation::Unmetered => Shape::Media,
        Operation::Other => Shape::Object,
        // Counting tokens is free; Realtime has no bodies.
        Operation::ResponsesInputTokens
        | Operation::Realtime
        | Operation::CountTokens
        | Operation::CountContentTokens
        | Operation::ListModels
        | Operation::GetModel
        | Operation::Hello => Shape::Any,
    }
}

/// Dollars as a gateway writes them into a header, × 10⁹.
pub fn reported_cost(value: &[u8]) -> Option<u64> {
    report::Dollars::parse(std::str::from_utf8(value).ok()?)
}

/// Whether a header's value is this token.
fn names(value: &[u8], token: &str) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
}
