//! Limits on responses over a WebSocket.

use gateway_tests::{
    agent::PATIENCE,
    node::Node,
    standin::{StandIn, Transport},
};
use http::Method;

use super::*;

#[tokio::test]
async fn a_response_beyond_its_bound_is_ended_where_a_hard_limit_is() {
    const WORDS: u64 = 100_000;
    for transport in [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2] {
        let (standin, node) = openai(transport).await;
        let limit = ["--user-tokens", "2000/365d", "--mode", "hard"];
        crate::limits::limit(&node, &limit).await;
        let alice = node.alice().await.unwrap();
        let mut socket = Socket::open(&alice, RESPONSES).await;
        let mut event = create(&format!("[[events={WORDS}]]"));
        event["max_output_tokens"] = json!(100);
        socket.send(event.clone()).await;
        let events = socket.until(&["response.completed", "error"]).await;
        let last = events.last().unwrap();
        assert_eq!(last["error"]["code"], "llm_policy.limit_passed", "{last}");
        assert_eq!(last["error"]["type"], "rate_limit_error");
        let row = node.only_record().await.unwrap();
        assert_eq!(text(&row, "outcome"), "cut", "{row:#}");
        assert_eq!(text(&row, "reason"), "limit_passed");
        assert!(standin.stats().words_sent < WORDS);
        // The socket stays, and the limit is used up.
        socket.send(event).await;
        let refused = socket.next().await;
        assert_eq!(refused["error"]["code"], "llm_policy.token_cap_exceeded");
        node.stop().await.unwrap();
    }
}

/// In tokens: small enough for a test.
const WINDOW: u64 = 1000;
/// What a response of a session may use at most: it reads and says as much as the model takes, which is less than what
/// is added for what vendors add.
const MOST: u64 = 1024 + WINDOW;
const REALTIME: &str = "/v1/realtime?model=own-voice";

/// A node whose only user has a hard limit of so many tokens, and its session.
async fn session(cap: u64) -> (StandIn, Node, Socket) {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let list = "/api/agent-network/providers";
    let found = node.api_ok(Method::GET, list, None).await.unwrap();
    let model = format!("own-voice=1,1,{WINDOW}");
    let arguments = [
        "providers",
        "update",
        text(&found[0], "id"),
        "--model",
        &model,
    ];
    node.cli(&arguments, "").await.unwrap();
    let cap = format!("{cap}/365d");
    crate::limits::limit(&node, &["--user-tokens", &cap, "--mode", "hard"]).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    assert_eq!(socket.next().await["type"], "session.created");
    (standin, node, socket)
}

/// Asks for an answer to `prompt`.
async fn ask(socket: &mut Socket, prompt: &str) {
    let item = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]});
    socket
        .send(json!({"type": "conversation.item.create", "item": item}))
        .await;
    socket.until(&["conversation.item.added"]).await;
    socket.send(json!({"type": "response.create"})).await;
}

/// Waits until the node closes; the error event before.
async fn ended(socket: &mut Socket) -> Value {
    let told = socket.until(&["error"]).await.pop().unwrap();
    assert_eq!(socket.closed_with().await, 1008, "{told}");
    told["error"].clone()
}

/// Newest first; the session's own is the oldest.
fn told(rows: &[Value]) -> Vec<(&str, &str, u64)> {
    let told = |row| {
        (
            text(row, "outcome"),
            text(row, "reason"),
            number(row, "status_code"),
        )
    };
    rows.iter().map(told).collect()
}

