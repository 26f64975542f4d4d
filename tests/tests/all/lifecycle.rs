//! Start, reload, drain, stop.

use bytes::Bytes;
use gateway_tests::{
    agent::{PATIENCE, Version},
    standin::Transport,
};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

use super::*;

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
    let options = NodeOptions {
        extra: vec![("timeouts", "drain = \"500ms\"".to_owned())],
        ..NodeOptions::default()
    };
    let (_standin, mut node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http2)
        .await
        .unwrap();
    let body = Bytes::from(chat("[[events=60000 ms=10]]", true).to_string());
    let response = session
        .begin(Method::POST, CHAT, &JSON, body)
        .await
        .unwrap();
    node.signal(libc::SIGTERM).unwrap();
    assert!(node.wait_exit().await.unwrap().success());
    assert!(
        response.into_body().collect().await.is_err(),
        "a clean end at the deadline"
    );
}

#[tokio::test]
async fn sighup_reloads_and_a_broken_file_changes_nothing() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let file = node.directory().join("keyway.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    for text in [format!("{good}\nno_such_key = 1\n"), good] {
        std::fs::write(&file, text).unwrap();
        node.signal(libc::SIGHUP).unwrap();
        let reply = alice
            .post(Version::Http2, CHAT, &chat("hi", false))
            .await
            .unwrap();
        assert_eq!(reply.status, StatusCode::OK);
    }
    node.wait_ready().await.unwrap();
    node.stop().await.unwrap();
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

#[tokio::test]
async fn records_survive_kill_9_past_the_flush_interval() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    for _ in 0..5 {
        alice
            .post(Version::Http1, CHAT, &chat("hi", false))
            .await
            .unwrap();
    }
    node.records(5).await.unwrap();
    let node = node.kill_and_restart().await.unwrap();
    assert_eq!(node.records(5).await.unwrap().len(), 5);
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
