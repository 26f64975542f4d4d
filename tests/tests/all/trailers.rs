//! Fields behind a body, in both versions on both sides.

use bytes::Bytes;
use gateway_tests::{
    agent::{Agent, PATIENCE, Version},
    standin::Transport,
};
use http::{HeaderMap, Request};
use tokio::time::timeout;

use super::*;

const TRANSPORTS: [Transport; 3] = [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2];
/// What the stand-in sends behind an answer that asks for it, as far as it is for agents.
const SUM: (&str, &str) = ("x-standin-sum", "7");

/// A chunked request whose body is held, with fields behind it.
fn h1_request(alice: &Agent, te: &str, trailers: &str) -> Vec<u8> {
    let body = chat("[[trailers]]", true).to_string();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n{te}\r\n\
         {:x}\r\n{body}\r\n0\r\n{trailers}\r\n",
        alice.authority(),
        body.len(),
    )
    .into_bytes()
}

/// Sends a chat with `trailers` behind it over HTTP/2; what came behind the answer.
async fn h2_exchange(alice: &Agent, trailers: &[(&'static str, &str)]) -> Option<HeaderMap> {
    let io = alice.tls(Version::Http2).await.unwrap();
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("https://{}{CHAT}", alice.authority()))
        .header("content-type", "application/json")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    let chat = chat("[[trailers]]", true).to_string();
    body.send_data(Bytes::from(chat), false).unwrap();
    let field = |(name, value): &(&'static str, &str)| {
        let value = http::HeaderValue::from_str(value).unwrap();
        (http::HeaderName::from_static(name), value)
    };
    let map = trailers.iter().map(field).collect();
    body.send_trailers(map).unwrap();
    let exchange = async {
        let mut answer = response.await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(data) = answer.data().await {
            let data = data.unwrap();
            answer.flow_control().release_capacity(data.len()).unwrap();
            text.extend_from_slice(&data);
        }
        assert!(text.ends_with(b"data: [DONE]\n\n"));
        answer.trailers().await.unwrap()
    };
    let found = timeout(PATIENCE, exchange).await.unwrap();
    connection.abort();
    found
}

#[tokio::test]
async fn http1_agents_get_trailers_they_asked_for_and_send_their_own() {
    for transport in TRANSPORTS {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        for (te, wanted) in [("", false), ("te: trailers\r\n", true)] {
            let trailers = "x-agent-sum: 7\r\nx-api-key: k\r\ncontent-length: 1\r\n";
            let answer = alice.raw(&h1_request(&alice, te, trailers)).await.unwrap();
            let end = match wanted {
                true => "0\r\nx-standin-sum: 7\r\n\r\n",
                false => "0\r\n\r\n",
            };
            assert!(answer.ends_with(end), "{transport:?} {te}: {answer}");
            assert!(!answer.contains("set-cookie"), "{answer}");
            let seen = standin.seen().pop().unwrap();
            let expected = [("x-agent-sum".to_owned(), "7".to_owned())];
            assert_eq!(seen.trailers, expected, "{transport:?}");
            assert_eq!(seen.header("te").is_some(), wanted, "{transport:?}");
        }
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        let rows = node.records(2).await.unwrap();
        assert!(rows.iter().all(|row| text(row, "outcome") == "answered"));
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn http2_agents_always_get_trailers_and_send_their_own() {
    for transport in TRANSPORTS {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        let sent = [("x-agent-sum", "7"), ("authorization", "Bearer t")];
        let found = h2_exchange(&alice, &sent).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(found, [SUM], "{transport:?}");
        let seen = standin.seen().pop().unwrap();
        let expected = [("x-agent-sum".to_owned(), "7".to_owned())];
        assert_eq!(seen.trailers, expected, "{transport:?}");
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        assert_usage(&node.only_record().await.unwrap(), &standin);
        node.stop().await.unwrap();
    }
}

/// A head leaves with a stand-in for the key, which is exchanged at the connection. The same bytes behind
/// a body are the agent's.
#[tokio::test]
async fn no_trailer_is_taken_for_the_keys_place() {
    let (standin, node) = openai(Transport::TlsHttp2).await;
    let alice = node.alice().await.unwrap();
    let stand_in = "X".repeat("Bearer ".len() + KEY.len());
    h2_exchange(&alice, &[("x-probe", &stand_in)]).await;
    let seen = standin.seen().pop().unwrap();
    assert_eq!(seen.trailers, [("x-probe".to_owned(), stand_in)]);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
}

#[tokio::test]
async fn trailers_over_their_limits_are_refused() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    for trailers in [
        "x: y\r\n".repeat(33),
        format!("x: {}\r\n", "y".repeat(8200)),
    ] {
        let answer = alice.raw(&h1_request(&alice, "", &trailers)).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some("400"), "{answer}");
    }
    assert_eq!(standin.stats().requests, 0);
    let rows = node.records(2).await.unwrap();
    assert!(
        rows.iter()
            .all(|row| text(row, "reason") == "malformed_request")
    );
}
