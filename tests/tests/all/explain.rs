//! What is explained of a request is what then becomes of it.

use gateway_tests::{agent::Version, node::Node, standin::Transport};
use http::StatusCode;
use serde_json::{Value, json};

use super::*;

async fn cli_json(node: &Node, arguments: &[&str]) -> Value {
    let all = [arguments, &["--output", "json"]].concat();
    let printed = node.cli(&all, "").await.unwrap();
    serde_json::from_slice(&printed.stdout).unwrap()
}

#[tokio::test]
async fn where_a_stored_response_is_asked_for_is_explained() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let body = json!({"model": "gpt-4o-mini", "input": "one two"});
    let made = alice
        .post(Version::Http1, "/v1/responses", &body)
        .await
        .unwrap();
    let made = made.json().unwrap();
    let path = format!("/v1/responses/{}", text(&made, "id"));
    node.add_peer("bob", "127.0.0.3".parse().unwrap(), "agents")
        .await
        .unwrap();
    let explain = async |peer| {
        let words = ["policies", "explain", "--peer", peer, "--path", &path];
        cli_json(&node, &[&words[..], &["--method", "get"]].concat()).await
    };
    let told = explain("alice").await;
    assert_eq!(told["object"]["id"], made["id"], "{told:#}");
    assert_eq!(told["object"]["kept_by"]["name"], told["provider"]["name"]);
    assert_eq!(told["object"]["usage"], "counted");
    // Not made by that one, so that nobody says where it is.
    let told = explain("bob").await;
    assert_eq!(told["object"]["kept_by"], Value::Null);
    assert_eq!(told["object"]["usage"], "none");
    let peer = ["policies", "explain", "--peer", "alice", "--path", &path];
    let shown = node.cli(&peer, "").await.unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let expected = "for the caller; what it used is counted\n";
    assert!(shown.contains(expected), "{shown}");
    assert_eq!(standin.stats().refused, Vec::<String>::new());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let policies = cli_json(&node, &["policies", "list"]).await;
    let policy = policies[0]["id"].as_str().unwrap().to_owned();
    let mut body = chat("hello", false);
    body["max_tokens"] = json!(100);
    let size = body.to_string().len();
    let takes = size.div_ceil(3) + 100;
    let cap = |tokens: usize| format!("{tokens}/3650d");
    let limit = async |flag: &str, value: &str| {
        node.cli(&["policies", "update", &policy, flag, value], "")
            .await
            .unwrap();
    };
    let bytes = size.to_string();
    let explain = async || {
        let words = [
            "policies",
            "explain",
            "--peer",
            "alice",
            "--model",
            "gpt-4o-mini",
        ];
        let wants = ["--body-bytes", &bytes, "--max-tokens", "100"];
        cli_json(&node, &[&words[..], &wants].concat()).await
    };
    let reply = async || alice.post(Version::Http1, CHAT, &body).await.unwrap();

    limit("--user-tokens", &cap(takes)).await;
    let told = explain().await;
    assert_eq!(told["allowed"], true, "{told:#}");
    assert_eq!(told["provider_problem"], Value::Null);
    assert_eq!(told["policies"][0]["limits"][0]["takes"], takes);
    assert_eq!(told["policies"][0]["limits"][0]["spent"], 0);
    assert_eq!(reply().await.status, StatusCode::OK);
    node.records(1).await.unwrap();

    // What was used is there, and what is explained has no room for another.
    let told = explain().await;
    assert!(told["policies"][0]["limits"][0]["spent"].as_u64().unwrap() > 0);
    let shown = cli_json(&node, &["policies", "show", &policy]).await;
    assert_eq!(
        shown["used"][0]["spent"],
        told["policies"][0]["limits"][0]["spent"]
    );
    for (flag, value) in [
        ("--user-tokens", "1/3650d"),
        ("--allow-path", "/v1/responses"),
        ("--enabled", "false"),
    ] {
        limit(flag, value).await;
        let told = explain().await;
        assert_eq!(told["allowed"], false);
        let reply = reply().await;
        assert_eq!(told["denial"]["code"], reply.error_code());
        assert_eq!(told["denial"]["status"], reply.status.as_u16());
    }
    assert_eq!(standin.stats().answered, 1);
    node.stop().await.unwrap();
}
