//! OpenAI's endpoints. Usage is inclusive: cached and written tokens are part of the prompt's.

use http::Method;
use serde_json::{Value, json};

use super::{
    Seen, Shared, Vendor,
    check::Refusal,
    media,
    reply::{self, Plan},
    wire::{Gone, Out},
};

const CREATED: u64 = 1_760_000_000;

pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    let parts: Vec<&str> = seen.path().trim_start_matches('/').split('/').collect();
    let post = seen.method == Method::POST;
    let vendor = shared.options.vendor;
    match parts.as_slice() {
        ["v1", "models"] if !post => reply::json(out, 200, &models(vendor)).await,
        ["v1", "models", id] if !post => reply::json(out, 200, &model(vendor, id)).await,
        ["v1", operation @ ..]
            if !matches!(
                vendor,
                Vendor::OpenAi | Vendor::Bedrock | Vendor::Gateway(_)
            ) =>
        {
            model_call(&operation.join("/"), seen, out, shared).await
        }
        ["v1", "files"] if post => {
            let made = file(&shared.kept.id("file-"), seen.body.len());
            shared.kept.put(&made);
            reply::json(out, 200, &made).await
        }
        ["v1", "files" | "batches"] if !post => {
            reply::json(
                out,
                200,
                &json!({"object": "list", "data": [], "has_more": false}),
            )
            .await
        }
        ["v1", "files", _, "content"] if !post => {
            out.whole(
                200,
                &[("content-type", "application/octet-stream")],
                b"{}\n",
            )
            .await
        }
        ["v1", "batches"] if post => match serde_json::from_slice::<Value>(&seen.body) {
            Ok(body) if body["input_file_id"].is_string() => {
                let made = batch(&shared.kept.id("batch_"), &body);
                shared.kept.put(&made);
                reply::json(out, 200, &made).await
            }
            _ => unknown(seen, out, shared).await,
        },
        ["v1", "responses", "input_tokens"] => {
            model_call("responses/input_tokens", seen, out, shared).await
        }
        ["v1", "responses", id, "input_items"] if !post && shared.kept.get(id).is_some() => {
            let list = json!({"object": "list", "data": [], "first_id": null, "last_id": null,
                "has_more": false});
            reply::json(out, 200, &list).await
        }
        ["v1", "responses" | "batches", id, "cancel"] if post => {
            kept(shared.kept.cancel(id), seen, out, shared).await
        }
        ["v1", kind @ ("responses" | "files" | "batches"), id] => match seen.method {
            Method::GET => kept(shared.kept.get(id), seen, out, shared).await,
            Method::DELETE => {
                let gone = |_| json!({"id": id, "object": kind, "deleted": true});
                kept(shared.kept.remove(id).map(gone), seen, out, shared).await
            }
            _ => unknown(seen, out, shared).await,
        },
        ["v1", "audio", "transcriptions" | "translations"] if post => {
            media::transcription(seen, out, shared).await
        }
        ["v1", operation @ ..] if post => model_call(&operation.join("/"), seen, out, shared).await,
        _ => unknown(seen, out, shared).await,
    }
}

/// An object that was asked for by its id.
async fn kept(
    object: Option<Value>,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    match object {
        Some(object) => reply::json(out, 200, &object).await,
        None => unknown(seen, out, shared).await,
    }
}

