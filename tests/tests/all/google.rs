//! Vertex AI and the Gemini API: every operation in its own shape, tokens that are minted ahead of need,
//! and what agents see when they cannot be.

mod places;
mod tokens;

use gateway_tests::agent::{Reply, Session, Version};
use http::{Method, StatusCode};
use tokio::time::{Duration, sleep, timeout};

use super::{streams::until_cut, *};

const PROJECT: &str = "/v1/projects/standin-project/locations/global";
const GEMINI: &str = "gemini-3.8-flash";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Nano-dollars per token of [`GEMINI`] and of claude-sonnet-5 (catalog).
const GEMINI_NANO_USD: (u64, u64, u64) = (750, 75, 3_750);

/// A stand-in, and a node whose token is there.
async fn vertex(options: Options) -> (StandIn, Node) {
    let standin = StandIn::start(options).await.unwrap();
    let node = Node::with(NodeOptions::default(), &standin, Vendor::Vertex, KEY)
        .await
        .unwrap();
    wait_provider(&node, |provider| provider["ready"] == true).await;
    (standin, node)
}

/// Looks again and again until there is something, within reason.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(Duration::from_secs(60), found).await;
    found.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// Waits until the only provider is as `wanted`.
async fn wait_provider(node: &Node, wanted: impl Fn(&Value) -> bool) -> Value {
    until("the provider's state", async || {
        let path = "/api/agent-network/status";
        let status = node.api_ok(Method::GET, path, None).await.unwrap();
        Some(status["providers"][0].clone()).filter(|provider| wanted(provider))
    })
    .await
}

async fn session(node: &Node) -> Session {
    let alice = node.alice().await.unwrap();
    alice.session(Version::Http1).await.unwrap()
}

fn generate(prompt: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]})
}

fn claude(prompt: &str, stream: bool) -> Value {
    let mut body = message(prompt, stream);
    let fields = body.as_object_mut().unwrap();
    fields.remove("model");
    if !stream {
        fields.remove("stream");
    }
    body["anthropic_version"] = json!("vertex-2023-10-16");
    body
}

fn google(action: &str) -> String {
    format!("{PROJECT}/publishers/google/models/{GEMINI}:{action}")
}

