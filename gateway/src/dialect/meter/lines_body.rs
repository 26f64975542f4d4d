//! Ollama's body: one JSON object per line, or a single one. The last object carries the counts; cached
//! prompt tokens are part of none, as they cost a server of one's own nothing.

use memchr::memchr;

use super::{Metered, count::Count, report::plain};
use crate::dialect::json::capture::{Capture, Wanted};

const WANTED: Wanted = Wanted {
    parent: &[],
    keys: &["done", "prompt_eval_count", "eval_count", "error"],
    types: None,
};
const DONE: usize = 0;
const PROMPT_EVAL_COUNT: usize = 1;
const EVAL_COUNT: usize = 2;
const ERROR: usize = 3;

#[derive(Debug)]
pub(super) struct LinesBody {
    line: Capture,
    /// Objects follow each other; otherwise the first one is all.
    is_stream: bool,
}

impl LinesBody {
    pub(super) fn new(is_stream: bool) -> Self {
        Self {
            line: Capture::new(&WANTED),
            is_stream,
        }
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
            self.line.feed(&input[..end]);
            self.note(metered);
            self.line = Capture::new(&WANTED);
            input = &input[end + 1..];
        }
        self.line.feed(input);
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
        metered.error_event |= self.line.value(ERROR).is_some();
        metered.complete |= !self.is_stream || self.line.value(DONE) == Some(b"true");
        let count = |index| self.line.value(index).map(Count::parse).unwrap_or_default();
        let counted = plain(count(PROMPT_EVAL_COUNT), count(EVAL_COUNT));
        metered.usage = counted.or(metered.usage);
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
