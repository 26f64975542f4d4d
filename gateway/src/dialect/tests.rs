//! Every path that agents use, and those that must not pass.

use super::*;
use ModelSource::{Body, Form, None as Nowhere, Path};
use Operation as Op;

type Expected = Option<(Dialect, Op, ModelSource<'static>)>;

fn check(table: &[(&str, &str, Expected)], has_anthropic_version: bool) {
    for (method, path, expected) in table {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let found = classify(&method, path, has_anthropic_version);
        assert_eq!(
            found.map(|c| (c.dialect, c.operation, c.model)),
            *expected,
            "{method} {path}"
        );
    }
}

#[test]
fn openai_paths() {
    let some = |operation, model| Some((Dialect::OpenAi, operation, model));
    check(
        &[
            (
                "POST",
                "/v1/chat/completions",
                some(Op::ChatCompletions, Body),
            ),
            ("POST", "/chat/completions", some(Op::ChatCompletions, Body)),
            (
                "POST",
                "/openai/v1/chat/completions",
                some(Op::ChatCompletions, Body),
            ),
            ("GET", "/v1/chat/completions", some(Op::Other, Nowhere)),
            (
                "GET",
                "/v1/chat/completions/c1/messages",
                some(Op::Other, Nowhere),
            ),
            ("POST", "/v1/completions", some(Op::Completions, Body)),
            ("POST", "/v1/fim/completions", some(Op::Completions, Body)),
            ("POST", "/v1/responses", some(Op::Responses, Body)),
            ("POST", "/responses/compact", some(Op::Responses, Body)),
            (
                "POST",
                "/v1/responses/input_tokens",
                some(Op::ResponsesInputTokens, Body),
            ),
            ("GET", "/v1/responses/r1", some(Op::StoredResponse, Nowhere)),
            (
                "DELETE",
                "/v1/responses/r1",
                some(Op::StoredResponse, Nowhere),
            ),
            (
                "POST",
                "/v1/responses/r1/cancel",
                some(Op::StoredResponse, Nowhere),
            ),
            (
                "GET",
                "/v1/responses/r1/input_items",
                some(Op::StoredResponse, Nowhere),
            ),
            ("POST", "/v1/embeddings", some(Op::Embeddings, Body)),
            ("GET", "/v1/models", some(Op::ListModels, Nowhere)),
            (
                "GET",
                "/v1/models/gpt-4o",
                some(Op::GetModel, Path("gpt-4o")),
            ),
            (
                "GET",
                "/v1/models/openai/gpt-4o",
                some(Op::GetModel, Path("openai/gpt-4o")),
            ),
            (
                "GET",
                "/v1/models/openai%2Fgpt-4o",
                some(Op::GetModel, Path("openai%2Fgpt-4o")),
            ),
            (
                "GET",
                "/v1/models/llama3:latest",
                some(Op::GetModel, Path("llama3:latest")),
            ),
            ("POST", "/v1/files", some(Op::Other, Nowhere)),
            ("DELETE", "/v1/files/f1", some(Op::Other, Nowhere)),
            ("GET", "/v1/files/f1/content", some(Op::Other, Nowhere)),
            ("POST", "/v1/batches", some(Op::Unmetered, Nowhere)),
            ("POST", "/v1/batches/b1/cancel", some(Op::Other, Nowhere)),
            ("GET", "/v1/batch/jobs", some(Op::Other, Nowhere)),
            ("GET", "/v1/batch/jobs/j1", some(Op::Other, Nowhere)),
            ("POST", "/v1/uploads/u1/parts", some(Op::Other, Nowhere)),
            (
                "POST",
                "/v1/vector_stores/v1/search",
                some(Op::Other, Nowhere),
            ),
            (
                "POST",
                "/v1/audio/transcriptions",
                some(Op::Unmetered, Form),
            ),
            ("POST", "/v1/audio/speech", some(Op::Unmetered, Body)),
            ("POST", "/v1/images/generations", some(Op::Unmetered, Body)),
            ("POST", "/v1/images/edits", some(Op::Unmetered, Form)),
            ("POST", "/v1/moderations", some(Op::Other, Nowhere)),
        ],
        false,
    );
}

#[test]
fn anthropic_paths() {
    let some = |operation, model| Some((Dialect::Anthropic, operation, model));
    check(
        &[
            ("POST", "/v1/messages", some(Op::Messages, Body)),
            ("POST", "/messages", some(Op::Messages, Body)),
            ("POST", "/anthropic/v1/messages", some(Op::Messages, Body)),
            (
                "POST",
                "/v1/messages/count_tokens",
                some(Op::CountTokens, Body),
            ),
            ("GET", "/v1/messages/batches", some(Op::Other, Nowhere)),
            (
                "DELETE",
                "/v1/messages/batches/b1",
                some(Op::Other, Nowhere),
            ),
            (
                "GET",
                "/v1/messages/batches/b1/results",
                some(Op::Other, Nowhere),
            ),
            (
                "POST",
                "/v1/messages/batches/b1/cancel",
                some(Op::Other, Nowhere),
            ),
            ("GET", "/v1/models", some(Op::ListModels, Nowhere)),
            (
                "GET",
                "/v1/models/claude-opus-5",
                some(Op::GetModel, Path("claude-opus-5")),
            ),
            ("POST", "/v1/files", some(Op::Other, Nowhere)),
            ("HEAD", "/api/hello", some(Op::Hello, Nowhere)),
            ("GET", "/api/hello", some(Op::Hello, Nowhere)),
        ],
        true,
    );
    check(
        &[
            ("POST", "/v1/messages", some(Op::Messages, Body)),
            ("GET", "/anthropic/v1/models", some(Op::ListModels, Nowhere)),
            (
                "GET",
                "/v1/models",
                Some((Dialect::OpenAi, Op::ListModels, Nowhere)),
            ),
        ],
        false,
    );
    // The path decides where only one vendor has it.
    check(
        &[(
            "POST",
            "/v1/chat/completions",
            Some((Dialect::OpenAi, Op::ChatCompletions, Body)),
        )],
        true,
    );
}

#[test]
fn azure_paths() {
    let azure = |operation| Some((Dialect::Azure, operation, Path("d")));
    check(
        &[
            (
                "POST",
                "/openai/deployments/d/chat/completions",
                azure(Op::ChatCompletions),
            ),
            (
                "POST",
                "/openai/deployments/d/embeddings",
                azure(Op::Embeddings),
            ),
            (
                "POST",
                "/openai/deployments/d/audio/transcriptions",
                azure(Op::Unmetered),
            ),
            ("GET", "/openai/deployments/d/chat/completions", None),
            (
                "POST",
                "/openai/deployments/d/extensions/chat/completions",
                None,
            ),
            ("POST", "/openai/deployments/d", None),
        ],
        false,
    );
}

#[test]
fn bedrock_paths() {
    let some = |operation, model| Some((Dialect::Bedrock, operation, model));
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.m";
    let invoke_arn = format!("/model/{arn}/invoke");
    check(
        &[
            (
                "POST",
                "/model/amazon.nova-pro-v1%3A0/converse",
                some(Op::Converse, Path("amazon.nova-pro-v1%3A0")),
            ),
            (
                "POST",
                "/model/amazon.nova-pro-v1:0/converse-stream",
                some(Op::ConverseStream, Path("amazon.nova-pro-v1:0")),
            ),
            (
                "POST",
                "/bedrock/model/m/invoke-with-response-stream",
                some(Op::InvokeStream, Path("m")),
            ),
            (
                "POST",
                "/model/m/count-tokens",
                some(Op::CountTokens, Path("m")),
            ),
            (
                "POST",
                "/guardrail/g1/version/DRAFT/apply",
                some(Op::Unmetered, Nowhere),
            ),
            (
                "POST",
                "/bedrock/guardrail/arn%3Aaws%2Fg1/version/1/apply",
                some(Op::Unmetered, Nowhere),
            ),
            ("POST", "/guardrail/g1/version/1", None),
            ("POST", "/guardrail/g1/version/1/apply/x", None),
            ("GET", "/model/m/invoke", None),
            ("POST", "/model/m/delete", None),
            ("POST", "/model/arn:aws/m/invoke", None),
            ("POST", "/bedrock/v1/messages", None),
            ("POST", "/bedrockmodel/m/invoke", None),
        ],
        false,
    );
    let found = classify(&Method::POST, &invoke_arn, false).unwrap();
    assert_eq!((found.operation, found.model), (Op::Invoke, Path(arn)));
}

#[test]
fn other_paths_and_methods_do_not_pass() {
    let table = [
        ("POST", "/v1/complete"),
        ("GET", "/v1/organizations/users"),
        ("GET", "/v1/organization/api_keys"),
        ("GET", "/anthropic/v1/organizations/api_keys"),
        ("POST", "/v1/files/../organizations/invites"),
        ("POST", "/v1/files/%2e%2e/organizations/invites"),
        ("POST", "/v1/files/a%2Fb"),
        ("POST", "/v1/realtime/client_secrets"),
        ("POST", "/v1/realtime/sessions"),
        ("POST", "/anthropic/v1/chat/completions"),
        ("POST", "/openai/v1/messages"),
        ("GET", "/v1/responses"),
        ("GET", "/v1/messages"),
        ("DELETE", "/v1/models/ft:gpt-4o"),
        ("PATCH", "/v1/files/f1"),
        ("OPTIONS", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/chat//completions"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1"),
        ("POST", "/"),
        ("OPTIONS", "*"),
    ];
    for (method, path) in table {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        assert_eq!(classify(&method, path, false), None, "{method} {path}");
    }
}

#[test]
fn a_known_path_says_which_methods_it_has() {
    let table = [
        ("/v1/responses", Some("POST")),
        ("/v1/responses/r1", Some("GET, DELETE")),
        ("/v1/models", Some("GET")),
        ("/api/hello", Some("GET, HEAD")),
        ("/v1/organizations", None),
    ];
    for (path, expected) in table {
        assert_eq!(allowed_methods(path, false).as_deref(), expected, "{path}");
    }
}

#[test]
fn dates_are_cut_from_the_ids_of_vendors_that_date_them() {
    let table = [
        ("claude-haiku-4-5-20251001", Some("claude-haiku-4-5")),
        ("gpt-4o-2024-08-06", Some("gpt-4o")),
        ("o3-2025-04-16", Some("o3")),
        (
            "text-embedding-3-small-2024-01-01",
            Some("text-embedding-3-small"),
        ),
        ("claude-haiku-4-5", None),
        ("claude-20251001", None),
        ("gpt-4o", None),
        ("gpt-4o-2024-8-06", None),
        ("my-model-20240101", None),
        ("my-model-2024-01-01", None),
        ("gpt-é-2024-01-01", Some("gpt-é")),
        ("gpt-4oé24-01-01", None),
        ("", None),
    ];
    for (id, expected) in table {
        assert_eq!(undated_model(id), expected, "{id}");
    }
}

#[test]
fn sets_of_dialects() {
    let set = DialectSet::of(&[Dialect::OpenAi, Dialect::Azure]);
    for dialect in Dialect::ALL {
        let expected = matches!(dialect, Dialect::OpenAi | Dialect::Azure);
        assert_eq!(set.contains(dialect), expected, "{dialect:?}");
        assert_eq!(Dialect::from_code(dialect.code()), Some(dialect));
    }
    assert!(!set.is_any() && DialectSet::ANY.is_any());
    assert_eq!(Dialect::from_code("palm"), None);
}

#[test]
fn cut_paths_are_no_reason_to_panic() {
    let paths = [
        "/v1/chat/completions/c1/messages",
        "/openai/v1/responses/r1/input_items",
        "/anthropic/v1/messages/batches/b1/results",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m@1:streamRawPredict",
        "/bedrock/model/arn%3Aaws%2Fm/invoke-with-response-stream",
        "/openai/deployments/d%20\u{e9}/chat/completions",
    ];
    for path in paths {
        for end in (0..=path.len()).filter(|&end| path.is_char_boundary(end)) {
            for has_anthropic_version in [false, true] {
                let path = &path[..end];
                let found = classify(&Method::POST, path, has_anthropic_version);
                let methods = allowed_methods(path, has_anthropic_version);
                let posts = methods.is_some_and(|methods| methods.contains("POST"));
                assert_eq!(found.is_some(), posts, "{path}");
            }
        }
    }
}

#[test]
fn objects_are_made_or_named() {
    let (made, none) = (Object::Made, Object::None);
    let named = Object::Named;
    for (method, path, anthropic, expected) in [
        ("POST", "/v1/responses", false, made),
        ("GET", "/v1/responses/r1", false, named("r1")),
        ("POST", "/v1/responses/r1/cancel", false, named("r1")),
        ("GET", "/v1/responses/r1/input_items", false, named("r1")),
        ("POST", "/v1/responses/input_tokens", false, none),
        ("POST", "/v1/chat/completions", false, none),
        ("GET", "/v1/chat/completions/c1", false, none),
        ("POST", "/v1/files", false, made),
        ("GET", "/v1/files", false, none),
        ("GET", "/v1/files/f1/content", false, named("f1")),
        ("POST", "/v1/batches", false, made),
        ("POST", "/v1/batches/b1/cancel", false, named("b1")),
        ("POST", "/v1/batch/jobs", false, made),
        ("GET", "/v1/batch/jobs/j1", false, named("j1")),
        ("POST", "/v1/uploads/u1/parts", false, named("u1")),
        ("POST", "/v1/responses/compact", false, none),
        ("POST", "/v1/images/generations", false, none),
        ("POST", "/v1/audio/transcriptions", false, none),
        ("POST", "/v1/moderations", false, none),
        ("POST", "/v1/messages", false, none),
        ("POST", "/v1/messages/batches", false, made),
        ("GET", "/v1/messages/batches", false, none),
        ("GET", "/v1/messages/batches/b1", false, named("b1")),
        ("GET", "/v1/messages/batches/b1/results", false, named("b1")),
        ("POST", "/v1/files", true, made),
        ("GET", "/v1/files", true, none),
        ("GET", "/v1/files/f1/content", true, named("f1")),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let found = classify(&method, path, anthropic);
        assert_eq!(found.map(|c| c.object), Some(expected), "{method} {path}");
    }
}