#[track_caller]
fn assert_ok(reply: &Reply) {
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

#[tokio::test]
async fn every_operation_of_vertex_is_answered_and_metered() {
    let anthropic = format!("{PROJECT}/publishers/anthropic/models");
    let chat_body = |stream| {
        let mut body = chat("one two [[reasoning=2]]", stream);
        body["model"] = json!(format!("google/{GEMINI}"));
        body.as_object_mut().unwrap().remove("stream_options");
        body
    };
    let chat_path = format!("{PROJECT}/endpoints/openapi/chat/completions");
    let prompt = "one two [[events=5 cached=10 reasoning=3]]";
    let embed = json!({"content": {"parts": [{"text": "one two three"}]}});
    // Path, body, operation, input, output, cached, a stream.
    let calls = [
        (
            google("generateContent"),
            generate(prompt),
            "generate_content",
            (12, 5, 10),
            false,
        ),
        (
            google("streamGenerateContent?alt=sse"),
            generate(prompt),
            "stream_generate_content",
            (12, 5, 10),
            true,
        ),
        (
            google("streamGenerateContent"),
            generate(prompt),
            "stream_generate_content",
            (12, 5, 10),
            true,
        ),
        (
            google("countTokens"),
            generate(prompt),
            "count_content_tokens",
            (0, 0, 0),
            false,
        ),
        (
            format!("{PROJECT}/publishers/google/models/gemini-embedding-2:embedContent"),
            embed,
            "embed_content",
            (3, 0, 0),
            false,
        ),
        (
            format!("{anthropic}/claude-sonnet-5@20260101:rawPredict"),
            claude("one [[events=4 cached=6 written=5]]", false),
            "messages",
            (12, 4, 6),
            false,
        ),
        (
            format!("{anthropic}/claude-sonnet-5:streamRawPredict"),
            claude("one [[events=4 cached=6 written=5]]", true),
            "messages",
            (12, 4, 6),
            true,
        ),
        (
            format!("{anthropic}/count-tokens:rawPredict"),
            json!({"model": "claude-sonnet-5", "messages": [], "anthropic_version": "vertex-2023-10-16"}),
            "count_tokens",
            (0, 0, 0),
            false,
        ),
        (
            chat_path.clone(),
            chat_body(false),
            "chat_completions",
            (2, 8, 0),
            false,
        ),
        (
            chat_path,
            chat_body(true),
            "chat_completions",
            (2, 8, 0),
            true,
        ),
    ];
    for transport in [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2] {
        let (standin, node) = vertex(Options::new(Vendor::Vertex, transport, KEY)).await;
        let mut session = session(&node).await;
        for (count, (path, body, operation, tokens, is_stream)) in (1..).zip(&calls) {
            let reply = session.post(path, body, &[]).await.unwrap();
            assert_ok(&reply);
            let row = &node.records(count).await.unwrap()[0];
            assert_eq!(text(row, "operation"), *operation, "{path}");
            assert_eq!(row["stream"], *is_stream, "{path}");
            let counted = ["input_tokens", "output_tokens", "cached_input_tokens"];
            let counted = counted.map(|field| number(row, field));
            assert_eq!(counted, [tokens.0, tokens.1, tokens.2], "{path}");
            assert_eq!(
                nano_usd(row, "cost_usd") > 0,
                tokens.0 > 0,
                "{path} {row:#}"
            );
        }
        let rows = node.records(calls.len()).await.unwrap();
        let (input, cached, output) = GEMINI_NANO_USD;
        let expected = 2 * input + 10 * cached + 5 * output;
        assert_eq!(nano_usd(rows.last().unwrap(), "cost_usd"), expected);
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        assert_eq!(standin.tokens(), (1, Vec::new()));
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_gemini_api_gets_its_key_and_not_the_agents() {
    for transport in [Transport::Plain, Transport::TlsHttp2] {
        let (standin, node) = pair(Vendor::Gemini, transport, NodeOptions::default()).await;
        let mut session = session(&node).await;
        let own = [("x-goog-api-key", "-"), ("authorization", "Bearer -")];
        // google-genai leaves out `beta` with a base URL of its own.
        for (path, version) in [
            (
                format!("/v1/models/{GEMINI}:generateContent?key=agent"),
                "v1",
            ),
            (
                format!("/v1beta/models/{GEMINI}:streamGenerateContent?alt=sse&key=agent"),
                "v1beta",
            ),
        ] {
            let reply = session
                .post(&path, &generate("one two"), &own)
                .await
                .unwrap();
            assert_ok(&reply);
            let seen = standin.seen().pop().unwrap();
            assert!(
                seen.target.starts_with(&format!("/{version}/models/")),
                "{}",
                seen.target
            );
            assert_eq!(seen.header("x-goog-api-key"), Some(KEY));
        }
        let compatible = chat("one two", false);
        let body = json!({"model": GEMINI, "messages": compatible["messages"]});
        for path in ["/v1beta/openai/chat/completions", "/v1/chat/completions"] {
            assert_ok(&session.post(path, &body, &own).await.unwrap());
            assert_eq!(
                standin.seen().pop().unwrap().target,
                "/v1beta/openai/chat/completions"
            );
        }
        let name = format!("gemini_api-{}", standin.address().port());
        let tried = node.cli(&["providers", "test", &name], "").await.unwrap();
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert!(tried.contains("it lists 2 models"), "{tried}");
        assert_eq!(standin.stats().refused, Vec::<String>::new());
        let rows = node.records(4).await.unwrap();
        assert!(
            rows.iter().all(|row| number(row, "input_tokens") == 2),
            "{rows:#?}"
        );
    }
}

#[tokio::test]
async fn listings_have_googles_shape() {
    let (_standin, node) = vertex(Options::new(Vendor::Vertex, Transport::Plain, KEY)).await;
    let mut session = session(&node).await;
    let mut get = async |path: &str| {
        let reply = session
            .send(Method::GET, path, &[], Default::default())
            .await;
        let reply = reply.unwrap();
        (reply.status, reply.json().unwrap())
    };
    let (status, list) = get("/v1beta1/publishers/google/models").await;
    assert_eq!(status, StatusCode::OK);
    let names = list["publisherModels"].as_array().unwrap();
    assert!(names.contains(&json!({"name": format!("publishers/google/models/{GEMINI}")})));
    assert!(names.contains(&json!({"name": "publishers/anthropic/models/claude-sonnet-5"})));
    let (status, _) = get(&format!("/v1beta1/publishers/google/models/{GEMINI}")).await;
    assert_eq!(status, StatusCode::OK);
    let (status, error) = get("/v1beta1/publishers/google/models/gemini-nine").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(error["error"]["status"], "PERMISSION_DENIED");
    // No provider of the Gemini API is connected.
    assert_eq!(get("/v1beta/models").await.1, json!({"models": []}));
}

#[tokio::test]
async fn errors_have_the_shape_of_the_operation() {
    let (_standin, node) = vertex(Options::new(Vendor::Vertex, Transport::Plain, KEY)).await;
    let mut session = session(&node).await;
    let code = "llm_policy.model_not_routable";
    let path = format!("{PROJECT}/publishers/google/models/gemini-nine:generateContent");
    let reply = session.post(&path, &generate("hi"), &[]).await.unwrap();
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let error = reply.json().unwrap();
    assert_eq!(error["error"]["status"], "PERMISSION_DENIED");
    assert_eq!(error["error"]["details"][0]["metadata"]["code"], code);

    let path = format!("{PROJECT}/publishers/anthropic/models/claude-nine:rawPredict");
    let reply = session
        .post(&path, &claude("hi", false), &[])
        .await
        .unwrap();
    assert_eq!(reply.json().unwrap()["error"]["type"], "permission_error");

    let path = format!("{PROJECT}/endpoints/openapi/chat/completions");
    let reply = session.post(&path, &chat("hi", false), &[]).await.unwrap();
    assert_eq!(reply.json().unwrap()["error"]["code"], code);

    // The vendor's own pass as they are.
    for (action, status) in [("generateContent", 429), ("streamGenerateContent", 503)] {
        let prompt = format!("[[status={status}]]");
        let reply = session.post(&google(action), &generate(&prompt), &[]).await;
        let reply = reply.unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(reply.json().unwrap()["error"]["code"], status);
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_says_so_in_its_own_form() {
    let (_standin, node) = vertex(Options::new(Vendor::Vertex, Transport::TlsHttp2, KEY)).await;
    for (count, (action, before, after)) in (1..).zip([
        ("streamGenerateContent?alt=sse", "\r\n\r\ndata: ", "\n\n"),
        ("streamGenerateContent", ",\n", ""),
    ]) {
        let mut session = session(&node).await;
        let body = generate("[[events=9 cut=4]]").to_string().into();
        let response = session
            .begin(Method::POST, &google(action), &JSON, body)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let got = until_cut(response.into_body()).await;
        let (_, error) = got.rsplit_once(before).unwrap();
        let error = error.strip_suffix(after).unwrap();
        let error: Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["error"]["code"], 502, "{action}: {got}");
        let row = &node.records(count).await.unwrap()[0];
        assert_eq!(text(row, "outcome"), "cut");
    }
}
