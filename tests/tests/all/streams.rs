//! Streams that do not go well: cancelled, cut, stalled, or read slowly.

use std::time::Duration;

use bytes::Bytes;
use gateway_tests::{
    agent::{PATIENCE, Version},
    standin::Transport,
};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::*;

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];
const TRANSPORTS: [Transport; 3] = [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What came before a body broke off.
pub(super) async fn until_cut(body: Incoming) -> String {
    String::from_utf8(until_cut_bytes(body).await).unwrap()
}

/// As [`until_cut`], of a body that is no text.
pub(super) async fn until_cut_bytes(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => read.extend(frame.into_data().unwrap_or_default()),
            Some(Err(_)) => return read,
            None => panic!("a clean end"),
        }
    }
}

fn stream_body(prompt: &str) -> Bytes {
    Bytes::from(chat(prompt, true).to_string())
}

#[tokio::test]
async fn an_agent_that_leaves_frees_the_provider_at_once() {
    for transport in TRANSPORTS {
        for version in VERSIONS {
            let (standin, node) = openai(transport).await;
            let mut session = node.alice().await.unwrap().session(version).await.unwrap();
            // Ten minutes of answer: only a cancellation ends it within the test.
            let body = stream_body("[[events=60000 ms=10]]");
            let mut response = session
                .begin(Method::POST, CHAT, &JSON, body)
                .await
                .unwrap();
            response.frame().await.unwrap().unwrap();
            drop(response);
            drop(session);
            standin
                .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
                .await
                .unwrap();
            let row = node.only_record().await.unwrap();
            assert_eq!(
                text(&row, "outcome"),
                "cancelled",
                "{transport:?} {version:?}"
            );
            node.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn cancelling_one_http2_stream_leaves_the_others_alone() {
    let (standin, node) = openai(Transport::TlsHttp2).await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http2)
        .await
        .unwrap();
    let body = stream_body("[[events=60000 ms=10]]");
    let mut leaving = session
        .begin(Method::POST, CHAT, &JSON, body)
        .await
        .unwrap();
    leaving.frame().await.unwrap().unwrap();
    drop(leaving);
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
        .await
        .unwrap();
    let reply = session.post(CHAT, &chat("next", true), &[]).await.unwrap();
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(node.records(2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_provider_that_breaks_off_is_no_clean_end() {
    for transport in TRANSPORTS {
        for version in VERSIONS {
            let (_standin, node) = openai(transport).await;
            let mut session = node.alice().await.unwrap().session(version).await.unwrap();
            let body = stream_body("[[events=20 cut=5 ms=1]]");
            let response = session
                .begin(Method::POST, CHAT, &JSON, body)
                .await
                .unwrap();
            assert_eq!(response.status(), 200);
            let case = format!("{transport:?} {version:?}");
            let told = tokio::time::timeout(PATIENCE, until_cut(response.into_body())).await;
            let told = told.unwrap();
            assert!(told.contains("keyway.provider_cut"), "{case}: {told}");
            let row = node.only_record().await.unwrap();
            assert_eq!(text(&row, "outcome"), "cut", "{row:#}");
            assert_eq!(text(&row, "reason"), "provider_cut");
            node.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_cut_body_with_a_length_is_no_clean_end_either() {
    let (_standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    assert!(
        alice
            .post(Version::Http1, CHAT, &chat("[[cut=1]]", false))
            .await
            .is_err()
    );
    assert_eq!(text(&node.only_record().await.unwrap(), "outcome"), "cut");
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_given_up() {
    let options = NodeOptions {
        extra: vec![("timeouts", "idle = \"300ms\"".to_owned())],
        ..NodeOptions::default()
    };
    let (standin, node) = pair(Vendor::OpenAi, Transport::TlsHttp2, options).await;
    let alice = node.alice().await.unwrap();
    let reply = alice
        .post(Version::Http2, CHAT, &chat("[[events=20 stall=3]]", true))
        .await;
    assert!(reply.is_err(), "{reply:?}");
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
        .await
        .unwrap();
    assert_eq!(
        text(&node.only_record().await.unwrap(), "reason"),
        "idle_timeout"
    );
}

#[tokio::test]
async fn a_slow_reader_slows_the_provider() {
    const ANSWER_BYTES: u64 = 64 << 20;
    // Socket buffers and windows on both hops, generously.
    const IN_FLIGHT_BYTES_MAX: u64 = 24 << 20;
    for transport in [Transport::Plain, Transport::TlsHttp2] {
        for version in VERSIONS {
            let (standin, node) = openai(transport).await;
            let mut session = node.alice().await.unwrap().session(version).await.unwrap();
            let body = stream_body("[[events=1024 bytes=65536]]");
            let response = session
                .begin(Method::POST, CHAT, &JSON, body)
                .await
                .unwrap();
            // The agent reads nothing: the provider comes to a stop far from the end.
            let mut before = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let sent = standin.stats().body_bytes_sent;
                if sent == before && sent > 0 {
                    break;
                }
                before = sent;
            }
            assert!(
                before < IN_FLIGHT_BYTES_MAX,
                "{before} bytes in flight, {version:?}"
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.len() as u64 > ANSWER_BYTES);
            assert_eq!(
                text(&node.only_record().await.unwrap(), "outcome"),
                "answered"
            );
            node.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_agent_that_closes_right_after_done_was_answered() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http1)
        .await
        .unwrap();
    let mut response = session
        .begin(Method::POST, CHAT, &JSON, stream_body("hi"))
        .await
        .unwrap();
    let mut text_seen = Vec::new();
    while !text_seen.ends_with(b"data: [DONE]\n\n") {
        let frame = response.frame().await.unwrap().unwrap();
        text_seen.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    drop(response);
    drop(session);
    let row = node.only_record().await.unwrap();
    assert_eq!(text(&row, "outcome"), "answered", "{row:#}");
    assert_usage(&row, &standin);
}
