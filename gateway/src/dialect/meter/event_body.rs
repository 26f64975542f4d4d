//! An event stream as a body: frames it, lets the dialect's reader see each event, and passes on all
//! but the one chunk that the agent shall not see.

use super::{
    Metered, Operation, anthropic::AnthropicEvents, gemini::GeminiEvents, media::MediaEvents,
    openai_chat, openai_responses::ResponsesEvents,
};
use crate::dialect::sse::{Event, Frame, Framer, parse};

/// Reads the events of one dialect's stream.
#[derive(Debug)]
pub(super) enum Events {
    /// Each chunk is read by itself.
    Chat,
    Responses(ResponsesEvents),
    Anthropic(AnthropicEvents),
    Gemini(GeminiEvents),
    Media(MediaEvents),
}

impl Events {
    /// `None`: this operation streams nothing that is known.
    pub(super) fn new(operation: Operation) -> Option<Self> {
        match operation {
            Operation::ChatCompletions | Operation::Completions => Some(Self::Chat),
            Operation::Responses | Operation::StoredResponse => {
                Some(Self::Responses(ResponsesEvents::default()))
            }
            Operation::Messages => Some(Self::Anthropic(AnthropicEvents::default())),
            Operation::GenerateContent | Operation::StreamGenerateContent => {
                Some(Self::Gemini(GeminiEvents::default()))
            }
            Operation::Unmetered => Some(Self::Media(MediaEvents::default())),
            Operation::ResponsesInputTokens
            | Operation::Realtime
            | Operation::Embeddings
            | Operation::CountTokens
            | Operation::Invoke
            | Operation::InvokeStream
            | Operation::Converse
            | Operation::ConverseStream
            | Operation::CountContentTokens
            | Operation::EmbedContent
            | Operation::ListModels
            | Operation::GetModel
            | Operation::Hello
            | Operation::Other => None,
        }
    }

    /// True: this is the chunk that carries nothing but usage.
    fn event(&mut self, event: &Event<'_>, metered: &mut Metered) -> bool {
        match self {
            Self::Chat => return openai_chat::event(event, metered),
            Self::Responses(events) => events.event(event, metered),
            Self::Anthropic(events) => events.event(event, metered),
            Self::Gemini(events) => events.event(event, metered),
            Self::Media(events) => events.event(event, metered),
        }
        false
    }

    /// A piece of an event that is too long to hold.
    fn part(&mut self, bytes: &[u8], first: bool, last: bool, metered: &mut Metered) {
        match self {
            // So long is only content: a picture, a file.
            Self::Chat | Self::Anthropic(_) => metered.content_started = true,
            Self::Responses(events) => events.part(bytes, first, last, metered),
            Self::Gemini(events) => events.part(bytes, first, last, metered),
            Self::Media(events) => events.part(bytes, first, last, metered),
        }
    }

    /// The stream may end anywhere.
    fn has_no_end(&self) -> bool {
        match self {
            Self::Chat | Self::Responses(_) | Self::Anthropic(_) | Self::Gemini(_) => false,
            Self::Media(events) => events.is_unknown(),
        }
    }
}

#[derive(Debug)]
pub(super) struct EventBody {
    framer: Framer,
    events: Events,
    hide_usage_chunk: bool,
    /// Events are passed on one by one, when they are whole.
    holds_back: bool,
    /// The last event was not passed on.
    hid_last: bool,
}

impl EventBody {
    pub(super) fn new(events: Events, hide_usage_chunk: bool) -> Self {
        Self {
            framer: Framer::default(),
            events,
            hide_usage_chunk,
            holds_back: hide_usage_chunk,
            hid_last: false,
        }
    }

    /// What is passed on goes through `forward` of [`Self::feed`]; otherwise it is the caller's matter.
    pub(super) fn holds_back(&self) -> bool {
        self.holds_back
    }

    /// Passes events on one by one. To be called before the first.
    pub(super) fn hold_back(&mut self) {
        self.holds_back = true;
    }

    pub(super) fn feed(
        &mut self,
        input: &[u8],
        metered: &mut Metered,
        forward: &mut dyn FnMut(&[u8]),
    ) {
        let Self {
            framer,
            events,
            hide_usage_chunk,
            hid_last,
            ..
        } = self;
        framer.feed(input, &mut |frame| {
            *hid_last = read(
                events,
                frame,
                metered,
                *hide_usage_chunk,
                *hid_last,
                forward,
            );
        });
    }

    pub(super) fn finish(&mut self, metered: &mut Metered, forward: &mut dyn FnMut(&[u8])) {
        let forward: &mut dyn FnMut(&[u8]) = match self.holds_back {
            true => forward,
            // It went out when it came.
            false => &mut |_| {},
        };
        let Self {
            framer,
            events,
            hide_usage_chunk,
            hid_last,
            ..
        } = self;
        framer.finish(&mut |frame| {
            *hid_last = read(
                events,
                frame,
                metered,
                *hide_usage_chunk,
                *hid_last,
                forward,
            );
        });
        metered.complete |= events.has_no_end();
    }
}

/// Reads one frame and passes it on, or does not: then true.
fn read(
    events: &mut Events,
    frame: Frame<'_>,
    metered: &mut Metered,
    hide_usage_chunk: bool,
    hid_last: bool,
    forward: &mut dyn FnMut(&[u8]),
) -> bool {
    let (bytes, hide) = match frame {
        Frame::Event(bytes) => {
            let is_usage_chunk = events.event(&parse(bytes), metered);
            (bytes, is_usage_chunk && hide_usage_chunk)
        }
        Frame::Part { bytes, first, last } => {
            events.part(bytes, first, last, metered);
            (bytes, false)
        }
        Frame::LineFeed(bytes) => (bytes, hid_last),
    };
    if !hide {
        forward(bytes);
    }
    hide
}

/// What an event of a dialect with typed events is: its name, or `type` of its data where a compatible
/// server leaves the name out.
pub(super) fn event_type<'a>(event: &'a Event<'_>) -> &'a [u8] {
    if !event.name.is_empty() {
        return event.name;
    }
    const FIRST_KEY: &[u8] = b"{\"type\":\"";
    if let Some(rest) = event.data.strip_prefix(FIRST_KEY) {
        let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        return &rest[..end];
    }
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        r#type: &'a str,
    }
    serde_json::from_slice::<Typed<'_>>(&event.data).map_or(b"", |typed| typed.r#type.as_bytes())
}
