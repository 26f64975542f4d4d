//! The main job: an answer comes through, and its tokens and cost are what the provider reported.

use gateway_tests::{
    agent::Version,
    standin::{Options, StandIn, Transport, Vendor},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use super::*;

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];
const TRANSPORTS: [Transport; 3] = [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2];

/// gpt-4o-mini at the prices of `Node::connect`: 150 and 600 nano-dollars a token.
const INPUT_NANO_USD: u64 = 150;
const OUTPUT_NANO_USD: u64 = 600;

#[tokio::test]
async fn chat_is_answered_over_every_pair_of_transports() {
    for transport in TRANSPORTS {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        for (count, version) in (1..).zip(VERSIONS) {
            let reply = alice
                .post(version, CHAT, &chat("three words here", false))
                .await
                .unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
            let answer = reply.json().unwrap();
            let content = answer.pointer("/choices/0/message/content").unwrap();
            assert!(content.as_str().unwrap().ends_with("word8"), "{content}");

            let rows = node.records(count).await.unwrap();
            assert_eq!(rows.len(), count, "{rows:#?}");
            assert_eq!(text(&rows[0], "outcome"), "answered");
            assert_eq!(number(&rows[0], "input_tokens"), 3);
            assert_eq!(number(&rows[0], "output_tokens"), 8);
            assert_eq!(
                nano_usd(&rows[0], "cost_usd"),
                3 * INPUT_NANO_USD + 8 * OUTPUT_NANO_USD
            );
        }
        let stats = standin.stats();
        assert_eq!((stats.requests, stats.refused), (2, Vec::<String>::new()));
        let expected_http = if transport == Transport::TlsHttp2 {
            2
        } else {
            1
        };
        assert!(
            standin
                .seen()
                .iter()
                .all(|seen| seen.http_version == expected_http)
        );
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_passes_unchanged_and_is_metered() {
    for transport in TRANSPORTS {
        for version in VERSIONS {
            let (standin, node) = openai(transport).await;
            let alice = node.alice().await.unwrap();
            let prompt = "count my tokens [[events=20 cached=100 reasoning=5]]";
            let reply = alice
                .post(version, CHAT, &chat(prompt, true))
                .await
                .unwrap();
            assert_eq!(reply.status, StatusCode::OK);
            assert_eq!(reply.headers["content-type"], "text/event-stream");
            assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
            let words: Vec<String> = (1..=20).map(|n| format!("word{n}")).collect();
            assert_eq!(reply.streamed_text().trim_end(), words.join(" "));

            let row = node.only_record().await.unwrap();
            assert_eq!(text(&row, "outcome"), "answered");
            assert_eq!(row["stream"], true);
            assert_usage(&row, &standin);
            assert_eq!(number(&row, "cached_input_tokens"), 100);
            node.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn usage_is_counted_even_when_the_agent_did_not_ask_for_it() {
    let (standin, node) = openai(Transport::TlsHttp2).await;
    let alice = node.alice().await.unwrap();
    let mut body = chat("four words of prompt", true);
    body.as_object_mut().unwrap().remove("stream_options");
    let reply = alice.post(Version::Http2, CHAT, &body).await.unwrap();
    let has_usage = |event: &Value| event.get("usage").is_some_and(|usage| !usage.is_null());
    assert!(
        !reply.events().iter().any(has_usage),
        "the agent sees a chunk it did not ask for"
    );
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));

    let row = node.only_record().await.unwrap();
    assert_eq!(number(&row, "input_tokens"), 4);
    assert_eq!(number(&row, "output_tokens"), 8);
    let seen: Value = serde_json::from_slice(&standin.seen()[0].body).unwrap();
    assert_eq!(seen["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn anthropic_messages_are_metered_with_both_cache_lifetimes() {
    for stream in [false, true] {
        let (standin, node) = anthropic(Transport::TlsHttp2).await;
        let alice = node.alice().await.unwrap();
        let prompt = "cache this [[events=7 cached=50 written=20 written_long=10]]";
        let mut session = alice.session(Version::Http2).await.unwrap();
        let headers = [
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "a-flag"),
        ];
        let reply = session
            .post(MESSAGES, &message(prompt, stream), &headers)
            .await
            .unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");

        let row = node.only_record().await.unwrap();
        assert_usage(&row, &standin);
        assert_eq!(number(&row, "input_tokens"), 82);
        assert_eq!(number(&row, "output_tokens"), 7);
        assert!(nano_usd(&row, "cost_usd") > 0);
        assert_eq!(standin.seen()[0].header("anthropic-beta"), Some("a-flag"));
    }
}

#[tokio::test]
async fn responses_and_embeddings_are_metered() {
    let (standin, node) = openai(Transport::TlsHttp2).await;
    let alice = node.alice().await.unwrap();
    let calls = [
        (
            "/v1/responses",
            json!({"model": "gpt-4o-mini", "input": "one two [[cached=3]]"}),
        ),
        (
            "/v1/responses",
            json!({"model": "gpt-4o-mini", "input": "one two", "stream": true}),
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-4o-mini", "prompt": "one two"}),
        ),
        (
            "/v1/embeddings",
            json!({"model": "gpt-4o-mini", "input": "one two three"}),
        ),
    ];
    for (path, body) in &calls {
        let reply = alice.post(Version::Http2, path, body).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
    }
    let rows = node.records(calls.len()).await.unwrap();
    let sum = |field| rows.iter().map(|row| number(row, field)).sum::<u64>();
    let sums = standin.stats().total();
    assert_eq!(sum("input_tokens"), sums.input_tokens);
    assert_eq!(sum("output_tokens"), sums.output_tokens);
    assert_eq!(sum("cached_input_tokens"), 3);
}

#[tokio::test]
async fn calls_beside_the_model_pass_through() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http1)
        .await
        .unwrap();
    let asked = json!({"model": "gpt-4o-mini", "input": "hi"});
    let made = session.post("/v1/responses", &asked, &[]).await.unwrap();
    let id = text(&made.json().unwrap(), "id").to_owned();
    for (method, path) in [
        (Method::GET, format!("/v1/responses/{id}")),
        (Method::POST, format!("/v1/responses/{id}/cancel")),
        (Method::GET, format!("/v1/responses/{id}/input_items")),
        (Method::DELETE, format!("/v1/responses/{id}")),
    ] {
        let reply = session
            .send(method.clone(), &path, &[], Default::default())
            .await
            .unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{method} {path}: {reply:?}");
    }
    let body = json!({"model": "gpt-4o-mini", "input": "one two"});
    let reply = session
        .post("/v1/responses/input_tokens", &body, &[])
        .await
        .unwrap();
    assert_eq!(reply.json().unwrap()["input_tokens"], 2);
    let upload = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let reply = session
        .send(Method::POST, "/v1/files", &headers, upload.into())
        .await
        .unwrap();
    assert_eq!(reply.json().unwrap()["bytes"], upload.len());
    assert_eq!(standin.stats().refused, Vec::<String>::new());
}

#[tokio::test]
async fn models_lists_what_the_caller_may_use() {
    let (_standin, node) = openai(Transport::Plain).await;
    node.add_peer("bob", "127.0.0.3".parse().unwrap(), "strangers")
        .await
        .unwrap();
    let ids = |body: Value| -> Vec<String> {
        let data = body["data"].as_array().unwrap().clone();
        data.iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut alice = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http1)
        .await
        .unwrap();
    let reply = alice
        .send(Method::GET, "/v1/models", &[], Default::default())
        .await
        .unwrap();
    assert_eq!(ids(reply.json().unwrap()), ["gpt-4o-mini"]);
    let bob = node.agent("127.0.0.3".parse().unwrap()).await.unwrap();
    let mut bob = bob.session(Version::Http1).await.unwrap();
    let reply = bob
        .send(Method::GET, "/v1/models", &[], Default::default())
        .await
        .unwrap();
    assert_eq!(ids(reply.json().unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn odd_but_legal_answers_pass() {
    for (prompt, transports) in [
        ("[[gzip]]", &TRANSPORTS[..]),
        ("[[interim]]", &TRANSPORTS[..]),
        ("[[slow_head=200]]", &TRANSPORTS[..]),
        ("[[close]]", &TRANSPORTS[..2]),
        ("[[events=200 bytes=20000]]", &TRANSPORTS[..]),
    ] {
        for &transport in transports {
            for stream in [false, true] {
                let (standin, node) = openai(transport).await;
                let alice = node.alice().await.unwrap();
                let reply = alice
                    .post(Version::Http1, CHAT, &chat(prompt, stream))
                    .await
                    .unwrap();
                assert_eq!(
                    reply.status,
                    StatusCode::OK,
                    "{prompt} {transport:?} {reply:?}"
                );
                assert!(!reply.body.is_empty());
                let row = node.only_record().await.unwrap();
                assert_eq!(text(&row, "outcome"), "answered", "{prompt} {transport:?}");
                assert_usage(&row, &standin);
            }
        }
    }
}

#[tokio::test]
async fn provider_errors_reach_the_agent_as_they_are() {
    let (_standin, node) = openai(Transport::TlsHttp2).await;
    let alice = node.alice().await.unwrap();
    for (count, (prompt, status)) in (1..).zip([
        ("[[status=429 retry_after=7]]", 429),
        ("[[status=500]]", 500),
    ]) {
        let reply = alice
            .post(Version::Http2, CHAT, &chat(prompt, true))
            .await
            .unwrap();
        assert_eq!(reply.status, status);
        assert!(reply.json().unwrap()["error"]["message"].is_string());
        if status == 429 {
            assert_eq!(reply.headers["retry-after"], "7");
        }
        let row = &node.records(count).await.unwrap()[0];
        assert_eq!(number(row, "status_code"), u64::from(status));
        assert_eq!(number(row, "output_tokens"), 0);
    }
}

#[tokio::test]
async fn a_server_without_a_key_gets_none() {
    let mut options = Options::new(Vendor::OpenAi, Transport::Plain, "");
    options.key = None;
    let standin = StandIn::start(options).await.unwrap();
    let node = gateway_tests::node::Node::start(Default::default())
        .await
        .unwrap();
    let provider = node
        .connect_with(json!({
            "provider_id": "custom",
            "name": "local",
            "upstream_url": format!("{}/v1", standin.url()),
            "models": [],
            "enabled": true,
            "allow_private_addresses": true,
        }))
        .await
        .unwrap();
    node.add_peer("alice", gateway_tests::node::ALICE, "agents")
        .await
        .unwrap();
    node.add_policy("local", "agents", &provider).await.unwrap();
    node.wait_ready().await.unwrap();
    let alice = node.alice().await.unwrap();
    let reply = alice
        .post(Version::Http1, CHAT, &chat("hi", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(standin.stats().refused, Vec::<String>::new());
}

#[tokio::test]
async fn curl_gets_a_stream_without_tls_over_both_versions() {
    let options = NodeOptions {
        plain: true,
        ..NodeOptions::default()
    };
    let (standin, node) = pair(Vendor::OpenAi, Transport::TlsHttp2, options).await;
    let plain = node.plain().unwrap();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--no-buffer", flag])
            .args(["--interface", "127.0.0.2", "--write-out", "%{http_version}"])
            .args([
                "--resolve",
                &format!("{}:{}:{}", node.host(), plain.port(), plain.ip()),
            ])
            .args(["--header", "content-type: application/json"])
            .args(["--data", &chat("hello", true).to_string()])
            .arg(format!("http://{}:{}{CHAT}", node.host(), plain.port()))
            .output()
            .await
            .expect("curl is installed");
        assert!(output.status.success(), "{flag}: {output:?}");
        let end = format!("data: [DONE]\n\n{version}");
        assert!(
            output.stdout.ends_with(end.as_bytes()),
            "{flag}: {output:?}"
        );
    }
    assert_eq!(standin.stats().answered, 2);
}

#[tokio::test]
async fn curl_gets_a_stream_over_both_versions() {
    let (_standin, node) = openai(Transport::TlsHttp2).await;
    let alice = node.alice().await.unwrap();
    let ca = node.directory().join("ca.pem");
    std::fs::write(&ca, &alice.ca_pem).unwrap();
    for flag in ["--http1.1", "--http2"] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--no-buffer", flag])
            .args(["--interface", "127.0.0.2", "--cacert", ca.to_str().unwrap()])
            .args([
                "--resolve",
                &format!("{}:{}:127.0.0.1", node.host(), node.endpoint().port()),
            ])
            .args(["--header", "content-type: application/json"])
            .args(["--data", &chat("hello", true).to_string()])
            .arg(format!("https://{}{CHAT}", alice.authority()))
            .output()
            .await
            .expect("curl is installed");
        assert!(output.status.success(), "{flag}: {output:?}");
        assert!(output.stdout.ends_with(b"data: [DONE]\n\n"), "{flag}");
    }
}
