//! Finds the few top-level keys of a JSON request body that decide something, while the body arrives,
//! and describes edits as splices so that every other byte passes unchanged.
//!
//! [`lexer`] knows JSON, [`fields`] which keys matter, [`splice`] the edits; [`capture`] keeps one value
//! of a response for the meters.

pub mod capture;
mod fields;
mod lexer;
mod splice;

pub use lexer::NESTING_LIMIT;
pub use splice::{include_usage_splice, pieces, spliced_len, tags_splice, user_splice};

use std::ops::Range;

use fields::Finder;
use lexer::Lexer;

/// What the scan of a request body found. Ranges are byte offsets into the whole body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScannedBody {
    /// Decoded value of `model`.
    pub model: Option<String>,
    pub stream: bool,
    /// `stream_options.include_usage` as the agent set it.
    pub include_usage: Option<bool>,
    /// Where edits go; see [`Splice`].
    pub spans: Spans,
    /// Session id found in the body (`client_metadata.session_id`, or Anthropic's `metadata.user_id`:
    /// what follows `session_` there, or `session_id` when it holds an object as text).
    pub session_id: Option<String>,
    /// The smallest output bound given: `max_tokens`, `max_completion_tokens`, `max_output_tokens`.
    pub output_tokens_max: Option<u64>,
}

/// Byte ranges of values that an edit may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans {
    /// Offset right after the opening brace of the body.
    pub object_start: usize,
    pub object_is_empty: bool,
    /// The value of `stream_options`, when there is one.
    pub stream_options: Option<ObjectSpan>,
    /// The value of `stream_options.include_usage`.
    pub include_usage: Option<Range<usize>>,
    pub user: Option<Range<usize>>,
    pub metadata: Option<ObjectSpan>,
    pub metadata_tags: Option<Range<usize>>,
}

/// Where a value lies that should be an object, and whether it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSpan {
    pub range: Range<usize>,
    pub shape: Shape,
}

/// What stands in the place of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An object with at least one key.
    Object,
    EmptyObject,
    Null,
    /// No object: an edit leaves it to the provider's judgement.
    Other,
}

/// Why a body was refused. `offset` is where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanError {
    Malformed { offset: usize, what: &'static str },
    DuplicateKey { offset: usize, key: &'static str },
    TooDeep { offset: usize },
}

/// Replace `range` of the body by `with`. Splices of one body never overlap and are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    pub range: Range<usize>,
    pub with: Vec<u8>,
}

/// Resumable: feed segments of any size as they arrive. Keeps the text of keys and values that decide
/// something, each bounded, and nothing else.
///
/// Exactly one object is accepted (RFC 8259; a byte order mark is refused), nested at most
/// [`NESTING_LIMIT`] deep. A key that decides something may stand once at its level, however it is
/// escaped; another spelling in upper or lower case counts as the same key, since parsers exist that
/// ignore case and would see another value than this node. UTF-8 and lone surrogates are checked only in
/// values that are used.
#[derive(Debug, Default)]
pub struct BodyScanner {
    lexer: Lexer,
    finder: Finder,
    /// A refused body stays refused.
    error: Option<ScanError>,
}

impl BodyScanner {
    /// Reads the next bytes of the body.
    pub fn feed(&mut self, segment: &[u8]) -> Result<(), ScanError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.lexer
            .feed(segment, &mut self.finder)
            .inspect_err(|error| self.error = Some(error.clone()))
    }

    /// The body is complete: exactly one JSON object, or an error.
    pub fn finish(self) -> Result<ScannedBody, ScanError> {
        match self.error {
            Some(error) => Err(error),
            None if self.lexer.is_done() => Ok(self.finder.into_body()),
            None => Err(ScanError::Malformed {
                offset: self.lexer.offset(),
                what: "the body ends early",
            }),
        }
    }
}

/// The text of a string literal, given its bytes between the quotes.
fn decode(raw: &[u8]) -> Option<String> {
    if !raw.contains(&b'\\') {
        return std::str::from_utf8(raw).ok().map(str::to_owned);
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}
