//! Limits: what passes and what does not, together, in any order of ends, and after a kill.

mod answers;
mod ended;
mod ends;
mod hard;
mod killed;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use gateway_tests::{
    agent::{Agent, PATIENCE, Reply, Version},
    node::Node,
    standin::{StandIn, Stats, Transport},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];
/// A hard limit adds this to a body's bytes.
const ADDED_INPUT_TOKENS: usize = 1024;
const MAX_TOKENS: usize = 100;

async fn limited(arguments: &[&str]) -> (StandIn, Node, Agent) {
    let (standin, node) = openai(Transport::Plain).await;
    limit(&node, arguments).await;
    let alice = node.alice().await.unwrap();
    (standin, node, alice)
}

/// Sets limits on the only policy.
pub(super) async fn limit(node: &Node, arguments: &[&str]) {
    let policies = node
        .api_ok(Method::GET, "/api/agent-network/policies", None)
        .await
        .unwrap();
    let id = text(&policies[0], "id").to_owned();
    let all = [&["policies", "update", &id], arguments].concat();
    node.cli(&all, "").await.unwrap();
}

fn bounded(prompt: &str) -> Value {
    let mut body = chat(prompt, false);
    body["max_tokens"] = json!(MAX_TOKENS);
    body
}

/// What a hard limit takes a request to use at most.
fn most(body: &Value) -> usize {
    body.to_string().len() + ADDED_INPUT_TOKENS + MAX_TOKENS
}

