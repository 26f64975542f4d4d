//! Google's endpoints: Vertex AI with its own operations, Anthropic's and OpenAI's, and the Gemini API.
//! Usage is inclusive for the cache; thoughts stand beside the candidates, and the total has everything.

pub(super) mod tokens;

use http::Method;
use serde_json::{Value, json};

use super::{
    Seen, Shared, Vendor, anthropic,
    check::Refusal,
    openai,
    reply::{self, Plan},
    wire::{Gone, Out},
};

/// In front of Vertex AI's resources, behind the version; then comes the location.
const PROJECT: &str = "projects/standin-project/locations/";

pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    if shared.options.vendor == Vendor::Vertex
        && let Some(listed) = publisher_models(seen)
    {
        return reply::json(out, 200, &listed).await;
    }
    let Some(resource) = resource(seen.path(), shared.options.vendor) else {
        return unknown(seen, out, shared).await;
    };
    if seen.method == Method::GET && resource == "models" {
        let models = ["gemini-3.8-flash", "gemini-embedding-2"]
            .map(|id| json!({"name": format!("models/{id}"), "displayName": "Stand-in"}));
        return reply::json(out, 200, &json!({"models": models})).await;
    }
    if seen.method != Method::POST {
        return unknown(seen, out, shared).await;
    }
    match resource.as_str() {
        "publishers/anthropic/models/count-tokens:rawPredict" => {
            anthropic::count_tokens(seen, out, shared).await
        }
        "endpoints/openapi/chat/completions" | "openai/chat/completions" => {
            openai::model_call("chat/completions", seen, out, shared).await
        }
        _ => {
            let named = resource.rsplit_once("models/");
            let Some((model, action)) = named.and_then(|(_, name)| name.rsplit_once(':')) else {
                return unknown(seen, out, shared).await;
            };
            let anthropic = resource.starts_with("publishers/anthropic/");
            match action {
                "rawPredict" | "streamRawPredict"
                    if resource.starts_with("publishers/mistralai/") =>
                {
                    mistral_predict(model, action == "streamRawPredict", seen, out, shared).await
                }
                "rawPredict" if resource.starts_with("publishers/ai21/") => {
                    reply::json(out, 200, &json!({"choices": []})).await
                }
                "rawPredict" | "streamRawPredict" if anthropic => {
                    raw_predict(model, action == "streamRawPredict", seen, out, shared).await
                }
                _ if !anthropic => model_call(model, action, seen, out, shared).await,
                _ => unknown(seen, out, shared).await,
            }
        }
    }
}

/// Model Garden's list of one publisher, which names no project; the second page of Google's is the last.
fn publisher_models(seen: &Seen) -> Option<Value> {
    let path = seen.path().strip_prefix("/v1beta1/publishers/")?;
    let publisher = path.strip_suffix("/models")?;
    if seen.method != Method::GET {
        return None;
    }
    let (ids, next): (&[&str], _) = match (publisher, seen.query()) {
        ("google", "pageSize=100") => (
            &["gemini-3.8-flash", "imagegeneration"],
            Some("second page"),
        ),
        ("google", "pageSize=100&pageToken=second%20page") => (&["gemini-embedding-2"], None),
        ("anthropic", "pageSize=100") => (&["claude-sonnet-5"], None),
        ("mistralai", "pageSize=100") => (&["mistral-medium-3"], None),
        (_, _) => return None,
    };
    let models = ids.iter().map(
        |id| json!({"name": format!("publishers/{publisher}/models/{id}"), "versionId": "default"}),
    );
    let mut page = json!({"publisherModels": models.collect::<Value>()});
    if let Some(next) = next {
        page["nextPageToken"] = json!(next);
    }
    Some(page)
}

/// The path without its version and project; `None` for one of another API.
fn resource(path: &str, vendor: Vendor) -> Option<String> {
    let gemini = vendor == Vendor::Gemini;
    let versions = if gemini {
        ["/v1beta/", "/v1/"]
    } else {
        ["/v1beta1/", "/v1/"]
    };
    let rest = versions
        .iter()
        .find_map(|version| path.strip_prefix(version))?;
    if gemini {
        return Some(rest.to_owned());
    }
    let (_, resource) = rest.strip_prefix(PROJECT)?.split_once('/')?;
    Some(resource.to_owned())
}

