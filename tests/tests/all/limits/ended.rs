//! Providers that take no notice of the bound they were given: the answer is ended where a hard limit is used up.

use gateway_tests::agent::PATIENCE;

use super::*;
use crate::streams::{until_cut, until_cut_bytes};

/// As every vendor takes them.
const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("anthropic-version", "2023-06-01"),
];
/// More than the sockets between take in: who does not stop reading never sees the end of it.
const ENDLESS: &str = "[[events=100000]]";
const WORDS: u64 = 100_000;
/// What may come between two looks, generously.
const SLACK: u64 = 2000;
const TRANSPORTS: [(Version, Transport); 3] = [
    (Version::Http1, Transport::Plain),
    (Version::Http1, Transport::TlsHttp2),
    (Version::Http2, Transport::TlsHttp2),
];

struct Case {
    vendor: Vendor,
    path: &'static str,
    body: Value,
    /// How the last event begins.
    event: &'static str,
    /// The error's kind in it.
    kind: (&'static str, &'static str),
}

fn cases() -> [Case; 4] {
    let mut response = json!({"model": "gpt-4o-mini", "stream": true, "input": ENDLESS});
    response["max_output_tokens"] = json!(MAX_TOKENS);
    let mut completion = chat(ENDLESS, true);
    completion["max_tokens"] = json!(MAX_TOKENS);
    [
        Case {
            vendor: Vendor::OpenAi,
            path: CHAT,
            body: completion,
            event: "data: {\"type\":\"error\",",
            kind: ("/error/type", "rate_limit_error"),
        },
        Case {
            vendor: Vendor::OpenAi,
            path: "/v1/responses",
            body: response,
            event: "data: {\"type\":\"error\",",
            kind: ("/error/type", "rate_limit_error"),
        },
        Case {
            vendor: Vendor::Anthropic,
            path: MESSAGES,
            body: message(ENDLESS, true),
            event: "event: error\ndata: {\"type\":\"error\",",
            kind: ("/error/type", "rate_limit_error"),
        },
        Case {
            vendor: Vendor::Gemini,
            path: "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
            body: json!({
                "contents": [{"role": "user", "parts": [{"text": ENDLESS}]}],
                "generationConfig": {"maxOutputTokens": MAX_TOKENS},
            }),
            event: "data: {\"type\":\"error\",",
            kind: ("/error/status", "RESOURCE_EXHAUSTED"),
        },
    ]
}

/// Asks for a stream that is broken off; what came of it.
async fn broken_off(node: &Node, version: Version, path: &str, body: &Value) -> String {
    let mut session = node.alice().await.unwrap().session(version).await.unwrap();
    let bytes = Bytes::from(body.to_string());
    let response = session.begin(Method::POST, path, &HEADERS, bytes).await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let told = tokio::time::timeout(PATIENCE, until_cut(response.into_body())).await;
    told.unwrap()
}

#[track_caller]
fn assert_ended(row: &Value) {
    assert_eq!(text(row, "outcome"), "cut", "{row:#}");
    assert_eq!(text(row, "reason"), "limit_passed", "{row:#}");
    assert_eq!(number(row, "status_code"), 200, "{row:#}");
}

