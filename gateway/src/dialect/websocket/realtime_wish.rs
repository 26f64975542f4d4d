//! What an agent's event in a Realtime session asks for: a response, or settings by which one could use more than a
//! call of the session's model.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{
    elsewhere::Endless,
    json::capture::{Capture, Wanted},
};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealtimeWish {
    /// `response.create`, or what a provider could take for it.
    Response,
    /// Any other event; most are sound.
    Other,
}

const TYPE: Wanted = Wanted {
    parent: &[],
    keys: &["type"],
    types: None,
};

/// What an event asks for, and why there is no end to that, if there is none.
pub fn realtime_wish(json: &[u8]) -> (RealtimeWish, Option<Endless>) {
    let mut event = Capture::new(&TYPE);
    event.feed(json);
    let kind = event.plain_text(0).filter(|_| !event.is_doubled());
    match kind {
        Some("response.create") | None => (RealtimeWish::Response, endless(json)),
        Some("session.update") => (RealtimeWish::Other, endless(json)),
        // Items of a conversation are in the model's window, whatever they are.
        Some(_) => (RealtimeWish::Other, None),
    }
}

#[derive(Deserialize)]
struct WishEvent<'a> {
    #[serde(borrow)]
    session: Option<Settings<'a>>,
    #[serde(borrow)]
    response: Option<Settings<'a>>,
}

#[derive(Deserialize)]
struct Settings<'a> {
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<Audio<'a>>,
    /// Before the API was generally available.
    #[serde(borrow)]
    input_audio_transcription: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Audio<'a> {
    #[serde(borrow)]
    input: Option<AudioInput<'a>>,
}

#[derive(Deserialize)]
struct AudioInput<'a> {
    #[serde(borrow)]
    transcription: Option<&'a RawValue>,
}

fn endless(json: &[u8]) -> Option<Endless> {
    // A key given twice is an error here.
    let Ok(WishEvent { session, response }) = serde_json::from_slice(json) else {
        return Some(Endless::Unread);
    };
    let mut settings = [session, response].into_iter().flatten();
    settings.find_map(|settings| settings.endless())
}

impl Settings<'_> {
    fn endless(&self) -> Option<Endless> {
        let mut tools = self.tools.iter().flatten();
        // All others run at the provider.
        let is_own = |tool: &Tool<'_>| tool.kind.map(RawValue::get) == Some("\"function\"");
        let input = self.audio.as_ref().and_then(|audio| audio.input.as_ref());
        let transcription = input.and_then(|input| input.transcription);
        if !tools.all(is_own) {
            Some(Endless::Tools)
        } else if self.prompt.is_some() {
            Some(Endless::StoredPrompt)
        } else if transcription.is_some() || self.input_audio_transcription.is_some() {
            Some(Endless::Transcription)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_a_response_and_what_has_no_end() {
        use RealtimeWish::{Other, Response};
        for (json, expected) in [
            (r#"{"type":"response.create"}"#, (Response, None)),
            (
                r#"{"response":{"tools":[{"type":"function","name":"f"}],"instructions":"tools"},"type":"response.create"}"#,
                (Response, None),
            ),
            // What a provider may read as such.
            (r#"{"type":"response\u002ecreate"}"#, (Response, None)),
            (
                r#"{"type":"response.cancel","type":"response.create"}"#,
                (Response, None),
            ),
            ("no json", (Response, Some(Endless::Unread))),
            (
                r#"{"type":"response.create","response":{"tools":[{"type":"function"},{"type":"mcp","server_url":"https://x"}]}}"#,
                (Response, Some(Endless::Tools)),
            ),
            (
                r#"{"type":"session.update","session":{"tools":[{"name":"f"}]}}"#,
                (Other, Some(Endless::Tools)),
            ),
            (
                r#"{"type":"session.update","session":{"tools":[],"tools":[{"type":"mcp"}]}}"#,
                (Other, Some(Endless::Unread)),
            ),
            (
                r#"{"type":"session.update","session":{"prompt":{"id":"pmpt_1"}}}"#,
                (Other, Some(Endless::StoredPrompt)),
            ),
            (
                r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"whisper-1"}}}}}"#,
                (Other, Some(Endless::Transcription)),
            ),
            (
                r#"{"type":"session.update","session":{"input_audio_transcription":{"model":"whisper-1"}}}"#,
                (Other, Some(Endless::Transcription)),
            ),
            (
                r#"{"type":"session.update","session":{"prompt":null,"tools":null,"audio":{"input":{"transcription":null,
                    "turn_detection":{"type":"server_vad"}}}}}"#,
                (Other, None),
            ),
            (
                r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
                (Other, None),
            ),
            (
                r#"{"type":"conversation.item.create","item":{"type":"message","content":[{"type":"input_image"}]}}"#,
                (Other, None),
            ),
        ] {
            assert_eq!(realtime_wish(json.as_bytes()), expected, "{json}");
        }
    }
}
