//! Start, reload, drain, stop.

use std::collections::HashSet;

use bytes::Bytes;
use gateway_tests::{
    agent::{PATIENCE, Version},
    standin::Transport,
};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::{Duration, Instant};

use super::{streams::until_cut, *};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// Requests still taken between readiness going off and the workers hearing of it.
const LATE_ANSWERS_LIMIT: u64 = 200;

#[tokio::test]
async fn sigterm_lets_streams_finish_and_takes_no_more() {
    for version in [Version::Http1, Version::Http2] {
        let (standin, mut node) = openai(Transport::TlsHttp2).await;
        let alice = node.alice().await.unwrap();
        let mut session = alice.session(version).await.unwrap();
        let body = Bytes::from(chat("[[events=100 ms=10]]", true).to_string());
        let mut response = session
            .begin(Method::POST, CHAT, &JSON, body)
            .await
            .unwrap();
        response.frame().await.unwrap().unwrap();

        node.signal(libc::SIGTERM).unwrap();
        node.wait_telemetry("/readyz", StatusCode::SERVICE_UNAVAILABLE)
            .await
            .unwrap();
        // Readiness goes off first; the workers follow at their next tick.
        let mut late_answers = 0;
        let refused = loop {
            match alice.post(version, CHAT, &chat("late", false)).await {
                Ok(reply) if reply.status == 200 && late_answers < LATE_ANSWERS_LIMIT => {
                    late_answers += 1;
                }
                Ok(reply) => break reply.status == 503,
                Err(_) => break true,
            }
        };
        assert!(refused, "the node goes on taking requests");

        let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
        let body = body.unwrap().expect("the stream finishes").to_bytes();
        assert!(body.ends_with(b"data: [DONE]\n\n"));
        let status = node.wait_exit().await.unwrap();
        assert!(status.success(), "{status}\n{}", node.log());
        assert_eq!(standin.stats().answered, 1 + late_answers);
    }
}

#[tokio::test]
async fn the_drain_has_a_deadline() {
    for version in [Version::Http1, Version::Http2] {
        let options = NodeOptions {
            extra: vec![("timeouts", "drain = \"500ms\"".to_owned())],
            ..NodeOptions::default()
        };
        let (_standin, mut node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
        let mut session = node.alice().await.unwrap().session(version).await.unwrap();
        let body = Bytes::from(chat("[[events=60000 ms=10]]", true).to_string());
        let response = session
            .begin(Method::POST, CHAT, &JSON, body)
            .await
            .unwrap();
        node.signal(libc::SIGTERM).unwrap();
        let told = until_cut(response.into_body()).await;
        assert!(told.contains("keyway.draining"), "{version:?}: {told}");
        assert!(node.wait_exit().await.unwrap().success());
        let node = node.again().await.unwrap();
        let row = node.only_record().await.unwrap();
        assert_eq!(text(&row, "reason"), "draining", "{version:?}: {row:#}");
    }
}

#[tokio::test]
async fn sighup_reloads_and_a_broken_file_changes_nothing() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    // Breaks between events that only a short limit takes for a provider's end.
    let slow = chat("[[events=3 ms=700]]", true);
    let file = node.directory().join("keyway.toml");
    let old = std::fs::read_to_string(&file).unwrap();
    let new = format!("{old}\nidle = \"300ms\"\nkeep_alive = \"40s\"\n");

    std::fs::write(&file, format!("{new}no_such_key = 1\n")).unwrap();
    node.signal(libc::SIGHUP).unwrap();
    node.wait_log("the old one stays in use").await.unwrap();
    let log = node.log();
    let complaint = log.lines().find(|line| line.contains("no_such_key"));
    let complaint = complaint.unwrap_or_else(|| panic!("the mistake is not named\n{log}"));
    assert!(complaint.contains("ERROR"), "{complaint}");
    let reply = alice.post(Version::Http2, CHAT, &slow).await.unwrap();
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));

    std::fs::write(&file, new).unwrap();
    for times in 1..=2 {
        node.signal(libc::SIGHUP).unwrap();
        // What a restart would change is said as long as it holds.
        for said in [
            "configuration read again",
            "takes effect with the next start",
        ] {
            wait_until(|| node.log().matches(said).count() == times).await;
        }
    }
    // The workers' next snapshot brings it.
    let mut asked = 2;
    while alice.post(Version::Http2, CHAT, &slow).await.is_ok() {
        asked += 1;
    }
    let rows = node.records(asked).await.unwrap();
    assert_eq!(text(&rows[0], "reason"), "idle_timeout");

    std::fs::write(&file, old).unwrap();
    node.signal(libc::SIGHUP).unwrap();
    while alice.post(Version::Http2, CHAT, &slow).await.is_err() {}
    node.wait_ready().await.unwrap();
    node.stop().await.unwrap();
}

