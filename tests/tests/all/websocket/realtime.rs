//! `/v1/realtime`: one provider, one model, a record per response.

use gateway_tests::standin::Transport;
use http::Method;

use super::*;

const REALTIME: &str = "/v1/realtime?model=gpt-4o-mini";

async fn say(socket: &mut Socket, prompt: &str) {
    let item = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]});
    socket
        .send(json!({"type": "conversation.item.create", "item": item}))
        .await;
    socket.until(&["conversation.item.added"]).await;
    socket.send(json!({"type": "response.create"})).await;
}

#[tokio::test]
async fn each_response_leaves_a_record() {
    for transport in [Transport::Plain, Transport::TlsHttp2] {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        let headers = [
            ("authorization", "Bearer -"),
            (
                "sec-websocket-protocol",
                "realtime, openai-insecure-api-key.sk-agent, openai-beta.realtime-v1",
            ),
        ];
        let (mut socket, answer) = Socket::try_open(&alice, REALTIME, &headers).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "realtime");
        assert_eq!(socket.next().await["type"], "session.created");
        for (prompt, words) in [
            ("one two three [[events=5 cached=2]]", 5),
            ("four [[events=2]]", 2),
        ] {
            say(&mut socket, prompt).await;
            let events = socket.until(&["response.done"]).await;
            let deltas = events
                .iter()
                .filter(|e| e["type"] == "response.output_text.delta");
            assert_eq!(deltas.count(), words);
        }
        let transcript = "conversation.item.input_audio_transcription.completed";
        let commit = json!({"type": "input_audio_buffer.commit"});
        socket.send(commit.clone()).await;
        socket.until(&[transcript]).await;
        let transcriber = json!({"input": {"transcription": {"model": "gpt-4o-transcribe"}}});
        socket
            .send(json!({"type": "session.update", "session": {"audio": transcriber}}))
            .await;
        socket.until(&["session.updated"]).await;
        socket.send(commit).await;
        socket.until(&[transcript]).await;
        socket.0.close(None).await.unwrap();
        let mut rows = node.records(4).await.unwrap();
        assert_eq!(rows.len(), 4, "{rows:#?}");
        let transcribed = rows.remove(0);
        assert_eq!(text(&transcribed, "model"), "gpt-4o-transcribe");
        assert_eq!(nano_usd(&transcribed, "cost_usd"), 20 * 2_500 + 4 * 10_000);
        assert_eq!(transcribed["unpriced"], false);
        let counted: Vec<_> = (rows.iter())
            .map(|row| (number(row, "input_tokens"), number(row, "output_tokens")))
            .collect();
        assert_eq!(counted, [(20, 4), (1, 2), (5, 5)]);
        assert_eq!(nano_usd(&rows[2], "cost_usd"), 3 * 150 + 2 * 75 + 5 * 600);
        assert_eq!(rows[0]["unpriced"], true);
        for row in &rows {
            assert_eq!(
                (text(row, "outcome"), text(row, "operation")),
                ("answered", "realtime")
            );
        }
        let seen = &standin.seen()[0];
        assert_eq!(seen.target, REALTIME);
        assert_eq!(
            seen.header("authorization"),
            Some(format!("Bearer {KEY}").as_str())
        );
        assert_eq!(seen.header("sec-websocket-protocol"), Some("realtime"));
        assert!(standin.stats().refused.is_empty(), "{:?}", standin.stats());
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_denial_comes_before_the_handshake() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let opened = Socket::try_open(&alice, "/v1/realtime?model=gpt-nine", &[]).await;
    let (status, body) = refused(opened);
    assert_eq!(
        (status, &body["error"]["code"]),
        (403, &json!("llm_policy.model_not_routable"))
    );
    assert_eq!(standin.stats().connections, 0);
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), text(&row, "operation")),
        ("denied", "realtime")
    );
    assert_eq!(text(&row, "model"), "gpt-nine");
}

