//! Prompts and answers: kept where the settings and a guardrail both say so, sealed, redacted, cut, and deleted in time.

use std::{fs, path::Path};

use gateway_tests::{
    agent::{Agent, Reply, Version},
    node::Node,
    standin::{StandIn, Transport},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// A node whose only policy has a guardrail that was made with `guardrail`, and settings set to `settings`.
pub(super) async fn capturing(
    vendor: Vendor,
    settings: &[&str],
    guardrail: &[&str],
) -> (StandIn, Node, Agent) {
    let (standin, node) = pair(vendor, Transport::Plain, NodeOptions::default()).await;
    if !settings.is_empty() {
        let all = [&["settings", "set"], settings].concat();
        node.cli(&all, "").await.unwrap();
    }
    let all = [&["guardrails", "add", "Texts"], guardrail].concat();
    node.cli(&all, "").await.unwrap();
    let policies = node
        .api_ok(Method::GET, "/api/agent-network/policies", None)
        .await
        .unwrap();
    let id = text(&policies[0], "id");
    node.cli(&["policies", "update", id, "--guardrail", "Texts"], "")
        .await
        .unwrap();
    let alice = node.alice().await.unwrap();
    (standin, node, alice)
}

async fn ask(alice: &Agent, version: Version, path: &str, body: &Value) -> Reply {
    let mut session = alice.session(version).await.unwrap();
    let headers: &[_] = match path {
        MESSAGES => &[("anthropic-version", "2023-06-01")],
        _ => &[],
    };
    let reply = session.post(path, body, headers).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    reply
}

/// Stops the node, so that everything is written, and starts it again.
pub(super) async fn written(node: Node) -> Node {
    let node = node.restart().await.unwrap();
    node.wait_ready().await.unwrap();
    node
}

/// Every request with its texts, the oldest first.
pub(super) async fn exchanges(node: &Node, count: usize) -> Vec<Value> {
    let mut shown = Vec::new();
    for record in node.records(count).await.unwrap() {
        let path = format!("/api/agent-network/access-logs/{}", text(&record, "id"));
        shown.push(node.api_ok(Method::GET, &path, None).await.unwrap());
    }
    shown.sort_by_key(|record| text(record, "timestamp").to_owned());
    shown
}

/// The files below `directory` that hold `planted`.
fn holding(directory: &Path, planted: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, planted));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            if bytes
                .windows(planted.len())
                .any(|at| at == planted.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn texts_are_kept_when_the_settings_and_a_guardrail_say_so() {
    const ON: &[&str] = &["--prompt-collection", "true"];
    for (settings, guardrail, expected) in [
        (&[][..], &[][..], "off"),
        (&[], &["--capture"], "off"),
        (ON, &[], "off"),
        (
            &["--prompt-collection", "true", "--log-collection", "true"],
            &["--capture"],
            "kept",
        ),
    ] {
        let (_standin, node, alice) = capturing(Vendor::OpenAi, settings, guardrail).await;
        ask(&alice, Version::Http1, CHAT, &chat("planted words", false)).await;
        node.records(1).await.unwrap();
        let node = written(node).await;
        let [shown] = &exchanges(&node, 1).await[..] else {
            panic!("one request was made");
        };
        assert_eq!(shown["capture"], expected);
        let prompt = shown.get("request_prompt").and_then(Value::as_str);
        assert_eq!(prompt.is_some(), expected == "kept", "{shown:#}");
        assert_eq!(
            shown.get("response_completion").is_some(),
            expected == "kept"
        );
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn prompts_and_answers_of_every_kind_are_kept_sealed() {
    for (vendor, path, make) in [
        (Vendor::OpenAi, CHAT, chat as fn(&str, bool) -> Value),
        (Vendor::Anthropic, MESSAGES, message),
    ] {
        let settings = ["--prompt-collection", "true"];
        let (_standin, node, alice) = capturing(vendor, &settings, &["--capture"]).await;
        let mut answers = Vec::new();
        for version in VERSIONS {
            for directives in ["", " [[gzip]]"] {
                let prompt = format!("planted-prompt{directives}");
                let reply = ask(&alice, version, path, &make(&prompt, true)).await;
                if directives.is_empty() {
                    answers.push(reply.streamed_text().trim_end().to_owned());
                }
                ask(&alice, version, path, &make(&prompt, false)).await;
            }
        }
        node.records(8).await.unwrap();
        let node = written(node).await;
        let answer = &answers[0];
        assert!(answer.len() > 10, "{answer}");
        for shown in exchanges(&node, 8).await {
            assert!(text(&shown, "request_prompt").starts_with("user: planted-prompt"));
            assert_eq!(
                text(&shown, "response_completion").trim_end(),
                answer,
                "{shown:#}"
            );
        }
        for planted in ["planted-prompt", answer] {
            assert_eq!(holding(node.directory(), planted), [""; 0], "{planted}");
        }
        assert!(!node.log().contains("planted"), "{}", node.log());
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_kept_is_redacted_and_the_wire_is_not() {
    let secrets = [
        "4111 1111 1111 1111",
        "sk-planted0123456789abcdef",
        "ada@example.com",
    ];
    let prompt = format!("Pay {} with {} for {}.", secrets[0], secrets[1], secrets[2]);
    for (settings, guardrail) in [
        (
            &["--prompt-collection", "true"][..],
            &["--capture", "--redact"][..],
        ),
        (
            &["--prompt-collection", "true", "--redact-pii", "true"],
            &["--capture"],
        ),
    ] {
        let (standin, node, alice) = capturing(Vendor::OpenAi, settings, guardrail).await;
        let body = chat(&prompt, true);
        ask(&alice, Version::Http1, CHAT, &body).await;
        assert_eq!(
            standin.seen().last().unwrap().body,
            body.to_string().as_bytes(),
            "bodies pass unchanged"
        );
        node.records(1).await.unwrap();
        let node = written(node).await;
        let shown = exchanges(&node, 1).await;
        assert_eq!(
            text(&shown[0], "request_prompt"),
            "user: Pay [REDACTED:card] with [REDACTED:api_key] for [REDACTED:email]."
        );
        let id = text(&shown[0], "id");
        let printed = node.cli(&["logs", "show", id], "").await.unwrap();
        let printed = format!("{printed:?}{}", node.log());
        for secret in secrets {
            assert_eq!(holding(node.directory(), secret), [""; 0], "{secret}");
            assert!(!printed.contains(secret), "{printed}");
        }
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn texts_are_cut_to_the_guardrails_size_and_failures_keep_their_prompt() {
    let settings = ["--prompt-collection", "true"];
    let guardrail = ["--capture", "--capture-bytes", "40"];
    let (_standin, node, alice) = capturing(Vendor::OpenAi, &settings, &guardrail).await;
    let mut long = chat(&"ö".repeat(100), false);
    long["messages"] = json!([
        {"role": "system", "content": "s".repeat(100)},
        {"role": "user", "content": "ö".repeat(100)},
    ]);
    ask(&alice, Version::Http1, CHAT, &long).await;
    let failing = chat("no [[status=500]]", false);
    let reply = alice.post(Version::Http1, CHAT, &failing).await.unwrap();
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    let denied = json!({"model": "not-there", "messages": [{"role": "user", "content": "denied"}]});
    let reply = alice.post(Version::Http1, CHAT, &denied).await.unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    node.records(3).await.unwrap();
    let node = written(node).await;
    let shown = exchanges(&node, 3).await;
    assert_eq!(
        text(&shown[0], "request_prompt"),
        format!("user: {}", "ö".repeat(17))
    );
    assert!((30..=40).contains(&text(&shown[0], "response_completion").len()));
    assert_eq!(text(&shown[1], "request_prompt"), "user: no [[status=500]]");
    assert!(shown[1].get("response_completion").is_none());
    assert_eq!(shown[2]["capture"], "off");
    assert!(shown[2].get("request_prompt").is_none());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn texts_outlive_an_exchange_of_the_master_key() {
    let settings = ["--prompt-collection", "true"];
    let (_standin, node, alice) = capturing(Vendor::OpenAi, &settings, &["--capture"]).await;
    ask(&alice, Version::Http1, CHAT, &chat("planted", false)).await;
    node.records(1).await.unwrap();
    node.cli(&["keys", "rotate-master"], "").await.unwrap();
    let node = written(node).await;
    assert_eq!(
        text(&exchanges(&node, 1).await[0], "request_prompt"),
        "user: planted"
    );
    node.stop().await.unwrap();
}