/// Nothing tells when it comes true.
async fn wait_until(done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it comes true");
}

#[tokio::test]
async fn state_survives_a_restart() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let reply = alice
        .post(Version::Http1, CHAT, &chat("hi", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    node.records(1).await.unwrap();
    let node = node.restart().await.unwrap();
    node.wait_ready().await.unwrap();
    let reply = node
        .alice()
        .await
        .unwrap()
        .post(Version::Http1, CHAT, &chat("hi", false))
        .await;
    assert_eq!(reply.unwrap().status, StatusCode::OK);
    assert_eq!(node.records(2).await.unwrap().len(), 2);
}

/// What was answered longer ago than records may wait, a tick and a sync of a busy disk included, is
/// recorded; nothing is recorded twice.
#[tokio::test]
async fn kill_9_under_load_costs_the_newest_records_at_most() {
    const AGENTS: usize = 8;
    const LOAD: Duration = Duration::from_millis(2500);
    const DURABLE_AFTER: Duration = Duration::from_secs(1);
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut load = tokio::task::JoinSet::new();
    for agent in 0..AGENTS {
        let mut session = alice.session(Version::Http1).await.unwrap();
        load.spawn(async move {
            let mut answered = Vec::new();
            for number in 0.. {
                let name = format!("load-{agent}-{number}");
                let headers = [("x-claude-code-session-id", name.as_str())];
                match session.post(CHAT, &chat("hi", false), &headers).await {
                    Ok(reply) => assert_eq!(reply.status, StatusCode::OK),
                    Err(_) => break,
                }
                answered.push((name, Instant::now()));
            }
            answered
        });
    }
    tokio::time::sleep(LOAD).await;
    let killed = Instant::now();
    let node = node.kill_and_restart().await.unwrap();
    let answered = load.join_all().await.concat();
    let durable: HashSet<&str> = answered
        .iter()
        .filter(|(_, at)| *at + DURABLE_AFTER < killed)
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(durable.len() > 100, "{} are no load", durable.len());

    // The newest record: once it is there, so are the older ones.
    let mut session = alice.session(Version::Http1).await.unwrap();
    let headers = [("x-claude-code-session-id", "after")];
    let reply = session.post(CHAT, &chat("hi", false), &headers).await;
    assert_eq!(reply.unwrap().status, StatusCode::OK);
    let deadline = Instant::now() + PATIENCE;
    while text(&node.records(1).await.unwrap()[0], "session_id") != "after" {
        assert!(Instant::now() < deadline, "the next one is lost");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rows = all_records(&node).await;
    let recorded: HashSet<&str> = rows.iter().map(|row| text(row, "session_id")).collect();
    assert_eq!(recorded.len(), rows.len(), "an exchange is recorded twice");
    let lost = durable.difference(&recorded).count();
    assert_eq!(lost, 0, "of {}", durable.len());
    assert!(rows.len() as u64 <= standin.stats().requests);
}

async fn all_records(node: &Node) -> Vec<Value> {
    let mut rows = Vec::new();
    for page in 1.. {
        let path = format!("/api/agent-network/access-logs?page_size=100&page={page}");
        let page = node.api_ok(Method::GET, &path, None).await.unwrap();
        let part = page["data"].as_array().unwrap();
        rows.extend_from_slice(part);
        if part.len() < 100 {
            break;
        }
    }
    rows
}

#[tokio::test]
async fn a_taken_port_is_an_error_at_the_start() {
    let (_standin, node) = openai(Transport::Plain).await;
    let port = format!("port = {}", node.endpoint().port());
    let file = node.directory().join("keyway.toml");
    let config = std::fs::read_to_string(file).unwrap();
    assert!(config.contains(&port));
    let other = Node::start_with_endpoint_port(node.endpoint().port()).await;
    assert!(other.is_err(), "two nodes on one port");
}
