//! A response that is one JSON object: its end, and what is wanted of its top level.

use super::{
    Metered, anthropic, bedrock, gemini,
    media::Made,
    openai_usage,
    report::{Reported, add_tier, service_tier},
    response_object,
};
use crate::dialect::json::{
    capture::{Capture, Wanted},
    grounding::Grounding,
    key_sum::KeySum,
};
use crate::handoff::record::Usage;

/// In Vertex AI's embeddings, the tokens of one text.
const EMBEDDED_TOKENS: &str = "token_count";

/// What is wanted of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Its end alone.
    Any,
    /// The `id` of a file, a batch….
    Object,
    /// As [`Self::Object`], or OpenAI's `usage` of what has one: transcriptions, images.
    Media,
    /// OpenAI's `usage`.
    OpenAi,
    /// A response of the Responses API.
    Response,
    /// Anthropic's `usage`.
    Anthropic,
    /// Bedrock's `usage`.
    Converse,
    /// The answer of any vendor's model at Bedrock.
    Invoke,
    /// Gemini's `usageMetadata`.
    Gemini,
    /// The same, or token counts beside each vector.
    GoogleEmbeddings,
}

impl Shape {
    fn wanted(self) -> &'static Wanted {
        const NOTHING: Wanted = keys(&[]);
        const ID: Wanted = keys(&["id"]);
        const MEDIA: Wanted = keys(&["id", "usage", "created", "object"]);
        const USAGE_AND_MORE: Wanted = keys(&["usage", "model", "service_tier"]);
        const USAGE_AND_MODEL: Wanted = keys(&["usage", "model"]);
        match self {
            Self::Any => &NOTHING,
            Self::Object => &ID,
            Self::Media => &MEDIA,
            Self::OpenAi => &USAGE_AND_MORE,
            Self::Response => &response_object::IN_BODY,
            Self::Anthropic => &USAGE_AND_MODEL,
            Self::Converse => &bedrock::CONVERSE,
            Self::Invoke => &bedrock::INVOKE,
            Self::Gemini | Self::GoogleEmbeddings => &gemini::USAGE_AND_MODEL,
        }
    }
}

/// Indexes of the keys above.
const ID: usize = 0;
const MEDIA_USAGE: usize = 1;
const CREATED: usize = 2;
const OBJECT: usize = 3;
const USAGE: usize = 0;
const MODEL: usize = 1;
const SERVICE_TIER: usize = 2;

const fn keys(keys: &'static [&'static str]) -> Wanted {
    Wanted {
        parent: &[],
        keys,
        types: None,
    }
}

#[derive(Debug)]
pub(super) struct JsonBody {
    capture: Capture,
    shape: Shape,
    /// Of [`Shape::GoogleEmbeddings`].
    tokens: Option<KeySum>,
    /// Of [`Shape::Gemini`].
    grounding: Option<Box<Grounding>>,
}

impl JsonBody {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            capture: Capture::new(shape.wanted()),
            shape,
            tokens: (shape == Shape::GoogleEmbeddings).then(|| KeySum::new(EMBEDDED_TOKENS)),
            grounding: (shape == Shape::Gemini).then(Box::default),
        }
    }

    pub(super) fn feed(&mut self, input: &[u8], metered: &mut Metered) {
        metered.content_started = true;
        if metered.complete {
            return;
        }
        self.capture.feed(input);
        if let Some(tokens) = &mut self.tokens {
            tokens.feed(input);
        }
        if let Some(grounding) = &mut self.grounding {
            grounding.feed(input);
        }
        metered.complete = self.capture.ended();
    }

    /// Id of the object that this is, known with its last byte.
    pub(super) fn object(&self) -> Option<&str> {
        let id = match self.shape {
            Shape::Object | Shape::Media => self.capture.plain_text(ID),
            Shape::Response => response_object::id(&self.capture),
            Shape::Any
            | Shape::OpenAi
            | Shape::Anthropic
            | Shape::Converse
            | Shape::Invoke
            | Shape::Gemini
            | Shape::GoogleEmbeddings => None,
        };
        id.filter(|_| self.capture.ended())
    }

    /// Adds what was read whole.
    pub(super) fn read(&self, metered: &mut Metered) {
        match self.shape {
            Shape::Any => {}
            Shape::Object => metered.object = self.object().map(Into::into),
            Shape::Media => {
                metered.object = self.object().map(Into::into);
                // Of a batch that was just made, which has used nothing.
                if self.capture.plain_text(OBJECT) == Some("batch") {
                    return;
                }
                // Of the others, only pictures say when they were made.
                let made = match self.capture.value(CREATED) {
                    Some(_) => Made::Pictures,
                    None => Made::Text,
                };
                if let Some(reported) = self
                    .capture
                    .value(MEDIA_USAGE)
                    .and_then(|usage| made.read(usage))
                {
                    reported.add_to(metered);
                }
            }
            Shape::Response => response_object::read(&self.capture, metered),
            Shape::OpenAi => {
                metered.name_model(self.capture.plain_text(MODEL));
                if let Some(reported) = self.capture.value(USAGE).and_then(openai_usage::read) {
                    reported.add_to(metered);
                    let tier = self.capture.plain_text(SERVICE_TIER);
                    add_tier(&mut metered.terms, service_tier(tier));
                }
            }
            Shape::Gemini | Shape::GoogleEmbeddings => {
                metered.name_model(self.capture.plain_text(gemini::MODEL_VERSION));
                let told = self.capture.value(USAGE).and_then(gemini::read);
                let counted = || {
                    let input_tokens = self.tokens.as_ref()?.sum()?;
                    let usage = Usage {
                        input_tokens,
                        ..Usage::default()
                    };
                    Some(Reported {
                        usage,
                        ..Reported::default()
                    })
                };
                if let Some(mut reported) = told.or_else(counted) {
                    if let Some(grounding) = &self.grounding {
                        reported.usage.tool_calls = grounding.calls();
                    }
                    reported.add_to(metered);
                }
            }
            Shape::Anthropic => {
                metered.name_model(self.capture.plain_text(MODEL));
                if let Some(reported) = self.capture.value(USAGE).and_then(anthropic::read) {
                    reported.add_to(metered);
                }
            }
            Shape::Converse => bedrock::read_converse(&self.capture, metered),
            Shape::Invoke => bedrock::read_invoke(&self.capture, metered),
        }
    }

    /// It is no JSON object after all.
    pub(super) fn failed(&self) -> bool {
        self.capture.failed()
    }
}
