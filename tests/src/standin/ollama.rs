//! Ollama's own API: one JSON object per line, the counts in the last one; it streams unless told not to.

use http::Method;
use serde_json::{Value, json};

use super::{
    Seen, Shared,
    check::Refusal,
    reply::{self, Plan},
    wire::{Framing, Gone, Out},
};

const CREATED: &str = "2026-01-01T00:00:00Z";

pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    if (&seen.method, seen.path()) == (&Method::GET, "/api/version") {
        return reply::json(out, 200, &json!({"version": "0.13.0"})).await;
    }
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let plan = Plan::of(&body, shared.options.persona);
    let operation = seen.path().trim_start_matches("/api/");
    if seen.method != Method::POST || plan.model.is_empty() {
        let refusal = Refusal::new(400, "bad_request", "a model is wanted");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    let streams = body.get("stream") != Some(&Value::Bool(false));
    match operation {
        "chat" | "generate" if streams => stream(operation, out, shared, &plan).await,
        "chat" | "generate" => {
            let mut whole = line(operation, &plan, &plan.text());
            end(&mut whole, &plan);
            reply::whole(out, shared, &plan, &whole).await
        }
        "embed" => {
            let body = json!({"model": plan.model, "embeddings": [[0.5, 0.25]],
                "prompt_eval_count": plan.sums.input_tokens});
            shared.stats.usage(
                &plan.model,
                super::Sums {
                    input_tokens: plan.sums.input_tokens,
                    ..super::Sums::default()
                },
            );
            reply::json(out, 200, &body).await
        }
        "show" => {
            let body = json!({"modelfile": "", "details": {"family": "llama"}, "model_info": {},
                "capabilities": ["completion"]});
            reply::json(out, 200, &body).await
        }
        _ => {
            let refusal = Refusal::new(404, "not_found", seen.path());
            reply::refuse(out, shared, &refusal, None).await
        }
    }
}

async fn stream(
    operation: &str,
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
) -> Result<(), Gone> {
    let headers = [("content-type", "application/x-ndjson")];
    out.head(200, &headers, Framing::Stream).await?;
    for (number, word) in (0..).zip(&plan.words) {
        if plan.script.cut == Some(number) {
            return Err(out.cut().await);
        }
        out.pause(plan.script.pace).await?;
        let text = line(operation, plan, &format!("{word} ")).to_string() + "\n";
        out.data(text.as_bytes()).await?;
        shared.stats.sent(1, text.len());
    }
    let mut last = line(operation, plan, "");
    end(&mut last, plan);
    out.data(format!("{last}\n").as_bytes()).await?;
    shared.stats.usage(&plan.model, plan.sums);
    out.end().await
}

fn line(operation: &str, plan: &Plan, text: &str) -> Value {
    let mut line = json!({"model": plan.model, "created_at": CREATED, "done": false});
    match operation {
        "chat" => line["message"] = json!({"role": "assistant", "content": text}),
        _ => line["response"] = json!(text),
    }
    line
}

fn end(line: &mut Value, plan: &Plan) {
    line["done"] = json!(true);
    line["done_reason"] = json!("stop");
    line["total_duration"] = json!(1_000_000);
    line["prompt_eval_count"] = json!(plan.sums.input_tokens);
    line["eval_count"] = json!(plan.sums.output_tokens);
}