/// Anthropic's body without a model, which is in the path, and with its version.
async fn raw_predict(
    model: &str,
    streams: bool,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let mut body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let fits = body["anthropic_version"].is_string()
        && body.get("model").is_none()
        && (body["stream"] == json!(true)) == streams;
    if !fits {
        let refusal = Refusal::new(400, "INVALID_ARGUMENT", "not a body for rawPredict");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    body["model"] = json!(model);
    anthropic::messages(body, seen, out, shared).await
}

/// Mistral's own body, with the model of the path in it and no field that Mistral does not know.
async fn mistral_predict(
    model: &str,
    streams: bool,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let mut body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let (undated, _) = model.split_once('@').unwrap_or((model, ""));
    let fits = body["model"] == undated
        && body.get("stream_options").is_none()
        && (body["stream"] == json!(true)) == streams;
    if !fits {
        let refusal = Refusal::new(400, "INVALID_ARGUMENT", "not a body for Mistral");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    if streams {
        // It tells its usage unasked.
        body["stream_options"] = json!({"include_usage": true});
    }
    let seen = Seen {
        body: body.to_string().into(),
        ..seen.clone()
    };
    openai::model_call("chat/completions", &seen, out, shared).await
}

async fn model_call(
    model: &str,
    action: &str,
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let Ok(mut body) = serde_json::from_slice::<Value>(&seen.body) else {
        let refusal = Refusal::new(400, "INVALID_ARGUMENT", "the body is no JSON");
        return reply::refuse(out, shared, &refusal, None).await;
    };
    body["model"] = json!(model);
    let plan = Plan::of(&body, shared.options.persona);
    if let Some(refusal) = reply::scripted_error(&plan, seen) {
        return reply::refuse(out, shared, &refusal, plan.script.retry_after).await;
    }
    if model.contains("missing") {
        let refusal = Refusal::new(404, "NOT_FOUND", "Publisher Model was not found");
        return reply::refuse(out, shared, &refusal, None).await;
    }
    match action {
        "generateContent" => {
            let whole = content(&plan, &plan.text(), Some("STOP"), Some(usage(&plan)));
            reply::whole(out, shared, &plan, &whole).await
        }
        "streamGenerateContent" => content_stream(seen, out, shared, &plan).await,
        "countTokens" => {
            let counted = json!({"totalTokens": plan.sums.input_tokens});
            reply::json(out, 200, &counted).await
        }
        "embedContent" | "batchEmbedContents" => {
            embeddings(action == "batchEmbedContents", plan, out, shared).await
        }
        _ => unknown(seen, out, shared).await,
    }
}

fn usage(plan: &Plan) -> Value {
    let sums = &plan.sums;
    json!({
        "promptTokenCount": sums.input_tokens,
        "cachedContentTokenCount": plan.script.cached,
        "candidatesTokenCount": sums.output_tokens - sums.reasoning_tokens,
        "thoughtsTokenCount": sums.reasoning_tokens,
        "totalTokenCount": sums.input_tokens + sums.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": sums.input_tokens}],
    })
}

fn content(plan: &Plan, text: &str, finish: Option<&str>, usage: Option<Value>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    let mut body = json!({
        "candidates": [candidate],
        "modelVersion": plan.model,
        "responseId": "standin",
    });
    if let Some(usage) = usage {
        body["usageMetadata"] = usage;
    }
    body
}

/// Events with `alt=sse`, else the elements of one array.
async fn content_stream(
    seen: &Seen,
    out: &mut Out<'_>,
    shared: &Shared,
    plan: &Plan,
) -> Result<(), Gone> {
    let last = content(plan, "", Some("STOP"), Some(usage(plan)));
    let on_the_way = || Some(json!({"trafficType": "ON_DEMAND"}));
    if seen.query().split('&').any(|pair| pair == "alt=sse") {
        let word =
            |text: &str| format!("data: {}\r\n\r\n", content(plan, text, None, on_the_way()));
        let after = format!("data: {last}\r\n\r\n");
        return reply::stream(out, shared, plan, String::new(), word, after).await;
    }
    let before = format!("[{}", content(plan, "", None, on_the_way()));
    let word = |text: &str| format!(",\r\n{}", content(plan, text, None, on_the_way()));
    let after = format!(",\r\n{last}\n]");
    reply::stream_as("application/json", out, shared, plan, before, word, after).await
}

async fn embeddings(
    batch: bool,
    plan: Plan,
    out: &mut Out<'_>,
    shared: &Shared,
) -> Result<(), Gone> {
    let tokens = plan.sums.input_tokens;
    let plan = Plan {
        sums: super::Sums {
            output_tokens: 0,
            reasoning_tokens: 0,
            ..plan.sums
        },
        ..plan
    };
    let usage = json!({"promptTokenCount": tokens, "totalTokenCount": tokens});
    let vector = json!({"values": [0.0, 0.25, 0.5, 1.0]});
    let body = match batch {
        true => json!({"embeddings": [vector], "usageMetadata": usage}),
        false => json!({"embedding": vector, "usageMetadata": usage}),
    };
    reply::whole(out, shared, &plan, &body).await
}

async fn unknown(seen: &Seen, out: &mut Out<'_>, shared: &Shared) -> Result<(), Gone> {
    let message = format!("no such method: {} {}", seen.method, seen.path());
    let refusal = Refusal::new(404, "NOT_FOUND", message);
    reply::refuse(out, shared, &refusal, None).await
}
