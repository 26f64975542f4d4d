//! Where provider keys are while the node uses them, and that nothing is left when it stops to. A scan of
//! the whole process looks for them raw, in base64 and Huffman-coded, piece by piece.
//!
//! Not seen by the scan, because the kernel shows it to nobody: the arena itself where the kernel has
//! secret memory, and socket buffers. A request whose head may not fit into one HTTP/2 frame leaves
//! a coded key in h2's buffers until the connection closes (see `inject::build_h2`): only its end is
//! tested.

mod access_keys;
mod shown;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use gateway_tests::{
    agent::{Session, Version},
    memory::{self, Scan, Wanted},
    node::ALICE,
};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{Duration, Instant, sleep},
};

use super::*;

/// Keys of three providers before and after their rotation.
const KEYS: [[&str; 2]; 3] = [
    [
        "sk-old1-Vb7mQe2xT9hKfA4uJpW8zLcN5rYdG6sXtR3",
        "sk-new1-hK3wZr8PqM5tBxE7vNfJ2aYcU9dLgS4iToW6",
    ],
    [
        "sk-old2-w9DkTq4LmX6zRfV2bHnJ8cPyE5uGsA7oKtB3",
        "sk-new2-Zt5NcW8fQjX2vLmP7rHbK9yDgS3eUaR6iTqV4",
    ],
    [
        "sk-old3-R8nVxJ4tQbL6wKzM2fHcP9yDgE7sUaT5iWoB3",
        "sk-new3-k6TqZs9BvMxN4wRfJ8hLcP2yDgE7uUaV5iWoS3",
    ],
];
const MODELS: [&str; 3] = [
    "model-over-tls-http1",
    "model-over-tls-http2",
    "model-over-plain-http1",
];
const TRANSPORTS: [Transport; 3] = [Transport::TlsHttp1, Transport::TlsHttp2, Transport::Plain];

/// No secret, and always there: what shows that the scan can see.
const CONTROL: Wanted<'_> = Wanted {
    name: "a peer's name",
    secret: b"a-peer-that-stays",
};

const MASTER: &str = "the master key";

/// A removed key's connections, snapshots and buffers are gone within this time: the pool closes
/// connections at the worker's tick, the builder looks at retired snapshots every 250 ms.
const GONE_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn no_copy_of_a_key_outlives_its_use() {
    let (standins, node, providers) = three_providers().await;
    let pid = node.pid().unwrap();
    if let Err(error) = memory::may_scan(pid) {
        let reason = format!("reading /proc/PID/mem: {error}");
        gateway_tests::skip("no_copy_of_a_key_outlives_its_use", &reason);
        return;
    }
    let alice = node.alice().await.unwrap();
    let mut sessions = [
        alice.session(Version::Http1).await.unwrap(),
        alice.session(Version::Http2).await.unwrap(),
    ];
    for provider in &providers {
        node.cli(&["providers", "test", provider], "")
            .await
            .unwrap();
    }
    let other = "127.0.0.8".parse().unwrap();
    node.add_peer("a-peer-that-stays", other, "others")
        .await
        .unwrap();
    use_all(&mut sessions).await;
    assert_only_in_arena(&node, 0);
    // These go through h2 with the key in them: still right, and gone with the connection.
    for bytes in [3_000, 20_000] {
        use_with_long_head(&mut sessions, bytes).await;
    }

    let (provider, [_, new]) = (&providers[0], KEYS[0]);
    let mut kept_open = UnixStream::connect(node.socket()).await.unwrap();
    rotate_on(&mut kept_open, provider, new).await;
    for (provider, [_, new]) in providers.iter().zip(KEYS).skip(1) {
        let arguments = ["keys", "rotate", provider, "--keep-others", "--key-stdin"];
        node.cli(&arguments, new).await.unwrap();
    }
    use_all(&mut sessions).await;
    for provider in &providers {
        let path = format!("/api/agent-network/providers/{provider}/keys");
        let keys = node.api_ok(http::Method::GET, &path, None).await.unwrap();
        let old = keys[0]["id"].as_str().unwrap();
        let path = format!("{path}/{old}");
        node.api_ok(http::Method::DELETE, &path, None)
            .await
            .unwrap();
    }
    use_all(&mut sessions).await;
    wait_gone(&node, 0).await;
    assert_only_in_arena(&node, 1);
    still_open(&mut kept_open).await;
    use_all(&mut sessions).await;

    for (provider, model) in providers.iter().zip(MODELS) {
        node.cli(&["policies", "remove", model], "").await.unwrap();
        node.cli(&["providers", "remove", provider], "")
            .await
            .unwrap();
    }
    wait_gone(&node, 1).await;
    drop((standins, kept_open));
}

