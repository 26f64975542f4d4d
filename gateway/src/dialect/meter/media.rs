//! Transcripts, pictures and speech: streamed as typed events of which the last one has the usage, and what a
//! usage that does not break its output down is about. OpenAI's names (SDK 3.54), and Mistral's (SDK 3.7).

use super::{Metered, openai_usage, report::Reported};
use crate::dialect::{
    json::capture::{Capture, Wanted},
    sse::{Event, parse},
};

const EVENT: Wanted = Wanted {
    parent: &[],
    keys: &["type", "usage"],
    types: None,
};
const TYPE: usize = 0;
const USAGE: usize = 1;

/// What begins the types of these streams.
const KINDS: [&str; 5] = [
    "transcript.",
    "transcription.",
    "image_generation.",
    "image_edit.",
    "speech.audio.",
];

/// What an operation makes. Text has other rates than pictures and speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Text,
    Pictures,
    Speech,
}

impl Made {
    /// Reads usage; output that is not broken down is what the operation makes.
    pub(super) fn read(self, usage: &[u8]) -> Option<Reported> {
        let mut reported = openai_usage::read(usage)?;
        let output = reported.usage.output_tokens;
        let media = &mut reported.usage.media;
        if media.image_output_tokens == 0 && media.audio_output_tokens == 0 {
            match self {
                Self::Text => {}
                Self::Pictures => media.image_output_tokens = output,
                Self::Speech => media.audio_output_tokens = output,
            }
        }
        Some(reported)
    }
}

#[derive(Debug, Default)]
pub(super) struct MediaEvents {
    /// Reads an event over the limit: a picture.
    long: Option<Box<Capture>>,
    is_known: bool,
}

impl MediaEvents {
    pub(super) fn event(&mut self, event: &Event<'_>, metered: &mut Metered) {
        let mut capture = Capture::new(&EVENT);
        capture.feed(&event.data);
        self.read(&capture, metered);
    }

    /// A piece of an event over the limit. Its data is one line.
    pub(super) fn part(&mut self, bytes: &[u8], first: bool, last: bool, metered: &mut Metered) {
        metered.content_started = true;
        if first {
            let mut capture = Box::new(Capture::new(&EVENT));
            capture.feed(&parse(bytes).data);
            self.long = Some(capture);
        } else if let Some(capture) = &mut self.long {
            capture.feed(bytes);
        }
        if last && let Some(capture) = self.long.take() {
            self.read(&capture, metered);
        }
    }

    /// No event was one of these: the stream is of some other kind, whose end nobody knows.
    pub(super) fn is_unknown(&self) -> bool {
        !self.is_known
    }

    fn read(&mut self, event: &Capture, metered: &mut Metered) {
        let made = match event.plain_text(TYPE) {
            Some("transcript.text.done" | "transcription.done") => Made::Text,
            Some("image_generation.completed" | "image_edit.completed") => Made::Pictures,
            Some("speech.audio.done") => Made::Speech,
            Some("error") => {
                metered.error_event = true;
                return;
            }
            Some(kind) if KINDS.iter().any(|start| kind.starts_with(start)) => {
                self.is_known = true;
                metered.content_started = true;
                return;
            }
            Some(_) | None => {
                metered.content_started = true;
                return;
            }
        };
        self.is_known = true;
        metered.content_started = true;
        metered.complete = true;
        if let Some(reported) = event.value(USAGE).and_then(|usage| made.read(usage)) {
            reported.add_to(metered);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, Operation, meter::Meter, sse::EVENT_BYTES_LIMIT};

    fn metered(body: &str, size: usize) -> Metered {
        let (dialect, operation) = (Dialect::OpenAi, Operation::Unmetered);
        let mut meter = Meter::new(dialect, operation, 200, b"text/event-stream", b"", false);
        for piece in body.as_bytes().chunks(size) {
            meter.feed(piece, &mut |_| {});
        }
        meter.finish(&mut |_| {});
        meter.metered()
    }

    #[test]
    fn a_picture_over_the_limit_is_metered() {
        let picture = "x".repeat(3 * EVENT_BYTES_LIMIT);
        let stream = format!(
            "event: image_generation.completed\ndata: {{\"type\":\"image_generation.completed\",\"b64_json\":\"{picture}\",\
             \"usage\":{{\"input_tokens\":12,\"output_tokens\":300}}}}\n\n"
        );
        for size in [1_000, EVENT_BYTES_LIMIT + 1, stream.len()] {
            let metered = metered(&stream, size);
            assert!(metered.complete, "{size}");
            assert_eq!(metered.usage.unwrap().media.image_output_tokens, 300);
        }
    }

    #[test]
    fn a_stream_of_another_kind_ends_when_it_ends() {
        assert!(metered("data: {\"type\":\"x\"}\n\n", 3).complete);
        let cut = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\n";
        assert!(!metered(cut, 3).complete);
    }
}
