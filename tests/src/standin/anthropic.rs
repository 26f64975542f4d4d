//! Anthropic's endpoints. Usage is exclusive: cached and written tokens stand beside `input_tokens`;
//! `message_delta` repeats cumulative numbers.

use http::Method;
use serde_json::{Value, json};

use super::{
    Seen, Shared,
    check::Refusal,
    reply::{self, Plan},
    wire::{Gone, Out},
};

pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    let parts: Vec<&str> = seen.path().trim_start_matches('/').split('/').collect();
    let post = seen.method == Method::POST;
    match parts.as_slice() {
        ["v1", "models"] if !post => {
            let body = json!({
                "data": [model("claude-sonnet-4-6")],
                "first_id": "claude-sonnet-4-6",
                "has_more": false,
                "last_id": "claude-sonnet-4-6",
            });
            reply::json(out, 200, &body).await
        }
        ["v1", "models", id] if !post => reply::json(out, 200, &model(id)).await,
        ["v1", "messages", "batches"] if post => {
            reply::json(out, 200, &batch("msgbatch_standin")).await
        }
        ["v1", "messages", "batches"] => {
            let list = json!({"data": [], "first_id": null, "last_id": null, "has_more": false});
            reply::json(out, 200, &list).await
        }
        ["v1", "messages", "batches", id] if !post => reply::json(out, 200, &batch(id)).await,
        ["v1", "messages", "batches", id, "cancel"] if post => {
            reply::json(out, 200, &batch(id)).await
        }
        ["v1", "messages"] if post => match parse(seen) {
            Ok(body) => messages(body, seen, out, shared).await,
            Err(refusal) => reply::refuse(out, shared, &refusal, None).await,
        },
        ["v1", "messages", "count_tokens"] if post => count_tokens(seen, out, shared).await,
        _ => {
            let message = format!("{} {}", seen.method, seen.path());
            let refusal = Refusal::new(404, "not_found", message);
            reply::refuse(out, shared, &refusal, None).await
        }
    }
}

fn parse(seen: &Seen) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(&seen.body)
        .map_err(|_| Refusal::new(400, "invalid_json", "the body is no JSON"))?;
    match body.get("model").and_then(Value::as_str) {
        Some(_) => Ok(body),
        None => Err(Refusal::new(
            400,
            "invalid_request_error",
            "model: Field required",
        )),
    }
}

pub(super) async fn count_tokens(
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    match parse(seen) {
        Ok(body) => {
            let plan = Plan::of(&body, shared.options.persona);
            reply::json(out, 200, &json!({"input_tokens": plan.uncached()})).await
        }
        Err(refusal) => reply::refuse(out, shared, &refusal, None).await,
    }
}

/// Answers a body that names its model.
pub(super) async fn messages(
    body: Value,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    if !body.get("max_tokens").is_some_and(Value::is_u64) {
        let refusal = Refusal::new(400, "invalid_request_error", "max_tokens: Field required");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    let plan = Plan::of(&body, shared.options.persona);
    if let Some(refusal) = reply::scripted_error(&plan, seen) {
        return reply::refuse(out, shared, &refusal, plan.script.retry_after).await;
    }
    if body.get("stream") == Some(&Value::Bool(true)) {
        return message_stream(out, shared, &plan).await;
    }
    let content = json!([{"type": "text", "text": plan.text()}]);
    let whole = message(&plan, content, json!("end_turn"), plan.sums.output_tokens);
    reply::whole(out, shared, &plan, &whole).await
}

fn usage(plan: &Plan, output_tokens: u64) -> Value {
    json!({
        "input_tokens": plan.uncached(),
        "cache_read_input_tokens": plan.script.cached,
        "cache_creation_input_tokens": plan.script.written + plan.script.written_long,
        "cache_creation": {
            "ephemeral_5m_input_tokens": plan.script.written,
            "ephemeral_1h_input_tokens": plan.script.written_long,
        },
        "output_tokens": output_tokens,
        "service_tier": "standard",
    })
}

fn message(plan: &Plan, content: Value, stop_reason: Value, output_tokens: u64) -> Value {
    json!({
        "id": "msg_standin",
        "type": "message",
        "role": "assistant",
        "model": plan.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": usage(plan, output_tokens),
    })
}

async fn message_stream(out: &mut Out<'_>, shared: &Shared, plan: &Plan) -> Result<(), Gone> {
    let event = |name: &str, mut body: Value| {
        body["type"] = json!(name);
        format!("event: {name}\ndata: {body}\n\n")
    };
    let before = event(
        "message_start",
        json!({"message": message(plan, json!([]), Value::Null, 1)}),
    ) + &event(
        "content_block_start",
        json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
    ) + &event("ping", json!({}));
    let word = |text: &str| {
        let delta = json!({"index": 0, "delta": {"type": "text_delta", "text": text}});
        event("content_block_delta", delta)
    };
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let after = event("content_block_stop", json!({"index": 0}))
        + &event(
            "message_delta",
            json!({"delta": delta, "usage": usage(plan, plan.sums.output_tokens)}),
        )
        + &event("message_stop", json!({}));
    reply::stream(out, shared, plan, before, word, after).await
}

fn model(id: &str) -> Value {
    json!({
        "type": "model",
        "id": id,
        "display_name": "Stand-in",
        "created_at": "2025-10-09T00:00:00Z",
    })
}

fn batch(id: &str) -> Value {
    json!({
        "id": id,
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2025-10-09T00:00:00Z",
        "expires_at": "2025-10-10T00:00:00Z",
        "ended_at": null,
        "cancel_initiated_at": null,
        "archived_at": null,
        "results_url": null,
    })
}
