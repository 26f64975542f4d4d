//! The lists of AWS' control plane: models in one piece, inference profiles in pages.

use serde_json::{Value, json};

use crate::standin::{
    Seen,
    check::Refusal,
    reply,
    wire::{Gone, Out},
};

/// A token that has to be encoded to come back whole.
const NEXT: &str = "page 2/+=";
const NEXT_ENCODED: &str = "page%202%2F%2B%3D";

const ACCOUNT: &str = "arn:aws:bedrock:eu-central-1:123456789012";

/// `None` when the path is another's.
pub(super) async fn answer(seen: &Seen, out: &mut Out<'_>) -> Option<Result<(), Gone>> {
    let body = match seen.path() {
        "/foundation-models" => models(seen.query()),
        "/inference-profiles" => profiles(seen.query()),
        _ => return None,
    };
    Some(match body {
        Ok(body) => reply::json(out, 200, &body).await,
        Err(refusal) => super::refuse(out, &refusal).await,
    })
}

fn models(query: &str) -> Result<Value, Refusal> {
    if query != "byInferenceType=ON_DEMAND" {
        return Err(Refusal::new(400, "ValidationException", query));
    }
    let model = |id: &str, output: &str| {
        json!({
            "modelArn": format!("arn:aws:bedrock:eu-central-1::foundation-model/{id}"),
            "modelId": id,
            "modelName": "Stand-in",
            "outputModalities": [output],
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        })
    };
    Ok(json!({"modelSummaries": [
        model("amazon.nova-lite-v1:0", "TEXT"),
        model("amazon.titan-embed-text-v2:0", "EMBEDDING"),
        model("amazon.nova-canvas-v1:0", "IMAGE"),
    ]}))
}

fn profiles(query: &str) -> Result<Value, Refusal> {
    let profile = |id: &str, model: &str, kind: &str, resource: &str| {
        json!({
            "inferenceProfileId": id,
            "inferenceProfileName": "Stand-in profile",
            "inferenceProfileArn": format!("{ACCOUNT}:{resource}/{id}"),
            "models": [{"modelArn": format!("arn:aws:bedrock:eu-west-1::foundation-model/{model}")}],
            "status": "ACTIVE",
            "type": kind,
        })
    };
    let second = format!("maxResults=1000&nextToken={NEXT_ENCODED}");
    if query == "maxResults=1000" {
        let first = profile(
            "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            "anthropic.claude-haiku-4-5-20251001-v1:0",
            "SYSTEM_DEFINED",
            "inference-profile",
        );
        Ok(json!({"inferenceProfileSummaries": [first], "nextToken": NEXT}))
    } else if query == second {
        let own = profile(
            "a1b2c3",
            "amazon.nova-lite-v1:0",
            "APPLICATION",
            "application-inference-profile",
        );
        Ok(json!({"inferenceProfileSummaries": [own]}))
    } else {
        Err(Refusal::new(400, "ValidationException", query))
    }
}
