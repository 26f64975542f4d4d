//! Planted markers: a provider's key, the node's master key and what an agent sends as its own
//! credential. Every failure that can be driven is, and then everything that the node ever shows or
//! writes is searched for them.

use std::path::Path;

use gateway_tests::{
    agent::{Agent, Version},
    memory::{self, Wanted},
    node::ALICE,
};
use http::{Method, StatusCode};
use tokio::net::TcpListener;

use super::*;
use crate::websocket;

mod google;

const PROVIDER_KEY: &str = "sk-planted-Qm7xWc3TzK9vRb5NhJ2dLf8YpGa6SeU4";
/// What the provider does not take.
const WRONG_KEY: &str = "sk-refused-Hd4nVq8ZyB2kXw6MtPj9RcLf3GsUa7Ee";
const AGENT_KEY: &str = "agent-own-Tk5zNw2QxJ8mVb4RhCf7LdPy9GsUa3Eo";
/// Models of the providers, by how they fail.
const WORKS: [&str; 3] = [
    "works-over-tls-http1",
    "works-over-tls-http2",
    "works-plain",
];
const FAILS: [&str; 4] = ["refuses", "mistrusted", "repeats", "absent"];

#[tokio::test]
async fn no_key_shows_anywhere_at_debug() {
    drive_and_search("debug").await;
}

#[tokio::test]
async fn no_key_shows_anywhere_at_trace() {
    drive_and_search("trace").await;
}

async fn drive_and_search(log: &'static str) {
    let options = NodeOptions {
        log: Some(log),
        ..NodeOptions::default()
    };
    let mut node = Node::start(options).await.unwrap();
    node.add_peer("alice", ALICE, "agents").await.unwrap();
    let providers = Providers::connect(&node).await;
    node.wait_ready().await.unwrap();
    let mut shown = Shown::default();

    let alice = node.alice().await.unwrap();
    for version in [Version::Http1, Version::Http2] {
        agent_failures(&alice, version, &mut shown).await;
    }
    broken_heads(&alice, &mut shown).await;
    websocket_failures(&alice, &mut shown).await;
    let mut secrets = google::failures(&node, &alice, &mut shown).await;
    for provider in &providers.ids {
        let output = node
            .cli_any(&["providers", "test", provider], "")
            .await
            .unwrap();
        shown.add("providers test", format!("{output:?}"));
    }
    refused_trials(&node, &providers, &mut shown).await;
    operator_mistakes(&node, &providers.ids[0], &mut shown).await;
    let old_master_key = master_key(&node);
    node.cli(&["keys", "rotate-master"], "").await.unwrap();
    everything_to_read(&node, &providers.ids, &mut shown).await;

    node.signal(libc::SIGTERM).unwrap();
    assert!(node.wait_exit().await.unwrap().success());
    files(node.directory(), &mut shown);
    let (text, bytes) = master_key(&node);
    let (old_text, old_bytes) = old_master_key;
    secrets.extend([text, bytes, old_text, old_bytes].map(|key| ("a master key", key)));
    shown.search(&secrets);
}

/// Connecting with a key that the provider refuses, and asking it for its models.
async fn refused_trials(node: &Node, providers: &Providers, shown: &mut Shown) {
    for standin in &providers.standins {
        let url = standin.url();
        let words = [
            "providers",
            "connect",
            "custom",
            "--url",
            &url,
            "--allow-private",
            "--skip-tls-verification",
            "--discover",
            "--key-stdin",
        ];
        let output = node.cli_any(&words, WRONG_KEY).await.unwrap();
        assert!(!output.status.success(), "{output:?}");
        shown.add("a refused provider", format!("{output:?}"));
        let request = json!({
            "catalog_provider_id": "custom",
            "upstream_url": url,
            "api_key": WRONG_KEY,
            "skip_tls_verification": true,
        });
        let path = "/api/agent-network/catalog/providers/models";
        let answer = node.api(Method::POST, path, Some(&request)).await;
        shown.add("a refused listing", format!("{answer:?}"));
    }
}

