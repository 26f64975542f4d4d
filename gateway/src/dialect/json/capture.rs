//! Keeps the bytes of a few values of a JSON object while the object passes, however long the rest is.

use super::{
    key::KeyText,
    lexer::{Lexer, Scan, Visitor},
};

/// Most bytes kept of a value. A usage object has a few hundred.
pub const VALUE_BYTES_LIMIT: usize = 16 * 1024;

/// Most values of one capture.
pub const KEYS_LIMIT: usize = 7;

/// Most types of one capture.
const TYPES_LIMIT: usize = 4;

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Keys from the top to the object that has `keys`; none for the top itself.
    pub parent: &'static [&'static str],
    /// At most [`KEYS_LIMIT`]. With none, only the object's end is watched for.
    pub keys: &'static [&'static str],
    /// A key beside `keys` with an array of objects, and values of their `type` to count: at most
    /// four.
    pub types: Option<(&'static str, &'static [&'static str])>,
}

/// Captures the values that are [`Wanted`]. Given twice, the last one counts.
#[derive(Debug)]
pub struct Capture {
    lexer: Lexer,
    path: Path,
    values: [Vec<u8>; KEYS_LIMIT],
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
    pub fn new(wanted: &'static Wanted) -> Self {
        debug_assert!(wanted.keys.len() <= KEYS_LIMIT);
        Self {
            lexer: Lexer::default(),
            path: Path {
                wanted,
                matched: 0,
                leaf: None,
                reads: Reads::Key,
                text: KeyText::default(),
                spans: [Span::default(); KEYS_LIMIT],
                types_seen: [0; TYPES_LIMIT],
                is_doubled: false,
            },
            values: Default::default(),
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
        for (span, value) in self.path.spans.iter().zip(&mut self.values) {
            span.keep(segment, from, value);
        }
    }

    /// The object's closing brace was read.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// What came is not a JSON object.
    pub fn failed(&self) -> bool {
        self.state == State::Failed
    }

    /// The text of the value of the `index`-th key once it is complete; `None` when there is none, it is
    /// over the limit, or all of this is no JSON.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let value = &self.values[index];
        let is_whole = self.path.spans[index].end.is_some() && value.len() <= VALUE_BYTES_LIMIT;
        (is_whole && !self.failed()).then_some(value.as_slice())
    }

    /// The value of the `index`-th key if it is a string without escapes, as ids and names are.
    pub fn plain_text(&self, index: usize) -> Option<&str> {
        plain_text(std::str::from_utf8(self.value(index)?).ok()?)
    }

    /// How many elements of that type were met so far; `index` is that of [`Wanted::types`].
    pub fn count_of_type(&self, index: usize) -> u64 {
        u64::from(self.path.types_seen[index])
    }

    /// One of the wanted keys stands there more than once.
    pub fn is_doubled(&self) -> bool {
        self.path.is_doubled
    }
}

/// What a value says if it is a string without escapes.
pub fn plain_text(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

/// Where a value lies in the whole text.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: Option<usize>,
    end: Option<usize>,
}

impl Span {
    /// Copies the part that lies in `segment`, which starts at offset `from`.
    fn keep(self, segment: &[u8], from: usize, value: &mut Vec<u8>) {
        let Some(start) = self.start else {
            return;
        };
        if start >= from {
            value.clear();
        }
        let begin = start.saturating_sub(from);
        let end = self.end.map_or(from + segment.len(), |end| end);
        let Some(here) = end
            .checked_sub(from)
            .and_then(|end| segment.get(begin..end))
        else {
            return;
        };
        // One byte over the limit marks the value as too long.
        let room = (VALUE_BYTES_LIMIT + 1).saturating_sub(value.len());
        value.extend_from_slice(&here[..here.len().min(room)]);
    }
}

/// A key that was found in the wanted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Key(usize),
    /// The array whose elements have types.
    Types,
}

/// What [`Path::text`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Key,
    /// A key of an element of the typed array.
    ElementKey,
    /// The value of such an element's `type`.
    Type,
    /// A `type` is about to come.
    TypeNext,
}

