//! Finds the few top-level keys of a JSON request body that decide something, while the body arrives,
//! and describes edits as splices so that every other byte passes unchanged.

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
    /// Session id found in the body (`client_metadata.session_id`, or after `session_` in Anthropic's
    /// `metadata.user_id`).
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
    pub stream_options: Option<std::ops::Range<usize>>,
    /// The value of `stream_options.include_usage`.
    pub include_usage: Option<std::ops::Range<usize>>,
    pub user: Option<std::ops::Range<usize>>,
    pub metadata: Option<std::ops::Range<usize>>,
    pub metadata_tags: Option<std::ops::Range<usize>>,
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
    pub range: std::ops::Range<usize>,
    pub with: Vec<u8>,
}

/// Resumable: feed segments of any size as they arrive.
#[derive(Debug, Default)]
pub struct BodyScanner {}

impl BodyScanner {
    pub fn feed(&mut self, segment: &[u8]) -> Result<(), ScanError> {
        let _ = segment;
        todo!()
    }

    /// The body is complete: exactly one JSON object, or an error.
    pub fn finish(self) -> Result<ScannedBody, ScanError> {
        todo!()
    }
}
