//! HTTP/1.1 by its bytes: framing that smuggles is refused, framing that is only unusual works.

use gateway_tests::{
    agent::{Agent, PATIENCE, Version},
    standin::Transport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// `POST` of a chat request with the framing headers given.
fn request(alice: &Agent, framing: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{framing}\r\n{body}",
        alice.authority()
    )
    .into_bytes()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn ambiguous_framing_is_refused_and_closed() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let body = chat("hi", false).to_string();
    let length = body.len();
    let host = alice.authority();
    for bytes in [
        request(
            &alice,
            &format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            &body,
        ),
        request(
            &alice,
            &format!("content-length: {length}\r\ncontent-length: {length}1\r\n"),
            &body,
        ),
        request(&alice, "content-length: +5\r\n", &body),
        request(&alice, "transfer-encoding: gzip, chunked\r\n", &body),
        request(&alice, "transfer-encoding: chunked\r\n", "zz\r\n"),
        request(
            &alice,
            "transfer-encoding: chunked\r\n",
            "5\nhello\r\n0\r\n\r\n",
        ),
        format!("GET /v1/models HTTP/1.1\nhost: {host}\n\n").into_bytes(),
        format!("GET /v1/models HTTP/1.1\r\nhost : {host}\r\n\r\n").into_bytes(),
        format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n folded\r\n\r\n").into_bytes(),
        format!("GET  /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20),
    ] {
        let answer = alice.raw(&bytes).await.unwrap();
        let shown = String::from_utf8_lossy(&bytes);
        assert_eq!(status(&answer), "400", "{shown} → {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown} → {answer}");
    }
    assert_eq!(standin.stats().requests, 0);
}

#[tokio::test]
async fn what_is_too_large_is_said_to_be() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let head = format!(
        "GET /v1/models HTTP/1.1\r\nhost: {}\r\nx-large: {}\r\n\r\n",
        alice.authority(),
        "a".repeat(100 << 10)
    );
    assert_eq!(status(&alice.raw(head.as_bytes()).await.unwrap()), "431");
    let body = request(&alice, &format!("content-length: {}\r\n", 40 << 20), "{");
    assert_eq!(status(&alice.raw(&body).await.unwrap()), "413");
    assert_eq!(standin.stats().requests, 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut bytes = Vec::new();
    for events in [3, 5, 2] {
        let body = chat(&format!("[[events={events}]]"), false).to_string();
        let close = if events == 2 {
            "connection: close\r\n"
        } else {
            ""
        };
        let framing = format!("content-length: {}\r\n{close}", body.len());
        bytes.extend(request(&alice, &framing, &body));
    }
    let answer = alice.raw(&bytes).await.unwrap();
    let tokens: Vec<&str> = answer
        .split("\"completion_tokens\":")
        .skip(1)
        .map(|rest| &rest[..1])
        .collect();
    assert_eq!(tokens, ["3", "5", "2"], "{answer}");
    assert_eq!(standin.stats().answered, 3);
    assert_eq!(node.records(3).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_chunked_request_arrives_whole() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let body = chat("one two three", false).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let chunks = format!(
        "{:x}\r\n{first}\r\n{:x};ext=1\r\n{second}\r\n0\r\ntrailer: x\r\n\r\n",
        first.len(),
        second.len()
    );
    let bytes = request(
        &alice,
        "transfer-encoding: chunked\r\nconnection: close\r\n",
        &chunks,
    );
    assert_eq!(status(&alice.raw(&bytes).await.unwrap()), "200");
    assert_eq!(standin.seen()[0].body, body);
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let body = chat("hi", false).to_string();
    let framing = format!(
        "content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n",
        body.len()
    );
    let mut stream = alice.tls(Version::Http1).await.unwrap();
    stream
        .write_all(&request(&alice, &framing, ""))
        .await
        .unwrap();
    let mut interim = [0; 25];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut interim)).await;
    read.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn head_has_no_body() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let head = format!(
        "HEAD /v1/models HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        alice.authority()
    );
    let answer = alice.raw(head.as_bytes()).await.unwrap();
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(answer.matches("\r\n\r\n").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_is_recorded_as_truncated() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut stream = alice.tls(Version::Http1).await.unwrap();
    let bytes = request(&alice, "content-length: 500\r\n", "{\"model\":");
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let row = node.only_record().await.unwrap();
    assert!(
        ["client_error", "cancelled"].contains(&text(&row, "outcome")),
        "{row:#}"
    );
    assert_eq!(standin.stats().requests, 0);
}

#[tokio::test]
async fn plain_http_serves_the_same_when_asked_for() {
    let options = NodeOptions {
        plain: true,
        ..NodeOptions::default()
    };
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let mut alice = node.alice().await.unwrap();
    alice.endpoint = node.plain().unwrap();
    let body = chat("hi", false).to_string();
    let framing = format!("content-length: {}\r\nconnection: close\r\n", body.len());
    let mut tcp = alice.tcp().await.unwrap();
    tcp.write_all(&request(&alice, &framing, &body))
        .await
        .unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status(&answer), "200", "{answer}");
}
