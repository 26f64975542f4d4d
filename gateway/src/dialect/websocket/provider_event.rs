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
    /// `error`, with the status it names.
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

/// Reads a provider's event.
pub fn server_event(json: &[u8]) -> ServerEvent {
    let mut event = Capture::new(&SERVER_EVENT);
    event.feed(json);
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let kind = match event.plain_text(TYPE) {
        Some("response.created") => ServerEventKind::Created,
        Some("error") => ServerEventKind::Error(event.value(STATUS).and_then(number)),
        Some(_) | None => ServerEventKind::Other,
    };
    ServerEvent {
        kind,
        lane: event.plain_text(STREAM_ID).map(Into::into),
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
        }
    }
}
