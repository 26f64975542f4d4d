//! AWS Bedrock through a node: signatures that AWS would take, ids that arrive as they were sent, and
//! event streams in every way they end.

use bytes::Bytes;
use gateway_tests::agent::{Reply, Version};
use http::{Method, StatusCode};

use super::{streams::until_cut_bytes, *};

const SIGNED: &str = "iam@eu-central-1::AKIASTANDIN:standin/Secret+Key0123456789abcdef";
const TEMPORARY: &str =
    "iam@eu-central-1::ASIASTANDIN:standin/Secret+Key0123456789abcdef:standin/Session+Token==";
const TRANSPORTS: [Transport; 3] = [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2];
const MODEL: &str = "amazon.nova-lite-v1:0";

async fn bedrock(transport: Transport, key: &str) -> (StandIn, Node) {
    let standin = StandIn::start(Options::new(Vendor::Bedrock, transport, key));
    let standin = standin.await.unwrap();
    let node = Node::with(NodeOptions::default(), &standin, Vendor::Bedrock, key);
    let node = node.await.unwrap();
    (standin, node)
}

fn prompt(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

async fn post(node: &Node, path: &str, body: &Value) -> Reply {
    let alice = node.alice().await.unwrap();
    alice.post(Version::Http1, path, body).await.unwrap()
}

#[tokio::test]
async fn keys_of_every_kind_are_taken_over_every_transport() {
    for (transport, key) in [
        (Transport::Plain, TEMPORARY),
        (Transport::TlsHttp1, TEMPORARY),
        (Transport::TlsHttp2, TEMPORARY),
        (Transport::TlsHttp2, SIGNED),
        (Transport::TlsHttp2, KEY),
    ] {
        let (standin, node) = bedrock(transport, key).await;
        for path in [
            "/model/amazon.nova-lite-v1%3A0/converse",
            "/bedrock/model/amazon.nova-lite-v1:0/converse-stream",
            "/model/amazon.nova-lite-v1:0/invoke",
            "/model/amazon.nova-lite-v1:0/invoke-with-response-stream",
        ] {
            let body = prompt("one two [[events=3 cached=5 written=2]]");
            let reply = post(&node, path, &body).await;
            assert_eq!(
                reply.status,
                StatusCode::OK,
                "{transport:?} {path} {reply:?}"
            );
            let seen = standin.seen().pop().unwrap();
            assert_eq!(seen.target, path.trim_start_matches("/bedrock"));
        }
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        for row in node.records(4).await.unwrap() {
            assert_eq!(text(&row, "model"), MODEL);
            assert_eq!(text(&row, "outcome"), "answered");
            let counts = ["input_tokens", "output_tokens", "cached_input_tokens"];
            assert_eq!(
                counts.map(|field| number(&row, field)),
                [9, 3, 5],
                "{row:#}"
            );
            assert_eq!(number(&row, "cache_creation_tokens"), 2);
            assert!(nano_usd(&row, "cost_usd") > 0);
        }
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_arn_reaches_the_provider_byte_for_byte() {
    let (standin, node) = bedrock(Transport::TlsHttp2, TEMPORARY).await;
    // Lower-case escapes and a bare colon: nothing may be written anew under a signature.
    let arn = "arn%3aaws%3Abedrock:eu-central-1%3A123456789012%3Ainference-profile%2feu.amazon.nova-lite-v1%3A0";
    let path = format!("/model/{arn}/converse");
    let reply = post(&node, &path, &prompt("hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(standin.seen()[0].target, path);
    let row = node.only_record().await.unwrap();
    assert_eq!(
        text(&row, "model"),
        "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
    );
    assert!(nano_usd(&row, "cost_usd") > 0, "{row:#}");
}

#[tokio::test]
async fn who_calls_is_told_where_bedrock_takes_it() {
    let (standin, node) = bedrock(Transport::TlsHttp1, SIGNED).await;
    let mut body = prompt("hi");
    body["requestMetadata"] = json!({"user": "eve", "team": "x"});
    let converse = format!("/model/{MODEL}/converse");
    post(&node, &converse, &body).await;
    let sent: Value = serde_json::from_slice(&standin.seen()[0].body).unwrap();
    assert_eq!(
        sent["requestMetadata"],
        json!({"user": "alice", "group": "agents", "team": "x"})
    );
    let mut session = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http1)
        .await
        .unwrap();
    let spoofed = [
        ("x-amzn-bedrock-request-metadata", r#"{"user":"eve"}"#),
        ("x-amz-date", "20200101T000000Z"),
        ("x-amz-security-token", "agents-own"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=agents-own"),
        ("x-amzn-bedrock-trace", "ENABLED"),
    ];
    let invoke = format!("/model/{MODEL}/invoke");
    let reply = session
        .post(&invoke, &prompt("hi"), &spoofed)
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let seen = standin.seen().pop().unwrap();
    assert_eq!(
        seen.header("x-amzn-bedrock-request-metadata"),
        Some(r#"{"user":"alice","group":"agents"}"#)
    );
    assert_eq!(seen.header("x-amzn-bedrock-trace"), Some("ENABLED"));
    assert_eq!(standin.stats().refused, Vec::<String>::new());
    assert!(!format!("{:?}", standin.seen()).contains("agents-own"));
}

#[tokio::test]
async fn exceptions_in_a_stream_are_recorded() {
    let (_standin, node) = bedrock(Transport::TlsHttp1, KEY).await;
    for operation in ["converse-stream", "invoke-with-response-stream"] {
        let path = format!("/model/{MODEL}/{operation}");
        let reply = post(&node, &path, &prompt("[[events=9 exception=4]]")).await;
        let told = b"throttlingException";
        assert!(reply.body.windows(told.len()).any(|part| part == told));
    }
    for row in node.records(2).await.unwrap() {
        assert_eq!(text(&row, "outcome"), "provider_error", "{row:#}");
        assert_eq!(text(&row, "reason"), "provider_error_event");
        assert_eq!(row["stream"], json!(true));
    }
}

#[tokio::test]
async fn what_ends_early_or_damaged_ends_in_an_exception() {
    for transport in TRANSPORTS {
        let (_standin, node) = bedrock(transport, KEY).await;
        for script in ["[[events=9 cut=4]]", "[[events=9 bad_crc=4]]"] {
            let path = format!("/model/{MODEL}/converse-stream");
            let body = Bytes::from(prompt(script).to_string());
            let headers = [("content-type", "application/json")];
            let mut session = node
                .alice()
                .await
                .unwrap()
                .session(Version::Http1)
                .await
                .unwrap();
            let response = session
                .begin(Method::POST, &path, &headers, body)
                .await
                .unwrap();
            let read = until_cut_bytes(response.into_body()).await;
            let name = b"internalServerException";
            let payload = b"keyway.provider_cut";
            for part in [&name[..], payload] {
                assert!(
                    read.windows(part.len()).any(|found| found == part),
                    "{transport:?} {script}"
                );
            }
        }
        for row in node.records(2).await.unwrap() {
            assert_eq!(text(&row, "outcome"), "cut", "{row:#}");
        }
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn refusals_come_as_aws_exceptions() {
    let (standin, node) = bedrock(Transport::TlsHttp1, KEY).await;
    let reply = post(&node, "/model/amazon.nova-pro-v1:0/converse", &prompt("hi")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.headers["x-amzn-errortype"], "AccessDeniedException");
    assert_eq!(
        reply.json().unwrap()["code"],
        "llm_policy.model_not_routable"
    );
    assert_eq!(standin.stats().requests, 0);
    // The provider's own pass.
    let path = format!("/model/{MODEL}/converse");
    let reply = post(&node, &path, &prompt("[[status=429]]")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.headers["x-amzn-errortype"], "ThrottlingException");
}

#[tokio::test]
async fn openais_paths_are_served_by_the_same_provider() {
    let (standin, node) = bedrock(Transport::TlsHttp2, SIGNED).await;
    let mut body = chat("one two [[events=3]]", false);
    body["model"] = json!(MODEL);
    let reply = post(&node, CHAT, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(standin.seen()[0].target, "/openai/v1/chat/completions");
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (number(&row, "input_tokens"), number(&row, "output_tokens")),
        (2, 3)
    );
}

#[tokio::test]
async fn counting_and_guardrails_pass() {
    let (standin, node) = bedrock(Transport::TlsHttp1, SIGNED).await;
    let body = json!({"input": {"converse": prompt("one two three")}});
    let reply = post(&node, &format!("/model/{MODEL}/count-tokens"), &body).await;
    assert_eq!(reply.json().unwrap(), json!({"inputTokens": 3}));
    let body = json!({"source": "INPUT", "content": [{"text": {"text": "hi"}}]});
    let reply = post(&node, "/guardrail/g1/version/1/apply", &body).await;
    assert_eq!(reply.json().unwrap()["action"], "NONE");
    assert_eq!(standin.stats().refused, Vec::<String>::new());
    let rows = node.records(2).await.unwrap();
    let unpriced = |row: &Value| (text(row, "operation").to_owned(), row["unpriced"].clone());
    assert_eq!(unpriced(&rows[0]), ("unmetered".to_owned(), json!(true)));
    assert_eq!(
        unpriced(&rows[1]),
        ("count_tokens".to_owned(), json!(false))
    );
}
