//! `/metrics` as those who watch a node use it: promtool's rules for names, a number of series that no agent can change,
//! and a real Prometheus that has the dashboard's and the alerts' queries answered with what the load was.

mod watched;

use std::{collections::BTreeSet, path::PathBuf};

use bytes::Bytes;
use futures_util::future::join_all;
use gateway_tests::{
    agent::{Agent, Session, Version},
    prometheus::{self, promtool},
};
use http::{Method, StatusCode};

use super::*;

/// Requests with names of their own.
const INVENTED: usize = 10_000;
const SESSIONS: usize = 4;

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// A node that knows one peer in `/metrics`.
fn options() -> NodeOptions {
    NodeOptions {
        extra: vec![("telemetry", "peers_limit = 1".to_owned())],
        ..NodeOptions::default()
    }
}

async fn scraped(node: &Node) -> String {
    let (status, text) = node.telemetry("/metrics").await.unwrap();
    assert_eq!(status, StatusCode::OK);
    text
}

/// Everything before the values.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}

async fn sessions(agent: &Agent) -> Vec<Session> {
    let versions = [Version::Http1, Version::Http2].into_iter().cycle();
    let opening = versions
        .take(SESSIONS)
        .map(|version| agent.session(version));
    let opened = join_all(opening).await;
    opened.into_iter().map(Result::unwrap).collect()
}

/// A request in which everything is invented that an agent may invent.
async fn invent(session: &mut Session, number: usize) {
    let mut body = chat("hi", false);
    body["model"] = json!(format!("model-{number}"));
    body["user"] = json!(format!("user-{number}"));
    let id = format!("id-{number}");
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", &id),
        ("x-request-id", &id),
        ("x-session-id", &id),
        ("openai-organization", &id),
    ];
    let post = |path: String, body: String| (Method::POST, path, body);
    // What is refused by its head has no body, lest the connection end.
    let (method, path, body) = match number % 4 {
        0 => {
            let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
            (method, CHAT.to_owned(), String::new())
        }
        1 => post(format!("/v1/path-{number}"), String::new()),
        _ => post(CHAT.to_owned(), body.to_string()),
    };
    let reply = session
        .send(method, &path, &headers, Bytes::from(body))
        .await
        .unwrap();
    assert!(reply.status.is_client_error(), "{reply:?}");
}

#[tokio::test]
async fn invented_names_make_no_series() {
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options()).await;
    let mut sessions = sessions(&node.alice().await.unwrap()).await;
    for session in &mut sessions {
        session.post(CHAT, &chat("hi", true), &[]).await.unwrap();
        for number in 0..4 {
            invent(session, number).await;
        }
    }
    let before = series(&scraped(&node).await);
    let load = (0..).zip(&mut sessions).map(|(lane, session)| async move {
        for number in (lane..INVENTED).step_by(SESSIONS) {
            invent(session, 4 + number).await;
        }
    });
    join_all(load).await;
    let text = scraped(&node).await;
    assert_eq!(series(&text), before);
    for invented in ["model-", "path-", "id-", "user-", "M4"] {
        assert!(!text.contains(&format!("\"{invented}")), "{invented}");
    }
}

#[tokio::test]
async fn promtool_finds_nothing() {
    if let Some(reason) = prometheus::why_not() {
        return skip("promtool_finds_nothing", reason);
    }
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options()).await;
    let agent = node.alice().await.unwrap();
    agent
        .post(Version::Http2, CHAT, &chat("hi", true))
        .await
        .unwrap();
    let config = file("config/prometheus/prometheus.yml");
    let tests = file("tests/prometheus/rules_test.yml");
    for (arguments, stdin) in [
        (vec!["check", "metrics"], scraped(&node).await),
        (
            vec!["check", "config", config.to_str().unwrap()],
            String::new(),
        ),
        (
            vec!["test", "rules", tests.to_str().unwrap()],
            String::new(),
        ),
    ] {
        let output = promtool(&arguments, &stdin).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{arguments:?}: {said}");
        if arguments[1] == "metrics" {
            assert_eq!(said, "", "{arguments:?}");
        }
    }
}
