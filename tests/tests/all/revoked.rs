//! A peer that is removed: its open connections end, whatever they are in the middle of, and nobody
//! else's do. Without the kernel's help.

use bytes::Bytes;
use gateway_tests::agent::{Agent, PATIENCE, Session, Version};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Duration, Instant, timeout, timeout_at},
};
use tokio_rustls::client::TlsStream;

use super::{streams::until_cut, *};

pub(super) const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// How long a removed peer's connections may last.
pub(super) const END_TIME_MAX: Duration = Duration::from_secs(1);
/// An answer that lasts longer than any test.
const LONG: &str = "[[events=60000 ms=10]]";
/// One that does not begin.
const SLOW: &str = "[[slow_head=60000]]";
/// HTTP/2's preface and an empty SETTINGS frame (RFC 9113 section 3.4).
const HTTP2_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const BOB: [u8; 4] = [127, 0, 0, 3];

/// A stream in flight.
pub(super) struct Streaming {
    _session: Session,
    pub(super) response: Response<Incoming>,
}

impl Streaming {
    pub(super) async fn begin(agent: &Agent, version: Version) -> Self {
        let mut session = agent.session(version).await.unwrap();
        let body = Bytes::from(chat(LONG, true).to_string());
        let response = session.begin(Method::POST, CHAT, &JSON, body).await;
        let mut response = response.unwrap();
        response.frame().await.unwrap().unwrap();
        Self {
            _session: session,
            response,
        }
    }

    /// Reads until it breaks off; returns what came.
    pub(super) async fn read_to_cut(self, deadline: Instant) -> String {
        let read = timeout_at(deadline, until_cut(self.response.into_body())).await;
        read.expect("the stream goes on")
    }
}

/// A connection at rest, after a request in HTTP/1.1, after the preface in HTTP/2.
pub(super) async fn idle(agent: &Agent, version: Version) -> TlsStream<TcpStream> {
    let mut stream = agent.tls(version).await.unwrap();
    let host = agent.authority();
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let begin = match version {
        Version::Http1 => head.as_bytes(),
        Version::Http2 => HTTP2_BEGIN,
    };
    stream.write_all(begin).await.unwrap();
    stream.read_u8().await.unwrap();
    stream
}

pub(super) async fn assert_ends(mut connection: TlsStream<TcpStream>, deadline: Instant) {
    let mut rest = Vec::new();
    let end = timeout_at(deadline, connection.read_to_end(&mut rest)).await;
    // With or without TLS's own farewell.
    let _ = end.expect("the connection is still open");
}

#[tokio::test]
async fn a_removed_peers_connections_end_and_nobody_elses() {
    let (standin, node) = openai(Transport::TlsHttp2).await;
    node.add_peer("bob", BOB.into(), "agents").await.unwrap();
    let alice = node.alice().await.unwrap();
    let bob = node.agent(BOB.into()).await.unwrap();
    let mut resting = Vec::new();
    let mut streaming = Vec::new();
    for version in VERSIONS {
        resting.push(idle(&alice, version).await);
        streaming.push(Streaming::begin(&alice, version).await);
    }
    let mut waiting = JoinSet::new();
    for version in VERSIONS {
        let alice = alice.clone();
        waiting.spawn(async move { alice.post(version, CHAT, &chat(SLOW, false)).await });
    }
    let mut silent = alice.tcp().await.unwrap();
    let mut bobs_idle = idle(&bob, Version::Http1).await;
    let mut bobs_stream = Streaming::begin(&bob, Version::Http2).await;

    let begun = standin.wait_stats(PATIENCE, |stats| stats.requests == 5);
    begun.await.unwrap();

    node.cli(&["peers", "remove", "alice"], "").await.unwrap();
    let deadline = Instant::now() + END_TIME_MAX;
    for connection in resting {
        assert_ends(connection, deadline).await;
    }
    for stream in streaming {
        let read = stream.read_to_cut(deadline).await;
        assert!(!read.contains("[DONE]"));
        assert!(read.contains("llm_policy.peer_revoked"), "{read}");
    }
    while let Some(reply) = waiting.join_next().await {
        let reply = reply.unwrap().unwrap();
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{reply:?}");
        assert_eq!(reply.error_code(), "llm_policy.peer_revoked");
    }
    // One that has not even begun TLS.
    let end = timeout_at(deadline, silent.read_u8()).await.unwrap();
    assert!(end.is_err());
    assert!(alice.tls(Version::Http1).await.is_err(), "a new connection");

    // Her providers' connections were given up too, and her records say why.
    let gone = standin.wait_stats(END_TIME_MAX, |stats| stats.cancelled == 4);
    gone.await.unwrap();
    let rows = node.records(6).await.unwrap();
    for (outcome, status) in [("cut", 200), ("denied", 403)] {
        let of_outcome = rows.iter().filter(|row| text(row, "outcome") == outcome);
        let revoked = of_outcome.filter(|row| text(row, "reason") == "peer_revoked");
        let codes: Vec<_> = revoked.map(|row| number(row, "status_code")).collect();
        assert_eq!(codes, [status; 2], "{outcome}: {rows:#?}");
    }

    // Bob noticed nothing.
    let frame = timeout(END_TIME_MAX, bobs_stream.response.frame()).await;
    frame.unwrap().unwrap().unwrap();
    let more = timeout(Duration::from_millis(200), async {
        let mut rest = Vec::new();
        bobs_idle.read_to_end(&mut rest).await
    });
    assert!(more.await.is_err(), "bob's connection was closed");
    let reply = bob.post(Version::Http1, CHAT, &chat("hi", false)).await;
    assert_eq!(reply.unwrap().status, StatusCode::OK);
    drop(bobs_stream);
    node.stop().await.unwrap();
}
