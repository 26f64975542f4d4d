//! Tokens: minted from the service account, renewed ahead of their end, and missing.

use std::time::Duration;

use super::*;

/// Long enough to be renewed twice within a test, and for a slow machine to use one in time.
const SHORT: Duration = Duration::from_secs(5);

fn short_lived() -> Options {
    Options {
        token_lifetime: SHORT,
        ..Options::new(Vendor::Vertex, Transport::TlsHttp2, KEY)
    }
}

async fn wait_minted(standin: &StandIn, count: u64) {
    while standin.tokens().0 < count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One request, which has to be answered.
async fn ask(session: &mut Session) {
    let body = generate("hi");
    let reply = session.post(&google("generateContent"), &body, &[]).await;
    assert_ok(&reply.unwrap());
}

/// The value of a metric with these labels.
async fn metric(node: &Node, series: &str) -> f64 {
    let (_, text) = node.telemetry("/metrics").await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in {text}"))
        .trim()
        .parse()
        .unwrap()
}

fn series(node_provider: &str, result: &str) -> String {
    format!("keyway_provider_token_mints_total{{provider=\"{node_provider}\",result=\"{result}\"}}")
}

fn provider_name(standin: &StandIn) -> String {
    format!("vertex_ai_api-{}", standin.address().port())
}

fn token_of(seen: &gateway_tests::standin::Seen) -> String {
    seen.header("authorization").unwrap().to_owned()
}

#[tokio::test]
async fn tokens_are_renewed_while_streams_run() {
    let (standin, node) = vertex(short_lived()).await;
    let mut streaming = session(&node).await;
    // Longer than the life of the token that it began with.
    let body = generate("[[events=60 ms=200]]").to_string().into();
    let path = google("streamGenerateContent?alt=sse");
    let response = streaming.begin(Method::POST, &path, &JSON, body).await;
    let reading = tokio::spawn(http_body_util::BodyExt::collect(
        response.unwrap().into_body(),
    ));

    let mut asking = session(&node).await;
    for minted in 2..=3 {
        wait_minted(&standin, minted).await;
        ask(&mut asking).await;
    }
    let whole = reading.await.unwrap().unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&whole).contains("\"STOP\""));
    ask(&mut asking).await;

    let seen = standin.seen();
    assert_ne!(token_of(&seen[0]), token_of(seen.last().unwrap()));
    assert_eq!(standin.stats().refused, Vec::<String>::new());
    assert_eq!(standin.tokens().1, Vec::<String>::new());
    let name = provider_name(&standin);
    assert!(metric(&node, &series(&name, "minted")).await >= 3.0);
    assert_eq!(metric(&node, &series(&name, "refused")).await, 0.0);
    let rows = node.records(4).await.unwrap();
    assert!(
        rows.iter().all(|row| text(row, "outcome") == "answered"),
        "{rows:#?}"
    );
}

#[tokio::test]
async fn without_a_token_agents_get_the_defined_error() {
    let standin = StandIn::start(short_lived()).await.unwrap();
    standin.refuse_tokens(Some(503));
    let node = Node::with(NodeOptions::default(), &standin, Vendor::Vertex, KEY)
        .await
        .unwrap();
    let failed =
        |provider: &Value| text_of(provider, "problem").contains("refused with status 503");
    let provider = wait_provider(&node, failed).await;
    assert_eq!(provider["ready"], false);
    let mut session = session(&node).await;
    let denied = async |session: &mut Session| {
        let reply = session
            .post(&google("generateContent"), &generate("hi"), &[])
            .await;
        let reply = reply.unwrap();
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
        let error = reply.json().unwrap();
        assert_eq!(error["error"]["status"], "UNAVAILABLE");
        assert_eq!(error["code"], "llm_policy.upstream_auth_failed");
        // Why is the operator's business.
        assert!(!error.to_string().contains("503"), "{error}");
    };
    denied(&mut session).await;
    assert_eq!(standin.stats().requests, 0);
    let name = provider_name(&standin);
    assert!(metric(&node, &series(&name, "refused")).await >= 1.0);
    let expiry = format!("keyway_provider_token_expiry_timestamp_seconds{{provider=\"{name}\"}}");
    assert_eq!(metric(&node, &expiry).await, 0.0);
    let shown = node.cli(&["providers", "show", &name], "").await.unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("no token can be minted"), "{shown}");

    // It recovers by itself.
    standin.refuse_tokens(None);
    wait_provider(&node, |provider| provider["ready"] == true).await;
    ask(&mut session).await;
    assert!(metric(&node, &expiry).await > 0.0);

    // A failing renewal shows before it hurts, and hurts once the token is over.
    standin.refuse_tokens(Some(500));
    let warned = |provider: &Value| {
        provider["ready"] == true
            && text_of(provider, "problem").contains("the next token cannot be minted")
    };
    wait_provider(&node, warned).await;
    wait_provider(&node, |provider| provider["ready"] == false).await;
    denied(&mut session).await;
    let row = &node.records(3).await.unwrap()[0];
    assert_eq!(text(row, "reason"), "upstream_auth_failed");
    assert_eq!(standin.stats().refused, Vec::<String>::new());
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[tokio::test]
async fn only_keys_that_can_mint_are_taken_and_never_shown() {
    let standin = StandIn::start(Options::new(Vendor::Vertex, Transport::Plain, KEY))
        .await
        .unwrap();
    let node = Node::start(NodeOptions::default()).await.unwrap();
    let account: Value = serde_json::from_str(&standin.service_account().unwrap()).unwrap();
    let with = |field: &str, value: Value| {
        let mut account = account.clone();
        account[field] = value;
        account.to_string()
    };
    let private_key = account["private_key"].as_str().unwrap();
    let connect = async |api_key: &str, allow_private: bool| {
        let body = json!({
            "provider_id": "vertex_ai_api",
            "name": "vertex",
            "upstream_url": standin.url(),
            "models": [],
            "api_key": api_key,
            "allow_private_addresses": allow_private,
        });
        node.api(Method::POST, "/api/agent-network/providers", Some(&body))
            .await
            .unwrap()
    };
    for (api_key, allow_private, wanted) in [
        ("sk-text".to_owned(), true, "service account"),
        ("keyfile::%%%".to_owned(), true, "service account"),
        (
            with("type", json!("authorized_user")),
            true,
            "service_account",
        ),
        (with("client_email", Value::Null), true, "client_email"),
        (with("project_id", json!("")), true, "project_id"),
        (with("private_key", json!("no PEM")), true, "private_key"),
        (with("private_key", Value::Null), true, "private_key"),
        (
            with("token_uri", json!("https://203.0.113.7/token")),
            true,
            "token_uri",
        ),
        (
            with(
                "token_uri",
                json!("https://oauth2.googleapis.com.example/token"),
            ),
            true,
            "token_uri",
        ),
        (
            with("token_uri", json!("https://oauth2.googleapis.com/token/x")),
            true,
            "token_uri",
        ),
        // This machine's own is for those who asked for it.
        (account.to_string(), false, "token_uri"),
    ] {
        let (status, error) = connect(&api_key, allow_private).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(wanted), "{message}");
        assert!(!error.to_string().contains(&private_key[60..90]), "{error}");
    }
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let keyfile = format!("keyfile::{}", STANDARD.encode(account.to_string()));
    let (status, made) = connect(&keyfile, true).await;
    assert!(status.is_success(), "{made}");
    wait_provider(&node, |provider| provider["ready"] == true).await;
    assert_eq!(standin.tokens(), (1, Vec::new()));
    assert!(!node.log().contains(&private_key[60..90]));
}