#[tokio::test]
async fn a_stream_beyond_its_bound_is_ended_where_the_limit_is() {
    for (version, transport) in TRANSPORTS {
        for case in cases() {
            let (standin, node) = pair(case.vendor, transport, NodeOptions::default()).await;
            let cap = most(&case.body) as u64 + 10;
            limit(
                &node,
                &["--user-tokens", &format!("{cap}/365d"), "--mode", "hard"],
            )
            .await;
            let told = broken_off(&node, version, case.path, &case.body).await;

            // Whole events, of which the last one is what the SDK raises.
            let events = told.split("\n\n").filter(|event| !event.trim().is_empty());
            for event in events {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let data: Value = serde_json::from_str(data.unwrap()).unwrap();
                assert!(data.is_object());
            }
            let (_, last) = told.rsplit_once(case.event).unwrap();
            let last: Value =
                serde_json::from_str(&format!("{{\"type\":\"error\",{last}")).unwrap();
            assert_eq!(text(&last, "code"), "llm_policy.limit_passed");
            assert_eq!(last.pointer(case.kind.0).unwrap(), case.kind.1);
            // Not before it is sure, and not much later.
            let words = told.matches("word").count() as u64;
            assert!(
                (cap..cap + SLACK).contains(&words),
                "{words} words of {cap}"
            );

            // The provider stops, and what is known of it counts.
            let stats = standin
                .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
                .await;
            assert!(stats.unwrap().words_sent < WORDS);
            assert_ended(&node.only_record().await.unwrap());
            let spent = spent(&node).await;
            assert!((cap + 1..=cap + SLACK).contains(&spent), "{spent} of {cap}");
            let alice = node.alice().await.unwrap();
            let mut session = alice.session(version).await.unwrap();
            let refused = session.post(case.path, &case.body, &HEADERS[1..]).await;
            assert_eq!(refused.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
            node.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_event_stream_of_aws_ends_with_an_exception() {
    let options = Options::new(Vendor::Bedrock, Transport::TlsHttp2, KEY);
    let standin = StandIn::start(options).await.unwrap();
    let node = Node::with(NodeOptions::default(), &standin, Vendor::Bedrock, KEY);
    let node = node.await.unwrap();
    let body = json!({
        "messages": [{"role": "user", "content": [{"text": ENDLESS}]}],
        "inferenceConfig": {"maxTokens": MAX_TOKENS},
    });
    let cap = most(&body) + 10;
    limit(
        &node,
        &["--user-tokens", &format!("{cap}/365d"), "--mode", "hard"],
    )
    .await;
    let alice = node.alice().await.unwrap();
    let mut session = alice.session(Version::Http1).await.unwrap();
    let bytes = Bytes::from(body.to_string());
    let path = "/model/amazon.nova-lite-v1:0/converse-stream";
    let response = session.begin(Method::POST, path, &HEADERS, bytes).await;
    let told = tokio::time::timeout(PATIENCE, until_cut_bytes(response.unwrap().into_body()));
    let told = told.await.unwrap();
    let last = String::from_utf8_lossy(&told[told.len() - 400..]).into_owned();
    assert!(last.contains("throttlingException"), "{last}");
    assert!(last.contains("llm_policy.limit_passed"), "{last}");
    let stats = standin.wait_stats(PATIENCE, |stats| stats.cancelled == 1);
    stats.await.unwrap();
    assert_ended(&node.only_record().await.unwrap());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn lines_end_with_an_error_of_their_own() {
    let (standin, node) = pair(Vendor::Ollama, Transport::Plain, NodeOptions::default()).await;
    let body = json!({
        "model": "llama3.2:3b",
        "messages": [{"role": "user", "content": ENDLESS}],
        "options": {"num_predict": MAX_TOKENS},
    });
    let cap = most(&body) + 10;
    let cap = format!("{cap}/365d");
    limit(&node, &["--user-tokens", &cap, "--mode", "hard"]).await;
    let told = broken_off(&node, Version::Http1, "/api/chat", &body).await;
    let mut lines = told.lines().map(serde_json::from_str::<Value>);
    let last = lines.next_back().unwrap().unwrap();
    assert!(text(&last, "error").contains("limit"), "{last}");
    assert!(lines.all(|line| line.is_ok_and(|line| line["message"].is_object())));
    let stats = standin.wait_stats(PATIENCE, |stats| stats.cancelled == 1);
    stats.await.unwrap();
    assert_ended(&node.only_record().await.unwrap());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_budget_ends_streams_too() {
    let (standin, node) = openai(Transport::Plain).await;
    limit(&node, &["--user-usd", "0.005/365d", "--mode", "hard"]).await;
    let [case, ..] = cases();
    broken_off(&node, Version::Http1, case.path, &case.body).await;
    let stats = standin.wait_stats(PATIENCE, |stats| stats.cancelled == 1);
    stats.await.unwrap();
    assert_ended(&node.only_record().await.unwrap());
    let alice = node.alice().await.unwrap();
    let refused = alice.post(Version::Http1, CHAT, &case.body).await.unwrap();
    assert_eq!(refused.error_code(), "llm_policy.budget_cap_exceeded");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn input_that_is_reported_first_ends_the_answer_at_its_first_words() {
    let (standin, node) = anthropic(Transport::Plain).await;
    limit(&node, &["--user-tokens", "3000/365d", "--mode", "hard"]).await;
    let body = message("[[events=100000 cached=5000]]", true);
    let told = broken_off(&node, Version::Http2, MESSAGES, &body).await;
    assert!(
        told.contains("message_start") && told.contains("limit_passed"),
        "{told}"
    );
    assert!((told.matches("word").count() as u64) < SLACK);
    let stats = standin.wait_stats(PATIENCE, |stats| stats.cancelled == 1);
    stats.await.unwrap();
    let row = node.only_record().await.unwrap();
    assert_ended(&row);
    assert_eq!(number(&row, "cached_input_tokens"), 5000);
    assert!(spent(&node).await > 5000);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_ends_while_there_is_room_nor_under_a_soft_limit_nor_when_it_is_over() {
    for version in VERSIONS {
        let long = "[[events=3000]]";
        for (cap, mode, prompt) in [
            // The limit has more than was set aside.
            ("1M/365d", "hard", long),
            ("2000/365d", "soft", long),
            // What the provider tells at the end is too late to save anything.
            ("3000/365d", "hard", "[[cached=5000]]"),
        ] {
            let (standin, node, alice) = limited(&["--user-tokens", cap, "--mode", mode]).await;
            let mut body = bounded(prompt);
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
            let reply = alice.post(version, CHAT, &body).await.unwrap();
            assert!(reply.body.ends_with(b"data: [DONE]\n\n"), "{cap} {mode}");
            let row = node.only_record().await.unwrap();
            assert_eq!(text(&row, "outcome"), "answered", "{row:#}");
            assert_usage(&row, &standin);
            assert_eq!(spent(&node).await, total(&standin));
            node.stop().await.unwrap();
        }
    }
}

/// As encoded bytes, or a language without blanks.
#[tokio::test]
async fn what_is_written_without_blanks_ends_too() {
    // A token has 128 of them at most.
    const BYTES: u64 = 128 * 64;
    let (standin, node) = openai(Transport::TlsHttp2).await;
    let mut body = chat(&format!("[[events=10000 bytes={BYTES} letters]]"), true);
    body["max_tokens"] = json!(MAX_TOKENS);
    let cap = most(&body) as u64 + 10;
    let arguments = ["--user-tokens", &format!("{cap}/365d"), "--mode", "hard"];
    limit(&node, &arguments).await;
    let told = broken_off(&node, Version::Http1, CHAT, &body).await;
    assert!(told.contains("llm_policy.limit_passed"));
    // Its words alone would be far from it.
    let words = told.matches("word").count() as u64;
    assert!(words * 64 > cap && words < cap, "{words} words of {cap}");
    let stats = standin.wait_stats(PATIENCE, |stats| stats.cancelled == 1);
    stats.await.unwrap();
    assert_ended(&node.only_record().await.unwrap());
    node.stop().await.unwrap();
}

/// More input than a body of this size can be: a provider that counts what nobody sent.
#[tokio::test]
async fn input_that_is_told_too_late_counts_whole_and_the_next_request_is_refused() {
    for version in VERSIONS {
        for stream in [false, true] {
            let (standin, node, alice) =
                limited(&["--user-tokens", "3000/365d", "--mode", "hard"]).await;
            let mut body = bounded("[[cached=5000]]");
            if stream {
                body["stream"] = json!(true);
                body["stream_options"] = json!({"include_usage": true});
            }
            let reply = alice.post(version, CHAT, &body).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
            let row = node.only_record().await.unwrap();
            assert_eq!(text(&row, "outcome"), "answered", "{row:#}");
            assert_eq!(number(&row, "cached_input_tokens"), 5000);
            assert_usage(&row, &standin);
            // All of it, beyond the cap as it is.
            wait_spent(&node, total(&standin)).await;
            let levels = "/api/agent-network/limits";
            let levels = node.api_ok(Method::GET, levels, None).await.unwrap();
            assert!(
                levels["limits"][0]["used_percent"].as_f64().unwrap() > 100.0,
                "{levels}"
            );
            assert_eq!(levels["limits"][0]["caps"][0]["left"], 0, "{levels}");

            let refused = alice.post(version, CHAT, &body).await.unwrap();
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused.error_code(), "llm_policy.token_cap_exceeded");
            let rows = node.records(2).await.unwrap();
            assert_eq!(text(&rows[0], "outcome"), "denied");
            assert_eq!(text(&rows[0], "reason"), "token_cap_exceeded");
            assert_eq!(standin.stats().requests, 1);
            wait_spent(&node, total(&standin)).await;
            node.stop().await.unwrap();
        }
    }
}
