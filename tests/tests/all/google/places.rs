//! Where Vertex AI is: hosts of three kinds, and publishers beside Google and Anthropic.

use std::{io::Write as _, sync::Arc};

use super::*;

/// Host, location, and the one model that its provider serves.
const HOSTS: [(&str, &str, &str); 3] = [
    (
        "europe-west4-aiplatform.googleapis.com",
        "europe-west4",
        "gemini-3.8-flash",
    ),
    ("aiplatform.eu.rep.googleapis.com", "eu", "gemini-3.5-flash"),
    ("aiplatform.googleapis.com", "global", "gemini-4-argon"),
];

#[tokio::test]
async fn hosts_of_every_kind_are_reached_under_their_names() {
    let Some([machine]) = machines("hosts_of_every_kind_are_reached_under_their_names") else {
        return;
    };
    // All names are this machine's own, where the stand-in has the port of plain HTTP.
    let mut hosts = tempfile::NamedTempFile::new().unwrap();
    for (host, _, _) in HOSTS {
        writeln!(hosts, "127.0.0.1 {host}").unwrap();
    }
    let mount = format!("mount --bind {} /etc/hosts", hosts.path().display());
    machine.run(&mount).unwrap();
    let mut options = Options::new(Vendor::Vertex, Transport::Plain, KEY);
    options.listen = "127.0.0.1:80".parse().unwrap();
    let standin = StandIn::start_on(&machine, options).await.unwrap();
    let options = NodeOptions {
        machine: Some(Arc::clone(&machine)),
        ..NodeOptions::default()
    };
    let node = Node::start(options).await.unwrap();
    let mut alice = node.alice().await.unwrap();
    node.add_peer("alice", alice.source.unwrap(), "agents")
        .await
        .unwrap();
    alice.machine = Some(Arc::clone(&machine));
    for (host, _, model) in HOSTS {
        let provider = node
            .connect_with(json!({
                "provider_id": "vertex_ai_api",
                "name": host,
                "upstream_url": format!("http://{host}"),
                "models": [{"id": model}],
                "api_key": standin.service_account(),
                "enabled": true,
                "allow_private_addresses": true,
            }))
            .await
            .unwrap();
        node.add_policy(host, "agents", &provider).await.unwrap();
        let tested = ["providers", "test", host];
        let tested = node.cli(&tested, "").await.unwrap();
        assert!(
            String::from_utf8_lossy(&tested.stdout).contains(model),
            "{tested:?}"
        );
    }
    node.wait_ready().await.unwrap();
    let mut session = alice.session(Version::Http1).await.unwrap();
    for (host, location, model) in HOSTS {
        let tried = standin
            .seen()
            .into_iter()
            .find(|seen| seen.header("host") == Some(host));
        let place = format!("/v1/projects/standin-project/locations/{location}/publishers/google");
        assert_eq!(
            tried.unwrap().target,
            format!("{place}/models/{model}:countTokens")
        );

        let path = format!("{place}/models/{model}:generateContent");
        assert_ok(&session.post(&path, &generate("hi"), &[]).await.unwrap());
        let seen = standin.seen().pop().unwrap();
        assert_eq!(
            (seen.header("host"), seen.target.clone()),
            (Some(host), path)
        );
    }
    assert_eq!(standin.stats().refused, Vec::<String>::new());
}

#[tokio::test]
async fn mistral_is_metered_and_others_pass_unmetered() {
    let standin = Options::new(Vendor::Vertex, Transport::TlsHttp2, KEY);
    let standin = StandIn::start(standin).await.unwrap();
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let alice = node.alice().await.unwrap();
    node.add_peer("alice", alice.source.unwrap(), "agents")
        .await
        .unwrap();
    let provider = node
        .connect_with(json!({
            "provider_id": "vertex_ai_api",
            "name": "vertex",
            "upstream_url": standin.url(),
            "models": [{"id": "mistral-medium-3"}, {"id": "jamba-1.5-large"}],
            "api_key": standin.service_account(),
            "enabled": true,
            "allow_private_addresses": true,
            "ca_pem": standin.ca_pem(),
        }))
        .await
        .unwrap();
    node.add_policy("vertex", "agents", &provider)
        .await
        .unwrap();
    wait_provider(&node, |provider| provider["ready"] == true).await;
    let mut session = alice.session(Version::Http1).await.unwrap();
    let publisher = |name: &str| format!("{PROJECT}/publishers/{name}/models");
    let mistral = format!("{}/mistral-medium-3@001", publisher("mistralai"));
    let body = |model: &str, stream: bool| {
        json!({"model": model, "stream": stream,
            "messages": [{"role": "user", "content": "one two [[events=5]]"}]})
    };
    for (action, stream) in [("rawPredict", false), ("streamRawPredict", true)] {
        let path = format!("{mistral}:{action}");
        let sent = body("mistral-medium-3", stream);
        let reply = session.post(&path, &sent, &[]).await.unwrap();
        assert_ok(&reply);
        // Nothing is asked for that Mistral does not know.
        let seen = standin.seen().pop().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&seen.body).unwrap(), sent);
    }
    let path = format!("{mistral}:rawPredict");
    let reply = session
        .post(&path, &body("mistral-large", false), &[])
        .await;
    let reply = reply.unwrap();
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{reply:?}");
    let path = format!("{}/jamba-1.5-large:rawPredict", publisher("ai21"));
    let reply = session
        .post(&path, &body("jamba-1.5-large", false), &[])
        .await;
    assert_ok(&reply.unwrap());

    let rows = node.records(4).await.unwrap();
    let of = |row: &Value| (text(row, "model").to_owned(), row["input_tokens"].as_u64());
    assert_eq!(text(&rows[0], "operation"), "unmetered");
    for row in &rows[2..] {
        assert_eq!(text(row, "operation"), "chat_completions", "{row:#}");
        assert_eq!(
            of(row),
            ("mistral-medium-3@001".to_owned(), Some(2)),
            "{row:#}"
        );
        assert_eq!(number(row, "output_tokens"), 5);
        assert!(nano_usd(row, "cost_usd") > 0, "{row:#}");
    }
}
