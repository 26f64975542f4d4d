//! The Responses API as a stream: named events; the first one names the response, the last one carries the
//! whole of it and in it the usage. With long instructions it grows beyond what is held, so it is read as
//! it comes.

use super::{
    Metered,
    event_body::event_type,
    least::Least,
    response_object::{self, IN_EVENT},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{
    json::capture::Capture,
    sse::{Event, parse},
};

#[derive(Debug, Default)]
pub(super) struct ResponsesEvents {
    /// Reads an event with a response that is over the limit. Boxed, as hardly one is.
    long: Option<Box<Capture>>,
}

/// What an event means to a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The response is there, and under way.
    Begun,
    Content,
    /// The response is over, well or not.
    Terminal {
        failed: bool,
    },
    Error,
    Other,
}

impl ResponsesEvents {
    pub(super) fn event(&mut self, event: &Event<'_>, metered: &mut Metered) {
        if let Some(least) = &mut metered.least {
            read_text(event, least);
        }
        if note(meaning(event), metered) {
            let mut capture = Capture::new(&IN_EVENT);
            capture.feed(&event.data);
            response_object::read(&capture, metered);
        }
    }

    /// A piece of an event over the limit. Its data is one line, as all servers send it; of several lines
    /// the meter would read none.
    pub(super) fn part(&mut self, bytes: &[u8], first: bool, last: bool, metered: &mut Metered) {
        if first {
            let event = parse(bytes);
            if note(meaning(&event), metered) {
                let mut capture = Box::new(Capture::new(&IN_EVENT));
                capture.feed(&event.data);
                self.long = Some(capture);
            }
        } else if let Some(capture) = &mut self.long {
            capture.feed(bytes);
        }
        if last && let Some(capture) = self.long.take() {
            response_object::read(&capture, metered);
        }
    }
}

/// Events with what the model itself says.
/// Its thoughts, of which OpenAI sends summaries, in events of another name.
const THOUGHT_DELTA: &[u8] = b"response.reasoning_text.delta";

const OUTPUT_DELTAS: [&[u8]; 6] = [
    b"response.output_text.delta",
    b"response.refusal.delta",
    b"response.function_call_arguments.delta",
    b"response.custom_tool_call_input.delta",
    b"response.mcp_call_arguments.delta",
    b"response.code_interpreter_call_code.delta",
];

fn read_text(event: &Event<'_>, least: &mut Least) {
    #[derive(Deserialize)]
    struct OutputDelta<'a> {
        #[serde(default)]
        output_index: u64,
        #[serde(borrow)]
        delta: &'a RawValue,
    }
    let kind = event_type(event);
    let is_thought = kind == THOUGHT_DELTA;
    if (is_thought || OUTPUT_DELTAS.contains(&kind))
        && let Ok(output) = serde_json::from_slice::<OutputDelta<'_>>(&event.data)
    {
        match is_thought {
            true => least.read_thought(output.output_index, Some(output.delta)),
            false => least.read(output.output_index, Some(output.delta)),
        }
    }
}

/// Notes what an event means; true: the response in it is to be read.
fn note(meaning: Meaning, metered: &mut Metered) -> bool {
    match meaning {
        Meaning::Begun => return metered.object.is_none(),
        Meaning::Content => metered.content_started = true,
        Meaning::Terminal { failed } => {
            metered.complete = true;
            metered.error_event |= failed;
            return true;
        }
        Meaning::Error => metered.error_event = true,
        Meaning::Other => {}
    }
    false
}

fn meaning(event: &Event<'_>) -> Meaning {
    match event_type(event) {
        b"response.created" | b"response.queued" => Meaning::Begun,
        b"response.completed" | b"response.incomplete" => Meaning::Terminal { failed: false },
        b"response.failed" => Meaning::Terminal { failed: true },
        b"error" => Meaning::Error,
        name if name.starts_with(b"response.") && name.ends_with(b".delta") => Meaning::Content,
        _ => Meaning::Other,
    }
}