#[tokio::test]
async fn the_model_stays() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    socket.next().await;
    for event in [
        json!({"type": "session.update", "session": {"model": "gpt-nine"}}),
        json!({"type": "response.create", "response": {"model": "gpt-nine"}}),
    ] {
        socket.send(event).await;
        let answer = socket.next().await;
        assert_eq!(
            answer["error"]["code"], "llm_policy.model_not_routable",
            "{answer}"
        );
    }
    socket
        .send(json!({"type": "session.update", "session": {"model": MODEL}}))
        .await;
    socket.until(&["session.updated"]).await;
    assert_eq!(standin.stats().requests, 2);
}

#[tokio::test]
async fn a_session_without_a_response_leaves_one_record() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    socket.next().await;
    socket.0.close(None).await.unwrap();
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), number(&row, "status_code")),
        ("answered", 101)
    );
    assert_eq!(nano_usd(&row, "cost_usd"), 0);
    // A provider that will not switch.
    let (status, body) =
        refused(Socket::try_open(&alice, &format!("{REALTIME}&refuse=1"), &[]).await);
    assert_eq!(
        (status, &body["error"]["code"]),
        (502, &json!("keyway.provider_protocol"))
    );
    let rows = node.records(2).await.unwrap();
    assert_eq!(text(&rows[0], "outcome"), "provider_error");
}

#[tokio::test]
async fn close_codes_pass_both_ways() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    say(&mut socket, "[[events=1 code=3008]]").await;
    assert_eq!(socket.closed_with().await, 3008);
    // One that dies in the middle.
    let mut socket = Socket::open(&alice, REALTIME).await;
    say(&mut socket, "[[events=9 cut=2]]").await;
    assert_eq!(socket.closed_with().await, 1011);
    // An agent that dies in the middle.
    let mut socket = Socket::open(&alice, REALTIME).await;
    say(&mut socket, "[[events=60000 ms=10]]").await;
    socket.until(&["response.output_text.delta"]).await;
    drop(socket);
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
        .await
        .unwrap();
    let rows = node.records(3).await.unwrap();
    let ended: Vec<_> = rows
        .iter()
        .map(|row| (text(row, "outcome"), text(row, "reason")))
        .collect();
    assert_eq!(
        ended,
        [
            ("cancelled", "client_gone"),
            ("cut", "provider_cut"),
            ("answered", "")
        ]
    );
}

#[tokio::test]
async fn a_removed_peers_session_ends() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    say(&mut socket, "[[events=60000 ms=10]]").await;
    socket.until(&["response.output_text.delta"]).await;
    node.cli(&["peers", "remove", "alice"], "").await.unwrap();
    assert_eq!(socket.closed_with().await, 1008);
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
        .await
        .unwrap();
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), text(&row, "reason")),
        ("cut", "peer_revoked")
    );
}

#[tokio::test]
async fn a_policy_that_is_gone_ends_the_session_at_its_next_response() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    say(&mut socket, "[[events=1]]").await;
    socket.until(&["response.done"]).await;
    let list = node
        .api_ok(Method::GET, "/api/agent-network/policies", None)
        .await
        .unwrap();
    let policy = format!(
        "/api/agent-network/policies/{}",
        list[0]["id"].as_str().unwrap()
    );
    node.api_ok(Method::DELETE, &policy, None).await.unwrap();
    // Published within moments: until then responses are still allowed.
    let ended = loop {
        socket.send(json!({"type": "response.create"})).await;
        let event = timeout(PATIENCE, socket.0.next()).await.unwrap();
        if let Some(Ok(Message::Close(Some(frame)))) = event {
            break u16::from(frame.code);
        }
    };
    assert_eq!(ended, 1008);
    let newest = node.records(2).await.unwrap().remove(0);
    assert_eq!(
        (text(&newest, "outcome"), text(&newest, "reason")),
        ("cut", "no_authorised_provider")
    );
}
