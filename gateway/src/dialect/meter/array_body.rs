//! A stream that is one JSON array, as Gemini's is without `alt=sse`: its elements, found while it passes
//! in chunks of any size.

use super::{Metered, gemini::GeminiEvents};

/// Most bytes of one element held together.
const ELEMENT_BYTES_LIMIT: usize = 64 * 1024;
/// Buffer kept between elements.
const BUFFER_BYTES_KEPT: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(super) struct ArrayBody {
    state: State,
    /// The beginning of the current element, from earlier chunks; empty once it is over the limit.
    held: Vec<u8>,
    /// The current element is over the limit; its beginning was read.
    oversized: bool,
    events: GeminiEvents,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// Between two elements.
    Between,
    /// In an element, this many brackets deep.
    Element {
        depth: usize,
    },
    String {
        depth: usize,
    },
    /// After a backslash.
    Escape {
        depth: usize,
    },
    /// The array ended.
    Ended,
    /// It is no array of objects.
    Failed,
}

impl ArrayBody {
    pub(super) fn feed(&mut self, input: &[u8], metered: &mut Metered) {
        let mut start = 0;
        for (at, &byte) in input.iter().enumerate() {
            let before = self.state;
            self.state = next(before, byte);
            match (before, self.state) {
                (State::Between, State::Element { .. }) => start = at,
                (State::Element { .. }, State::Between) => {
                    self.end_element(&input[start..=at], metered);
                }
                (_, State::Ended) => {
                    metered.complete = true;
                    return;
                }
                (_, State::Failed) => return,
                (_, _) => {}
            }
        }
        match self.state {
            State::Element { .. } | State::String { .. } | State::Escape { .. } => {
                self.hold(&input[start..], metered);
            }
            State::Start | State::Between | State::Ended | State::Failed => {}
        }
    }

    /// What came so far ends between two elements.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// It is no array after all.
    pub(super) fn failed(&self) -> bool {
        self.state == State::Failed
    }

    fn end_element(&mut self, tail: &[u8], metered: &mut Metered) {
        if self.oversized {
            self.events.long_object(tail, false, true, metered);
        } else if self.held.len() + tail.len() > ELEMENT_BYTES_LIMIT {
            self.events.long_object(&self.held, true, false, metered);
            self.events.long_object(tail, false, true, metered);
        } else if self.held.is_empty() {
            self.events.object(tail, metered);
        } else {
            self.held.extend_from_slice(tail);
            self.events.object(&self.held, metered);
        }
        self.oversized = false;
        self.held.clear();
        self.held.shrink_to(BUFFER_BYTES_KEPT);
    }

    /// The chunk ends inside an element.
    fn hold(&mut self, tail: &[u8], metered: &mut Metered) {
        if self.oversized {
            self.events.long_object(tail, false, false, metered);
            return;
        }
        if self.held.len() + tail.len() <= ELEMENT_BYTES_LIMIT {
            self.held.extend_from_slice(tail);
            return;
        }
        self.oversized = true;
        self.events.long_object(&self.held, true, false, metered);
        self.events.long_object(tail, false, false, metered);
        self.held = Vec::new();
    }
}

fn next(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::Start | State::Between, b' ' | b'\t' | b'\r' | b'\n') => state,
        (State::Start, b'[') => State::Between,
        (State::Between, b',') => State::Between,
        (State::Between, b'{') => State::Element { depth: 1 },
        (State::Between, b']') => State::Ended,
        (State::Start | State::Between, _) => State::Failed,
        (State::Element { depth }, b'{' | b'[') => State::Element { depth: depth + 1 },
        (State::Element { depth: 1 }, b'}' | b']') => State::Between,
        (State::Element { depth }, b'}' | b']') => State::Element { depth: depth - 1 },
        (State::Element { depth }, b'"') => State::String { depth },
        (State::String { depth }, b'\\') => State::Escape { depth },
        (State::String { depth }, b'"') => State::Element { depth },
        (State::Escape { depth }, _) => State::String { depth },
        (State::Element { .. } | State::String { .. } | State::Ended | State::Failed, _) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(body: &str, size: usize) -> Metered {
        let mut array = ArrayBody::default();
        let mut metered = Metered::default();
        for piece in body.as_bytes().chunks(size) {
            array.feed(piece, &mut metered);
        }
        metered
    }

    #[test]
    fn an_element_over_the_limit_is_metered() {
        let picture = "x".repeat(3 * ELEMENT_BYTES_LIMIT);
        let body = format!(
            r#"[{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"data":"{picture}"}}}}]}}}}],
            "usageMetadata":{{"promptTokenCount":3,"totalTokenCount":7}}}}]"#
        );
        for size in [1, 1000, ELEMENT_BYTES_LIMIT + 1, body.len()] {
            let metered = metered(&body, size);
            let usage = metered.usage.map(|u| (u.input_tokens, u.output_tokens));
            assert_eq!(usage, Some((3, 4)), "chunks of {size}");
            assert!(metered.complete && metered.content_started);
        }
    }

    #[test]
    fn only_a_whole_array_is_complete() {
        for (body, complete) in [
            ("[]", true),
            (r#" [ {"a":"]}\"]"} , {"b":[{}]} ] "#, true),
            (r#"[{"a":1}"#, false),
            (r#"[{"a":"]}"#, false),
            ("[", false),
            (r#"{"a":1}"#, false),
            ("[1]", false),
        ] {
            for size in [1, body.len()] {
                assert_eq!(metered(body, size).complete, complete, "{body}");
            }
        }
    }
}
