//! What a response of a Realtime session has used so far, by what it says: its usage comes with its end.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Metered, SoFar};

/// A piece of a response.
#[derive(Debug, Deserialize)]
pub struct RealtimeDelta<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    /// Which response it is a piece of.
    #[serde(borrow)]
    pub response_id: Option<Cow<'a, str>>,
    #[serde(default)]
    output_index: u64,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
}

/// Reads an event that is [`super::RealtimeEvent::Content`].
pub fn realtime_delta(json: &[u8]) -> Option<RealtimeDelta<'_>> {
    serde_json::from_slice(json).ok()
}

/// Over one response.
#[derive(Debug)]
pub struct RealtimeAnswer {
    metered: Metered,
    /// Of whoever says how many tokens a second of sound is.
    is_first_party: bool,
}

impl RealtimeAnswer {
    pub fn new(is_first_party: bool) -> Self {
        Self {
            metered: Metered {
                least: Some(Box::default()),
                ..Metered::default()
            },
            is_first_party,
        }
    }

    pub fn read(&mut self, piece: &RealtimeDelta<'_>) {
        let least = self.metered.least.get_or_insert_default();
        match &*piece.kind {
            // The former names are those of the preview.
            "response.text.delta"
            | "response.output_text.delta"
            | "response.function_call_arguments.delta" => {
                least.read(piece.output_index, piece.delta);
            }
            "response.audio.delta" | "response.output_audio.delta" if self.is_first_party => {
                least.hear(piece.delta);
            }
            // Transcripts of what is heard, and what is new.
            _ => least.more(),
        }
    }

    /// As [`super::Meter::so_far`].
    pub fn so_far(&self) -> Option<SoFar> {
        self.metered.so_far()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sound_count_transcripts_do_not() {
        let sound = "A".repeat(20_000);
        for (is_first_party, tokens) in [(true, 3 + 2), (false, 3)] {
            let mut answer = RealtimeAnswer::new(is_first_party);
            assert_eq!(answer.so_far(), None);
            for (kind, delta) in [
                ("response.output_text.delta", "one two"),
                ("response.function_call_arguments.delta", " three"),
                ("response.output_audio_transcript.delta", " four"),
                ("response.output_audio.delta", &sound),
                ("response.output_audio.delta", &sound),
            ] {
                let json = format!(
                    r#"{{"type":"{kind}","response_id":"r1","output_index":0,"delta":"{delta}"}}"#
                );
                let piece = realtime_delta(json.as_bytes()).unwrap();
                assert_eq!(piece.response_id.as_deref(), Some("r1"));
                answer.read(&piece);
            }
            assert_eq!(answer.so_far().unwrap().usage.output_tokens, tokens);
        }
        assert!(realtime_delta(b"no json").is_none());
    }
}
