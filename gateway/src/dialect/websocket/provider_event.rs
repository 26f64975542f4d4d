//! What providers send: which conversation an event belongs to, and whether it is an error.

use crate::dialect::json::capture::{Capture, Wanted};

/// What a provider's event on a Responses socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    pub kind: ServerEventKind,
    pub lane: Option<Box<str>>,
}

/// See [`ServerEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEventKind {
    /// `response.created`: also without having been asked, as when a response was steered.
    Created,
    /// The response is over, well or not.
    Over,
    /// `error`, with the status it names; the response it is about is over, too.
    Error(Option<u16>),
    Other,
}

const SERVER_EVENT: Wanted = Wanted {
    parent: &[],
    keys: &["type", "stream_id", "status"],
    types: None,
};
const TYPE: usize = 0;
const STREAM_ID: usize = 1;
const STATUS: usize = 2;

const ERROR: Wanted = Wanted {
    parent: &["error"],
    keys: &["type", "code"],
    types: None,
};
const CODE: usize = 1;

/// Status of a refused credential.
const UNAUTHORIZED: u16 = 401;

/// Reads a provider's event.
pub fn server_event(json: &[u8]) -> ServerEvent {
    let mut event = Capture::new(&SERVER_EVENT);
    event.feed(json);
    let kind = match event.plain_text(TYPE) {
        Some("response.created") => ServerEventKind::Created,
        Some("response.completed" | "response.incomplete" | "response.failed") => {
            ServerEventKind::Over
        }
        Some("error") => ServerEventKind::Error(error_status(json, &event)),
        Some(_) | None => ServerEventKind::Other,
    };
    ServerEvent {
        kind,
        lane: event.plain_text(STREAM_ID).map(Into::into),
    }
}

/// Whether an event says that the provider does not take its credential. Vendors show parts of it there.
pub fn refuses_credential(json: &[u8]) -> bool {
    // Most events are audio, and long.
    memchr::memmem::find(json, b"\"error\"").is_some()
        && server_event(json).kind == ServerEventKind::Error(Some(UNAUTHORIZED))
}

/// The status that an error event names, or that its code stands for: Realtime events have none.
fn error_status(json: &[u8], event: &Capture) -> Option<u16> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    if let Some(status) = event.value(STATUS).and_then(number) {
        return Some(status);
    }
    let mut error = Capture::new(&ERROR);
    error.feed(json);
    match (error.plain_text(TYPE), error.plain_text(CODE)) {
        (Some("authentication_error"), _) | (_, Some("invalid_api_key")) => Some(UNAUTHORIZED),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_providers_event_is() {
        for (json, kind, lane) in [
            (
                r#"{"type":"response.created","response":{"status":"x"},"stream_id":"a"}"#,
                ServerEventKind::Created,
                Some("a"),
            ),
            (
                r#"{"type":"error","status":429,"error":{"code":"c"}}"#,
                ServerEventKind::Error(Some(429)),
                None,
            ),
            (r#"{"type":"error"}"#, ServerEventKind::Error(None), None),
            (
                r#"{"type":"error","event_id":"e","error":{"type":"x","code":"invalid_api_key"}}"#,
                ServerEventKind::Error(Some(401)),
                None,
            ),
            (
                r#"{"type":"error","error":{"type":"authentication_error","code":null}}"#,
                ServerEventKind::Error(Some(401)),
                None,
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","code":"x"}}"#,
                ServerEventKind::Error(None),
                None,
            ),
            (
                r#"{"type":"response.incomplete","response":{"status":"x"}}"#,
                ServerEventKind::Over,
                None,
            ),
            (
                r#"{"type":"response.output_text.delta","delta":"stream_id"}"#,
                ServerEventKind::Other,
                None,
            ),
            ("no json", ServerEventKind::Other, None),
        ] {
            let lane = lane.map(Into::into);
            assert_eq!(
                server_event(json.as_bytes()),
                ServerEvent { kind, lane },
                "{json}"
            );
            let is_refusal = kind == ServerEventKind::Error(Some(401));
            assert_eq!(refuses_credential(json.as_bytes()), is_refusal, "{json}");
        }
    }
}
