use http::Method;

use super::*;
use crate::dialect::{ModelSource, classify};

const PROJECT: &str = "/v1beta1/projects/p/locations/l";

fn found(method: &str, path: &str) -> Option<(Dialect, Operation, String)> {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    classify(&method, path, false).map(|classified| {
        let model = match classified.model {
            ModelSource::Path(model) => model.to_owned(),
            ModelSource::Body | ModelSource::Form => "(body)".to_owned(),
            ModelSource::None => String::new(),
        };
        (classified.dialect, classified.operation, model)
    })
}

#[test]
fn paths_of_vertex() {
    use Operation as Op;
    let table = [
        (
            "publishers/google/models/gemini-x:generateContent",
            Op::GenerateContent,
            "gemini-x",
        ),
        (
            "publishers/google/models/gemini-x@001:generateContent",
            Op::GenerateContent,
            "gemini-x@001",
        ),
        (
            "publishers/google/models/gemini-x:streamGenerateContent",
            Op::StreamGenerateContent,
            "gemini-x",
        ),
        (
            "publishers/google/models/gemini-x:countTokens",
            Op::CountContentTokens,
            "gemini-x",
        ),
        (
            "publishers/google/models/gemini-x:computeTokens",
            Op::CountContentTokens,
            "gemini-x",
        ),
        (
            "publishers/google/models/gemini-embedding-2:embedContent",
            Op::EmbedContent,
            "gemini-embedding-2",
        ),
        (
            "publishers/google/models/text-embedding-005:predict",
            Op::EmbedContent,
            "text-embedding-005",
        ),
        (
            "publishers/google/models/imagen-4:predict",
            Op::Unmetered,
            "imagen-4",
        ),
        (
            "publishers/google/models/veo-3:predictLongRunning",
            Op::Unmetered,
            "veo-3",
        ),
        (
            "publishers/google/models/veo-3:fetchPredictOperation",
            Op::Other,
            "veo-3",
        ),
        (
            "publishers/anthropic/models/claude-x@20260101:rawPredict",
            Op::Messages,
            "claude-x@20260101",
        ),
        (
            "publishers/anthropic/models/claude-x:streamRawPredict",
            Op::Messages,
            "claude-x",
        ),
        (
            "publishers/mistralai/models/mistral-x@2503:rawPredict",
            Op::ChatCompletions,
            "mistral-x@2503",
        ),
        (
            "publishers/mistralai/models/mistral-x:streamRawPredict",
            Op::ChatCompletions,
            "mistral-x",
        ),
        (
            "publishers/ai21/models/jamba-x:rawPredict",
            Op::Unmetered,
            "jamba-x",
        ),
        (
            "publishers/anthropic/models/count-tokens:rawPredict",
            Op::CountTokens,
            "(body)",
        ),
        (
            "endpoints/openapi/chat/completions",
            Op::ChatCompletions,
            "(body)",
        ),
        ("endpoints/openapi/embeddings", Op::Embeddings, "(body)"),
        (
            "publishers/openai/v1/chat/completions",
            Op::ChatCompletions,
            "(body)",
        ),
        ("publishers/openai/v1/responses", Op::Responses, "(body)"),
    ];
    for (resource, operation, model) in table {
        let path = format!("{PROJECT}/{resource}");
        let expected = Some((Dialect::Vertex, operation, model.to_owned()));
        assert_eq!(found("POST", &path), expected, "{path}");
        assert_eq!(found("DELETE", &path), None, "{path}");
    }
    // An API key of the agent's own has a project already.
    let express = "/v1/publishers/google/models/gemini-x:generateContent";
    let expected = Some((Dialect::Vertex, Op::GenerateContent, "gemini-x".to_owned()));
    assert_eq!(found("POST", express), expected);
    for (path, operation, model) in [
        ("/v1beta1/publishers/google/models", Op::ListModels, ""),
        (
            "/v1beta1/publishers/google/models/gemini-x",
            Op::GetModel,
            "gemini-x",
        ),
    ] {
        let expected = Some((Dialect::Vertex, operation, model.to_owned()));
        assert_eq!(found("GET", path), expected, "{path}");
    }
}