#[tokio::test]
async fn a_session_ends_when_another_response_has_no_room() {
    let prompt = "one two [[events=5]]";
    let (standin, node, mut socket) = session(MOST + 10).await;
    ask(&mut socket, prompt).await;
    socket.until(&["response.done"]).await;
    // 7 of 10 are used: what is left is enough.
    ask(&mut socket, prompt).await;
    socket.until(&["response.done"]).await;
    let error = ended(&mut socket).await;
    assert_eq!(error["code"], "llm_policy.token_cap_exceeded", "{error}");
    assert_eq!(error["type"], "rate_limit_error");
    let message = text(&error, "message");
    let left = MOST - 4;
    assert!(
        message.contains(&format!("has {left} tokens left")),
        "{message}"
    );
    let rows = node.records(3).await.unwrap();
    let answered = ("answered", "", 200);
    let cut = ("cut", "token_cap_exceeded", 101);
    assert_eq!(told(&rows), [answered, answered, cut]);
    crate::limits::wait_spent(&node, 14).await;
    // The next one is not even opened.
    let alice = node.alice().await.unwrap();
    let (status, body) = refused(Socket::try_open(&alice, REALTIME, &[]).await);
    assert_eq!(status, 429);
    assert_eq!(body["error"]["code"], "llm_policy.token_cap_exceeded");
    assert_eq!(standin.stats().wire_errors, Vec::<String>::new());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_ends_when_a_response_tells_of_more_than_the_limit_has() {
    let (_standin, node, mut socket) = session(MOST + 10).await;
    ask(&mut socket, "[[events=5 cached=5000]]").await;
    socket.until(&["response.done"]).await;
    let error = ended(&mut socket).await;
    assert_eq!(error["code"], "llm_policy.limit_passed", "{error}");
    let rows = node.records(2).await.unwrap();
    let expected = [("answered", "", 200), ("cut", "limit_passed", 101)];
    assert_eq!(told(&rows), expected);
    assert_eq!(number(&rows[0], "input_tokens"), 5000);
    // All of it counts, beyond the limit as it is.
    crate::limits::wait_spent(&node, 5005).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_ends_inside_a_response_beyond_its_bound() {
    const WORDS: u64 = 100_000;
    let (standin, node, mut socket) = session(MOST + 10).await;
    ask(&mut socket, &format!("[[events={WORDS}]]")).await;
    let error = ended(&mut socket).await;
    assert_eq!(error["code"], "llm_policy.limit_passed", "{error}");
    let rows = node.records(1).await.unwrap();
    assert_eq!(told(&rows), [("cut", "limit_passed", 200)]);
    let stats = standin.wait_stats(PATIENCE, |stats| stats.cancelled == 1);
    assert!(stats.await.unwrap().words_sent < WORDS);
    let alice = node.alice().await.unwrap();
    let (status, _) = refused(Socket::try_open(&alice, REALTIME, &[]).await);
    assert_eq!(status, 429);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn each_response_has_its_share_before_it_is_asked_for() {
    let (standin, node, mut socket) = session(2 * MOST - 1).await;
    ask(&mut socket, "[[events=200 ms=5]]").await;
    // While the first one runs, there is no room for another.
    socket.send(json!({"type": "response.create"})).await;
    let events = socket.until(&["error"]).await;
    let error = &events.last().unwrap()["error"];
    assert_eq!(error["code"], "llm_policy.token_cap_exceeded", "{error}");
    socket.until(&["response.done"]).await;
    // And now there is.
    ask(&mut socket, "[[events=2]]").await;
    socket.until(&["response.done"]).await;
    socket.0.close(None).await.unwrap();
    node.records(2).await.unwrap();
    let creates = (standin.seen().iter())
        .filter(|seen| seen.body.starts_with(br#"{"type":"response.create"#))
        .count();
    assert_eq!(creates, 2);
    crate::limits::wait_spent(&node, 202).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_has_no_end_is_not_passed_on_under_a_hard_limit() {
    let (standin, node, mut socket) = session(1_000_000).await;
    let transcription = json!({"audio": {"input": {"transcription": {"model": "whisper-1"}}}});
    let tools = json!({"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x"}]});
    for (event, said) in [
        (
            json!({"type": "session.update", "session": transcription}),
            "another model",
        ),
        (
            json!({"type": "session.update", "session": tools}),
            "run tools",
        ),
        (
            json!({"type": "response.create", "response": tools}),
            "run tools",
        ),
    ] {
        socket.send(event).await;
        let refused = socket.next().await;
        assert_eq!(
            refused["error"]["code"], "llm_policy.unboundable",
            "{refused}"
        );
        assert!(
            text(&refused["error"], "message").contains(said),
            "{refused}"
        );
    }
    ask(&mut socket, "[[events=3]]").await;
    socket.until(&["response.done"]).await;
    let rows = node.records(1).await.unwrap();
    assert_eq!(told(&rows), [("answered", "", 200)]);
    // The handshake, an item, and what asks for the answer.
    assert_eq!(standin.stats().requests, 3);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_model_without_a_known_window_has_no_session_under_a_hard_limit() {
    let (standin, node) = openai(Transport::Plain).await;
    let list = "/api/agent-network/providers";
    let found = node.api_ok(Method::GET, list, None).await.unwrap();
    let arguments = [
        "providers",
        "update",
        text(&found[0], "id"),
        "--model",
        "own-voice=1,1",
    ];
    node.cli(&arguments, "").await.unwrap();
    let hard = ["--user-tokens", "1M/1d", "--mode", "hard"];
    crate::limits::limit(&node, &hard).await;
    let alice = node.alice().await.unwrap();
    let (status, body) = refused(Socket::try_open(&alice, REALTIME, &[]).await);
    assert_eq!(
        (status, &body["error"]["code"]),
        (403, &json!("llm_policy.unboundable"))
    );
    assert_eq!(standin.stats().connections, 0);
    node.stop().await.unwrap();
}
