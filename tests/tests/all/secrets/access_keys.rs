//! AWS access keys sign requests in place of going into them: while they are used they are in the arena alone, and
//! after their removal or rotation nowhere.

use gateway_tests::{
    agent::{Session, Version},
    memory::{self, Wanted},
    node::ALICE,
};
use tokio::time::{Instant, sleep};

use super::*;

/// Before and after the rotation, by transport: the secret and the session token.
const KEYS: [[[&str; 2]; 2]; 3] = [
    [
        [
            "old1/Vb7mQe2xT9hKfA4uJpW8zLcN5rYdG6sXtR3e",
            "tok1//old1Hd4nVq8ZyB2kXw6MtPj9RcLf3GsUa7Ee==",
        ],
        [
            "new1/hK3wZr8PqM5tBxE7vNfJ2aYcU9dLgS4iToW6",
            "tok1//new1Qm7xWc3TzK9vRb5NhJ2dLf8YpGa6SeU4==",
        ],
    ],
    [
        [
            "old2/w9DkTq4LmX6zRfV2bHnJ8cPyE5uGsA7oKtB3e",
            "tok2//old2Tk5zNw2QxJ8mVb4RhCf7LdPy9GsUa3Eo==",
        ],
        [
            "new2/Zt5NcW8fQjX2vLmP7rHbK9yDgS3eUaR6iTqV4",
            "tok2//new2R8nVxJ4tQbL6wKzM2fHcP9yDgE7sUaT5==",
        ],
    ],
    [
        [
            "old3/R8nVxJ4tQbL6wKzM2fHcP9yDgE7sUaT5iWoB3",
            "tok3//old3k6TqZs9BvMxN4wRfJ8hLcP2yDgE7uUaV==",
        ],
        [
            "new3/k6TqZs9BvMxN4wRfJ8hLcP2yDgE7uUaV5iWoS",
            "tok3//new3w9DkTq4LmX6zRfV2bHnJ8cPyE5uGsA7o==",
        ],
    ],
];
const MODELS: [&str; 3] = [
    "nova-over-tls-http1",
    "nova-over-tls-http2",
    "nova-over-plain-http1",
];

fn key([secret, token]: [&str; 2]) -> String {
    format!("iam@eu-central-1::ASIASTANDIN:{secret}:{token}")
}

#[tokio::test]
async fn no_copy_of_an_access_key_outlives_its_use() {
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let pid = node.pid().unwrap();
    if let Err(error) = memory::may_scan(pid) {
        let reason = format!("reading /proc/PID/mem: {error}");
        gateway_tests::skip("no_copy_of_an_access_key_outlives_its_use", &reason);
        return;
    }
    node.add_peer("alice", ALICE, "agents").await.unwrap();
    let (mut standins, mut providers) = (Vec::new(), Vec::new());
    for ((transport, model), [old, _]) in TRANSPORTS.into_iter().zip(MODELS).zip(KEYS) {
        let standin = Options::new(Vendor::Bedrock, transport, &key(old));
        let standin = StandIn::start(standin).await.unwrap();
        providers.push(connect(&node, &standin, model, &key(old)).await);
        standins.push(standin);
    }
    node.wait_ready().await.unwrap();
    let alice = node.alice().await.unwrap();
    let mut sessions = [
        alice.session(Version::Http1).await.unwrap(),
        alice.session(Version::Http2).await.unwrap(),
    ];
    for provider in &providers {
        // The stand-in knows no listing, but the keys sign for it.
        let test = ["providers", "test", provider];
        node.cli_any(&test, "").await.unwrap();
    }
    use_all(&mut sessions, 200).await;
    let used = scan(pid, 0);
    assert!(used.leaks().next().is_none(), "{}", told(&used));
    assert!(used.hidden_bytes > 0 || !used.found.is_empty(), "no arena");

    for (provider, [_, new]) in providers.iter().zip(KEYS) {
        let rotate = ["keys", "rotate", provider, "--key-stdin"];
        // The provider does not know it, which is not what this is about.
        let output = node.cli_any(&rotate, &key(new)).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    wait_gone(pid, 0).await;
    // The stand-ins do not know the new keys, but they sign.
    use_all(&mut sessions, 403).await;
    let used = scan(pid, 1);
    assert!(used.leaks().next().is_none(), "{}", told(&used));

    for (provider, model) in providers.iter().zip(MODELS) {
        node.cli(&["policies", "remove", model], "").await.unwrap();
        node.cli(&["providers", "remove", provider], "")
            .await
            .unwrap();
    }
    wait_gone(pid, 1).await;
    drop((standins, sessions));
}

async fn connect(node: &Node, standin: &StandIn, model: &str, key: &str) -> String {
    let provider = json!({
        "provider_id": "bedrock_api",
        "name": model,
        "upstream_url": standin.url(),
        "api_key": key,
        "models": [{"id": model, "input_per_1k": 0.001, "output_per_1k": 0.001}],
        "enabled": true,
        "allow_private_addresses": true,
        "ca_pem": standin.ca_pem(),
    });
    let id = node.connect_with(provider).await.unwrap();
    node.add_policy(model, "agents", &id).await.unwrap();
    id
}

async fn use_all(sessions: &mut [Session], status: u16) {
    let body = json!({"messages": [{"role": "user", "content": [{"text": "[[events=20]]"}]}]});
    for session in sessions {
        for model in MODELS {
            for operation in ["converse", "converse-stream"] {
                let path = format!("/model/{model}/{operation}");
                let reply = session.post(&path, &body, &[]).await.unwrap();
                assert_eq!(reply.status, status, "{path}: {reply:?}");
            }
        }
    }
}

/// Looks for the keys before (0) or after (1) their rotation.
fn scan(pid: u32, generation: usize) -> Scan {
    const NAMES: [[&str; 2]; 2] = [
        ["an old secret", "an old token"],
        ["a new secret", "a new token"],
    ];
    let wanted: Vec<Wanted<'_>> = (KEYS.iter())
        .flat_map(|keys| NAMES[generation].into_iter().zip(keys[generation]))
        .map(|(name, secret)| Wanted {
            name,
            secret: secret.as_bytes(),
        })
        .collect();
    memory::scan(pid, &wanted).unwrap()
}

async fn wait_gone(pid: u32, generation: usize) {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let scan = scan(pid, generation);
        if scan.found.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there:\n{}", told(&scan));
        sleep(Duration::from_millis(100)).await;
    }
}
