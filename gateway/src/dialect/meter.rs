//! Reads usage from a response while it passes: incremental, in constant memory, over any chunking.
//!
//! One module per shape of response: [`openai_chat`], [`openai_responses`] and [`anthropic`] read event
//! streams, [`json_body`] reads single objects, [`openai_usage`] what OpenAI's operations share.

mod anthropic;
mod count;
mod event_body;
mod inflate;
mod json_body;
mod openai_chat;
mod openai_responses;
mod openai_usage;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod replay;

use super::{Dialect, Operation};
use crate::handoff::record::Usage;

use event_body::{EventBody, Events};
use inflate::Inflate;
use json_body::{JsonBody, UsageShape};

/// What a finished (or abandoned) meter knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metered {
    /// `None` when the response reported none, and for operations that bill nothing.
    pub usage: Option<Usage>,
    /// The dialect's own end was seen (`[DONE]`, `message_stop`, the JSON object's end…): an agent that
    /// leaves after this point has its answer. A body whose end has no mark of its own is complete when
    /// [`Meter::finish`] was called.
    pub complete: bool,
    /// The stream carried the dialect's error event.
    pub error_event: bool,
    /// A content byte (token) was seen. Of a body that is no event stream: any byte.
    pub content_started: bool,
}

/// One per response.
///
/// Gzip and deflate are decoded on the side; the bytes passed on stay compressed. Other encodings are
/// passed on unread.
#[derive(Debug)]
pub struct Meter {
    metered: Metered,
    /// Usage in this response is to be billed.
    is_billed: bool,
    inflate: Option<Inflate>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Events(Box<EventBody>),
    Json(Box<JsonBody>),
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
            is_billed: (200..300).contains(&status) && is_billed(operation),
            inflate,
            body: match media_type {
                Some(media_type) if is_readable => {
                    Body::new(dialect, operation, media_type, hide_usage_chunk && is_plain)
                }
                _ => Body::Opaque,
            },
        }
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
            Body::Opaque => self.metered.complete = true,
        }
    }

    /// See [`Metered::content_started`].
    pub fn content_started(&self) -> bool {
        self.metered.content_started
    }

    /// What is known so far; valid at any time, also after a cut.
    pub fn metered(&self) -> Metered {
        let mut metered = self.metered.clone();
        if let Body::Json(json) = &self.body {
            metered.usage = json.usage();
        }
        if !self.is_billed {
            metered.usage = None;
        }
        metered
    }
}

impl Body {
    fn new(dialect: Dialect, operation: Operation, media_type: &[u8], hide: bool) -> Self {
        match dialect {
            Dialect::OpenAi | Dialect::Anthropic => {}
            // Not implemented yet.
            Dialect::Bedrock | Dialect::Vertex | Dialect::Azure => return Self::Opaque,
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
            return Self::Json(Box::new(JsonBody::new(usage_shape(operation))));
        }
        Self::Opaque
    }

    fn read(&mut self, plain: &[u8], metered: &mut Metered) {
        match self {
            Self::Events(events) => events.feed(plain, metered, &mut |_| {}),
            Self::Json(json) => json.feed(plain, metered),
            Self::Opaque => metered.content_started = true,
        }
    }
}

/// Whether the answer's usage is what this request costs. A stored response was billed when it was made;
/// counting tokens is free.
fn is_billed(operation: Operation) -> bool {
    usage_shape(operation).is_some()
}

/// Where and how a single JSON object reports usage.
fn usage_shape(operation: Operation) -> Option<UsageShape> {
    match operation {
        Operation::ChatCompletions
        | Operation::Completions
        | Operation::Responses
        | Operation::Embeddings => Some(UsageShape::OpenAi),
        Operation::Messages => Some(UsageShape::Anthropic),
        Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::CountTokens
        | Operation::ListModels
        | Operation::GetModel
        | Operation::Hello
        | Operation::Other => None,
    }
}

/// Whether a header's value is this token.
fn names(value: &[u8], token: &str) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
}
