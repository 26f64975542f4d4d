//! The Responses API as a stream: named events; the last one carries the whole response and in it the
//! usage. With long instructions it grows beyond what is held, so it is read as it comes.

use super::{Metered, event_body::event_type, openai_usage};
use crate::dialect::{
    json::capture::Capture,
    sse::{Event, parse},
};

/// Where a terminal event has the usage.
const USAGE_PATH: &[&str] = &["response", "usage"];

#[derive(Debug, Default)]
pub(super) struct ResponsesEvents {
    /// Reads a terminal event that is over the limit.
    terminal: Option<Capture>,
}

/// What an event means to a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
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
        if note(meaning(event), metered) {
            let mut capture = Capture::new(USAGE_PATH);
            capture.feed(&event.data);
            take_usage(&capture, metered);
        }
    }

    /// A piece of an event over the limit. Its data is one line, as all servers send it; of several lines
    /// the meter would read none.
    pub(super) fn part(&mut self, bytes: &[u8], first: bool, last: bool, metered: &mut Metered) {
        if first {
            let event = parse(bytes);
            if note(meaning(&event), metered) {
                let mut capture = Capture::new(USAGE_PATH);
                capture.feed(&event.data);
                self.terminal = Some(capture);
            }
        } else if let Some(capture) = &mut self.terminal {
            capture.feed(bytes);
        }
        if last && let Some(capture) = self.terminal.take() {
            take_usage(&capture, metered);
        }
    }
}

/// Notes what an event means; true: it may carry usage.
fn note(meaning: Meaning, metered: &mut Metered) -> bool {
    match meaning {
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

fn take_usage(capture: &Capture, metered: &mut Metered) {
    if let Some(usage) = capture.value().and_then(openai_usage::read) {
        metered.usage = Some(usage);
    }
}

fn meaning(event: &Event<'_>) -> Meaning {
    match event_type(event) {
        b"response.completed" | b"response.incomplete" => Meaning::Terminal { failed: false },
        b"response.failed" => Meaning::Terminal { failed: true },
        b"error" => Meaning::Error,
        name if name.starts_with(b"response.") && name.ends_with(b".delta") => Meaning::Content,
        _ => Meaning::Other,
    }
}
