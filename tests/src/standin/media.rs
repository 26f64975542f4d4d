//! OpenAI's transcripts, pictures and speech, whole and as events of which the last one has the usage.

use serde_json::{Value, json};

use super::{
    Seen, Shared,
    check::Refusal,
    reply,
    wire::{Gone, Out},
};

const CREATED: u64 = 1_760_000_000;
const PICTURE: &str = "c3RhbmRpbg==";

/// A form with a model and a file; old models bill the seconds, new ones tokens.
pub(super) async fn transcription(
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let text = String::from_utf8_lossy(&seen.body);
    let value = |name: &str| {
        let (_, part) = text.split_once(&format!("name=\"{name}\""))?;
        let (_, value) = part.split_once("\r\n\r\n")?;
        Some(value.split_once("\r\n--")?.0.to_owned())
    };
    let is_whole = text.trim_end().ends_with("--");
    let (true, Some(model), Some(_)) = (is_whole, value("model"), value("file")) else {
        let refusal = Refusal::new(
            400,
            "invalid_form",
            "a form with a model and a file is wanted",
        );
        return reply::refuse(out, shared, &refusal, None).await;
    };
    let streams = value("stream").as_deref() == Some("true");
    let output = if streams { 3 } else { 2 };
    let usage = match model.starts_with("whisper") {
        true => json!({"type": "duration", "seconds": 3}),
        false => {
            json!({"type": "tokens", "input_tokens": 14, "output_tokens": output, "total_tokens": 14 + output,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14}})
        }
    };
    if streams {
        return events(
            out,
            &[
                json!({"type": "transcript.text.delta", "delta": "word1"}),
                json!({"type": "transcript.text.delta", "delta": " word2"}),
                json!({"type": "transcript.text.done", "text": "word1 word2", "usage": usage}),
            ],
        )
        .await;
    }
    reply::json(out, 200, &json!({"text": "word1 word2", "usage": usage})).await
}

pub(super) async fn images(streams: bool, out: &mut Out<'_>) -> Result<(), Gone> {
    if !streams {
        let body = json!({"created": CREATED, "data": [{"b64_json": PICTURE}]});
        return reply::json(out, 200, &body).await;
    }
    let picture = |kind: &str| {
        json!({"type": kind, "b64_json": PICTURE, "created_at": CREATED, "size": "1024x1024", "quality": "low",
            "background": "opaque", "output_format": "png"})
    };
    let mut partial = picture("image_generation.partial_image");
    partial["partial_image_index"] = json!(0);
    let mut completed = picture("image_generation.completed");
    completed["usage"] = json!({"input_tokens": 10, "output_tokens": 272, "total_tokens": 282,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}});
    events(out, &[partial, completed]).await
}

pub(super) async fn speech(body: &Value, out: &mut Out<'_>) -> Result<(), Gone> {
    if body["stream_format"] != "sse" {
        let headers = [("content-type", "audio/mpeg")];
        return out.whole(200, &headers, b"ID3standin").await;
    }
    let usage = json!({"input_tokens": 14, "output_tokens": 101, "total_tokens": 115});
    let delta = json!({"type": "speech.audio.delta", "audio": PICTURE});
    let done = json!({"type": "speech.audio.done", "usage": usage});
    events(out, &[delta, done]).await
}

async fn events(out: &mut Out<'_>, events: &[Value]) -> Result<(), Gone> {
    let lines: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let headers = [("content-type", "text/event-stream")];
    out.whole(200, &headers, lines.as_bytes()).await
}
