//! Finds the few top-level keys of a JSON request body that decide something, while the body arrives,
//! and describes edits as splices so that every other byte passes unchanged.
//!
//! [`lexer`] knows JSON, [`fields`] which keys matter, [`splice`] the edits; [`capture`] keeps one value
//! of a response for the meters, [`key_sum`] adds up numbers of one.

pub mod capture;
mod fields;
pub mod grounding;
pub mod inputs;
mod key;
pub mod key_sum;
mod lexer;
mod output_wish;
mod splice;
mod string;

pub use lexer::NESTING_LIMIT;
pub use output_wish::OutputWish;
pub use splice::{
    include_usage_splice, output_bound_splice, pieces, request_metadata_splice, spliced_len,
    tags_splice, user_splice,
};

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
    /// How much output it wants.
    pub output: OutputWish,
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
    /// Converse's `requestMetadata`.
    pub request_metadata: Option<ObjectSpan>,
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
/// escaped. Written in another case (`Model`) it is refused outside metadata: parsers exist that ignore
/// case, and would see another value than this node. UTF-8 and lone surrogates are checked only in values
/// that are used.
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
            .map_err(|error| self.error.insert(*error).clone())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scan(body: &[u8], size: usize) -> Result<ScannedBody, ScanError> {
        let mut scanner = BodyScanner::default();
        for segment in body.chunks(size) {
            scanner.feed(segment)?;
        }
        scanner.finish()
    }

    /// Scans `body` whole, cut in two at every byte, and byte by byte; all must agree.
    fn scanned(body: &[u8]) -> Result<ScannedBody, ScanError> {
        let whole = scan(body, usize::MAX);
        assert_eq!(scan(body, 1), whole, "byte by byte");
        for at in 0..body.len() {
            let mut scanner = BodyScanner::default();
            let fed = scanner
                .feed(&body[..at])
                .and_then(|()| scanner.feed(&body[at..]));
            assert_eq!(fed.and_then(|()| scanner.finish()), whole, "split at {at}");
        }
        whole
    }

    fn text(body: &str, range: &Option<Range<usize>>) -> Option<String> {
        range.clone().map(|range| body[range].to_owned())
    }

    #[test]
    fn finds_what_decides() {
        let body = r#" { "messages":[{"model":"decoy","stream":true}], "model" : "gpt\u002d5", "stream":true,
            "stream_options":{"x":[1],"include_usage":false}, "user":{"a":1}, "metadata":{"tags":["a","b"],
            "user_id":"user_1_account_2_session_abc"}, "max_tokens":100,"max_completion_tokens":50 } "#;
        let found = scanned(body.as_bytes()).unwrap();
        assert_eq!(found.model.as_deref(), Some("gpt-5"));
        assert!(found.stream);
        assert_eq!(found.include_usage, Some(false));
        assert_eq!(found.session_id.as_deref(), Some("abc"));
        let spans = found.spans;
        assert_eq!((spans.object_start, spans.object_is_empty), (2, false));
        assert_eq!(text(body, &spans.include_usage).unwrap(), "false");
        assert_eq!(text(body, &spans.user).unwrap(), r#"{"a":1}"#);
        assert_eq!(text(body, &spans.metadata_tags).unwrap(), r#"["a","b"]"#);
        let options = spans.stream_options.unwrap();
        assert_eq!(options.shape, Shape::Object);
        assert_eq!(&body[options.range], r#"{"x":[1],"include_usage":false}"#);
        let metadata = spans.metadata.unwrap();
        assert!(body[metadata.range].starts_with(r#"{"tags""#));
    }

    #[test]
    fn values_at_other_places_are_not_taken() {
        let body = br#"{"metadata":[{"tags":1,"user_id":"session_x"}],"x":{"model":"m","include_usage":true},
            "stream_options":null,"client_metadata":"session_id","max_tokens":null,"max_output_tokens":1.5}"#;
        let found = scanned(body).unwrap();
        assert_eq!(found.model, None);
        assert_eq!(found.session_id, None);
        assert_eq!(found.spans.metadata_tags, None);
        assert_eq!(found.spans.metadata.unwrap().shape, Shape::Other);
        assert_eq!(found.spans.stream_options.unwrap().shape, Shape::Null);
    }

    #[test]
    fn session_ids() {
        let long = "s".repeat(200);
        for (body, expected) in [
            (
                r#"{"client_metadata":{"session_id":"a"}}"#.to_owned(),
                Some("a"),
            ),
            (
                r#"{"client_metadata":{"session_id":"a"},"metadata":{"user_id":"session_b"}}"#
                    .to_owned(),
                Some("a"),
            ),
            (
                r#"{"metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"c\"}"}}"#
                    .to_owned(),
                Some("c"),
            ),
            (r#"{"metadata":{"user_id":"someone"}}"#.to_owned(), None),
            (r#"{"metadata":{"user_id":7}}"#.to_owned(), None),
            (
                format!(r#"{{"client_metadata":{{"session_id":"{long}"}}}}"#),
                Some(&long[..128]),
            ),
        ] {
            assert_eq!(
                scanned(body.as_bytes()).unwrap().session_id.as_deref(),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn a_deciding_key_stands_once() {
        for (body, key) in [
            (r#"{"model":"a","model":"a"}"#, "model"),
            (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
            (r#"{"stream":true,"stream":false}"#, "stream"),
            (
                r#"{"stream_options":{},"stream_options":{}}"#,
                "stream_options",
            ),
            (
                r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#,
                "include_usage",
            ),
            (r#"{"metadata":{"tags":[],"tags":[]}}"#, "tags"),
            (r#"{"user":1,"user":2}"#, "user"),
        ] {
            match scanned(body.as_bytes()) {
                Err(ScanError::DuplicateKey { key: found, .. }) => assert_eq!(found, key, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        let twice = br#"{"x":1,"x":2,"a":{"model":1,"model":2},"metadata":{"model":"m","user":1},"model":"m"}"#;
        assert_eq!(scanned(twice).unwrap().model.as_deref(), Some("m"));
        let free = br#"{"metadata":{"Tags":1,"TAGS":2,"User_ID":"session_a"},"x":{"Model":1}}"#;
        assert_eq!(scanned(free).unwrap().session_id, None);
    }

    #[test]
    fn refuses_what_is_not_one_object() {
        for body in [
            &b""[..],
            b" ",
            b"[]",
            b"\"a\"",
            b"1",
            b"\xef\xbb\xbf{}",
            b"{",
            b"{}}",
            b"{} {}",
            b"{}\0",
            b"{\"a\"}",
            b"{\"a\":}",
            b"{\"a\":1,}",
            b"{,}",
            b"{a:1}",
            b"{'a':1}",
            b"{\"a\":[1,]}",
            b"{\"a\":[1}",
            b"{\"a\":[1}]",
            b"{\"a\":01}",
            b"{\"a\":-}",
            b"{\"a\":+1}",
            b"{\"a\":1.}",
            b"{\"a\":.5}",
            b"{\"a\":1e}",
            b"{\"a\":1e+}",
            b"{\"a\":0x1}",
            b"{\"a\":1 2}",
            b"{\"a\":tru}",
            b"{\"a\":truee}",
            b"{\"a\":True}",
            b"{\"a\":NaN}",
            b"{\"a\":\"\n\"}",
            b"{\"a\":\"\\x\"}",
            b"{\"a\":\"\\u12g4\"}",
            b"{\"a\":\"\\u123\"}",
            b"{\"a\":\"b}",
            b"{\"a\":1 /* c */}",
            b"{\"a\" 1}",
            b"{\"a\":1 \"b\":2}",
            b"{\"model\":1}",
            b"{\"model\":null}",
            b"{\"model\":[\"a\"]}",
            b"{\"model\":\"\xff\"}",
            b"{\"model\":\"\\ud800\"}",
            b"{\"Model\":\"m\"}",
            b"{\"model\":\"m\",\"STREAM\":true}",
            b"{\"stream_options\":{\"Include_Usage\":true}}",
            b"{\"stream\":1}",
            b"{\"stream\":\"true\"}",
            b"{\"stream_options\":{\"include_usage\":{}}}",
        ] {
            let error = scanned(body);
            assert!(
                matches!(error, Err(ScanError::Malformed { .. })),
                "{:?}: {error:?}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn accepts_what_is_one() {
        for body in [
            "{}",
            "\t{ }\r\n",
            r#"{"a":[],"b":{},"c":[[],{}],"d":[1,-0,0.5,1e9,1E-9,-1.5e+3,true,false,null,"x"]}"#,
            r#"{"a":"\"\\\/\b\f\n\r\t\u00e4é\ud83d\ude00"}"#,
            r#"{"":1}"#,
            r#"{"stream":null,"model":""}"#,
            "{\"a\":\"\u{7f}\"}",
        ] {
            assert!(scanned(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |levels: usize| {
            format!(
                "{{\"a\":{}{}}}",
                "[".repeat(levels - 1),
                "]".repeat(levels - 1)
            )
        };
        assert!(scan(nested(NESTING_LIMIT).as_bytes(), 7).is_ok());
        assert!(matches!(
            scan(nested(NESTING_LIMIT + 1).as_bytes(), 7),
            Err(ScanError::TooDeep { .. })
        ));
        let model = |length: usize| format!("{{\"model\":\"{}\"}}", "\\u0061".repeat(length));
        assert_eq!(
            scan(model(256).as_bytes(), 7).unwrap().model.unwrap().len(),
            256
        );
        assert!(scan(model(257).as_bytes(), 7).is_err());
    }

    #[test]
    fn a_refused_body_stays_refused() {
        let mut scanner = BodyScanner::default();
        let error = scanner.feed(b"{\"model\":1").unwrap_err();
        assert_eq!(scanner.feed(b"}"), Err(error.clone()));
        assert_eq!(scanner.finish(), Err(error));
    }
}
