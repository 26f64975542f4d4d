//! `/v1/realtime`: one provider, one model, a record per response.

use gateway_tests::{agent::PATIENCE, standin::Transport};
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
async fn a_transcript_counts_where_no_limit_has_room() {
    let (_standin, node) = openai(Transport::Plain).await;
    let policies = "/api/agent-network/policies";
    let found = node.api_ok(Method::GET, policies, None).await.unwrap();
    // What a soft limit sets aside for one response, and hardly more.
    let arguments = ["policies", "update", text(&found[0], "id")];
    let limits = ["--user-tokens", "4100/1d", "--mode", "soft"];
    node.cli(&[&arguments[..], &limits].concat(), "")
        .await
        .unwrap();
    let alice = node.alice().await.unwrap();
    let headers = [("sec-websocket-protocol", "realtime")];
    let (mut socket, _) = Socket::try_open(&alice, REALTIME, &headers).await.unwrap();
    socket
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    socket
        .until(&["conversation.item.input_audio_transcription.completed"])
        .await;
    socket.0.close(None).await.unwrap();
    let used = number(&node.only_record().await.unwrap(), "input_tokens") + 4;
    let spent = async || {
        let consumption = "/api/agent-network/consumption";
        let rows = node.api_ok(Method::GET, consumption, None).await.unwrap();
        let mut rows = rows.as_array().unwrap().iter();
        let user = rows.find(|row| text(row, "dimension_kind") == "user");
        user.map_or(0, |row| number(row, "tokens_input"))
    };
    // The socket's share comes back when it is closed.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while spent().await != used {
        assert!(tokio::time::Instant::now() < deadline, "{}", spent().await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    node.stop().await.unwrap();
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
async fn a_provider_that_falls_silent_is_given_up() {
    let options = NodeOptions {
        extra: vec![("timeouts", "idle = \"300ms\"".to_owned())],
        ..NodeOptions::default()
    };
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    say(&mut socket, "[[events=20 stall=3]]").await;
    let told = socket.until(&["error"]).await.pop().unwrap();
    assert_eq!(told["error"]["code"], "keyway.idle_timeout", "{told}");
    assert_eq!(socket.closed_with().await, 1011);
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), text(&row, "reason")),
        ("cut", "idle_timeout")
    );
    drop(standin);
}

/// Of the agent's messages none comes to the provider twice or out of order, however many come at once.
#[tokio::test]
async fn a_flood_passes_in_order() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    socket.next().await;
    let audio = "A".repeat(30_000);
    let mut sent = Vec::new();
    for number in 0..200 {
        // Short ones between long ones.
        let audio = &audio[..(number % 3) * 15_000];
        let event =
            json!({"type": "input_audio_buffer.append", "event_id": number, "audio": audio});
        sent.push(event.to_string());
        socket.send(event).await;
    }
    say(&mut socket, "[[events=1]]").await;
    socket.until(&["response.done"]).await;
    let seen = standin.seen();
    assert_eq!(seen.len(), 1 + 200 + 2);
    for (seen, sent) in seen[1..].iter().zip(&sent) {
        assert_eq!(seen.body, sent.as_bytes());
    }
}

#[tokio::test]
async fn a_rotated_key_is_not_used_on() {
    let (_standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, REALTIME).await;
    socket.next().await;
    let list = "/api/agent-network/providers";
    let providers = node.api_ok(Method::GET, list, None).await.unwrap();
    let id = providers[0]["id"].as_str().unwrap().to_owned();
    node.cli(&["keys", "rotate", &id, "--key-stdin"], "sk-standin-next")
        .await
        .unwrap();
    // Audio flows all the while.
    let audio = json!({"type": "input_audio_buffer.append", "audio": "AAAA"}).to_string();
    let (mut sink, mut stream) = socket.0.split();
    let flowing = async {
        while sink.send(Message::text(&audio)).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let closing = async {
        loop {
            if let Some(Ok(Message::Close(frame))) = stream.next().await {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
    };
    let ended = timeout(PATIENCE, async {
        tokio::select! {
            code = closing => code,
            () = flowing => None,
        }
    });
    assert_eq!(ended.await.unwrap(), Some(1012));
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
