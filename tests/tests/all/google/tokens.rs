//! Tokens: minted from the service account, renewed ahead of their end, and missing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gateway_tests::memory::{self, Wanted};

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
    until("a token", async || {
        (standin.tokens().0 >= count).then_some(())
    })
    .await;
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
async fn a_revoked_token_is_replaced_at_once() {
    let (standin, node) = vertex(Options::new(Vendor::Vertex, Transport::TlsHttp1, KEY)).await;
    let mut session = session(&node).await;
    ask(&mut session).await;
    standin.revoke_tokens();
    let (path, body) = (google("generateContent"), generate("hi"));
    let denied = session.post(&path, &body, &[]).await.unwrap();
    assert_eq!(denied.status, StatusCode::BAD_GATEWAY);
    let error = denied.json().unwrap();
    assert_eq!(error["code"], "llm_policy.upstream_auth_failed");
    // Its life would be an hour.
    until("an answer", async || {
        let reply = session.post(&path, &body, &[]).await.unwrap();
        (reply.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(standin.tokens(), (2, Vec::new()));
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
    let keyfile = format!("keyfile::{}", STANDARD.encode(account.to_string()));
    let (status, made) = connect(&keyfile, true).await;
    assert!(status.is_success(), "{made}");
    wait_provider(&node, |provider| provider["ready"] == true).await;
    assert_eq!(standin.tokens(), (1, Vec::new()));
    assert!(!node.log().contains(&private_key[60..90]));
}

/// Requests go on all the while.
#[tokio::test]
async fn a_key_is_exchanged_once_the_new_one_has_given_a_token() {
    let (standin, node) = vertex(Options::new(Vendor::Vertex, Transport::Plain, KEY)).await;
    let other = StandIn::start(Options::new(Vendor::Vertex, Transport::Plain, KEY))
        .await
        .unwrap();
    other.refuse_tokens(Some(403));
    let mut session = session(&node).await;
    let providers = "/api/agent-network/providers";
    let listed = node.api_ok(Method::GET, providers, None).await.unwrap();
    let keys = format!("{providers}/{}/keys", text(&listed[0], "id"));
    let before = node.api_ok(Method::GET, &keys, None).await.unwrap();

    let rotate = async |account: Option<String>| {
        let body = json!({"api_key": account});
        node.api(Method::POST, &keys, Some(&body)).await.unwrap()
    };
    let (status, error) = rotate(other.service_account()).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{error}");
    assert!(
        text(&error, "message").contains("the old one stays"),
        "{error}"
    );
    assert_eq!(node.api_ok(Method::GET, &keys, None).await.unwrap(), before);
    ask(&mut session).await;

    let (status, after) = rotate(standin.service_account()).await;
    assert_eq!(status, StatusCode::OK, "{after}");
    assert_ne!(after[0]["id"], before[0]["id"]);
    ask(&mut session).await;
    assert_eq!(standin.tokens(), (2, Vec::new()));
    let seen = standin.seen();
    assert_ne!(token_of(&seen[0]), token_of(seen.last().unwrap()));
}

#[tokio::test]
async fn neither_key_nor_token_is_left_in_memory() {
    let (standin, node) = vertex(Options::new(Vendor::Vertex, Transport::TlsHttp2, KEY)).await;
    let pid = node.pid().unwrap();
    if let Err(error) = memory::may_scan(pid) {
        let reason = format!("reading /proc/PID/mem: {error}");
        gateway_tests::skip("neither_key_nor_token_is_left_in_memory", &reason);
        return;
    }
    let account: Value = serde_json::from_str(&standin.service_account().unwrap()).unwrap();
    // Its beginning is the same in every key.
    let pem = account["private_key"].as_str().unwrap();
    let line = pem.lines().nth(8).unwrap();
    let der = STANDARD.decode(line).unwrap();
    let token = token_text(&standin, &node).await;
    let wanted = [
        Wanted {
            name: "the key in PEM",
            secret: line.as_bytes(),
        },
        Wanted {
            name: "the key",
            secret: &der,
        },
        Wanted {
            name: "the token",
            secret: token.as_bytes(),
        },
    ];
    let scan = memory::scan(pid, &wanted).unwrap();
    assert!(scan.leaks().next().is_none(), "{:?}", scan.summary());
    assert!(scan.hidden_bytes > 0 || !scan.found.is_empty(), "no arena");

    let name = provider_name(&standin);
    node.cli(&["policies", "remove", "agents-may"], "")
        .await
        .unwrap();
    node.cli(&["providers", "remove", &name], "").await.unwrap();
    until("an empty scan", async || {
        let scan = memory::scan(pid, &wanted).unwrap();
        scan.found.is_empty().then_some(())
    })
    .await;
}

/// A token that was used, without the word in front.
async fn token_text(standin: &StandIn, node: &Node) -> String {
    ask(&mut session(node).await).await;
    let sent = token_of(&standin.seen()[0]);
    sent.strip_prefix("Bearer ").unwrap().to_owned()
}
