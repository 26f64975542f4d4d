//! Hard limits: bounds that are written into what goes to the provider, and what a request is charged for that its
//! bytes do not bound.

use super::*;

/// `hard_output_tokens` as it is without configuration.
const BOUND: u64 = 8192;
/// What gpt-4o-mini takes in.
const WINDOW: u64 = 128_000;

/// The only thing that a provider saw last.
fn sent(standin: &StandIn) -> Value {
    let seen = standin.seen();
    serde_json::from_slice(&seen.last().unwrap().body).unwrap()
}

#[tokio::test]
async fn a_bound_reaches_every_vendor_where_it_reads_it() {
    let prompt = || json!({"messages": [{"role": "user", "content": [{"text": "one two"}]}]});
    let mut anthropic = message("one two", false);
    anthropic.as_object_mut().unwrap().remove("max_tokens");
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "one two"}]}],
        "generationConfig": {"temperature": 1}});
    let ollama = json!({"model": "llama3.2:3b", "stream": false, "options": {},
        "messages": [{"role": "user", "content": "one two"}]});
    let mut vllm = chat("one two", false);
    vllm["model"] = json!("Qwen/Qwen3-8B");
    let vendors = [
        (
            Vendor::OpenAi,
            vec![
                (CHAT, chat("one two", false), "/max_completion_tokens"),
                (
                    "/v1/responses",
                    json!({"model": "gpt-4o-mini", "input": "one two"}),
                    "/max_output_tokens",
                ),
            ],
        ),
        (Vendor::Vllm, vec![(CHAT, vllm, "/max_tokens")]),
        (
            Vendor::Anthropic,
            vec![(MESSAGES, anthropic, "/max_tokens")],
        ),
        (
            Vendor::Ollama,
            vec![("/api/chat", ollama, "/options/num_predict")],
        ),
        (
            Vendor::Gemini,
            vec![(
                "/v1beta/models/gemini-3.8-flash:generateContent",
                contents,
                "/generationConfig/maxOutputTokens",
            )],
        ),
        (
            Vendor::Bedrock,
            vec![
                (
                    "/model/amazon.nova-lite-v1:0/converse",
                    prompt(),
                    "/inferenceConfig/maxTokens",
                ),
                (
                    "/model/amazon.nova-lite-v1:0/invoke-with-response-stream",
                    prompt(),
                    "/inferenceConfig/maxTokens",
                ),
            ],
        ),
    ];
    for (vendor, requests) in vendors {
        let (standin, node) = pair(vendor, Transport::Plain, NodeOptions::default()).await;
        limit(&node, &["--user-tokens", "1M/1d", "--mode", "hard"]).await;
        let alice = node.alice().await.unwrap();
        let mut session = alice.session(Version::Http1).await.unwrap();
        for (path, body, place) in requests {
            let version = [("anthropic-version", "2023-06-01")];
            let reply = session.post(path, &body, &version).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{vendor:?} {path} {reply:?}");
            let found = sent(&standin);
            assert_eq!(found.pointer(place), Some(&json!(BOUND)), "{path}: {found}");
        }
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_image_is_charged_at_the_window() {
    let mut image = bounded("look");
    image["messages"][0]["content"] =
        json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]);
    let most = WINDOW + MAX_TOKENS as u64;
    let cap = |tokens: u64| format!("{tokens}/1d");
    let (standin, node, alice) =
        limited(&["--user-tokens", &cap(most - 1), "--mode", "hard"]).await;
    let reply = alice.post(Version::Http1, CHAT, &image).await.unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.error_code(), "llm_policy.token_cap_exceeded");
    let message = reply.json().unwrap()["error"]["message"].to_string();
    assert!(message.contains(&format!("{most} tokens")), "{message}");

    limit(&node, &["--user-tokens", &cap(most)]).await;
    let reply = alice.post(Version::Http1, CHAT, &image).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    node.records(2).await.unwrap();
    // What it was set aside for and did not use is there for others.
    assert_eq!(spent(&node).await, total(&standin));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn tools_of_the_provider_are_charged_by_the_calls_that_they_may_make() {
    let response = |calls: Option<u64>| {
        json!({"model": "gpt-4o-mini", "input": "search", "max_output_tokens": 100,
            "max_tool_calls": calls, "tools": [{"type": "web_search"}]})
    };
    let most = 3 * (WINDOW + 100);
    let cap = format!("{most}/1d");
    let (standin, node, alice) = limited(&["--user-tokens", &cap, "--mode", "hard"]).await;
    for (calls, status, code, said) in [
        (
            None,
            StatusCode::FORBIDDEN,
            "llm_policy.unboundable",
            "`max_tool_calls`",
        ),
        (
            Some(3),
            StatusCode::TOO_MANY_REQUESTS,
            "llm_policy.token_cap_exceeded",
            "may use 512400 tokens",
        ),
    ] {
        let body = response(calls);
        let reply = alice
            .post(Version::Http1, "/v1/responses", &body)
            .await
            .unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(reply.error_code(), code);
        let message = reply.json().unwrap()["error"]["message"].to_string();
        assert!(message.contains(said), "{message}");
    }
    let body = response(Some(2));
    let reply = alice
        .post(Version::Http1, "/v1/responses", &body)
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(standin.stats().requests, 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_has_no_upper_bound_is_refused() {
    let transport = Transport::Plain;
    let (standin, node) = pair(Vendor::Vllm, transport, NodeOptions::default()).await;
    limit(&node, &["--user-tokens", "1M/1d", "--mode", "hard"]).await;
    let alice = node.alice().await.unwrap();
    let with = |field: &str, value: Value| {
        let mut body = bounded("look");
        body["model"] = json!("Qwen/Qwen3-8B");
        body[field] = value;
        body
    };
    let image = json!([{"role": "user", "content":
        [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]}]);
    for (body, said) in [
        (with("messages", image), "how large that is is not known"),
        (
            with("max_tokens", json!("100")),
            "set a bound on its output",
        ),
        (with("max_tokens", json!(0)), "set a bound on its output"),
        (
            with("max_completion_tokens", json!(-1)),
            "set a bound on its output",
        ),
        (
            with("tools", json!([{"type": "web_search"}])),
            "lets the provider run tools",
        ),
        (with("fallbacks", json!(["dearer"])), "another model"),
    ] {
        let reply = alice.post(Version::Http1, CHAT, &body).await.unwrap();
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{body}");
        assert_eq!(reply.error_code(), "llm_policy.unboundable");
        let message = reply.json().unwrap().to_string();
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(standin.stats().requests, 0);
    node.stop().await.unwrap();
}
