//! Bytes that no agent would send: garbage in TLS, oddities and floods in HTTP/2. Each is ended, and the
//! node serves on.

use gateway_tests::{
    agent::{PATIENCE, Version},
    node::Node,
    standin::Transport,
};
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// Frames of a flood; far beyond what a connection is allowed.
const FLOOD_FRAMES: usize = 20_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Whether the node ended the connection: EOF, a reset, or GOAWAY and then one of them.
async fn is_ended(mut stream: impl AsyncRead + Unpin) -> bool {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .is_ok()
}

/// Sends all of it unless the node ends the connection first.
async fn flood(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8], count: usize) {
    let many = frame.repeat(100);
    for _ in 0..count / 100 {
        if stream.write_all(&many).await.is_err() {
            return;
        }
    }
    // A node that went on reading is caught by the wait for its end.
    let _ = stream.flush().await;
}

async fn assert_serves_on(node: &Node) {
    let alice = node.alice().await.unwrap();
    for version in [Version::Http1, Version::Http2] {
        let reply = alice
            .post(version, CHAT, &chat("still there?", false))
            .await;
        assert_eq!(reply.unwrap().status, StatusCode::OK);
    }
}

fn impatient() -> NodeOptions {
    NodeOptions {
        extra: vec![(
            "timeouts",
            "tls_handshake = \"300ms\"\nrequest_head = \"600ms\"\nresponse_write_idle = \"500ms\""
                .to_owned(),
        )],
        ..NodeOptions::default()
    }
}

#[tokio::test]
async fn tls_garbage_is_closed() {
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, impatient()).await;
    let alice = node.alice().await.unwrap();
    let truncated_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    for (what, bytes) in [
        (
            "plain HTTP",
            b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            "noise",
            (0..4096u32).map(|i| (i * 31 % 251) as u8).collect(),
        ),
        ("half a ClientHello and then nothing", truncated_hello),
        ("nothing at all", Vec::new()),
    ] {
        let mut stream = alice.tcp().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert!(is_ended(stream).await, "{what}");
    }
    assert_serves_on(&node).await;
}

#[tokio::test]
async fn http2_oddities_end_their_connection() {
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, impatient()).await;
    let alice = node.alice().await.unwrap();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let start = [PREFACE, &settings].concat();
    // Indexed fields of HPACK's static table: GET, https, and a path that is only promised.
    let half_head = frame(HEADERS, 0, 1, &[0x82, 0x87]);
    for (what, bytes) in [
        ("no preface", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2)),
        (
            "DATA on stream 0",
            [&start[..], &frame(DATA, 0, 0, b"x")].concat(),
        ),
        (
            "SETTINGS of a wrong size",
            [&start[..], &frame(SETTINGS, 0, 0, b"abc")].concat(),
        ),
        (
            "an even stream",
            [&start[..], &frame(HEADERS, 5, 2, &[0x82])].concat(),
        ),
        (
            "a frame inside a head",
            [&start[..], &half_head, &frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "HPACK out of the table",
            [&start[..], &frame(HEADERS, 5, 1, &[0xff, 0xff, 0x7f])].concat(),
        ),
        (
            "a frame over the limit",
            [&start[..], &frame(DATA, 0, 1, &vec![0; 20_000])].concat(),
        ),
    ] {
        let mut stream = alice.tls(Version::Http2).await.unwrap();
        // The node may close before it has read everything.
        let _ = stream.write_all(&bytes).await;
        assert!(is_ended(stream).await, "{what}");
    }
    assert_serves_on(&node).await;
    assert_eq!(standin.stats().requests, 2);
}

#[tokio::test]
async fn http2_floods_end_their_connection() {
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, impatient()).await;
    let alice = node.alice().await.unwrap();
    let half_head = frame(HEADERS, 0, 1, &[0x82, 0x87]);
    for (what, first, flooding) in [
        ("PING", Vec::new(), frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", Vec::new(), frame(SETTINGS, 0, 0, &[])),
        ("unknown frames", Vec::new(), frame(0xfa, 0, 0, b"?")),
        (
            "CONTINUATION",
            half_head,
            frame(CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b']),
        ),
    ] {
        let mut stream = alice.tls(Version::Http2).await.unwrap();
        let start = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &first].concat();
        stream.write_all(&start).await.unwrap();
        let (reader, mut writer) = tokio::io::split(stream);
        // Read while writing: a flood whose answers nobody takes would stop itself.
        let ended = tokio::spawn(is_ended(reader));
        flood(&mut writer, &flooding, FLOOD_FRAMES).await;
        assert!(ended.await.unwrap(), "{what}");
    }
    assert_serves_on(&node).await;
    assert_eq!(standin.stats().requests, 2);
}

#[tokio::test]
async fn a_stream_whose_window_never_opens_is_given_up() {
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, impatient()).await;
    let alice = node.alice().await.unwrap();
    let mut stream = alice.tls(Version::Http2).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE = 0: the head of the answer may come, its body never.
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut head = vec![0x83, 0x87];
    for (name, value) in [(":authority", alice.host.as_str()), (":path", CHAT)] {
        head.extend([0x40, name.len() as u8]);
        head.extend(name.bytes());
        head.push(value.len() as u8);
        head.extend(value.bytes());
    }
    let body = chat("[[events=50 ms=1]]", true).to_string();
    let request = [
        PREFACE,
        &no_window,
        &frame(HEADERS, 4, 1, &head),
        &frame(DATA, 1, 1, body.as_bytes()),
    ]
    .concat();
    stream.write_all(&request).await.unwrap();
    let row = node.only_record().await.unwrap();
    assert_eq!(text(&row, "outcome"), "cancelled", "{row:#}");
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled + stats.answered == 1)
        .await
        .unwrap();
    drop(stream);
    assert_serves_on(&node).await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go() {
    let mut options = impatient();
    options.extra[0].1 += "\nkeep_alive = \"700ms\"";
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let mut stream = node
        .alice()
        .await
        .unwrap()
        .tls(Version::Http2)
        .await
        .unwrap();
    stream
        .write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
        .await
        .unwrap();
    let mut seen = Vec::new();
    // It may end without close_notify: this agent has not said good-bye either.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut seen))
        .await
        .unwrap();
    let mut kinds = Vec::new();
    let mut rest = &seen[..];
    while let [a, b, c, kind, ..] = *rest {
        kinds.push(kind);
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        rest = &rest[9 + length..];
    }
    assert!(kinds.contains(&GOAWAY), "{kinds:?}");
}
