//! Keeps the bytes of one value of a JSON object while the object passes, however long the rest is.

use super::{
    key::KeyText,
    lexer::{Lexer, Scan, Visitor},
};

/// Most bytes kept of the value. A usage object has a few hundred.
pub const VALUE_BYTES_LIMIT: usize = 16 * 1024;

/// Captures the value at `path`, a list of keys from the top. Given twice, the last one counts.
#[derive(Debug)]
pub struct Capture {
    lexer: Lexer,
    path: Path,
    value: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The object ended; what follows is not read.
    Ended,
    /// Not one JSON object.
    Failed,
}

impl Capture {
    /// `path` may be empty: then only the object's end is watched for.
    pub fn new(path: &'static [&'static str]) -> Self {
        Self {
            lexer: Lexer::default(),
            path: Path {
                keys: path,
                matched: 0,
                key: KeyText::default(),
                start: None,
                end: None,
            },
            value: Vec::new(),
            state: State::Reading,
        }
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, segment: &[u8]) {
        if self.state != State::Reading {
            return;
        }
        let from = self.lexer.offset();
        let fed = self.lexer.feed(segment, &mut self.path);
        if self.lexer.is_done() {
            // Text after the object is an error that changes nothing.
            self.state = State::Ended;
        } else if fed.is_err() {
            self.state = State::Failed;
        }
        self.keep(segment, from);
    }

    /// The object's closing brace was read.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// What came is not a JSON object.
    pub fn failed(&self) -> bool {
        self.state == State::Failed
    }

    /// The value's text once it is complete; `None` when there is none, it is over the limit, or all of
    /// this is no JSON.
    pub fn value(&self) -> Option<&[u8]> {
        let is_whole = self.path.end.is_some() && self.value.len() <= VALUE_BYTES_LIMIT;
        (is_whole && !self.failed()).then_some(self.value.as_slice())
    }

    /// Copies the part of the value that lies in `segment`, which starts at offset `from`.
    fn keep(&mut self, segment: &[u8], from: usize) {
        let Some(start) = self.path.start else {
            return;
        };
        if start >= from {
            self.value.clear();
        }
        let begin = start.saturating_sub(from);
        let end = self.path.end.map_or(from + segment.len(), |end| end);
        let Some(here) = end
            .checked_sub(from)
            .and_then(|end| segment.get(begin..end))
        else {
            return;
        };
        // One byte over the limit marks the value as too long.
        let room = (VALUE_BYTES_LIMIT + 1).saturating_sub(self.value.len());
        self.value.extend_from_slice(&here[..here.len().min(room)]);
    }
}

/// Follows the keys of `keys` through the object.
#[derive(Debug)]
struct Path {
    keys: &'static [&'static str],
    /// How many of them lead to where the lexer is.
    matched: usize,
    key: KeyText,
    start: Option<usize>,
    end: Option<usize>,
}

impl Path {
    /// A value at `depth` lies at the path's end.
    fn is_target(&self, depth: usize) -> bool {
        depth == self.keys.len() && self.matched == depth && depth > 0
    }

    fn begin(&mut self, depth: usize, at: usize) {
        if self.is_target(depth) {
            self.start = Some(at);
            self.end = None;
        }
    }

    fn end(&mut self, depth: usize, end: usize) {
        if self.is_target(depth) {
            self.end = Some(end);
        }
        // The key that led here is over.
        if depth > 0 && self.matched >= depth {
            self.matched = depth - 1;
        }
    }

    /// Whether a key at `depth` may be the next one of the path.
    fn expects(&self, depth: usize) -> bool {
        depth == self.matched + 1 && depth <= self.keys.len()
    }
}

impl Visitor for Path {
    fn string_begin(&mut self, depth: usize, is_key: bool, at: usize) -> Scan<bool> {
        if !is_key {
            self.begin(depth, at);
            return Ok(false);
        }
        self.key.clear();
        Ok(self.expects(depth))
    }

