//! OpenAI's endpoints. Usage is inclusive: cached and written tokens are part of the prompt's.

use http::Method;
use serde_json::{Value, json};

use super::{
    Seen, Shared,
    check::Refusal,
    reply::{self, Plan},
    wire::{Gone, Out},
};

const CREATED: u64 = 1_760_000_000;

pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    let parts: Vec<&str> = seen.path().trim_start_matches('/').split('/').collect();
    let post = seen.method == Method::POST;
    match parts.as_slice() {
        ["v1", "models"] if !post => reply::json(out, 200, &models()).await,
        ["v1", "models", id] if !post => reply::json(out, 200, &model(id)).await,
        ["v1", "files"] if post => reply::json(out, 200, &file(seen.body.len())).await,
        ["v1", "files", _] if !post => reply::json(out, 200, &file(0)).await,
        ["v1", "responses", id] if !post => {
            let body = json!({"id": id, "object": "response", "status": "completed", "output": []});
            reply::json(out, 200, &body).await
        }
        ["v1", "responses", id, "cancel"] if post => {
            let body = json!({"id": id, "object": "response", "status": "cancelled", "output": []});
            reply::json(out, 200, &body).await
        }
        ["v1", "responses", _, "input_items"] if !post => {
            reply::json(
                out,
                200,
                &json!({"object": "list", "data": [], "has_more": false}),
            )
            .await
        }
        ["v1", operation @ ..] if post => model_call(&operation.join("/"), seen, out, shared).await,
        _ => unknown(seen, out, shared).await,
    }
}

async fn model_call(
    operation: &str,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let Ok(body) = serde_json::from_slice::<Value>(&seen.body) else {
        let refusal = Refusal::new(400, "invalid_json", "the body is no JSON");
        return reply::refuse(out, shared, &refusal, None).await;
    };
    let plan = Plan::of(&body, shared.options.persona);
    if plan.model.is_empty() {
        let refusal = Refusal::new(400, "model_required", "you must provide a model");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    if let Some(refusal) = reply::scripted_error(&plan, seen) {
        return reply::refuse(out, shared, &refusal, plan.script.retry_after).await;
    }
    let streams = body.get("stream") == Some(&Value::Bool(true));
    match (operation, streams) {
        ("chat/completions", false) => reply::whole(out, shared, &plan, &chat(&plan)).await,
        ("chat/completions", true) => {
            let asked = body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
            chat_stream(out, shared, &plan, asked).await
        }
        ("completions", false) => reply::whole(out, shared, &plan, &completion(&plan)).await,
        ("completions", true) => {
            let asked = body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
            completion_stream(out, shared, &plan, asked).await
        }
        ("responses", false) => {
            let body = response(&plan, "completed");
            reply::whole(out, shared, &plan, &body).await
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
            reply::whole(out, shared, &plan, &embeddings(&plan)).await
        }
        _ => unknown(seen, out, shared).await,
    }
}

async fn unknown(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    let message = format!("no such endpoint: {} {}", seen.method, seen.path());
    let refusal = Refusal::new(404, "unknown_url", message);
    reply::refuse(out, shared, &refusal, None).await
}

fn usage(plan: &Plan) -> Value {
    json!({
        "prompt_tokens": plan.sums.input_tokens,
        "completion_tokens": plan.sums.output_tokens,
        "total_tokens": plan.sums.input_tokens + plan.sums.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": plan.script.cached,
            "cache_write_tokens": plan.script.written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": plan.sums.reasoning_tokens},
    })
}

fn chat(plan: &Plan) -> Value {
    json!({
        "id": "chatcmpl-standin",
        "object": "chat.completion",
        "created": CREATED,
        "model": plan.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": plan.text(), "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(plan),
    })
}

async fn chat_stream(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    include_usage: bool,
) -> Result<(), Gone> {
    let chunk = |choices: Value, usage: Value| {
        let mut body = json!({
            "id": "chatcmpl-standin",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": plan.model,
            "choices": choices,
        });
        if include_usage {
            body["usage"] = usage;
        }
        format!("data: {body}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let before = chunk(
        choice(json!({"role": "assistant", "content": ""}), Value::Null),
        Value::Null,
    );
    let mut after = chunk(choice(json!({}), json!("stop")), Value::Null);
    if include_usage {
        after += &chunk(json!([]), usage(plan));
    }
    after += "data: [DONE]\n\n";
    let word = |text: &str| chunk(choice(json!({"content": text}), Value::Null), Value::Null);
    // Without the option no usage is reported, so none is counted.
    let sums = match include_usage {
        true => plan.sums,
        false => super::Sums::default(),
    };
    let counted = Plan {
        sums,
        ..plan.clone()
    };
    reply::stream(out, shared, &counted, before, word, after).await
}

fn completion(plan: &Plan) -> Value {
    json!({
        "id": "cmpl-standin",
        "object": "text_completion",
        "created": CREATED,
        "model": plan.model,
        "choices": [{"index": 0, "text": plan.text(), "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(plan),
    })
}

async fn completion_stream(
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
    include_usage: bool,
) -> Result<(), Gone> {
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
        after += &chunk(json!([]), usage(plan));
    }
    after += "data: [DONE]\n\n";
    reply::stream(out, shared, plan, String::new(), word, after).await
}

fn response(plan: &Plan, status: &str) -> Value {
    json!({
        "id": "resp_standin",
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

fn message(plan: &Plan) -> Value {
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
    let started = json!({"response": response(plan, "in_progress")});
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
        + &event(
            "response.completed",
            json!({"response": response(plan, "completed")}),
        );
    reply::stream(out, shared, plan, before, word, after).await
}

fn embeddings(plan: &Plan) -> Value {
    // Four floats, base64, as the SDK asks for by default: 0.0, 0.25, 0.5, 1.0.
    const FLOATS: &str = "AAAAAAAAgD4AAAA/AACAPw==";
    json!({
        "object": "list",
        "model": plan.model,
        "data": [{"object": "embedding", "index": 0, "embedding": FLOATS}],
        "usage": {"prompt_tokens": plan.sums.input_tokens, "total_tokens": plan.sums.input_tokens},
    })
}

fn models() -> Value {
    json!({"object": "list", "data": [model("gpt-4o-mini"), model("gpt-4o")]})
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "standin"})
}

fn file(bytes: usize) -> Value {
    json!({
        "id": "file-standin",
        "object": "file",
        "bytes": bytes,
        "created_at": CREATED,
        "filename": "standin.jsonl",
        "purpose": "batch",
        "status": "processed",
    })
}