/// What was shown where.
#[derive(Default)]
struct Shown(Vec<(String, Vec<u8>)>);

impl Shown {
    fn add(&mut self, place: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((place.into(), text.into()));
    }

    #[track_caller]
    fn search(&self, secrets: &[(&'static str, Vec<u8>)]) {
        let mut wanted = vec![
            Wanted {
                name: "the provider's key",
                secret: PROVIDER_KEY.as_bytes(),
            },
            Wanted {
                name: "the refused key",
                secret: WRONG_KEY.as_bytes(),
            },
            Wanted {
                name: "the agent's credential",
                secret: AGENT_KEY.as_bytes(),
            },
        ];
        wanted.extend(secrets.iter().map(|(name, secret)| Wanted { name, secret }));
        let mut findings = Vec::new();
        for (place, text) in &self.0 {
            for (name, coding, at) in memory::shown(text, &wanted) {
                let around = &text[at.saturating_sub(100)..text.len().min(at + 100)];
                let around = String::from_utf8_lossy(around);
                findings.push(format!("{name} as {coding:?} in {place}: {around}"));
            }
        }
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

struct Providers {
    standins: Vec<StandIn>,
    ids: Vec<String>,
}

impl Providers {
    async fn connect(node: &Node) -> Self {
        let mut this = Self {
            standins: Vec::new(),
            ids: Vec::new(),
        };
        let transports = [Transport::TlsHttp1, Transport::TlsHttp2, Transport::Plain];
        let mut authorities = Vec::new();
        for (transport, model) in transports.into_iter().zip(WORKS) {
            let standin = Options::new(Vendor::OpenAi, transport, PROVIDER_KEY);
            let standin = StandIn::start(standin).await.unwrap();
            this.add(node, model, &standin.url(), standin.ca_pem(), PROVIDER_KEY)
                .await;
            authorities.push(standin.ca_pem().map(str::to_owned));
            this.standins.push(standin);
        }
        let url = this.standins[1].url();
        this.add(node, FAILS[0], &url, authorities[1].as_deref(), WRONG_KEY)
            .await;
        this.add(
            node,
            FAILS[1],
            &url,
            authorities[0].as_deref(),
            PROVIDER_KEY,
        )
        .await;
        this.add(node, FAILS[2], &repeater().await, None, PROVIDER_KEY)
            .await;
        this.add(node, FAILS[3], "http://127.0.0.1:9", None, PROVIDER_KEY)
            .await;
        this
    }

    async fn add(&mut self, node: &Node, model: &str, url: &str, ca_pem: Option<&str>, key: &str) {
        let id = node
            .connect_with(json!({
                "provider_id": "openai_api",
                "name": model,
                "upstream_url": url,
                "api_key": key,
                "models": [{"id": model, "input_per_1k": 0.001, "output_per_1k": 0.001}],
                "enabled": true,
                "allow_private_addresses": true,
                "ca_pem": ca_pem,
            }))
            .await
            .unwrap();
        node.add_policy(model, "agents", &id).await.unwrap();
        self.ids.push(id);
    }
}

/// A provider that is none: it sends back what it gets, as no HTTP answer.
async fn repeater() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    url
}

async fn agent_failures(alice: &Agent, version: Version, shown: &mut Shown) {
    let bearer = format!("Bearer {AGENT_KEY}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("x-api-key", AGENT_KEY),
    ];
    let prompts = [
        "fine",
        "[[status=401 echo]]",
        "[[status=429 retry_after=1]]",
        "[[status=500]]",
        "[[cut=2]]",
    ];
    let mut bodies = Vec::new();
    for prompt in prompts {
        for model in WORKS {
            bodies.push((model, prompt));
        }
    }
    bodies.extend(FAILS.map(|model| (model, "fine")));
    bodies.push(("unknown-model", "fine"));
    for (model, prompt) in bodies {
        for stream in [false, true] {
            let mut body = chat(prompt, stream);
            body["model"] = json!(model);
            let mut session = alice.session(version).await.unwrap();
            let body = body.to_string().into();
            let answer = session.send(Method::POST, CHAT, &headers, body).await;
            if prompt.contains("echo") || FAILS.contains(&model) {
                let status = answer.as_ref().unwrap().status;
                assert_eq!(
                    status,
                    StatusCode::BAD_GATEWAY,
                    "{model} {prompt}: {answer:?}"
                );
            }
            shown.add(
                format!("{model} {prompt} {version:?}"),
                format!("{answer:?}"),
            );
        }
    }
    for (method, path, body) in [
        (Method::POST, CHAT, "{\"model\": "),
        (Method::POST, "/v1/no-such-path", "{}"),
        (Method::DELETE, CHAT, ""),
        (Method::GET, "/v1/models", ""),
    ] {
        let mut session = alice.session(version).await.unwrap();
        let answer = session.send(method, path, &headers, body.into()).await;
        shown.add(format!("{path} {version:?}"), format!("{answer:?}"));
    }
}

/// Sockets whose provider cannot be reached, refuses the handshake, answers with something else, or repeats the
/// key in an event; and those that work, with the agent's credential where browsers put it.
async fn websocket_failures(alice: &Agent, shown: &mut Shown) {
    let headers = [
        (
            "authorization",
            "Bearer agent-own-Tk5zNw2QxJ8mVb4RhCf7LdPy9GsUa3Eo",
        ),
        (
            "sec-websocket-protocol",
            "realtime, openai-insecure-api-key.agent-own-Tk5zNw2QxJ8mVb4RhCf7LdPy9GsUa3Eo",
        ),
    ];
    assert!(headers.iter().all(|(_, value)| value.ends_with(AGENT_KEY)));
    let prompts = [
        "fine",
        "[[status=401 echo]]",
        "[[status=429]]",
        "[[events=3 cut=2]]",
    ];
    for model in WORKS.into_iter().chain(FAILS) {
        for prompt in prompts {
            let heard = websocket::response(alice, &headers, model, prompt).await;
            let is_quoted = prompt.contains("401") && WORKS.contains(&model);
            let is_refused = is_quoted || FAILS[..2].contains(&model);
            let refusal = ["upstream_auth_failed", "tls_failed"];
            let told = refusal.iter().any(|code| heard.contains(code));
            assert_eq!(told, is_refused, "{model} {prompt}: {heard}");
            shown.add(format!("{model} {prompt} on a socket"), heard);
            let heard = websocket::realtime(alice, &headers, model, prompt).await;
            if is_refused {
                assert!(
                    refusal.iter().any(|code| heard.contains(code)),
                    "{model} {prompt}: {heard}"
                );
            }
            shown.add(format!("{model} {prompt} in a session"), heard);
        }
    }
}

/// Heads that are refused before or while they are read.
async fn broken_heads(alice: &Agent, shown: &mut Shown) {
    let host = alice.authority();
    let credential = format!("authorization: Bearer {AGENT_KEY}\r\n");
    let long = "x".repeat(80 << 10);
    for head in [
        format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n{credential}bad header\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nconnection: close\r\n{credential}\r\n"),
        format!("GET /v1/models HTTP/9.9\r\nhost: {host}\r\n{credential}\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n{credential}x: {long}\r\n\r\n"),
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: {host}\r\n{credential}content-length: 99999999999\r\n\r\n"
        ),
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: {host}\r\n{credential}transfer-encoding: chunked\r\n\r\nzz\r\n"
        ),
        format!("Bearer {AGENT_KEY}\r\n\r\n"),
    ] {
        let answer = alice.raw(head.as_bytes()).await.unwrap();
        shown.add("a broken head", answer);
    }
}

/// Keys in every place where they do not belong.
async fn operator_mistakes(node: &Node, provider: &str, shown: &mut Shown) {
    let list = "/api/agent-network/providers";
    let one = format!("{list}/{provider}");
    let key = PROVIDER_KEY;
    let bodies = [
        json!(key),
        json!([key]),
        json!({ key: 1 }),
        json!({"provider_id": key}),
        json!({"provider_id": "openai_api", "enabled": key}),
        json!({"provider_id": "openai_api", "models": key}),
        json!({"provider_id": "openai_api", "models": [key]}),
        json!({"provider_id": "openai_api", "models": [{"id": "m", "input_per_1k": key}]}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": key, "api_key": key}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": format!("https://user:{key}@127.0.0.1"), "api_key": key}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": format!("https://127.0.0.1/?key={key}"), "api_key": key}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": "https://127.0.0.1", "api_key": [key]}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": "https://127.0.0.1", "api_key": format!("{key} {key}")}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": "https://127.0.0.1", "api_key": key, "ca_pem": key}),
        json!({"provider_id": "openai_api", "name": "n", "upstream_url": "https://127.0.0.1", "api_key": key, "extra_values": key}),
    ];
    for body in &bodies {
        let answers = [
            node.api(Method::POST, list, Some(body)).await,
            node.api(Method::PUT, &one, Some(body)).await,
            node.api(Method::POST, &format!("{one}/keys"), Some(body))
                .await,
            node.api(Method::POST, "/api/agent-network/policies", Some(body))
                .await,
            node.api(Method::POST, "/api/agent-network/peers", Some(body))
                .await,
            node.api(Method::PUT, "/api/agent-network/settings", Some(body))
                .await,
        ];
        for answer in answers {
            shown.add("an API error", format!("{answer:?}"));
        }
    }
    for path in [
        format!("{list}/{key}"),
        format!("{one}?api_key={key}"),
        format!("/api/{key}"),
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let answer = node.api(method, &path, None).await;
            shown.add("the answer to a path", format!("{answer:?}"));
        }
    }
    // It answers with the dashboard, which is the same for all; the log may not tell of it.
    let page = node.api(Method::GET, &format!("/{key}"), None).await;
    assert!(page.is_err(), "{page:?}");
    let two_words = format!("{key} {key}\n");
    for (arguments, stdin) in [
        (&["providers", "connect", "openai", "--key", key][..], ""),
        (&["keys", "rotate", provider, "--key", key][..], ""),
        (
            &["keys", "rotate", provider, "--key-stdin"][..],
            two_words.as_str(),
        ),
        (
            &["keys", "rotate", "no-such-provider", "--key-stdin"][..],
            key,
        ),
        (
            &[
                "providers",
                "connect",
                "no-such-catalog-entry",
                "--key-stdin",
            ][..],
            key,
        ),
    ] {
        let output = node.cli_any(arguments, stdin).await.unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        shown.add("a command's error", output.stdout);
        shown.add("a command's error", output.stderr);
    }
}

async fn everything_to_read(node: &Node, providers: &[String], shown: &mut Shown) {
    let mut paths: Vec<String> = [
        "catalog/providers",
        "providers",
        "policies",
        "settings",
        "consumption",
        "access-logs?page_size=100",
        "access-log-sessions",
        "usage/overview",
        "usage/breakdown?by=model",
        "peers",
        "groups",
        "tokens",
        "status",
        "store/export",
    ]
    .map(str::to_owned)
    .into();
    for id in providers {
        paths.push(format!("providers/{id}"));
        paths.push(format!("providers/{id}/keys"));
    }
    for path in paths {
        let answer = node
            .api(Method::GET, &format!("/api/agent-network/{path}"), None)
            .await;
        shown.add(format!("GET {path}"), format!("{answer:?}"));
    }
    let export = node.cli(&["store", "export"], "").await.unwrap();
    shown.add("store export", export.stdout);
    for path in ["/metrics", "/healthz", "/readyz"] {
        shown.add(path, node.telemetry(path).await.unwrap().1);
    }
}

/// The log, the store, the usage log and its index.
fn files(directory: &Path, shown: &mut Shown) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, shown);
        } else if path.is_file()
            && !path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"master.key"))
        {
            shown.add(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
}
