//! The words of an answer, and how a scripted body goes out: paced, cut, stalled, compressed.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::{
    Persona, Seen, Shared, Sums,
    check::Refusal,
    script::{Script, prompt_words},
    wire::{Framing, Gone, Out},
};

/// Longest an answer stays silent after `stall`.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(600);

/// What `trailers` sends; the second field is for no agent.
const TRAILERS: [(&str, &str); 2] = [("x-standin-sum", "7"), ("set-cookie", "a=b")];

const DEMO: &str = "[demo provider] Hello from Keyway's built-in demo provider. No model was asked: \
    these sentences are canned, and only the path they took is real. Your request carried no API key. \
    The node knew this machine by its address in the tunnel, found a policy that lets it in, added the \
    provider's key on the way out, and streams this text back word by word while it counts the tokens.";

/// Everything about one answer that does not depend on the vendor.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) script: Script,
    pub(super) words: Vec<String>,
    pub(super) sums: Sums,
    pub(super) model: String,
}

impl Plan {
    /// What the request's prompt asks for. Input tokens are the prompt's words and the scripted cache
    /// tokens, output tokens the words of the answer.
    pub(super) fn of(body: &Value, persona: Persona) -> Self {
        let script = Script::of(body);
        let words = match persona {
            Persona::Demo => DEMO.split(' ').map(str::to_owned).collect(),
            Persona::Test => test_words(&script),
        };
        let sums = Sums {
            input_tokens: prompt_words(body) + script.cached + script.written + script.written_long,
            output_tokens: words.len() as u64,
            cache_read_input_tokens: script.cached,
            cache_creation_input_tokens: script.written,
            cache_creation_long_input_tokens: script.written_long,
            reasoning_tokens: script.reasoning.min(words.len() as u64),
        };
        let model = body.get("model").and_then(Value::as_str);
        Self {
            script,
            words,
            sums,
            model: model.unwrap_or_default().to_owned(),
        }
    }

    /// Input tokens that are neither read from a cache nor written to one.
    pub(super) fn uncached(&self) -> u64 {
        self.sums.input_tokens - self.script.cached - self.script.written - self.script.written_long
    }

    /// The answer's text.
    pub(super) fn text(&self) -> String {
        self.words.join(" ")
    }
}

fn test_words(script: &Script) -> Vec<String> {
    (1..=script.events)
        .map(|number| {
            let width = script.word_bytes.saturating_sub(4);
            match script.letters {
                true => format!("word{number:x<width$}"),
                false => format!("word{number:.<width$}"),
            }
        })
        .collect()
}

/// Sends an answer with a length, unless the script wants it otherwise.
pub(super) async fn whole(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    body: &Value,
) -> Result<(), Gone> {
    begin(out, shared, plan).await?;
    let body = encode(plan, body.to_string().into_bytes());
    let framing = match plan.script.close {
        true => Framing::Close,
        false => Framing::Length(body.len()),
    };
    let headers = headers("application/json", plan);
    out.head(200, &headers, framing).await?;
    if plan.script.cut.is_some() {
        out.data(&body[..body.len() / 2]).await?;
        return Err(out.cut().await);
    }
    if plan.script.stall.is_some() {
        out.data(&body[..body.len() / 2]).await?;
        out.pause(STALL_LIMIT).await?;
    }
    out.data(&body).await?;
    shared.stats.sent(plan.words.len() as u64, body.len());
    shared.stats.usage(&plan.model, plan.sums);
    out.end().await
}

/// Streams `before`, one event per word, then `after`. A cut or stalled answer reports no usage.
pub(super) async fn stream(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    before: String,
    word: impl Fn(&str) -> String,
    after: String,
) -> Result<(), Gone> {
    stream_as("text/event-stream", out, shared, plan, before, word, after).await
}

