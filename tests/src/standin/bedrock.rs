//! Bedrock's endpoints: Converse, InvokeModel in the bodies of four vendors, both as event streams,
//! counting, and a guardrail. Usage is exclusive.

mod listing;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use super::{
    Seen, Shared,
    check::Refusal,
    openai,
    reply::{self, Plan, STALL_LIMIT},
    wire::{Framing, Gone, Out},
};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Whose body InvokeModel takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Anthropic,
    Nova,
    Llama,
    /// Tells its usage in the head alone.
    Other,
}

impl Family {
    fn of(model: &str) -> Self {
        match model {
            _ if model.contains("anthropic.") => Self::Anthropic,
            _ if model.contains("amazon.nova") => Self::Nova,
            _ if model.contains("meta.llama") => Self::Llama,
            _ => Self::Other,
        }
    }
}

pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    if let Some(target) = seen.target.strip_prefix("/openai/v1/") {
        let mut seen = seen.clone();
        seen.target = format!("/v1/{target}");
        return openai::answer(&seen, out, shared).await;
    }
    if seen.method == Method::GET
        && let Some(answered) = listing::answer(seen, out).await
    {
        return answered;
    }
    let parts: Vec<&str> = seen.path().trim_start_matches('/').split('/').collect();
    let refusal = match (parts.as_slice(), serde_json::from_slice(&seen.body)) {
        _ if seen.method != Method::POST => Refusal::new(405, "UnknownOperationException", "POST"),
        (["model", model, operation], Ok(body)) => {
            return match call(&decoded(model), operation, &body, seen, out, shared).await {
                Ok(done) => done,
                Err(refusal) => refuse(out, &refusal).await,
            };
        }
        (["guardrail", _, "version", _, "apply"], Ok(_)) => {
            let body: Value = json!({"action": "NONE", "outputs": [], "assessments": [],
                "usage": {"topicPolicyUnits": 0, "contentPolicyUnits": 1, "wordPolicyUnits": 0,
                    "sensitiveInformationPolicyUnits": 0, "sensitiveInformationPolicyFreeUnits": 0,
                    "contextualGroundingPolicyUnits": 0}});
            return reply::json(out, 200, &body).await;
        }
        (_, Err(_)) => Refusal::new(400, "SerializationException", "the body is no JSON"),
        (_, Ok(_)) => Refusal::new(404, "UnknownOperationException", seen.path()),
    };
    refuse(out, &refusal).await
}