/// Follows the wanted keys through the object.
#[derive(Debug)]
struct Path {
    wanted: &'static Wanted,
    /// How many keys of `parent` lead to where the lexer is.
    matched: usize,
    leaf: Option<Leaf>,
    reads: Reads,
    text: KeyText,
    spans: [Span; KEYS_LIMIT],
    types_seen: [u32; TYPES_LIMIT],
    is_doubled: bool,
}

impl Path {
    /// Depth of the wanted keys and their values.
    fn leaf_depth(&self) -> usize {
        self.wanted.parent.len() + 1
    }

    fn begin(&mut self, depth: usize, at: usize) {
        if depth == self.leaf_depth()
            && let Some(Leaf::Key(index)) = self.leaf
        {
            self.is_doubled |= self.spans[index].start.is_some();
            self.spans[index] = Span {
                start: Some(at),
                end: None,
            };
        }
    }

    fn end(&mut self, depth: usize, end: usize) {
        if depth == self.leaf_depth()
            && let Some(leaf) = self.leaf.take()
        {
            if let Leaf::Key(index) = leaf {
                self.spans[index].end = Some(end);
            }
        } else if depth > 0 && self.matched >= depth {
            // The key that led here is over.
            self.matched = depth - 1;
        }
    }

    /// Whether a key at `depth` may be one that leads on.
    fn expects(&self, depth: usize) -> bool {
        depth == self.matched + 1 && depth <= self.leaf_depth()
    }

    /// Elements' keys are two containers below the array's.
    fn in_element(&self, depth: usize) -> bool {
        self.leaf == Some(Leaf::Types) && depth == self.leaf_depth() + 2
    }

    fn key_end(&mut self, depth: usize) {
        let Some(key) = self.text.decoded() else {
            return;
        };
        if let Some(parent) = self.wanted.parent.get(depth - 1) {
            if *key == *parent.as_bytes() {
                self.matched = depth;
            }
            return;
        }
        let is_key = |name: &&str| *key == *name.as_bytes();
        let types = || self.wanted.types.filter(|(name, _)| is_key(name));
        self.leaf = self
            .wanted
            .keys
            .iter()
            .position(is_key)
            .map(Leaf::Key)
            .or_else(|| types().map(|_| Leaf::Types));
    }

    fn type_end(&mut self) {
        let (Some(found), Some((_, types))) = (self.text.decoded(), self.wanted.types) else {
            return;
        };
        if let Some(index) = types.iter().position(|name| *found == *name.as_bytes()) {
            self.types_seen[index] = self.types_seen[index].saturating_add(1);
        }
    }
}

impl Visitor for Path {
    fn string_begin(&mut self, depth: usize, is_key: bool, at: usize) -> Scan<bool> {
        self.text.clear();
        if is_key {
            self.reads = match self.in_element(depth) {
                true => Reads::ElementKey,
                false => Reads::Key,
            };
            return Ok(self.reads == Reads::ElementKey || self.expects(depth));
        }
        self.begin(depth, at);
        if self.reads == Reads::TypeNext {
            self.reads = match self.in_element(depth) {
                true => Reads::Type,
                false => Reads::Key,
            };
        }
        Ok(self.reads == Reads::Type)
    }

    fn string_end(&mut self, depth: usize, is_key: bool, end: usize) -> Scan<()> {
        match self.reads {
            Reads::Key | Reads::TypeNext => {}
            Reads::ElementKey => {
                let is_type = self.text.decoded().is_some_and(|key| *key == *b"type");
                self.reads = if is_type { Reads::TypeNext } else { Reads::Key };
                return Ok(());
            }
            Reads::Type => {
                self.type_end();
                self.reads = Reads::Key;
            }
        }
        if !is_key {
            self.end(depth, end);
        } else if self.expects(depth) {
            self.key_end(depth);
        }
        Ok(())
    }

    fn container_begin(&mut self, depth: usize, _: bool, at: usize) -> Scan<()> {
        self.reads = Reads::Key;
        self.begin(depth, at);
        Ok(())
    }

