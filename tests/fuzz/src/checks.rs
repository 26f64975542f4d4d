//! What must hold for any input: one function per fuzz target. The gateway's tests replay the corpora
//! through the same functions.

mod http1;
mod packet;
mod websocket;

use gateway::dialect::{
    Dialect, Operation,
    json::{
        BodyScanner, ScanError, ScannedBody, Splice, include_usage_splice, pieces, spliced_len,
        tags_splice, user_splice,
    },
    meter::{Meter, Metered},
    sse::{Frame, Framer, parse},
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use http1::{http1_chunked, http1_request, http1_response};
pub use packet::decode;
pub use websocket::{websocket_events, websocket_messages};

/// The scanner agrees with itself over any segments, with serde_json on what an object is and on the
/// values that decide, and its edits make what they say.
///
/// Differences that are meant: serde_json checks UTF-8 here (the scanner only in values it uses), and
/// the scanner alone refuses duplicates, deep nesting, deciding values of the wrong type, and control
/// characters in keys (serde_json passes them where keys are read as bytes).
pub fn body_scanner(data: &[u8]) {
    let scanned = scan(&[data]);
    for size in [1, 3, data.len() / 2 + 1] {
        let segments: Vec<&[u8]> = data.chunks(size).collect();
        assert_eq!(scan(&segments), scanned, "segments of {size}");
    }
    if std::str::from_utf8(data).is_ok() {
        match (&scanned, serde_json::from_slice::<Reference>(data)) {
            (Ok(body), Ok(reference)) => {
                assert_eq!(body.model, reference.model());
                assert_eq!(body.stream, reference.stream == Some(true));
            }
            (Ok(_), Err(error)) => panic!("accepted what serde_json refuses: {error}"),
            (Err(ScanError::Malformed { what, .. }), Ok(_)) => assert!(
                [
                    "model",
                    "stream",
                    "include_usage",
                    "control character",
                    "a known key"
                ]
                .iter()
                .any(|key| what.starts_with(key)),
                "refused what serde_json accepts: {what}"
            ),
            (Err(ScanError::DuplicateKey { .. } | ScanError::TooDeep { .. }), Ok(_)) => {}
            (Err(_), Err(_)) => {}
        }
    }
    if let Ok(body) = scanned {
        edits(data, &body);
    }
}

/// The framer passes every byte on, in order, and finds the same events over any chunks.
pub fn sse(data: &[u8]) {
    let whole = events(data, data.len().max(1));
    assert_eq!(whole.concat(), data);
    for size in [1, 3, data.len() / 2 + 1] {
        assert_eq!(events(data, size), whole, "chunks of {size}");
    }
}

pub fn meter_openai_chat(data: &[u8]) {
    meter(Dialect::OpenAi, Operation::ChatCompletions, data);
}

pub fn meter_openai_responses(data: &[u8]) {
    meter(Dialect::OpenAi, Operation::Responses, data);
}

pub fn meter_anthropic(data: &[u8]) {
    meter(Dialect::Anthropic, Operation::Messages, data);
}

/// A compressed body passes unchanged, whatever it decodes to. (Metering a corrupt one may depend on
/// the chunks: what was decoded before the damage counts.)
pub fn meter_compressed(data: &[u8]) {
    for encoding in ["gzip", "deflate"] {
        for size in [1, data.len().max(1)] {
            let (_, passed) = run(
                Dialect::OpenAi,
                Operation::ChatCompletions,
                ["text/event-stream", encoding],
                true,
                data,
                size,
            );
            assert_eq!(passed, data);
        }
    }
}

/// As a stream and as one object: the same bytes and the same usage over any chunks; every byte passes
/// unless a chunk is hidden.
fn meter(dialect: Dialect, operation: Operation, data: &[u8]) {
    for content_type in ["text/event-stream", "application/json"] {
        for hide in [false, true] {
            let run = |size| run(dialect, operation, [content_type, ""], hide, data, size);
            let whole = run(data.len().max(1));
            if hide {
                assert!(whole.1.len() <= data.len());
            } else {
                assert_eq!(whole.1, data);
            }
            for size in [1, 3, data.len() / 2 + 1] {
                assert_eq!(run(size), whole, "chunks of {size}");
            }
        }
    }
}

fn run(
    dialect: Dialect,
    operation: Operation,
    [content_type, encoding]: [&str; 2],
    hide: bool,
    data: &[u8],
    size: usize,
) -> (Metered, Vec<u8>) {
    let mut meter = Meter::new(
        dialect,
        operation,
        200,
        content_type.as_bytes(),
        encoding.as_bytes(),
        hide,
    );
    let mut passed = Vec::new();
    for chunk in data.chunks(size) {
        meter.feed(chunk, &mut |bytes| passed.extend_from_slice(bytes));
    }
    meter.finish(&mut |bytes| passed.extend_from_slice(bytes));
    (meter.metered(), passed)
}

fn scan(segments: &[&[u8]]) -> Result<ScannedBody, ScanError> {
    let mut scanner = BodyScanner::default();
    for segment in segments {
        scanner.feed(segment)?;
    }
    scanner.finish()
}

/// Applies all edits; the outcome must be a body that says what was asked for.
fn edits(data: &[u8], body: &ScannedBody) {
    if body.spans.object_is_empty {
        return;
    }
    let user = user_splice(body, "somebody");
    let mut splices: Vec<Splice> = [include_usage_splice(body), user, tags_splice(body, &["a"])]
        .into_iter()
        .flatten()
        .collect();
    splices.sort_by_key(|splice| splice.range.start);
    let segments: Vec<&[u8]> = data.chunks(3).collect();
    let edited = pieces(&segments, &splices).collect::<Vec<_>>().concat();
    assert_eq!(edited.len(), spliced_len(data.len(), &splices));
    let after = scan(&[&edited]).expect("an edited body is still a body");
    assert_eq!((&after.model, after.stream), (&body.model, body.stream));
    let user = after.spans.user.expect("user was set");
    assert_eq!(&edited[user], b"\"somebody\"");
    if include_usage_splice(body).is_some() {
        assert_eq!(after.include_usage, Some(true));
    }
    if tags_splice(body, &[]).is_some() {
        let tags = after.spans.metadata_tags.expect("tags were set");
        assert_eq!(&edited[tags], b"[\"a\"]");
    }
}

/// The events of a stream, those that came in parts joined again.
fn events(data: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut events: Vec<Vec<u8>> = Vec::new();
    let mut framer = Framer::default();
    let mut sink = |frame: Frame<'_>| match frame {
        Frame::Event(bytes) => {
            let _ = parse(bytes);
            events.push(bytes.to_vec());
        }
        Frame::Part { bytes, first, .. } => {
            if first {
                events.push(Vec::new());
            }
            events
                .last_mut()
                .expect("a first part came")
                .extend_from_slice(bytes);
        }
        Frame::LineFeed(bytes) => {
            events
                .last_mut()
                .expect("an event came")
                .extend_from_slice(bytes);
        }
    };
    for chunk in data.chunks(size) {
        framer.feed(chunk, &mut sink);
    }
    framer.finish(&mut sink);
    events
}

/// serde_json's view of a body: the last of each key.
#[derive(Default)]
struct Reference {
    model: Option<Box<RawValue>>,
    stream: Option<bool>,
}

impl Reference {
    fn model(&self) -> Option<String> {
        let model = self.model.as_ref()?;
        Some(serde_json::from_str(model.get()).expect("an accepted model is a string"))
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Reference;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
                let mut reference = Reference::default();
                while let Some(Key(key)) = map.next_key()? {
                    match key.as_slice() {
                        b"model" => reference.model = Some(map.next_value()?),
                        b"stream" => {
                            let value: Box<RawValue> = map.next_value()?;
                            reference.stream = serde_json::from_str(value.get()).ok();
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(reference)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A key as bytes, so that lone surrogates are no error.
struct Key(Vec<u8>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Key;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key, E> {
                Ok(Key(bytes.to_vec()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key(text.as_bytes().to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