pub(super) async fn model_call(
    operation: &str,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let Ok(body) = serde_json::from_slice::<Value>(&seen.body) else {
        let refusal = Refusal::new(400, "invalid_json", "the body is no JSON");
        return reply::refuse(out, shared, &refusal, None).await;
    };
    if let Some(refusal) = unknown_field(shared.options.vendor, &body) {
        return reply::refuse(out, shared, &refusal, None).await;
    }
    let vendor = shared.options.vendor;
    let plan = Plan::of(&body, shared.options.persona);
    if plan.model.is_empty() {
        let refusal = Refusal::new(400, "model_required", "you must provide a model");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    if let Some(refusal) = reply::scripted_error(&plan, seen) {
        reply::gate(out, shared, &plan).await?;
        return reply::refuse(out, shared, &refusal, plan.script.retry_after).await;
    }
    let streams = body.get("stream") == Some(&Value::Bool(true));
    match (operation, streams) {
        ("chat/completions", false) => reply::whole(out, shared, &plan, &chat(vendor, &plan)).await,
        ("chat/completions", true) => {
            let asked = body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
            chat_stream(out, shared, &plan, asked).await
        }
        ("completions", false) => {
            reply::whole(out, shared, &plan, &completion(vendor, &plan)).await
        }
        ("completions", true) => {
            let asked = body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
            completion_stream(out, shared, &plan, asked).await
        }
        ("responses", false) => {
            let id = shared.kept.id("resp_");
            let done = response(&id, &plan, "completed");
            if body.get("background") == Some(&Value::Bool(true)) {
                let queued = response(&id, &plan, "queued");
                shared.kept.put_job(&queued, done, plan.script.polls);
                return reply::json(out, 200, &queued).await;
            }
            shared.kept.put(&done);
            reply::whole(out, shared, &plan, &done).await
        }
        ("responses", true) => response_stream(out, shared, &plan).await,
        ("responses/input_tokens", _) => {
            let body =
                json!({"object": "response.input_tokens", "input_tokens": plan.sums.input_tokens});
            reply::json(out, 200, &body).await
        }
        ("embeddings", _) => {
            let plan = Plan {
                sums: super::Sums {
                    output_tokens: 0,
                    reasoning_tokens: 0,
                    ..plan.sums
                },
                ..plan
            };
            let as_base64 = body.get("encoding_format") == Some(&json!("base64"));
            reply::whole(out, shared, &plan, &embeddings(vendor, &plan, as_base64)).await
        }
        ("audio/speech", _) if vendor == Vendor::OpenAi => media::speech(&body, out).await,
        ("images/generations", _) if vendor == Vendor::OpenAi => media::images(streams, out).await,
        _ => unknown(seen, out, shared).await,
    }
}

/// Mistral takes no field that it does not know.
fn unknown_field(vendor: Vendor, body: &Value) -> Option<Refusal> {
    const OF_OPENAI: [&str; 5] = [
        "stream_options",
        "user",
        "store",
        "logit_bias",
        "top_logprobs",
    ];
    let found = |name: &&&str| vendor == Vendor::Mistral && body.get(name).is_some();
    let name = OF_OPENAI.iter().find(found)?;
    let message = format!("extra_forbidden: body.{name}: Extra inputs are not permitted");
    Some(Refusal::new(422, "extra_forbidden", message))
}

async fn unknown(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    let message = format!("no such endpoint: {} {}", seen.method, seen.path());
    let refusal = Refusal::new(404, "unknown_url", message);
    reply::refuse(out, shared, &refusal, None).await
}

fn usage(vendor: Vendor, plan: &Plan) -> Value {
    let mut usage = json!({
        "prompt_tokens": plan.sums.input_tokens,
        "completion_tokens": plan.sums.output_tokens,
        "total_tokens": plan.sums.input_tokens + plan.sums.output_tokens,
    });
    match vendor {
        Vendor::OpenAi
        | Vendor::Anthropic
        | Vendor::Bedrock
        | Vendor::Vertex
        | Vendor::Gemini
        | Vendor::Gateway(_) => {
            usage["prompt_tokens_details"] = json!({
                "cached_tokens": plan.script.cached,
                "cache_write_tokens": plan.script.written,
                "audio_tokens": 0,
            });
            usage["completion_tokens_details"] =
                json!({"reasoning_tokens": plan.sums.reasoning_tokens});
        }
        Vendor::Mistral => {
            usage["prompt_audio_seconds"] = Value::Null;
            usage["service_tier"] = json!("standard");
        }
        Vendor::Vllm => usage["prompt_tokens_details"] = Value::Null,
        Vendor::Ollama => {}
    }
    usage
}

fn chat(vendor: Vendor, plan: &Plan) -> Value {
    json!({
        "id": "chatcmpl-standin",
        "object": "chat.completion",
        "created": CREATED,
        "model": plan.model,
        "system_fingerprint": null,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": plan.text(), "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(vendor, plan),
    })
}

async fn chat_stream(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    include_usage: bool,
) -> Result<(), Gone> {
    let vendor = shared.options.vendor;
    let chunk = |choices: Value, usage: Value| {
        let mut body = json!({
            "id": "chatcmpl-standin",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": plan.model,
            "choices": choices,
        });
        if include_usage || !usage.is_null() {
            body["usage"] = usage;
        }
        if vendor == Vendor::Ollama {
            body["system_fingerprint"] = json!("fp_ollama");
        }
        format!("data: {body}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut before = String::new();
    if let Vendor::Gateway(gateway) = vendor {
        before += gateway.before_stream();
    }
    before += &chunk(
        choice(json!({"role": "assistant", "content": ""}), Value::Null),
        Value::Null,
    );
    // Mistral tells usage unasked, on the last chunk.
    let last = match vendor {
        Vendor::Mistral => usage(vendor, plan),
        Vendor::OpenAi
        | Vendor::Anthropic
        | Vendor::Bedrock
        | Vendor::Vllm
        | Vendor::Ollama
        | Vendor::Vertex
        | Vendor::Gemini
        | Vendor::Gateway(_) => Value::Null,
    };
    let is_told = include_usage || !last.is_null();
    let mut after = chunk(choice(json!({}), json!("stop")), last);
    if include_usage {
        after += &chunk(json!([]), usage(vendor, plan));
    }
    after += "data: [DONE]\n\n";
    let word = |text: &str| chunk(choice(json!({"content": text}), Value::Null), Value::Null);
    // Without the option no usage is reported, so none is counted.
    let sums = match is_told {
        true => plan.sums,
        false => super::Sums::default(),
    };
    let counted = Plan {
        sums,
        ..plan.clone()
    };
    reply::stream(out, shared, &counted, before, word, after).await
}

fn completion(vendor: Vendor, plan: &Plan) -> Value {
    json!({
        "id": "cmpl-standin",
        "object": "text_completion",
        "created": CREATED,
        "model": plan.model,
        "choices": [{"index": 0, "text": plan.text(), "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(vendor, plan),
    })
}

async fn completion_stream(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    include_usage: bool,
) -> Result<(), Gone> {
    let vendor = shared.options.vendor;
    let chunk = |choices: Value, usage: Value| {
        let body = json!({
            "id": "cmpl-standin",
            "object": "text_completion",
            "created": CREATED,
            "model": plan.model,
            "choices": choices,
            "usage": usage,
        });
        format!("data: {body}\n\n")
    };
    let word = |text: &str| {
        let choice = json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": null}]);
        chunk(choice, Value::Null)
    };
    let mut after = String::new();
    if include_usage {
        after += &chunk(json!([]), usage(vendor, plan));
    }
    after += "data: [DONE]\n\n";
    reply::stream(out, shared, plan, String::new(), word, after).await
}

pub(super) fn response(id: &str, plan: &Plan, status: &str) -> Value {
    json!({
        "id": id,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "model": plan.model,
        "output": match status {
            "completed" => json!([message(plan)]),
            _ => json!([]),
        },
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": match status {
            "completed" => json!({
                "input_tokens": plan.sums.input_tokens,
                "input_tokens_details": {
                    "cached_tokens": plan.script.cached,
                    "cache_write_tokens": plan.script.written + plan.script.written_long,
                    "cache_write_tokens_details": {
                        "ttl_30m_tokens": plan.script.written,
                        "ttl_12h_tokens": plan.script.written_long,
                    },
                },
                "output_tokens": plan.sums.output_tokens,
                "output_tokens_details": {"reasoning_tokens": plan.sums.reasoning_tokens},
                "total_tokens": plan.sums.input_tokens + plan.sums.output_tokens,
            }),
            _ => Value::Null,
        },
    })
}

pub(super) fn message(plan: &Plan) -> Value {
    json!({
        "id": "msg_standin",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": plan.text(), "annotations": []}],
    })
}

async fn response_stream(out: &mut Out<'_>, shared: &Shared, plan: &Plan) -> Result<(), Gone> {
    let event = |name: &str, mut body: Value| {
        body["type"] = json!(name);
        body["sequence_number"] = json!(0);
        format!("event: {name}\ndata: {body}\n\n")
    };
    let part = json!({"type": "output_text", "text": "", "annotations": []});
    let item = json!({"id": "msg_standin", "type": "message", "role": "assistant",
        "status": "in_progress", "content": []});
    let place = |mut body: Value| {
        body["output_index"] = json!(0);
        body["item_id"] = json!("msg_standin");
        body["content_index"] = json!(0);
        body
    };
    let id = shared.kept.id("resp_");
    let done_response = response(&id, plan, "completed");
    shared.kept.put(&done_response);
    let started = json!({"response": response(&id, plan, "in_progress")});
    let before = event("response.created", started.clone())
        + &event("response.in_progress", started)
        + &event(
            "response.output_item.added",
            json!({"output_index": 0, "item": item}),
        )
        + &event("response.content_part.added", place(json!({"part": part})));
    let word = |text: &str| {
        event(
            "response.output_text.delta",
            place(json!({"delta": text, "logprobs": []})),
        )
    };
    let done = json!({"text": plan.text(), "logprobs": []});
    let after = event("response.output_text.done", place(done))
        + &event(
            "response.output_item.done",
            json!({"output_index": 0, "item": message(plan)}),
        )
        + &event("response.completed", json!({"response": done_response}));
    reply::stream(out, shared, plan, before, word, after).await
}

fn embeddings(vendor: Vendor, plan: &Plan, as_base64: bool) -> Value {
    // OpenAI's SDKs ask for base64; other servers take no notice.
    let floats = match as_base64 && vendor == Vendor::OpenAi {
        true => json!("AAAAAAAAgD4AAAA/AACAPw=="),
        false => json!([0.0, 0.25, 0.5, 1.0]),
    };
    let mut body = json!({
        "object": "list",
        "model": plan.model,
        "data": [{"object": "embedding", "index": 0, "embedding": floats}],
        "usage": {"prompt_tokens": plan.sums.input_tokens, "total_tokens": plan.sums.input_tokens},
    });
    if vendor == Vendor::Mistral {
        body["id"] = json!("embd-standin");
    }
    body
}

fn models(vendor: Vendor) -> Value {
    let ids: &[&str] = match vendor {
        Vendor::OpenAi
        | Vendor::Anthropic
        | Vendor::Bedrock
        | Vendor::Vertex
        | Vendor::Gemini
        | Vendor::Gateway(_) => &["gpt-4o-mini", "gpt-4o"],
        Vendor::Mistral => &["mistral-small-latest", "mistral-embed"],
        Vendor::Vllm => &["Qwen/Qwen3-8B"],
        Vendor::Ollama => &["llama3.2:3b"],
    };
    let models: Vec<Value> = ids.iter().map(|id| model(vendor, id)).collect();
    json!({"object": "list", "data": models})
}

fn model(vendor: Vendor, id: &str) -> Value {
    let owner = match vendor {
        Vendor::OpenAi
        | Vendor::Anthropic
        | Vendor::Bedrock
        | Vendor::Vertex
        | Vendor::Gemini
        | Vendor::Gateway(_) => "standin",
        Vendor::Mistral => "mistralai",
        Vendor::Vllm => "vllm",
        Vendor::Ollama => "library",
    };
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": owner})
}

fn file(id: &str, bytes: usize) -> Value {
    json!({
        "id": id,
        "object": "file",
        "bytes": bytes,
        "created_at": CREATED,
        "filename": "standin.jsonl",
        "purpose": "batch",
        "status": "processed",
    })
}

fn batch(id: &str, body: &Value) -> Value {
    json!({
        "id": id,
        "object": "batch",
        "endpoint": body["endpoint"],
        "errors": null,
        "input_file_id": body["input_file_id"],
        "completion_window": "24h",
        "status": "validating",
        "created_at": CREATED,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": null,
    })
}
