//! Ollama's body: one JSON object per line, or a single one. The last object carries the counts; cached
//! prompt tokens are part of none, as they cost a server of one's own nothing.

use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Metered, count::Count, least::Least, report::plain};
use crate::dialect::json::capture::{Capture, Wanted};

const WANTED: Wanted = Wanted {
    parent: &[],
    keys: &["done", "prompt_eval_count", "eval_count", "error", "model"],
    types: None,
};
const DONE: usize = 0;
const PROMPT_EVAL_COUNT: usize = 1;
const EVAL_COUNT: usize = 2;
const ERROR: usize = 3;
const MODEL: usize = 4;

/// A longer line is not looked through for its text.
const TEXT_BYTES_LIMIT: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct LinesBody {
    line: Capture,
    /// The beginning of the line, where somebody watches.
    text: Vec<u8>,
    /// Objects follow each other; otherwise the first one is all.
    is_stream: bool,
    is_between: bool,
}

/// What a line says, in a chat or otherwise.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl LinesBody {
    pub(super) fn new(is_stream: bool) -> Self {
        Self {
            line: Capture::new(&WANTED),
            text: Vec::new(),
            is_stream,
            is_between: true,
        }
    }

    /// No line is under way.
    pub(super) fn is_between(&self) -> bool {
        self.is_stream && self.is_between
    }

    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    pub(super) fn feed(&mut self, mut input: &[u8], metered: &mut Metered) {
        metered.content_started = true;
        if !self.is_stream {
            if !metered.complete {
                self.line.feed(input);
                self.note(metered);
            }
            return;
        }
        while let Some(end) = memchr(b'\n', input) {
            self.read(&input[..end], metered);
            self.note(metered);
            if let Some(least) = &mut metered.least {
                read_text(&self.text, least);
            }
            self.text.clear();
            self.line = Capture::new(&WANTED);
            input = &input[end + 1..];
        }
        self.is_between = input.is_empty();
        self.read(input, metered);
    }

    fn read(&mut self, piece: &[u8], metered: &Metered) {
        self.line.feed(piece);
        if metered.least.is_some() {
            let room = TEXT_BYTES_LIMIT.saturating_sub(self.text.len());
            self.text.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// The body ended, perhaps without a line feed.
    pub(super) fn finish(&mut self, metered: &mut Metered) {
        self.note(metered);
        metered.complete |= self.line.failed();
    }

    fn note(&self, metered: &mut Metered) {
        if !self.line.ended() {
            return;
        }
        metered.name_model(self.line.plain_text(MODEL));
        metered.error_event |= self.line.value(ERROR).is_some();
        metered.complete |= !self.is_stream || self.line.value(DONE) == Some(b"true");
        let count = |index| self.line.value(index).map(Count::parse).unwrap_or_default();
        let counted = plain(count(PROMPT_EVAL_COUNT), count(EVAL_COUNT));
        metered.usage = counted.or(metered.usage);
    }
}

fn read_text(line: &[u8], least: &mut Least) {
    let Ok(Line {
        message,
        response,
        thinking,
    }) = serde_json::from_slice(line)
    else {
        return;
    };
    least.read_thought(0, thinking);
    least.read(0, response);
    let Some(message) = message else { return };
    least.read_thought(0, message.thinking);
    least.read(0, message.content);
    let calls = message.tool_calls.into_iter().flatten();
    for function in calls.filter_map(|call| call.function) {
        least.read_arguments(0, function.arguments);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::handoff::record::Usage;

    const STREAM: &str = concat!(
        r#"{"model":"m","message":{"role":"assistant","content":"a \"done\":true"},"done":false}"#,
        "\n",
        r#"{"model":"m","message":{"content":""},"done":true,"prompt_eval_count":26,"eval_count":7}"#,
        "\n",
    );

    fn read(text: &str, is_stream: bool, size: usize) -> Metered {
        let (mut body, mut metered) = (LinesBody::new(is_stream), Metered::default());
        for piece in text.as_bytes().chunks(size) {
            body.feed(piece, &mut metered);
        }
        body.finish(&mut metered);
        metered
    }

    #[test]
    fn counts_are_in_the_last_object() {
        let expected = Usage {
            input_tokens: 26,
            output_tokens: 7,
            ..Usage::default()
        };
        for size in 1..STREAM.len() + 1 {
            for text in [STREAM, STREAM.trim_end()] {
                let metered = read(text, true, size);
                assert_eq!(metered.usage, Some(expected), "{size}");
                assert!(metered.complete && !metered.error_event, "{size}");
            }
        }
        let whole = STREAM.lines().last().unwrap();
        assert_eq!(read(whole, false, 5).usage, Some(expected));
        assert!(read(whole, false, 5).complete);
    }

    #[test]
    fn what_is_watched_tells_its_words() {
        const LINES: &str = concat!(
            r#"{"message":{"role":"assistant","content":"one two"},"done":false}"#,
            "\n",
            r#"{"response":" three","done":false}"#,
            "\n",
            r#"{"message":{"content":"","thinking":" four"},"done":false}"#,
            "\n",
            r#"{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a": 5}}}]},"done":false}"#,
            "\n",
        );
        for size in 1..=LINES.len() {
            let mut body = LinesBody::new(true);
            let mut metered = Metered {
                least: Some(Box::new(Least::new(true))),
                ..Metered::default()
            };
            for piece in LINES.as_bytes().chunks(size) {
                body.feed(piece, &mut metered);
                assert_eq!(body.is_between(), piece.ends_with(b"\n"));
            }
            assert_eq!(metered.so_far().unwrap().usage.output_tokens, 5);
            body.feed(br#"{"done":true,"eval_count":3}"#, &mut metered);
            body.feed(b"\n", &mut metered);
            assert_eq!(metered.so_far(), None);
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_not_complete() {
        let first = STREAM.lines().next().unwrap();
        let cut = read(first, true, 9);
        assert_eq!((cut.usage, cut.complete), (None, false));
        let failed = read(
            &format!("{first}\n{{\"error\":\"out of memory\"}}\n"),
            true,
            9,
        );
        assert!(failed.error_event && !failed.complete);
    }

    #[test]
    fn embeddings_have_a_prompt_only() {
        let metered = read(
            r#"{"embeddings":[[0.1,0.2]],"prompt_eval_count":3}"#,
            false,
            4,
        );
        assert_eq!(metered.usage.unwrap().input_tokens, 3);
        assert!(metered.complete);
    }
}