    fn container_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        self.end(depth, end);
        Ok(())
    }

    fn scalar_begin(&mut self, depth: usize, at: usize) -> Scan<bool> {
        self.reads = Reads::Key;
        self.begin(depth, at);
        Ok(false)
    }

    fn scalar_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        self.end(depth, end);
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) -> Scan<()> {
        self.text.push(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Wanted = Wanted {
        parent: &[],
        keys: &["usage"],
        types: None,
    };
    const RESPONSE: Wanted = Wanted {
        parent: &["response"],
        keys: &["id", "usage"],
        types: Some(("output", &["message", "web_search_call"])),
    };

    /// Every value and type, fed whole, cut at every byte and byte by byte; all must agree.
    fn captured(wanted: &'static Wanted, json: &str) -> Vec<Option<String>> {
        let feed = |pieces: &[&[u8]]| {
            let mut capture = Capture::new(wanted);
            for piece in pieces {
                capture.feed(piece);
            }
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let values = 0..wanted.keys.len();
            let mut all: Vec<_> = values.map(|i| capture.value(i).map(text)).collect();
            let types = wanted.types.map_or(&[][..], |(_, types)| types);
            let types = (0..).zip(types);
            all.extend(types.map(|(i, _)| Some(capture.count_of_type(i).to_string())));
            all
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
            assert_eq!(
                captured(&USAGE, json),
                [expected.map(str::to_owned)],
                "{json}"
            );
        }
    }

    #[test]
    fn siblings_are_kept_side_by_side() {
        for (json, [id, usage]) in [
            (
                r#"{"x":{"usage":0},"id":"no","response":{"o":[{"usage":1}],"usage":{"id":1},"id":"r"},"usage":2}"#,
                [Some(r#""r""#), Some(r#"{"id":1}"#)],
            ),
            (r#"{"response":[{"usage":1}],"usage":2}"#, [None, None]),
            (r#"{"response":{"x":{"usage":1}}}"#, [None, None]),
            (r#"{"response":1,"usage":1}"#, [None, None]),
            (
                r#"{"response":{},"response":{"id":"r"},"id":7}"#,
                [Some(r#""r""#), None],
            ),
        ] {
            let found = captured(&RESPONSE, json);
            let expected = [id, usage].map(|value| value.map(str::to_owned));
            assert_eq!(found[..2], expected, "{json}");
        }
    }

    #[test]
    fn types_of_an_arrays_elements_are_counted() {
        for (json, expected) in [
            (
                r#"{"response":{"output":[{"type":"message"},{"a":{"type":"x"},"t\u0079pe":"web_search_call"},{"type":"web_search_call"}]}}"#,
                [1, 2],
            ),
            (
                r#"{"response":{"output":[{"type":1,"x":"message"},{"type":["message"]},{"type":{"type":"message"}}]}}"#,
                [0, 0],
            ),
            (
                r#"{"response":{"output":{"type":"message"},"tools":[{"type":"web_search_call"}]}}"#,
                [0, 0],
            ),
            (
                r#"{"response":{"output":["message",[{"type":"message"}],{"text":"message","type":"message"}]}}"#,
                [1, 0],
            ),
            (r#"{"output":[{"type":"message"}]}"#, [0, 0]),
        ] {
            let found = captured(&RESPONSE, json);
            let expected = expected.map(|count| Some(count.to_string()));
            assert_eq!(found[2..], expected, "{json}");
        }
    }

    #[test]
    fn ids_are_plain_text() {
        for (json, expected) in [
            (r#"{"usage":"resp_1"}"#, Some("resp_1")),
            (r#"{"usage":"resp\u005f1"}"#, None),
            (r#"{"usage":17}"#, None),
            (r#"{"usage":null}"#, None),
        ] {
            let mut capture = Capture::new(&USAGE);
            capture.feed(json.as_bytes());
            assert_eq!(capture.plain_text(0), expected, "{json}");
        }
    }

    #[test]
    fn a_value_over_the_limit_is_dropped() {
        for (length, expected) in [
            (VALUE_BYTES_LIMIT - 2, true),
            (VALUE_BYTES_LIMIT - 1, false),
        ] {
            let json = format!(r#"{{"usage":"{}"}}"#, "x".repeat(length));
            let mut capture = Capture::new(&USAGE);
            for piece in json.as_bytes().chunks(1000) {
                capture.feed(piece);
            }
            assert!(capture.ended());
            assert!(capture.values[0].capacity() <= 2 * VALUE_BYTES_LIMIT);
            assert_eq!(capture.value(0).is_some(), expected, "{length}");
        }
    }
}