/// One call of a model; the error is what AWS says before anything is done.
async fn call(
    model: &str,
    operation: &str,
    body: &Value,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<Result<(), Gone>, Refusal> {
    let invalid = |message: &str| Err(Refusal::new(400, "ValidationException", message));
    let is_converse = operation.starts_with("converse");
    if model.contains("denied") {
        let message = "You don't have access to the model with the specified model ID.";
        return Err(Refusal::new(403, "AccessDeniedException", message));
    }
    if model.contains("sonnet") && !model.contains("us.") {
        return invalid("Invocation of model ID with on-demand throughput isn't supported.");
    }
    if is_trial(body) {
        let answer = json!({"output": {"message": {"role": "assistant", "content": [{"text": "I"}]}},
            "stopReason": "max_tokens", "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}});
        return Ok(reply::json(out, 200, &answer).await);
    }
    if seen.header("x-amzn-bedrock-request-metadata").is_some() == is_converse
        || body.get("requestMetadata").is_some() != is_converse
    {
        return invalid(
            "who calls is told in the header of InvokeModel, and in the body of Converse",
        );
    }
    if operation == "count-tokens" {
        let plan = Plan::of(&body["input"]["converse"], shared.options.persona);
        return Ok(reply::json(out, 200, &json!({"inputTokens": plan.uncached()})).await);
    }
    let mut plan = Plan::of(body, shared.options.persona);
    plan.model = model.to_owned();
    if let Some(refusal) = reply::scripted_error(&plan, seen) {
        let name = match refusal.status {
            403 => "AccessDeniedException",
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            _ => "InternalServerException",
        };
        return Err(Refusal::new(refusal.status, name, refusal.message));
    }
    let family = Family::of(model);
    if !is_converse
        && family == Family::Anthropic
        && (body.get("anthropic_version").is_none() || body.get("model").is_some())
    {
        return invalid("the body has no anthropic_version, or a model beside the path's");
    }
    Ok(match operation {
        "converse" => {
            let answer = json!({
                "output": {"message": {"role": "assistant", "content": [{"text": plan.text()}]}},
                "stopReason": "end_turn",
                "usage": converse_usage(&plan),
                "metrics": {"latencyMs": 1},
            });
            whole(out, shared, &plan, &answer).await
        }
        "invoke" => whole(out, shared, &plan, &vendor_body(family, &plan)).await,
        "converse-stream" => {
            let word = |text: &str| {
                let delta = json!({"contentBlockIndex": 0, "delta": {"text": text}});
                event("contentBlockDelta", &delta)
            };
            let before = event("messageStart", &json!({"role": "assistant"}));
            let after = [
                event("contentBlockStop", &json!({"contentBlockIndex": 0})),
                event("messageStop", &json!({"stopReason": "end_turn"})),
                event(
                    "metadata",
                    &json!({"usage": converse_usage(&plan), "metrics": {"latencyMs": 1}}),
                ),
            ];
            stream(out, shared, &plan, before, word, after.concat()).await
        }
        "invoke-with-response-stream" => {
            let (before, after) = vendor_frame(family, &plan);
            let word = |text: &str| chunk(&vendor_word(family, text));
            stream(out, shared, &plan, before, word, after).await
        }
        _ => return Err(Refusal::new(404, "UnknownOperationException", operation)),
    })
}

/// What a node asks by itself: for one token, and on nobody's behalf.
fn is_trial(body: &Value) -> bool {
    body["inferenceConfig"]["maxTokens"] == 1 && body.get("requestMetadata").is_none()
}

fn converse_usage(plan: &Plan) -> Value {
    let (short, long) = (plan.script.written, plan.script.written_long);
    json!({
        "inputTokens": plan.uncached(),
        "outputTokens": plan.sums.output_tokens,
        "totalTokens": plan.sums.input_tokens + plan.sums.output_tokens,
        "cacheReadInputTokens": plan.script.cached,
        "cacheWriteInputTokens": short + long,
        "cacheDetails": [
            {"ttl": "5m", "inputTokens": short},
            {"ttl": "1h", "inputTokens": long},
        ],
    })
}

fn anthropic_usage(plan: &Plan, output_tokens: u64) -> Value {
    json!({
        "input_tokens": plan.uncached(),
        "output_tokens": output_tokens,
        "cache_read_input_tokens": plan.script.cached,
        "cache_creation_input_tokens": plan.script.written + plan.script.written_long,
        "cache_creation": {
            "ephemeral_5m_input_tokens": plan.script.written,
            "ephemeral_1h_input_tokens": plan.script.written_long,
        },
    })
}

fn anthropic_message(plan: &Plan, content: Value, output_tokens: u64) -> Value {
    json!({
        "id": "msg_bdrk_standin",
        "type": "message",
        "role": "assistant",
        "model": "claude-standin",
        "content": content,
        "stop_reason": if output_tokens > 0 { json!("end_turn") } else { Value::Null },
        "stop_sequence": null,
        "usage": anthropic_usage(plan, output_tokens),
    })
}

fn vendor_body(family: Family, plan: &Plan) -> Value {
    match family {
        Family::Anthropic => {
            let content = json!([{"type": "text", "text": plan.text()}]);
            anthropic_message(plan, content, plan.sums.output_tokens)
        }
        Family::Nova => json!({
            "output": {"message": {"role": "assistant", "content": [{"text": plan.text()}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": plan.uncached(),
                "outputTokens": plan.sums.output_tokens,
                "totalTokens": plan.sums.input_tokens + plan.sums.output_tokens,
                "cacheReadInputTokenCount": plan.script.cached,
                "cacheWriteInputTokenCount": plan.script.written + plan.script.written_long,
            },
        }),
        Family::Llama => json!({
            "generation": plan.text(),
            "prompt_token_count": plan.uncached(),
            "generation_token_count": plan.sums.output_tokens,
            "stop_reason": "stop",
        }),
        Family::Other => json!({"generations": [{"text": plan.text()}]}),
    }
}

/// Events before and behind the words of a vendor's stream; the last one has the service's metrics.
fn vendor_frame(family: Family, plan: &Plan) -> (Vec<u8>, Vec<u8>) {
    let metrics = json!({
        "inputTokenCount": plan.uncached(),
        "outputTokenCount": plan.sums.output_tokens,
        "cacheReadInputTokenCount": plan.script.cached,
        "cacheWriteInputTokenCount": plan.script.written + plan.script.written_long,
        "invocationLatency": 7,
        "firstByteLatency": 3,
    });
    let with_metrics = |mut last: Value| {
        last["amazon-bedrock-invocationMetrics"] = metrics.clone();
        chunk(&last)
    };
    match family {
        Family::Anthropic => {
            let start = anthropic_message(plan, json!([]), 0);
            let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
            let usage = json!({"output_tokens": plan.sums.output_tokens});
            let before = [
                chunk(&json!({"type": "message_start", "message": start})),
                chunk(&json!({"type": "content_block_start", "index": 0,
                    "content_block": {"type": "text", "text": ""}})),
            ];
            let after = [
                chunk(&json!({"type": "content_block_stop", "index": 0})),
                chunk(&json!({"type": "message_delta", "delta": delta, "usage": usage})),
                with_metrics(json!({"type": "message_stop"})),
            ];
            (before.concat(), after.concat())
        }
        Family::Nova => {
            let usage = vendor_body(family, plan)["usage"].clone();
            let before = chunk(&json!({"messageStart": {"role": "assistant"}}));
            let after = [
                chunk(&json!({"messageStop": {"stopReason": "end_turn"}})),
                with_metrics(json!({"metadata": {"usage": usage, "metrics": {}}})),
            ];
            (before, after.concat())
        }
        Family::Llama => (
            Vec::new(),
            with_metrics(
                json!({"generation": "", "prompt_token_count": plan.uncached(),
                "generation_token_count": plan.sums.output_tokens, "stop_reason": "stop"}),
            ),
        ),
        Family::Other => (Vec::new(), with_metrics(json!({"is_finished": true}))),
    }
}

fn vendor_word(family: Family, text: &str) -> Value {
    match family {
        Family::Anthropic => {
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
        }
        Family::Nova => {
            json!({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}})
        }
        Family::Llama => json!({"generation": text, "stop_reason": null}),
        Family::Other => json!({"text": text, "is_finished": false}),
    }
}

/// An answer with the counts in its head, as the service adds them whatever the vendor.
async fn whole(out: &mut Out<'_>, shared: &Shared, plan: &Plan, body: &Value) -> Result<(), Gone> {
    out.pause(plan.script.slow_head).await?;
    let counts = [
        plan.uncached(),
        plan.sums.output_tokens,
        plan.script.cached,
        plan.script.written + plan.script.written_long,
    ]
    .map(|count| count.to_string());
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-requestid", "standin"),
        ("x-amzn-bedrock-invocation-latency", "7"),
        ("x-amzn-bedrock-input-token-count", &*counts[0]),
        ("x-amzn-bedrock-output-token-count", &*counts[1]),
        ("x-amzn-bedrock-cache-read-input-token-count", &*counts[2]),
        ("x-amzn-bedrock-cache-write-input-token-count", &*counts[3]),
    ];
    let body = body.to_string();
    out.head(200, &headers, Framing::Length(body.len())).await?;
    if plan.script.cut.is_some() {
        out.data(&body.as_bytes()[..body.len() / 2]).await?;
        return Err(out.cut().await);
    }
    out.data(body.as_bytes()).await?;
    shared.stats.usage(&plan.model, plan.sums);
    out.end().await
}

/// `before`, one message per word, `after`; scripts may end it in every way a stream can end.
async fn stream(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    before: Vec<u8>,
    word: impl Fn(&str) -> Vec<u8>,
    after: Vec<u8>,
) -> Result<(), Gone> {
    out.pause(plan.script.slow_head).await?;
    let headers = [
        ("content-type", EVENT_STREAM),
        ("x-amzn-requestid", "standin"),
        ("x-amzn-bedrock-content-type", "application/json"),
    ];
    out.head(200, &headers, Framing::Stream).await?;
    out.data(&before).await?;
    for (number, text) in (0..).zip(&plan.words) {
        if plan.script.cut == Some(number) {
            return Err(out.cut().await);
        }
        if plan.script.stall == Some(number) {
            out.pause(STALL_LIMIT).await?;
        }
        if plan.script.exception == Some(number) {
            let headers = [
                (":message-type", "exception"),
                (":exception-type", "throttlingException"),
                (":content-type", "application/json"),
            ];
            out.data(&message(&headers, br#"{"message":"slow down"}"#))
                .await?;
            return out.end().await;
        }
        out.pause(plan.script.pace).await?;
        let mut bytes = word(&format!("{text} "));
        if plan.script.bad_crc == Some(number) {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
        out.data(&bytes).await?;
        shared.stats.sent(1, bytes.len());
    }
    out.data(&after).await?;
    shared.stats.usage(&plan.model, plan.sums);
    out.end().await
}

/// An error in AWS's shape: SDKs go by the header.
pub(super) async fn refuse(out: &mut Out<'_>, refusal: &Refusal) -> Result<(), Gone> {
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-errortype", refusal.code),
    ];
    let body = json!({"message": refusal.message}).to_string();
    out.whole(refusal.status, &headers, body.as_bytes()).await
}

fn chunk(vendor_event: &Value) -> Vec<u8> {
    let bytes = STANDARD.encode(vendor_event.to_string());
    event("chunk", &json!({"bytes": bytes, "p": "abcdefgh"}))
}

fn event(name: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    message(&headers, payload.to_string().as_bytes())
}

/// Prelude, headers, payload, and the checksums of the first and of all.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("names are short"));
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        let length = u16::try_from(value.len()).expect("values are short");
        head.extend_from_slice(&length.to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).expect("it fits").to_be_bytes();
    let mut message = length(16 + head.len() + payload.len()).to_vec();
    message.extend_from_slice(&length(head.len()));
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

/// A segment without its escapes.
fn decoded(segment: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| {
            let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
            let digits = std::str::from_utf8(&digits).unwrap_or("00");
            u8::from_str_radix(digits, 16).unwrap_or(0)
        });
        out.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&out).into_owned()
}
