//! The protocol by hand: handshakes and frames as no library would send them.

use gateway_tests::standin::Transport;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const HANDSHAKE: &str = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A switched connection, as bytes.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn open(agent: &Agent) -> Self {
        let (mut raw, head) = Self::answer(agent, RESPONSES, HANDSHAKE).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(!head.contains("sec-websocket-extensions"));
        raw.0.flush().await.unwrap();
        raw
    }

    /// Sends a request; its answer's head.
    async fn answer(agent: &Agent, path: &str, lines: &str) -> (Self, String) {
        let mut tls = agent.tls(Version::Http1).await.unwrap();
        let host = agent.authority();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n");
        tls.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, tls.read_u8()).await.unwrap().unwrap());
        }
        (Self(tls), String::from_utf8(answer).unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next frame: its first byte and its payload. Frames from a server are not masked.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let first = self.0.read_u8().await.unwrap();
            let length = match self.0.read_u8().await.unwrap() {
                126 => u64::from(self.0.read_u16().await.unwrap()),
                127 => self.0.read_u64().await.unwrap(),
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.unwrap();
            (first, payload)
        };
        timeout(PATIENCE, read).await.expect("nothing comes")
    }

    /// The code of the close frame that comes, and the end behind it.
    async fn closed_with(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame().await;
            if first == 0x88 {
                let mut rest = Vec::new();
                let end = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
                end.expect("the connection stays open").unwrap();
                assert!(rest.is_empty(), "{rest:?}");
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    async fn event(&mut self) -> Value {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x81);
        serde_json::from_slice(&payload).unwrap()
    }
}

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x1f, 0x2e, 0x3d, 0x4c];
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => bytes.push(0x80 | length as u8),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

#[tokio::test]
async fn a_message_in_fragments_is_one_event() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut raw = Raw::open(&alice).await;
    let event = create("one two [[events=2]]").to_string();
    let (head, tail) = event.as_bytes().split_at(20);
    let (middle, last) = tail.split_at(7);
    // A ping may come between; an empty frame may, too.
    let mut bytes = frame(0x01, head);
    bytes.extend(frame(0x89, b"still there?"));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x00, middle));
    bytes.extend(frame(0x80, last));
    // Byte by byte, so that every frame is half there once.
    for byte in &bytes {
        raw.send(&[*byte]).await;
    }
    assert_eq!(raw.frame().await, (0x8a, b"still there?".to_vec()));
    assert_eq!(raw.event().await["type"], "response.created");
    while raw.event().await["type"] != "response.completed" {}
    assert_eq!(standin.seen()[1].body, event.as_bytes());
    let row = node.only_record().await.unwrap();
    assert_eq!(number(&row, "output_tokens"), 2);
}