#[tokio::test]
async fn what_fails_gives_its_share_back_and_what_was_cut_keeps_it() {
    for version in VERSIONS {
        let (standin, node, alice) = limited(&["--user-tokens", "1M/1d", "--mode", "hard"]).await;
        let failing = bounded("no [[status=500]]");
        for _ in 0..5 {
            let reply = alice.post(version, CHAT, &failing).await.unwrap();
            assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        }
        node.records(5).await.unwrap();
        assert_eq!(spent(&node).await, 0);

        let leaving = bounded("stay [[slow_head=20000]]");
        let mut session = alice.session(version).await.unwrap();
        let bytes = Bytes::from(leaving.to_string());
        let json = [("content-type", "application/json")];
        let asked = session.begin(Method::POST, CHAT, &json, bytes);
        // The provider has it, and has not answered.
        let gone = tokio::time::timeout(Duration::from_secs(1), asked).await;
        assert!(gone.is_err());
        drop(session);
        node.records(6).await.unwrap();
        assert_eq!(standin.stats().requests, 6);
        assert_eq!(spent(&node).await, most(&leaving) as u64);
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_budget_that_is_used_up_says_so_and_when_it_begins_anew() {
    // 3 × 150 + 8 × 600 nano-dollars a request.
    let (_standin, node, alice) = limited(&["--group-usd", "0.000012/365d"]).await;
    let mut body = chat("one two three", false);
    body["max_tokens"] = json!(8);
    let reply = alice.post(Version::Http1, CHAT, &body).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.json());
    node.only_record().await.unwrap();
    let reply = alice.post(Version::Http1, CHAT, &body).await.unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.error_code(), "llm_policy.budget_cap_exceeded");
    assert_eq!(reply.headers["x-should-retry"], "false");
    let message = reply.json().unwrap();
    let message = message.pointer("/error/message").unwrap().as_str().unwrap();
    assert!(
        message.contains("$0.000012 per 365 d has $0.00000675 left"),
        "{message}"
    );
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_rule_for_everybody_holds_beside_policies() {
    let (_standin, node, alice) = limited(&["--user-tokens", "1M/1d"]).await;
    let arguments = ["budgets", "add", "All of us", "--group-tokens", "100/1d"];
    node.cli(&arguments, "").await.unwrap();
    let reply = alice
        .post(Version::Http2, CHAT, &bounded("x"))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.error_code(), "llm_account.token_cap_exceeded");
    let message = reply.json().unwrap();
    let message = message.pointer("/error/message").unwrap().as_str().unwrap();
    assert!(message.contains("the limit `All of us`"), "{message}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn rates_and_requests_at_once_are_limited() {
    let (_standin, node, alice) = limited(&["--user-concurrency", "3"]).await;
    let body = chat("slowly [[slow_head=1500]]", false);
    let replies = join_all((0..10).map(|_| alice.post(Version::Http1, CHAT, &body))).await;
    let passed = replies
        .iter()
        .filter(|r| r.as_ref().unwrap().status == StatusCode::OK);
    assert_eq!(passed.count(), 3);
    let refused = replies
        .iter()
        .flatten()
        .find(|r| r.status != StatusCode::OK)
        .unwrap();
    assert_eq!(refused.error_code(), "llm_policy.concurrency_exceeded");
    assert_eq!(refused.headers["retry-after"], "1");
    let reply = alice
        .post(Version::Http1, CHAT, &chat("later", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK);

    limit(
        &node,
        &[
            "--user-concurrency",
            "0",
            "--user-requests-per-minute",
            "4",
            // It has nothing to bound.
            "--mode",
            "hard",
        ],
    )
    .await;
    let body = chat("quick", false);
    let mut passed = 0;
    // A minute may end in between.
    for _ in 0..9 {
        let reply = alice.post(Version::Http1, CHAT, &body).await.unwrap();
        passed += usize::from(reply.status == StatusCode::OK);
        if reply.status != StatusCode::OK {
            assert_eq!(reply.error_code(), "llm_policy.request_rate_exceeded");
        }
    }
    assert!((4..=8).contains(&passed), "{passed}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn guardrails_deny_models_and_long_answers() {
    let (standin, node, alice) = limited(&[]).await;
    let arguments = ["guardrails", "add", "small", "--max-output-tokens", "50"];
    node.cli(&arguments, "").await.unwrap();
    limit(&node, &["--guardrail", "small"]).await;
    let reply = alice
        .post(Version::Http1, CHAT, &bounded("long"))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.error_code(), "llm_policy.output_limit_exceeded");
    let reply = alice
        .post(Version::Http1, CHAT, &chat("free", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    let seen = standin.seen();
    let sent: Value = serde_json::from_slice(&seen.last().unwrap().body).unwrap();
    assert_eq!(sent["max_completion_tokens"], 50);
    // Who knows what its vendor makes of it?
    for odd in [json!("50"), json!(50.5), json!(-1)] {
        let mut body = chat("odd", false);
        body["max_completion_tokens"] = odd;
        let reply = alice.post(Version::Http1, CHAT, &body).await.unwrap();
        assert_eq!(reply.error_code(), "llm_policy.output_limit_exceeded");
    }

    let arguments = ["guardrails", "update", "small", "--model", "o*"];
    node.cli(&arguments, "").await.unwrap();
    let reply = alice
        .post(Version::Http1, CHAT, &chat("free", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.error_code(), "llm_policy.model_blocked");

    limit(&node, &["--no-guardrails", "--allow-path", "/v1/responses"]).await;
    let reply = alice
        .post(Version::Http1, CHAT, &chat("free", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.error_code(), "llm_policy.path_blocked");
    node.stop().await.unwrap();
}

/// Tokens that the provider says were used.
fn total(standin: &StandIn) -> u64 {
    let total = standin.stats().total();
    total.input_tokens + total.output_tokens
}

/// Tokens that are counted for the only user.
async fn spent(node: &Node) -> u64 {
    let rows = node
        .api_ok(Method::GET, "/api/agent-network/consumption", None)
        .await
        .unwrap();
    let users = rows.as_array().unwrap().iter();
    let of_user = users.filter(|row| text(row, "dimension_kind") == "user");
    of_user.map(|row| number(row, "tokens_input")).sum()
}

/// Waits until so many tokens are counted for the only user: a record is written shortly after its answer ended.
pub(super) async fn wait_spent(node: &Node, expected: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let spent = spent(node).await;
        if spent == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{spent}, and not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
