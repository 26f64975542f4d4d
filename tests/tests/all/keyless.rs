//! Who may in, by address alone; and what a provider never learns.

use gateway_tests::{
    agent::Version,
    standin::{Transport, Vendor},
};
use http::StatusCode;
use tokio::io::AsyncReadExt as _;

use super::*;

#[tokio::test]
async fn what_an_agent_sends_as_a_credential_never_arrives() {
    for (vendor, path, body) in [
        (Vendor::OpenAi, CHAT, chat("hi", false)),
        (Vendor::Anthropic, MESSAGES, message("hi", false)),
    ] {
        let (standin, node) = match vendor {
            Vendor::OpenAi => openai(Transport::TlsHttp1).await,
            Vendor::Anthropic => anthropic(Transport::TlsHttp1).await,
            Vendor::Bedrock
            | Vendor::Mistral
            | Vendor::Vllm
            | Vendor::Ollama
            | Vendor::Vertex
            | Vendor::Gemini
            | Vendor::Gateway(_) => {
                unreachable!("not in the table")
            }
        };
        let mut session = node
            .alice()
            .await
            .unwrap()
            .session(Version::Http1)
            .await
            .unwrap();
        let headers = [
            ("authorization", "Bearer -"),
            ("x-api-key", "agent-key"),
            ("api-key", "agent-key"),
            ("x-goog-api-key", "agent-key"),
            ("cookie", "agent=key"),
            ("x-portkey-api-key", "agent-key"),
            ("x-litellm-api-key", "agent-key"),
            ("x-forwarded-for", "10.1.2.3"),
            ("x-netbird-user", "root"),
            ("forwarded", "for=10.1.2.3"),
            ("anthropic-version", "2023-06-01"),
        ];
        let with_key = format!("{path}?key=agent-key");
        let reply = session.post(&with_key, &body, &headers).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        let seen = format!("{:?}", standin.seen());
        assert!(!seen.contains("agent-key"), "{seen}");
        assert!(
            !seen.contains("alice"),
            "a vendor learns who called: {seen}"
        );
    }
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_hop() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http1)
        .await
        .unwrap();
    let headers = [
        ("connection", "x-private, keep-alive"),
        ("x-private", "1"),
        ("te", "trailers"),
        ("proxy-connection", "keep-alive"),
    ];
    let reply = session
        .post(CHAT, &chat("hi", false), &headers)
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(standin.stats().refused, Vec::<String>::new());
}

#[tokio::test]
async fn an_address_that_is_no_peer_is_closed_before_tls() {
    let (standin, node) = openai(Transport::Plain).await;
    let stranger = node.agent("127.0.0.9".parse().unwrap()).await.unwrap();
    // Nothing is sent: a node that waited for a ClientHello would keep the connection open.
    if let Ok(mut tcp) = stranger.tcp().await {
        let read = tokio::time::timeout(gateway_tests::agent::PATIENCE, tcp.read_u8()).await;
        assert!(read.unwrap().is_err(), "the node spoke to a stranger");
    }
    assert!(stranger.tls(Version::Http1).await.is_err());
    assert_eq!(standin.stats().requests, 0);
    assert_eq!(node.records(0).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_new_peer_is_let_in_and_a_removed_one_is_not() {
    let (_standin, node) = openai(Transport::Plain).await;
    let address = "127.0.0.7".parse().unwrap();
    node.add_peer("carol", address, "agents").await.unwrap();
    let carol = node.agent(address).await.unwrap();
    let reply = carol
        .post(Version::Http2, CHAT, &chat("hi", false))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        text(&node.only_record().await.unwrap(), "source_ip"),
        "127.0.0.7"
    );
    node.cli(&["peers", "remove", "carol"], "").await.unwrap();
    assert!(
        carol
            .post(Version::Http2, CHAT, &chat("hi", false))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_wrong_doubled_or_odd_host_is_misdirected() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let right = alice.authority();
    let head = |hosts: &str| {
        format!("GET /v1/models HTTP/1.1\r\n{hosts}connection: close\r\n\r\n").into_bytes()
    };
    for (hosts, statuses) in [
        (format!("host: {right}\r\n"), &["200"][..]),
        ("host: api.openai.com\r\n".to_owned(), &["421"][..]),
        (String::new(), &["400", "421"][..]),
        (
            format!("host: {right}\r\nhost: {right}\r\n"),
            &["400", "421"][..],
        ),
        (
            format!("host: {right}, evil.example\r\n"),
            &["400", "421"][..],
        ),
        (format!("host: user@{right}\r\n"), &["400", "421"][..]),
    ] {
        let answer = alice.raw(&head(&hosts)).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(statuses.contains(&status), "{hosts:?} → {answer}");
    }
    assert_eq!(standin.stats().requests, 0);
}