#[tokio::test]
async fn what_breaks_the_protocol_is_told_so() {
    let options = NodeOptions {
        extra: vec![("workers", "body_bytes_limit = \"64KiB\"".to_owned())],
        ..NodeOptions::default()
    };
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let too_long = vec![b'x'; 512 * 1024];
    let half = vec![b'x'; 40 * 1024];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", vec![0x81, 0x02, b'{', b'}'], 1002),
        ("a reserved bit", frame(0xc1, b"{}"), 1002),
        ("a reserved opcode", frame(0x83, b"{}"), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a ping in pieces", frame(0x09, b""), 1002),
        (
            "two beginnings",
            [frame(0x01, b"{"), frame(0x81, b"}")].concat(),
            1002,
        ),
        (
            "a close code that is none",
            frame(0x88, &[0x03, 0xed]),
            1002,
        ),
        ("half a close code", frame(0x88, &[0x03]), 1002),
        ("no UTF-8", frame(0x81, b"{\"type\":\"\xff\"}"), 1007),
        ("binary", frame(0x82, b"{}"), 1003),
        ("one frame too long", frame(0x81, &too_long), 1009),
        (
            "told to be too long",
            vec![0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            1009,
        ),
        (
            "too long in pieces",
            [frame(0x01, &half), frame(0x80, &half)].concat(),
            1009,
        ),
    ];
    for (what, bytes, code) in cases {
        let mut raw = Raw::open(&alice).await;
        raw.send(&bytes).await;
        let closed = timeout(PATIENCE, raw.closed_with()).await;
        assert_eq!(closed.unwrap_or(0), code, "{what}");
    }
    let stats = standin.stats();
    assert_eq!(stats.connections, 0, "{stats:?}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn who_answers_no_ping_is_gone() {
    let options = NodeOptions {
        extra: vec![("timeouts", "websocket_ping = \"100ms\"".to_owned())],
        ..NodeOptions::default()
    };
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    for path in [RESPONSES, "/v1/realtime?model=gpt-4o-mini"] {
        let (mut raw, head) = Raw::answer(&alice, path, HANDSHAKE).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut rest = Vec::new();
        // An end without farewell is an error under TLS.
        let end = timeout(PATIENCE, raw.0.read_to_end(&mut rest)).await;
        let _ = end.expect("the connection stays open");
        let pings = rest.windows(2).filter(|pair| pair == b"\x89\x00");
        assert_eq!(pings.count(), 3, "{path}");
    }
}

#[tokio::test]
async fn an_agent_that_goes_without_a_word_or_in_the_middle_of_one() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    for bytes in [
        &b""[..],
        &frame(0x81, b"{\"type\"")[..5],
        &frame(0x01, b"{"),
    ] {
        let mut raw = Raw::open(&alice).await;
        raw.send(bytes).await;
    }
    // Nothing was asked for, so nothing is recorded, and nothing keeps a drain waiting.
    let rows = node
        .api_ok(Method::GET, "/api/agent-network/access-logs", None)
        .await
        .unwrap();
    assert_eq!(rows["data"], json!([]));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_are_no_handshake_get_an_answer() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let plain = alice
        .post(Version::Http1, "/v1/realtime?model=m", &json!({}))
        .await
        .unwrap();
    assert_eq!(plain.status, 426, "{plain:?}");
    for version in [Version::Http1, Version::Http2] {
        let mut session = alice.session(version).await.unwrap();
        let answer = session
            .begin(
                Method::GET,
                "/v1/realtime?model=m",
                &[],
                bytes::Bytes::new(),
            )
            .await;
        assert_eq!(answer.unwrap().status(), 426, "{version:?}");
    }
    let without = |name: &str| -> String {
        let lines = HANDSHAKE.split_inclusive("\r\n");
        lines.filter(|line| !line.starts_with(name)).collect()
    };
    for (path, lines, status) in [
        (RESPONSES, without("upgrade"), "405"),
        (RESPONSES, without("sec-websocket-key"), "400"),
        (RESPONSES, without("sec-websocket-version"), "426"),
        (
            RESPONSES,
            format!("{HANDSHAKE}origin: https://evil.example\r\n"),
            "403",
        ),
        (RESPONSES, format!("{HANDSHAKE}origin: null\r\n"), "403"),
        (
            RESPONSES,
            format!("{HANDSHAKE}content-length: 2\r\n"),
            "400",
        ),
        ("/v1/realtime", HANDSHAKE.to_owned(), "400"),
        ("/v1/realtime?model=a&model=b", HANDSHAKE.to_owned(), "400"),
        ("/v1/realtime?model=gpt-nine", HANDSHAKE.to_owned(), "403"),
        // Nobody's socket: the wish is ignored, the request is not.
        ("/v1/models", HANDSHAKE.to_owned(), "200"),
    ] {
        let (_, head) = Raw::answer(&alice, path, &lines).await;
        assert_eq!(&head[9..12], status, "{path} {lines}: {head}");
    }
    let own = format!("{HANDSHAKE}origin: https://{}\r\n", alice.authority());
    let (_, head) = Raw::answer(&alice, RESPONSES, &own).await;
    assert_eq!(&head[9..12], "101", "{head}");
    assert_eq!(standin.stats().requests, 0);
}
