//! What agents send: which of their events ask for a response, and what they may not change.

use crate::dialect::json::capture::{Capture, Wanted};

/// Longest `stream_id` (openai-python checks the same).
const LANE_BYTES_LIMIT: usize = 256;

/// An event that an agent sends on a Responses socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// `response.create`; every other goes to where the response is that it is about.
    pub is_create: bool,
    /// `stream_id`: which of the conversations on this socket.
    pub lane: Option<Box<str>>,
    /// The response it is about, or continues.
    pub response: Option<Box<str>>,
}

const CLIENT_EVENT: Wanted = Wanted {
    parent: &[],
    keys: &[
        "type",
        "stream_id",
        "previous_response_id",
        "response_id",
        "model",
    ],
    types: None,
};
const TYPE: usize = 0;
const STREAM_ID: usize = 1;
const PREVIOUS: usize = 2;
const RESPONSE_ID: usize = 3;
const MODEL: usize = 4;

/// Reads an agent's event. What could mean another thing to the provider is refused, with the reason.
pub fn client_event(json: &[u8]) -> Result<ClientEvent, &'static str> {
    let mut event = Capture::new(&CLIENT_EVENT);
    event.feed(json);
    if !event.ended() {
        return Err("an event is one JSON object");
    }
    if event.is_doubled() {
        return Err("a key that decides is given twice");
    }
    let kind = event
        .plain_text(TYPE)
        .ok_or("an event has a plain `type`")?;
    let is_create = kind == "response.create";
    if !is_create && event.value(MODEL).is_some() {
        return Err("only `response.create` may name a model");
    }
    let lane = match event.value(STREAM_ID) {
        None | Some(b"null") => None,
        Some(_) => Some(
            event
                .plain_text(STREAM_ID)
                .filter(|lane| is_lane(lane))
                .ok_or(
                    "`stream_id` has 1 to 256 letters, digits, underscores, hyphens or periods",
                )?,
        ),
    };
    let response = event
        .plain_text(PREVIOUS)
        .or_else(|| event.plain_text(RESPONSE_ID));
    Ok(ClientEvent {
        is_create,
        lane: lane.map(Into::into),
        response: response.map(Into::into),
    })
}

fn is_lane(lane: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=LANE_BYTES_LIMIT).contains(&lane.len()) && lane.bytes().all(is_plain)
}

const SESSION_UPDATE: Wanted = Wanted {
    parent: &["session"],
    keys: &["model"],
    types: None,
};
const RESPONSE_CREATE: Wanted = Wanted {
    parent: &["response"],
    keys: &["model"],
    types: None,
};

/// Whether an agent's event in a Realtime session leaves the model as it was permitted. The session's is fixed
/// at OpenAI; whoever would change it there or for one response is refused, so that no server does.
pub fn keeps_model(json: &[u8], model: &str) -> bool {
    // Most events are audio, and long.
    if memchr::memmem::find(json, b"model").is_none() && memchr::memchr(b'\\', json).is_none() {
        return true;
    }
    [&SESSION_UPDATE, &RESPONSE_CREATE]
        .into_iter()
        .all(|wanted| {
            let mut event = Capture::new(wanted);
            event.feed(json);
            let named = event.value(0);
            !event.is_doubled() && (named.is_none() || event.plain_text(0) == Some(model))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agents_event_asks_for() {
        let event = |is_create, lane: Option<&str>, response: Option<&str>| ClientEvent {
            is_create,
            lane: lane.map(Into::into),
            response: response.map(Into::into),
        };
        for (json, expected) in [
            (
                r#"{"type":"response.create","model":"m","stream_id":"main.1","input":[{"type":"x"}]}"#,
                event(true, Some("main.1"), None),
            ),
            (
                r#"{"previous_response_id":"r1","stream_id":null,"type":"response.create"}"#,
                event(true, None, Some("r1")),
            ),
            (
                r#"{"type":"response.steer","previous_response_id":"r1","input":"a"}"#,
                event(false, None, Some("r1")),
            ),
            (
                r#"{"type":"response.processed","response_id":"r2"}"#,
                event(false, None, Some("r2")),
            ),
        ] {
            assert_eq!(client_event(json.as_bytes()), Ok(expected), "{json}");
        }
        for json in [
            "",
            "[]",
            r#"{"model":"m"}"#,
            r#"{"type":7}"#,
            r#"{"type":"response\u002ecreate"}"#,
            r#"{"type":"response.steer","type":"response.create"}"#,
            r#"{"type":"response.create","stream_id":"a","stream_id":"b"}"#,
            r#"{"type":"response.create","stream_id":"a b"}"#,
            r#"{"type":"response.create","stream_id":""}"#,
            r#"{"type":"response.fork","model":"m"}"#,
            r#"{"type":"response.create""#,
        ] {
            assert!(client_event(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn a_session_keeps_its_model() {
        for (json, kept) in [
            (r#"{"type":"session.update","session":{"voice":"x"}}"#, true),
            (r#"{"type":"session.update","session":{"model":"m"}}"#, true),
            (
                r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"w"}}}}}"#,
                true,
            ),
            (
                r#"{"type":"session.update","session":{"model":"other"}}"#,
                false,
            ),
            (
                r#"{"type":"session.update","session":{"model":"\u006d"}}"#,
                false,
            ),
            (
                r#"{"type":"session.update","session":{"model":"m","model":"other"}}"#,
                false,
            ),
            (
                r#"{"type":"session.update","session":{"model":"other"},"session":{"model":"m"}}"#,
                false,
            ),
            (
                r#"{"type":"response.create","response":{"model":"other"}}"#,
                false,
            ),
            (
                r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
                true,
            ),
        ] {
            assert_eq!(keeps_model(json.as_bytes(), "m"), kept, "{json}");
        }
    }
}