#[test]
fn paths_of_the_gemini_api() {
    use Operation as Op;
    let table = [
        (
            "POST",
            "/v1beta/models/gemini-x:generateContent",
            Op::GenerateContent,
            "gemini-x",
        ),
        (
            "POST",
            "/v1/models/gemini-x:generateContent",
            Op::GenerateContent,
            "gemini-x",
        ),
        (
            "POST",
            "/v1/models/gemini-x:streamGenerateContent",
            Op::StreamGenerateContent,
            "gemini-x",
        ),
        (
            "POST",
            "/v1beta/models/gemini-x:countTokens",
            Op::CountContentTokens,
            "gemini-x",
        ),
        (
            "POST",
            "/v1beta/models/e-embedding:embedContent",
            Op::EmbedContent,
            "e-embedding",
        ),
        (
            "POST",
            "/v1beta/models/e-embedding:batchEmbedContents",
            Op::EmbedContent,
            "e-embedding",
        ),
        (
            "POST",
            "/v1beta/models/veo-3:predictLongRunning",
            Op::Unmetered,
            "veo-3",
        ),
        (
            "GET",
            "/v1beta/models/veo-3/operations/o1",
            Op::Other,
            "veo-3",
        ),
        ("GET", "/v1beta/models", Op::ListModels, ""),
        ("GET", "/v1beta/models/gemini-x", Op::GetModel, "gemini-x"),
    ];
    for (method, path, operation, model) in table {
        let expected = Some((Dialect::Gemini, operation, model.to_owned()));
        assert_eq!(found(method, path), expected, "{method} {path}");
    }
    let openai = |operation, model: &str| Some((Dialect::OpenAi, operation, model.to_owned()));
    for (method, path, expected) in [
        ("GET", "/v1/models", openai(Op::ListModels, "")),
        (
            "GET",
            "/v1/models/llama3:latest",
            openai(Op::GetModel, "llama3:latest"),
        ),
        (
            "GET",
            "/v1/models/ft:gpt-4o:a::AbCdEfGh",
            openai(Op::GetModel, "ft:gpt-4o:a::AbCdEfGh"),
        ),
        (
            "POST",
            "/v1beta/openai/chat/completions",
            openai(Op::ChatCompletions, "(body)"),
        ),
    ] {
        assert_eq!(found(method, path), expected, "{method} {path}");
    }
}

#[test]
fn what_is_not_metered_is_out_of_reach() {
    for resource in [
        "cachedContents",
        "batchPredictionJobs",
        "endpoints/7:predict",
        "endpoints/7/chat/completions",
        "publishers/google/models/gemini-x:batchGenerateContent",
        "publishers/google/models/a/b:generateContent",
        "publishers/google/models/a%2Fb:generateContent",
        "publishers/google/models/gemini-x:rawPredict",
        "publishers/anthropic/models/claude-x:generateContent",
        "publishers/mistralai/models/mistral-x:generateContent",
        "publishers/mistralai/models/mistral-x",
        "publishers/ai21/models/jamba-x:predict",
        "publishers/openai/v1/files",
        "publishers/openai/v1/models",
        "endpoints/openapi/audio/speech",
    ] {
        let path = format!("{PROJECT}/{resource}");
        assert_eq!(found("POST", &path), None, "{path}");
        assert_eq!(found("GET", &path), None, "{path}");
    }
    for path in [
        "/v1beta/cachedContents",
        "/v1beta/files",
        "/v1beta/tunedModels/t:generateContent",
        "/v1beta/models/gemini-x:batchGenerateContent",
        "/v1beta1/models/gemini-x:generateContent",
        "/v2/models/gemini-x:generateContent",
        "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent",
    ] {
        assert_eq!(found("POST", path), None, "{path}");
    }
}

#[test]
fn the_version_stands_once() {
    let agent = "/v1/models/m:generateContent";
    for (base, expected) in [
        ("", "/v1/models/m:generateContent"),
        ("/v1beta", "/v1beta/models/m:generateContent"),
        ("/v1beta/openai", "/v1beta/models/m:generateContent"),
        ("/proxy", "/proxy/v1/models/m:generateContent"),
        ("/proxy/v1beta", "/proxy/v1beta/models/m:generateContent"),
    ] {
        let mut out = Vec::new();
        path_join(base, agent, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{base}");
    }
}

#[test]
fn a_model_is_the_same_with_its_version_and_its_vendor() {
    for (id, expected) in [
        ("claude-haiku-4-5@20251001", Some("claude-haiku-4-5")),
        ("claude-haiku-4-5", None),
        ("@cf/meta/llama", None),
    ] {
        assert_eq!(unversioned_model(id), expected, "{id}");
    }
    for (dialect, expected) in [
        (Dialect::Vertex, "gemini-x"),
        (Dialect::OpenAi, "google/gemini-x"),
    ] {
        assert_eq!(model_in_body(dialect, "google/gemini-x"), expected);
    }
}