    fn string_end(&mut self, depth: usize, is_key: bool, end: usize) -> Scan<()> {
        if !is_key {
            self.end(depth, end);
        } else if self.expects(depth)
            && self
                .key
                .decoded()
                .is_some_and(|key| *key == *self.keys[depth - 1].as_bytes())
        {
            self.matched = depth;
        }
        Ok(())
    }

    fn container_begin(&mut self, depth: usize, _: bool, at: usize) -> Scan<()> {
        self.begin(depth, at);
        Ok(())
    }

    fn container_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        self.end(depth, end);
        Ok(())
    }

    fn scalar_begin(&mut self, depth: usize, at: usize) -> Scan<bool> {
        self.begin(depth, at);
        Ok(false)
    }

    fn scalar_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        self.end(depth, end);
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) -> Scan<()> {
        self.key.push(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at `path`, fed whole, cut at every byte and byte by byte; all must agree.
    fn captured(path: &'static [&'static str], json: &str) -> Option<String> {
        let feed = |pieces: &[&[u8]]| {
            let mut capture = Capture::new(path);
            for piece in pieces {
                capture.feed(piece);
            }
            capture
                .value()
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let json = json.as_bytes();
        let whole = feed(&[json]);
        assert_eq!(feed(&json.chunks(1).collect::<Vec<_>>()), whole);
        for at in 0..json.len() {
            assert_eq!(feed(&[&json[..at], &json[at..]]), whole, "split at {at}");
        }
        whole
    }

    #[test]
    fn the_value_at_the_path_is_kept() {
        for (json, expected) in [
            (r#"{"usage":{"a":1}}"#, Some(r#"{"a":1}"#)),
            (
                r#"{"a":[{"usage":1}],"b":{"usage":2},"usage": null }"#,
                Some("null"),
            ),
            (r#"{"usage":12}"#, Some("12")),
            (r#"{"usage":"x\"y"}"#, Some(r#""x\"y""#)),
            (r#"{"us\u0061ge":[1]}"#, Some("[1]")),
            (r#"{"usage":1,"usage":{"b":[2]}}"#, Some(r#"{"b":[2]}"#)),
            (r#"{"usage":{"usage":3}}"#, Some(r#"{"usage":3}"#)),
            (r#"{"usage":{"a":1}"#, Some(r#"{"a":1}"#)),
            (r#"{"usage":{"a":1"#, None),
            (r#"{"usages":1}"#, None),
            (r#"[{"usage":1}]"#, None),
        ] {
            assert_eq!(captured(&["usage"], json).as_deref(), expected, "{json}");
        }
        for (json, expected) in [
            (
                r#"{"x":{"usage":0},"response":{"o":[{"usage":1}],"usage":{"a":1}},"usage":2}"#,
                Some(r#"{"a":1}"#),
            ),
            (r#"{"response":[{"usage":1}],"usage":2}"#, None),
            (r#"{"response":{"x":{"usage":1}}}"#, None),
            (r#"{"response":1,"usage":1}"#, None),
        ] {
            assert_eq!(
                captured(&["response", "usage"], json).as_deref(),
                expected,
                "{json}"
            );
        }
    }

    #[test]
    fn a_value_over_the_limit_is_dropped() {
        for (length, expected) in [
            (VALUE_BYTES_LIMIT - 2, true),
            (VALUE_BYTES_LIMIT - 1, false),
        ] {
            let json = format!(r#"{{"usage":"{}"}}"#, "x".repeat(length));
            let mut capture = Capture::new(&["usage"]);
            for piece in json.as_bytes().chunks(1000) {
                capture.feed(piece);
            }
            assert!(capture.ended());
            assert!(capture.value.capacity() <= 2 * VALUE_BYTES_LIMIT);
            assert_eq!(capture.value().is_some(), expected, "{length}");
        }
    }
}
