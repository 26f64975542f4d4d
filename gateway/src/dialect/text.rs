//! The text in a body, for people to read: what was asked, and what was answered. Knows where all dialects have it, and
//! takes bodies that were cut off. Not for workers: it reads whole values.

mod complete;
mod delta;
mod message;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    event_stream,
    meter::inflate::Inflate,
    sse::{self, Frame},
};
use delta::push_delta;

/// Media type of JSON objects in lines.
pub const LINES: &str = "application/x-ndjson";
/// Most bytes that are decoded of one compressed answer.
const DECODED_BYTES_LIMIT: usize = 8 << 20;
/// Where requests have it, in the order in which it is shown.
const REQUEST_KEYS: [&str; 14] = [
    "system",
    "systemInstruction",
    "system_instruction",
    "instructions",
    "messages",
    "contents",
    "input",
    "prompt",
    "inputText",
    "content",
    "requests",
    "instances",
    "texts",
    "query",
];
/// Where single objects have their answer.
const ANSWER_KEYS: [&str; 10] = [
    "choices",
    "candidates",
    "output",
    "content",
    "message",
    "response",
    "results",
    "generation",
    "completion",
    "text",
];

/// The text of a request: of its messages those at the end that fit into `bytes_max` together, since those before have
/// been in earlier requests; of the last one at least its beginning. Empty when there is none, or it cannot be read.
#[must_use]
pub fn of_request(body: &[u8], bytes_max: usize) -> String {
    let Some(request) = read(body) else {
        return String::new();
    };
    let mut messages = Vec::new();
    for found in REQUEST_KEYS.iter().filter_map(|key| request.get(key)) {
        match found.as_array() {
            Some(items) => messages.extend(items.iter().map(message::text)),
            None => messages.push(message::text(found)),
        }
    }
    messages.retain(|message| !message.is_empty());
    newest(&messages, bytes_max)
}

/// The text of an answer, at most about `bytes_max` of it. Empty when there is none, or it cannot be read.
#[must_use]
pub fn of_answer(
    content_type: &[u8],
    content_encoding: &[u8],
    body: &[u8],
    bytes_max: usize,
) -> String {
    let decoded;
    let body = match Inflate::new(content_encoding) {
        Some(inflate) => {
            decoded = inflated(inflate, body);
            &decoded
        }
        None => body,
    };
    let media_type = content_type.split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    let is = |name: &str| media_type.eq_ignore_ascii_case(name.as_bytes());
    let mut text = String::new();
    let mut read_event = |event: &[u8]| {
        if text.len() < bytes_max
            && let Ok(event) = serde_json::from_slice::<Value>(event)
        {
            push_delta(&event, &mut text);
        }
    };
    if is("text/event-stream") {
        let mut sink = |frame: Frame<'_>| match frame {
            Frame::Event(raw) => read_event(&sse::parse(raw).data),
            // No event of text is that long.
            Frame::Part { .. } | Frame::LineFeed(_) => {}
        };
        let mut framer = sse::Framer::default();
        framer.feed(body, &mut sink);
        framer.finish(&mut sink);
    } else if is(event_stream::MEDIA_TYPE) {
        event_stream::Framer::default().feed(body, &mut |message| {
            if let Some(payload) = message.payload {
                match in_chunk(payload) {
                    Some(event) => read_event(&event),
                    None => read_event(payload),
                }
            }
        });
    } else if is(LINES) {
        body.split(|byte| *byte == b'\n').for_each(read_event);
    } else {
        match read(body) {
            Some(Value::Array(events)) => {
                for event in events {
                    push_delta(&event, &mut text);
                }
            }
            Some(answer) => {
                let found = ANSWER_KEYS.iter().filter_map(|key| answer.get(key));
                text = found.map(message::text).collect::<Vec<_>>().join("\n");
            }
            None => {}
        }
    }
    text
}

/// Reads JSON, be it cut off.
fn read(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body)
        .or_else(|_| serde_json::from_str(&complete::completed(&String::from_utf8_lossy(body))))
        .ok()
}

fn inflated(mut inflate: Inflate, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    // What came before a fault counts.
    let _ = inflate.feed(body, &mut |piece| {
        let room = DECODED_BYTES_LIMIT - plain.len();
        plain.extend_from_slice(&piece[..piece.len().min(room)]);
    });
    plain
}

/// The event in a chunk of Bedrock's `InvokeModelWithResponseStream`.
fn in_chunk(payload: &[u8]) -> Option<Vec<u8>> {
    let chunk: Value = serde_json::from_slice(payload).ok()?;
    BASE64_STANDARD.decode(chunk.get("bytes")?.as_str()?).ok()
}

fn newest(messages: &[String], bytes_max: usize) -> String {
    let mut bytes = 0;
    let fits = |message: &&String| {
        bytes += message.len() + 1;
        bytes <= bytes_max
    };
    let count = messages.iter().rev().take_while(fits).count().max(1);
    messages[messages.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests;