/// As [`stream`], in a type of its own.
pub(super) async fn stream_as(
    content_type: &'static str,
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    before: String,
    word: impl Fn(&str) -> String,
    after: String,
) -> Result<(), Gone> {
    begin(out, shared, plan).await?;
    let framing = match plan.script.close {
        true => Framing::Close,
        false => Framing::Stream,
    };
    out.head(200, &headers(content_type, plan), framing).await?;
    if plan.script.gzip {
        // One member holds the whole stream; pacing compressed bytes would prove nothing more.
        let events: String = plan
            .words
            .iter()
            .map(|text| word(&format!("{text} ")))
            .collect();
        let body = encode(plan, format!("{before}{events}{after}").into_bytes());
        out.data(&body).await?;
        shared.stats.sent(plan.words.len() as u64, body.len());
    } else {
        out.data(before.as_bytes()).await?;
        for (number, text) in (0..).zip(&plan.words) {
            if plan.script.cut == Some(number) {
                return Err(out.cut().await);
            }
            if plan.script.stall == Some(number) {
                out.pause(STALL_LIMIT).await?;
            }
            let pace = match shared.options.persona {
                Persona::Demo => Duration::from_millis(25),
                Persona::Test => plan.script.pace,
            };
            out.pause(pace).await?;
            let event = word(&format!("{text} "));
            out.data(event.as_bytes()).await?;
            shared.stats.sent(1, event.len());
        }
        out.data(after.as_bytes()).await?;
    }
    shared.stats.usage(&plan.model, plan.sums);
    match plan.script.trailers {
        true => out.end_with(&TRAILERS).await,
        false => out.end().await,
    }
}

/// An error the script asks for, or one found in the request.
pub(super) async fn refuse(
    out: &mut Out<'_>,
    shared: &Shared,
    refusal: &Refusal,
    retry_after: Option<u64>,
) -> Result<(), Gone> {
    let seconds = retry_after.map(|seconds| seconds.to_string());
    let mut headers = vec![("content-type", "application/json")];
    if let Some(seconds) = &seconds {
        headers.push(("retry-after", seconds));
    }
    if refusal.code == "echo" {
        headers.push(("x-echo", &refusal.message));
    }
    let body = refusal.body(shared.options.vendor);
    out.whole(refusal.status, &headers, &body).await
}

/// The scripted error, if any.
pub(super) fn scripted_error(plan: &Plan, seen: &Seen) -> Option<Refusal> {
    let status = plan.script.status?;
    Some(match status {
        _ if plan.script.echo => Refusal::new(status, "echo", echo(seen)),
        429 => Refusal::new(status, "rate_limit_exceeded", "slow down"),
        _ => Refusal::new(status, "scripted", "an error as asked for"),
    })
}

/// An error's text that repeats the credential, as vendors do in part.
pub(super) fn echo(seen: &Seen) -> String {
    let sent = seen
        .header("authorization")
        .or_else(|| seen.header("x-api-key"))
        .or_else(|| seen.header("x-goog-api-key"));
    format!("incorrect credential {}", sent.unwrap_or("(none)"))
}

/// A plain JSON answer that counts nothing.
pub(super) async fn json(out: &mut Out<'_>, status: u16, body: &Value) -> Result<(), Gone> {
    let body = body.to_string();
    out.whole(
        status,
        &[("content-type", "application/json")],
        body.as_bytes(),
    )
    .await
}

async fn begin(out: &mut Out<'_>, shared: &Shared, plan: &Plan) -> Result<(), Gone> {
    gate(out, shared, plan).await?;
    out.pause(plan.script.slow_head).await?;
    if plan.script.interim {
        out.interim().await?;
    }
    Ok(())
}

/// Waits where the script says so.
pub(super) async fn gate(out: &mut Out<'_>, shared: &Shared, plan: &Plan) -> Result<(), Gone> {
    if !plan.script.gate {
        return Ok(());
    }
    let mut gate = shared.gate.subscribe();
    tokio::select! {
        _ = gate.wait_for(|open| *open) => Ok(()),
        () = out.peer_gone() => Err(Gone::Peer),
    }
}

fn headers<'p>(content_type: &'static str, plan: &'p Plan) -> Vec<(&'static str, &'p str)> {
    const LEFT: [&str; 4] = [
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-remaining-requests",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-input-tokens-remaining",
    ];
    let mut headers = vec![
        ("content-type", content_type),
        ("x-request-id", "req_standin"),
        ("openai-processing-ms", "1"),
    ];
    if plan.script.gzip {
        headers.push(("content-encoding", "gzip"));
    }
    if let Some(left) = &plan.script.left {
        headers.extend(LEFT.map(|name| (name, left.as_str())));
    }
    headers
}

fn encode(plan: &Plan, body: Vec<u8>) -> Vec<u8> {
    if !plan.script.gzip {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(&body)
        .and_then(|()| encoder.finish())
        .expect("a vector takes every byte")
}