/// As a client that keeps its connection for later.
async fn rotate_on(connection: &mut UnixStream, provider: &str, key: &str) {
    let body = json!({"api_key": key, "keep_others": true}).to_string();
    let request = format!(
        "POST /api/agent-network/providers/{provider}/keys HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // In pieces, so that the key comes to lie in several of the server's buffers.
    for piece in request.as_bytes().chunks(request.len() - body.len()) {
        connection.write_all(piece).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    assert_ok(connection).await;
}

async fn still_open(connection: &mut UnixStream) {
    let request = b"GET /api/agent-network/tokens HTTP/1.1\r\nhost: localhost\r\n\r\n";
    connection.write_all(request).await.unwrap();
    assert_ok(connection).await;
}

async fn assert_ok(connection: &mut UnixStream) {
    let mut answer = [0; 4096];
    let length = connection.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Three stand-ins and a node that reaches each by a model of its own.
async fn three_providers() -> (Vec<StandIn>, Node, Vec<String>) {
    let node = Node::start(NodeOptions::default()).await.unwrap();
    node.add_peer("alice", ALICE, "agents").await.unwrap();
    let (mut standins, mut providers) = (Vec::new(), Vec::new());
    for ((transport, model), [old, new]) in TRANSPORTS.into_iter().zip(MODELS).zip(KEYS) {
        let mut options = Options::new(Vendor::OpenAi, transport, old);
        options.next_key = Some(new.to_owned());
        let standin = StandIn::start(options).await.unwrap();
        let provider = node
            .connect_with(json!({
                "provider_id": "openai_api",
                "name": model,
                "upstream_url": standin.url(),
                "api_key": old,
                "models": [{"id": model, "input_per_1k": 0.001, "output_per_1k": 0.001}],
                "enabled": true,
                "allow_private_addresses": true,
                "ca_pem": standin.ca_pem(),
            }))
            .await
            .unwrap();
        node.add_policy(model, "agents", &provider).await.unwrap();
        standins.push(standin);
        providers.push(provider);
    }
    node.wait_ready().await.unwrap();
    (standins, node, providers)
}

/// Every provider, over both versions, streamed and whole.
async fn use_all(sessions: &mut [Session]) {
    for session in sessions {
        for model in MODELS {
            for stream in [false, true] {
                let mut body = chat("[[events=20]]", stream);
                body["model"] = json!(model);
                let reply = session.post(CHAT, &body, &[]).await.unwrap();
                assert_eq!(reply.status, StatusCode::OK, "{model}: {reply:?}");
            }
        }
    }
}

/// As [`use_all`], with a head of more than `bytes`.
async fn use_with_long_head(sessions: &mut [Session], bytes: usize) {
    let agent = "a".repeat(bytes);
    for session in sessions {
        for model in MODELS {
            let mut body = chat("hi", false);
            body["model"] = json!(model);
            let headers = [("user-agent", agent.as_str())];
            let reply = session.post(CHAT, &body, &headers).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{model}: {reply:?}");
        }
    }
}

/// Looks for the keys of all providers before (0) or after (1) their rotation.
fn scan(node: &Node, generation: usize) -> Scan {
    const NAMES: [[&str; 3]; 2] = [
        ["old TLS HTTP/1", "old TLS HTTP/2", "old plain"],
        ["new TLS HTTP/1", "new TLS HTTP/2", "new plain"],
    ];
    let mut wanted: Vec<Wanted<'_>> = (0..3)
        .map(|number| Wanted {
            name: NAMES[generation][number],
            secret: KEYS[number][generation].as_bytes(),
        })
        .collect();
    wanted.push(CONTROL);
    let (master_text, master_key) = master_key(node);
    for secret in [&master_text, &master_key] {
        wanted.push(Wanted {
            name: MASTER,
            secret,
        });
    }
    let mut scan = memory::scan(node.pid().unwrap(), &wanted).unwrap();
    let all = scan.found.len();
    scan.found.retain(|found| found.name != CONTROL.name);
    assert!(scan.found.len() < all, "the scan finds nothing at all");
    let master_key = scan.leaks().find(|found| found.name == MASTER);
    assert_eq!(master_key, None);
    scan.found.retain(|found| found.name != MASTER);
    scan
}

/// While a key is used the arena has it, one slot per credential, and nothing else does. The arena is
/// secret memory where the kernel has it, and then nobody can look; else both pieces are counted there.
#[track_caller]
fn assert_only_in_arena(node: &Node, generation: usize) {
    let scan = scan(node, generation);
    assert!(scan.leaks().next().is_none(), "{}", told(&scan));
    assert!(scan.hidden_bytes > 0 || !scan.found.is_empty(), "no arena");
}

/// As its file has it, and as it is.
pub(super) fn master_key(node: &Node) -> (Vec<u8>, Vec<u8>) {
    let text = std::fs::read(node.directory().join("master.key")).unwrap();
    let bytes = BASE64_STANDARD.decode(text.trim_ascii()).unwrap();
    assert_eq!(bytes.len(), 32);
    (text, bytes)
}

async fn wait_gone(node: &Node, generation: usize) {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let scan = scan(node, generation);
        if scan.found.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there:\n{}", told(&scan));
        sleep(Duration::from_millis(100)).await;
    }
}

pub(super) fn told(scan: &Scan) -> String {
    let mut text = format!(
        "{} KiB, {} KiB hidden\n",
        scan.bytes >> 10,
        scan.hidden_bytes >> 10
    );
    for ((name, coding, place), count) in scan.summary() {
        text += &format!("{count} pieces of {name} as {coding:?} in {place:?}\n");
    }
    for found in &scan.found {
        text += &format!("{found}\n");
    }
    text
}
