//! Usage out of a WebSocket's messages: the events of the Responses API as they also come in streams, and
//! those of Realtime sessions.

use super::{
    Metered, SoFar, least::Least, openai_responses::ResponsesEvents, openai_usage, response_object,
};
use crate::{
    dialect::{
        json::capture::{Capture, Wanted},
        sse::Event,
    },
    handoff::record::MODEL_BYTES_LIMIT,
};

/// Reads the events of one response.
#[derive(Debug, Default)]
pub struct ResponsesMessages {
    events: ResponsesEvents,
    metered: Metered,
}

impl ResponsesMessages {
    /// Looks at the next event.
    pub fn read(&mut self, json: &[u8]) {
        let event = Event {
            name: b"",
            data: json.into(),
        };
        self.events.event(&event, &mut self.metered);
    }

    /// As [`super::Meter::watch`].
    pub fn watch(&mut self, tells_thoughts: bool) {
        self.metered.least = Some(Box::new(Least::new(tells_thoughts)));
    }

    /// As [`super::Meter::so_far`].
    pub fn so_far(&self) -> Option<SoFar> {
        self.metered.so_far()
    }

    /// Nothing more belongs to this response.
    pub fn is_over(&self) -> bool {
        self.metered.complete || self.metered.error_event
    }

    /// What is known so far.
    pub fn metered(&self) -> &Metered {
        &self.metered
    }
}

/// What an event of a Realtime session means to a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealtimeEvent {
    /// The session is set up, or otherwise than before: the model that transcribes what is said, if one does.
    SetUp(Option<Box<str>>),
    /// `response.created`, with its id.
    Created(Option<Box<str>>),
    /// `response.done`, whatever became of it.
    Done(Metered),
    /// The transcript of what was said, by a model of its own.
    Transcribed(Metered),
    Content,
    /// `error`, mostly about an event of the agent's.
    Error,
    Other,
}

const TYPE: Wanted = Wanted {
    parent: &[],
    keys: &["type", "usage"],
    types: None,
};
const USAGE: usize = 1;

const TRANSCRIBER: Wanted = Wanted {
    parent: &["session", "audio", "input", "transcription"],
    keys: &["model"],
    types: None,
};

/// Reads an event of a Realtime session.
pub fn realtime_event(json: &[u8]) -> RealtimeEvent {
    let mut event = Capture::new(&TYPE);
    event.feed(json);
    match event.plain_text(0) {
        Some("session.created" | "session.updated") => {
            let mut session = Capture::new(&TRANSCRIBER);
            session.feed(json);
            let model = session.plain_text(0);
            let model = model.filter(|model| model.len() <= MODEL_BYTES_LIMIT);
            RealtimeEvent::SetUp(model.map(Into::into))
        }
        Some("response.created") => {
            let mut response = Capture::new(&response_object::IN_EVENT);
            response.feed(json);
            RealtimeEvent::Created(response_object::id(&response).map(Into::into))
        }
        Some("error") => RealtimeEvent::Error,
        Some("response.done") => {
            let mut response = Capture::new(&response_object::IN_EVENT);
            response.feed(json);
            let mut metered = Metered {
                complete: true,
                ..Metered::default()
            };
            response_object::read(&response, &mut metered);
            RealtimeEvent::Done(metered)
        }
        Some("conversation.item.input_audio_transcription.completed") => {
            let mut metered = Metered {
                complete: true,
                ..Metered::default()
            };
            if let Some(reported) = event.value(USAGE).and_then(openai_usage::read) {
                reported.add_to(&mut metered);
            }
            RealtimeEvent::Transcribed(metered)
        }
        Some(kind) if kind.starts_with("response.") && kind.ends_with(".delta") => {
            RealtimeEvent::Content
        }
        Some(_) | None => RealtimeEvent::Other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_to_its_end() {
        let mut messages = ResponsesMessages::default();
        messages.read(br#"{"type":"response.created","response":{"id":"r1","status":"in_progress","usage":null}}"#);
        assert_eq!(messages.metered().object.as_deref(), Some("r1"));
        messages.read(br#"{"sequence_number":1,"type":"response.output_text.delta","delta":"a"}"#);
        assert!(messages.metered().content_started && !messages.is_over());
        messages.read(br#"{"type":"response.completed","response":{"id":"r1","model":"m","usage":{"input_tokens":3,"output_tokens":2}}}"#);
        assert!(messages.is_over());
        let usage = messages.metered().usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (3, 2));
        let mut refused = ResponsesMessages::default();
        refused.read(
            br#"{"type":"error","status":400,"error":{"code":"previous_response_not_found"}}"#,
        );
        assert!(refused.is_over() && refused.metered().usage.is_none());
    }

    #[test]
    fn realtime_events() {
        let done = br#"{"type":"response.done","event_id":"e","response":{"object":"realtime.response","id":"r","status":"cancelled",
            "usage":{"total_tokens":12,"input_tokens":9,"output_tokens":3,"input_token_details":{"text_tokens":5,"audio_tokens":4,
            "cached_tokens":2},"output_token_details":{"text_tokens":1,"audio_tokens":2}}}}"#;
        let RealtimeEvent::Done(metered) = realtime_event(done) else {
            panic!("a response is done");
        };
        let usage = metered.usage.unwrap();
        assert_eq!(
            (
                usage.input_tokens,
                usage.cache_read_input_tokens,
                usage.output_tokens
            ),
            (9, 2, 3)
        );
        let media = usage.media;
        assert_eq!(
            (media.audio_input_tokens, media.audio_output_tokens),
            (4, 2)
        );
        for (json, expected) in [
            (
                r#"{"event_id":"e","type":"response.created"}"#,
                RealtimeEvent::Created(None),
            ),
            (
                r#"{"type":"response.created","response":{"object":"realtime.response","id":"r","status":"in_progress"}}"#,
                RealtimeEvent::Created(Some("r".into())),
            ),
            (
                r#"{"type":"error","event_id":"e","error":{"code":"x"}}"#,
                RealtimeEvent::Error,
            ),
            (
                r#"{"type":"response.output_audio.delta"}"#,
                RealtimeEvent::Content,
            ),
            (
                r#"{"type":"session.created","session":{"model":"gpt-realtime","audio":{"input":{"transcription":null}}}}"#,
                RealtimeEvent::SetUp(None),
            ),
            (
                r#"{"session":{"audio":{"output":{"transcription":{"model":"x"}},"input":{"transcription":{"language":"de","model":"whisper-1"}}}},"type":"session.updated"}"#,
                RealtimeEvent::SetUp(Some("whisper-1".into())),
            ),
            (r#"{"type":"rate_limits.updated"}"#, RealtimeEvent::Other),
            ("no json", RealtimeEvent::Other),
        ] {
            assert_eq!(realtime_event(json.as_bytes()), expected, "{json}");
        }
        for (usage, expected) in [
            (
                r#"{"type":"tokens","input_tokens":7,"output_tokens":1}"#,
                (7, 0),
            ),
            (r#"{"type":"duration","seconds":3}"#, (0, 3_000)),
        ] {
            let json = format!(
                r#"{{"type":"conversation.item.input_audio_transcription.completed","usage":{usage}}}"#
            );
            let RealtimeEvent::Transcribed(metered) = realtime_event(json.as_bytes()) else {
                panic!("a transcript");
            };
            let usage = metered.usage.unwrap();
            assert_eq!((usage.input_tokens, usage.media.audio_ms), expected);
        }
    }
}
