//! Requests that get no further, each with its code, its record, and a node that serves on.

use gateway_tests::{agent::Version, standin::Transport};
use http::StatusCode;
use serde_json::json;

use super::*;

#[tokio::test]
async fn bodies_that_cannot_be_routed_are_answered_with_a_reason() {
    let (standin, node) = openai(Transport::Plain).await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http2)
        .await
        .unwrap();
    let unknown = chat("hi", false)
        .to_string()
        .replace("gpt-4o-mini", "gpt-nine");
    let twice = r#"{"model":"gpt-4o-mini","model":"gpt-4o","messages":[]}"#;
    let cases = [
        ("{\"model\": ", 400, "keyway.malformed_json"),
        ("[]", 400, "keyway.malformed_json"),
        ("{\"messages\": []}", 400, "keyway.model_missing"),
        (twice, 400, "keyway.duplicate_key"),
        (&unknown, 403, "llm_policy.model_not_routable"),
    ];
    for (count, (body, status, code)) in (1..).zip(cases) {
        let headers = [("content-type", "application/json")];
        let reply = session
            .send(http::Method::POST, CHAT, &headers, body.to_owned().into())
            .await
            .unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.error_code().as_str()),
            (status, code),
            "{body}"
        );
        let row = &node.records(count).await.unwrap()[0];
        assert_eq!(number(row, "status_code"), u64::from(status));
        let outcome = if status == 403 {
            "denied"
        } else {
            "client_error"
        };
        assert_eq!(text(row, "outcome"), outcome, "{body}");
    }
    assert_eq!(standin.stats().requests, 0);
    let reply = session
        .post(CHAT, &chat("still there", false), &[])
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_group_without_a_policy_is_denied() {
    let (standin, node) = openai(Transport::Plain).await;
    node.add_peer("bob", "127.0.0.3".parse().unwrap(), "strangers")
        .await
        .unwrap();
    let bob = node.agent("127.0.0.3".parse().unwrap()).await.unwrap();
    let reply = bob
        .post(Version::Http1, CHAT, &chat("hi", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.error_code(), "llm_policy.no_authorised_provider");
    let row = node.only_record().await.unwrap();
    assert_eq!(text(&row, "decision"), "deny");
    assert_eq!(
        text(&row, "deny_reason"),
        "llm_policy.no_authorised_provider"
    );
    assert_eq!(standin.stats().requests, 0);
}

#[tokio::test]
async fn anthropic_callers_get_their_own_error_shape() {
    let (_standin, node) = anthropic(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let body = json!({"model": "claude-nine", "max_tokens": 1, "messages": []});
    let reply = alice.post(Version::Http2, MESSAGES, &body).await.unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let error = reply.json().unwrap();
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"]["type"], "permission_error");
    assert!(
        error.to_string().contains("llm_policy.model_not_routable"),
        "{error}"
    );
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_a_bad_gateway() {
    let (standin, node) = openai(Transport::Plain).await;
    drop(standin);
    let alice = node.alice().await.unwrap();
    let reply = alice
        .post(Version::Http1, CHAT, &chat("hi", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(reply.error_code(), "keyway.connect_failed");
    assert_eq!(
        text(&node.only_record().await.unwrap(), "outcome"),
        "provider_error"
    );
}

#[tokio::test]
async fn no_failure_shows_the_provider_key() {
    let (_standin, node) = openai(Transport::TlsHttp2).await;
    let alice = node.alice().await.unwrap();
    let mut shown = String::new();
    for prompt in ["[[status=500]]", "[[cut=2]]", "[[status=401]]", "fine"] {
        for stream in [false, true] {
            let reply = alice
                .post(Version::Http1, CHAT, &chat(prompt, stream))
                .await;
            shown += &format!("{reply:?}\n");
        }
    }
    for arguments in [
        &["providers", "list", "--output", "json"][..],
        &["logs", "--output", "json"][..],
        &["settings", "show"][..],
    ] {
        let output = node.cli(arguments, "").await.unwrap();
        shown += &format!("{output:?}{}", String::from_utf8_lossy(&output.stdout));
    }
    shown += &node.telemetry("/metrics").await.unwrap().1;
    shown += &node.log();
    assert!(!shown.contains(KEY));
}
