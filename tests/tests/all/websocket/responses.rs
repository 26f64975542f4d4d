//! `/v1/responses`: each response is an exchange.

use gateway_tests::standin::Transport;
use http::Method;

use super::*;

const TRANSPORTS: [Transport; 3] = [Transport::Plain, Transport::TlsHttp1, Transport::TlsHttp2];

#[tokio::test]
async fn several_responses_on_one_socket_are_one_exchange_each() {
    for transport in TRANSPORTS {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        let mut socket = Socket::open(&alice, RESPONSES).await;
        let mut previous = Value::Null;
        let mut sent = Vec::new();
        for (prompt, words) in [
            ("one two three [[events=5 cached=2]]", 5),
            ("four [[events=7]]", 7),
        ] {
            let mut event = create(prompt);
            // Known to the provider's own connection only.
            event["previous_response_id"] = previous;
            sent.push(event.to_string());
            socket.send(event).await;
            let events = socket.until(&["response.completed", "error"]).await;
            let deltas = events
                .iter()
                .filter(|e| e["type"] == "response.output_text.delta");
            assert_eq!(deltas.count(), words, "{events:?}");
            assert!(events.iter().all(|event| event.get("stream_id").is_none()));
            previous = events.last().unwrap()["response"]["id"].clone();
        }
        socket.0.close(None).await.unwrap();
        let rows = node.records(2).await.unwrap();
        assert_eq!(rows.len(), 2, "{rows:#?}");
        for (row, (input, output)) in rows.iter().zip([(1, 7), (5, 5)]) {
            assert_eq!(
                (number(row, "input_tokens"), number(row, "output_tokens")),
                (input, output)
            );
            let cached = number(row, "cached_input_tokens");
            let cost = (input - cached) * 150 + cached * 75 + output * 600;
            assert_eq!(nano_usd(row, "cost_usd"), cost, "{row:#}");
            assert_eq!(text(row, "outcome"), "answered");
            assert_eq!(text(row, "operation"), "responses");
            assert_eq!(text(row, "path"), RESPONSES);
            assert_eq!(number(row, "status_code"), 200);
            assert_eq!(text(row, "model"), MODEL);
        }
        let seen = standin.seen();
        assert_eq!(seen.len(), 3, "a handshake and two events");
        let of_first = |name| seen[0].header(name).map(str::to_owned);
        assert_eq!(
            of_first("openai-beta").as_deref(),
            Some("responses_websockets=2026-02-06")
        );
        assert_eq!(of_first("authorization"), Some(format!("Bearer {KEY}")));
        for (seen, sent) in seen[1..].iter().zip(&sent) {
            assert_eq!(seen.body, sent.as_bytes(), "bytes pass as they are");
        }
        assert!(standin.stats().refused.is_empty() && standin.stats().wire_errors.is_empty());
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_denial_is_an_error_event_and_the_socket_stays() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    let mut denied = create("hi");
    denied["model"] = json!("gpt-nine");
    denied["stream_id"] = json!("side");
    socket.send(denied).await;
    let event = socket.next().await;
    assert_eq!(event["type"], "error");
    assert_eq!(event["status"], 403);
    assert_eq!(event["stream_id"], "side");
    assert_eq!(event["error"]["code"], "llm_policy.model_not_routable");
    assert_eq!(event["error"]["type"], "permission_error");
    for (event, code) in [
        (
            json!({"type": "response.create", "input": "hi"}),
            "keyway.model_missing",
        ),
        (json!({"model": MODEL}), "keyway.malformed_json"),
        (
            json!({"type": "response.steer", "input": "a", "model": "x"}),
            "keyway.malformed_json",
        ),
        (
            json!({"type": "response.steer", "input": "a"}),
            "keyway.malformed_request",
        ),
    ] {
        socket.send(event.clone()).await;
        let answer = socket.next().await;
        assert_eq!(answer["error"]["code"], code, "{event}");
        assert_eq!(answer["status"], 400);
    }
    socket
        .0
        .send(Message::text(
            r#"{"type":"response.create","model":"gpt-nine","model":"gpt-4o-mini"}"#,
        ))
        .await
        .unwrap();
    assert_eq!(socket.next().await["status"], 400);
    socket.create("hi").await;
    socket.response().await;
    let rows = node.records(7).await.unwrap();
    assert_eq!(rows.len(), 7);
    assert_eq!(text(&rows[0], "outcome"), "answered");
    assert_eq!(text(&rows[6], "outcome"), "denied");
    assert_eq!(text(&rows[6], "reason"), "model_not_routable");
    assert_eq!(text(&rows[6], "model"), "gpt-nine");
    assert_eq!(number(&rows[6], "status_code"), 403);
    assert_eq!(standin.stats().requests, 2, "the handshake and one event");
}

#[tokio::test]
async fn conversations_run_side_by_side_and_each_in_its_order() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    let lane = |lane: &str, prompt: &str| {
        let mut event = create(prompt);
        event["stream_id"] = json!(lane);
        event
    };
    // The slow one begins first; the second of a lane comes while its first runs.
    socket.send(lane("slow", "a [[events=60000 ms=10]]")).await;
    let begun = socket.next().await;
    assert_eq!(begun["stream_id"], "slow");
    socket.send(lane("fast", "a b [[events=3]]")).await;
    socket.send(lane("fast", "a b c [[events=4]]")).await;
    let mut done = Vec::new();
    while done.len() < 2 {
        let event = socket.next().await;
        assert_ne!(event["type"], "error", "{event}");
        if event["type"] == "response.completed" {
            assert_eq!(event["stream_id"], "fast");
            done.push(event["response"]["usage"]["input_tokens"].as_u64().unwrap());
        }
    }
    assert_eq!(done, [2, 3]);
    assert_eq!(standin.stats().connections, 1, "one socket for all");
    socket.0.close(None).await.unwrap();
    let rows = node.records(3).await.unwrap();
    let outcomes: Vec<_> = rows.iter().map(|row| text(row, "outcome")).collect();
    assert_eq!(
        outcomes.iter().filter(|o| **o == "cancelled").count(),
        1,
        "{rows:#?}"
    );
    assert!(
        standin.stats().wire_errors.is_empty(),
        "{:?}",
        standin.stats()
    );
}

#[tokio::test]
async fn more_responses_than_the_limit_are_refused() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    for lane in 0..32 {
        let mut event = create("a [[slow_head=60000]]");
        event["stream_id"] = json!(format!("lane{lane}"));
        socket.send(event).await;
    }
    socket.create("one too many").await;
    let event = socket.next().await;
    assert_eq!(
        (&event["type"], &event["status"]),
        (&json!("error"), &json!(503))
    );
    assert_eq!(event["error"]["code"], "keyway.overloaded");
    drop(socket);
    assert_eq!(node.records(33).await.unwrap().len(), 33);
}

#[tokio::test]
async fn what_was_steered_goes_on_as_an_exchange_of_its_own() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("one [[events=3 steered]]").await;
    let events = socket.until(&["response.incomplete"]).await;
    assert_eq!(
        events.last().unwrap()["response"]["incomplete_details"]["reason"],
        "steered"
    );
    socket.response().await;
    let rows = node.records(2).await.unwrap();
    let outputs: Vec<_> = rows
        .iter()
        .map(|row| number(row, "output_tokens"))
        .collect();
    assert_eq!(outputs, [2, 3], "{rows:#?}");
    assert!(rows.iter().all(|row| text(row, "outcome") == "answered"));
    let id = events[0]["response"]["id"].clone();
    let steer = json!({"type": "response.steer", "previous_response_id": id, "input": "left"});
    socket.send(steer).await;
    standin
        .wait_stats(PATIENCE, |stats| stats.requests == 3)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_providers_error_is_the_agents() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("[[status=429]]").await;
    let event = socket.next().await;
    assert_eq!(
        (&event["status"], &event["error"]["code"]),
        (&json!(429), &json!("scripted"))
    );
    // One that may repeat the key does not pass.
    socket.create("[[status=401]]").await;
    let event = socket.next().await;
    assert_eq!(event["error"]["code"], "llm_policy.upstream_auth_failed");
    let mut lost = create("hi");
    lost["previous_response_id"] = json!("resp_of_another_connection");
    socket.send(lost).await;
    assert_eq!(
        socket.next().await["error"]["code"],
        "previous_response_not_found"
    );
    let rows = node.records(3).await.unwrap();
    let codes: Vec<_> = rows.iter().map(|row| number(row, "status_code")).collect();
    assert_eq!(codes, [400, 502, 429]);
    assert_eq!(text(&rows[0], "outcome"), "answered");
    drop(standin);
}

#[tokio::test]
async fn a_provider_that_dies_is_no_end_of_the_agents_socket() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("[[events=20 cut=5]]").await;
    let events = socket.until(&["response.completed", "error"]).await;
    let last = events.last().unwrap();
    assert_eq!(last["error"]["code"], "keyway.provider_cut", "{last}");
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), text(&row, "reason")),
        ("cut", "provider_cut")
    );
    // The next response has a new connection.
    socket.create("hi").await;
    socket.response().await;
    assert_eq!(standin.stats().connections, 2);
    node.records(2).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_vanishes_frees_the_provider() {
    for transport in TRANSPORTS {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        // Also one whose events fill every queue on their way.
        let prompts = ["[[events=60000 ms=10]]", "[[events=800 bytes=65535]]"];
        for (before, prompt) in (0..).zip(prompts) {
            let mut socket = Socket::open(&alice, RESPONSES).await;
            socket.create(prompt).await;
            socket.until(&["response.output_text.delta"]).await;
            if before == 1 {
                until_stalled(&standin).await;
            }
            drop(socket);
            standin
                .wait_stats(PATIENCE, |stats| stats.cancelled == before + 1)
                .await
                .unwrap();
        }
        for row in node.records(2).await.unwrap() {
            assert_eq!(text(&row, "outcome"), "cancelled", "{transport:?}");
        }
        node.stop().await.unwrap();
    }
}

/// Waits until the provider cannot send any more; how much it has sent.
async fn until_stalled(standin: &StandIn) -> u64 {
    let mut before = standin.stats().body_bytes_sent;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let sent = standin.stats().body_bytes_sent;
        if sent == before {
            return sent;
        }
        before = sent;
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_given_up() {
    let options = NodeOptions {
        extra: vec![("timeouts", "idle = \"300ms\"".to_owned())],
        ..NodeOptions::default()
    };
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("[[events=20 stall=3]]").await;
    let events = socket.until(&["error"]).await;
    assert_eq!(
        events.last().unwrap()["error"]["code"],
        "keyway.idle_timeout"
    );
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
        .await
        .unwrap();
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), text(&row, "reason")),
        ("cut", "idle_timeout")
    );
}

#[tokio::test]
async fn a_slow_reader_slows_the_provider() {
    const ANSWER_BYTES: u64 = 48 << 20;
    const IN_FLIGHT_BYTES_MAX: u64 = 24 << 20;
    for transport in [Transport::Plain, Transport::TlsHttp1] {
        let (standin, node) = openai(transport).await;
        let alice = node.alice().await.unwrap();
        let mut socket = Socket::open(&alice, RESPONSES).await;
        socket.create("[[events=800 bytes=65535]]").await;
        socket.until(&["response.output_text.delta"]).await;
        let sent = until_stalled(&standin).await;
        assert!(sent < IN_FLIGHT_BYTES_MAX, "{sent} bytes in flight");
        socket.until(&["response.completed"]).await;
        assert!(standin.stats().body_bytes_sent > ANSWER_BYTES);
        assert_eq!(
            text(&node.only_record().await.unwrap(), "outcome"),
            "answered"
        );
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_large_event_passes_both_ways() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    let prompt = format!("[[events=50 bytes=65000]] {}", "x".repeat(5 << 20));
    socket.create(&prompt).await;
    let events = socket.until(&["response.completed"]).await;
    assert!(events.last().unwrap().to_string().len() > 3_000_000);
    let row = node.only_record().await.unwrap();
    assert!(number(&row, "request_bytes") > 5 << 20, "{row:#}");
    assert_eq!(number(&row, "output_tokens"), 50);
    let seen = standin.seen();
    assert_eq!(seen[1].body, create(&prompt).to_string().as_bytes());
}

#[tokio::test]
async fn close_codes_pass_both_ways() {
    let (standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    // What the provider closes when nothing runs, closes for the agent too.
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("[[events=1 code=1012]]").await;
    socket.response().await;
    assert_eq!(socket.closed_with().await, 1012);
    // And the agent's own code comes back.
    let mut socket = Socket::open(&alice, RESPONSES).await;
    let frame = CloseFrame {
        code: 4001.into(),
        reason: "done".into(),
    };
    socket.0.close(Some(frame)).await.unwrap();
    assert_eq!(socket.closed_with().await, 4001);
    drop(standin);
}

#[tokio::test]
async fn a_removed_peers_sockets_end_and_nobody_elses() {
    let (standin, node) = openai(Transport::TlsHttp1).await;
    let bob = std::net::Ipv4Addr::new(127, 0, 0, 3).into();
    node.add_peer("bob", bob, "agents").await.unwrap();
    let alice = node.alice().await.unwrap();
    let mut resting = Socket::open(&alice, RESPONSES).await;
    let mut running = Socket::open(&alice, RESPONSES).await;
    let mut bobs = Socket::open(&node.agent(bob).await.unwrap(), RESPONSES).await;
    running.create("[[events=60000 ms=10]]").await;
    running.until(&["response.output_text.delta"]).await;
    node.cli(&["peers", "remove", "alice"], "").await.unwrap();
    let events = running.until(&["error"]).await;
    assert_eq!(
        events.last().unwrap()["error"]["code"],
        "llm_policy.peer_revoked"
    );
    assert_eq!(running.closed_with().await, 1008);
    assert_eq!(resting.closed_with().await, 1008);
    standin
        .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
        .await
        .unwrap();
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "outcome"), text(&row, "reason")),
        ("cut", "peer_revoked")
    );
    bobs.create("hi").await;
    bobs.response().await;
    drop(bobs);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_drain_lets_responses_finish_and_closes() {
    let (_standin, node) = openai(Transport::Plain).await;
    let alice = node.alice().await.unwrap();
    let mut resting = Socket::open(&alice, RESPONSES).await;
    let mut running = Socket::open(&alice, RESPONSES).await;
    running.create("[[events=50 ms=20]]").await;
    running.until(&["response.output_text.delta"]).await;
    let stopping = tokio::spawn(node.stop());
    assert_eq!(resting.closed_with().await, 1001);
    running.response().await;
    assert_eq!(running.closed_with().await, 1001);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_at_rest_is_pinged_and_ends_in_time() {
    let options = NodeOptions {
        extra: vec![(
            "timeouts",
            "websocket_ping = \"100ms\"\nwebsocket_idle = \"1s\"".to_owned(),
        )],
        ..NodeOptions::default()
    };
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    let first = timeout(PATIENCE, socket.0.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(first.is_ping(), "{first:?}");
    // It answers, and is only too long without work.
    assert_eq!(socket.closed_with().await, 1001);
}

#[tokio::test]
async fn a_rotated_key_is_not_used_on() {
    let key = "sk-standin-next-9d1b77c0";
    let mut options = Options::new(Vendor::OpenAi, Transport::TlsHttp1, KEY);
    options.next_key = Some(key.to_owned());
    let standin = StandIn::start(options).await.unwrap();
    let node = Node::with(NodeOptions::default(), &standin, Vendor::OpenAi, KEY)
        .await
        .unwrap();
    let alice = node.alice().await.unwrap();
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("hi").await;
    socket.response().await;
    let providers = node
        .api_ok(Method::GET, "/api/agent-network/providers", None)
        .await
        .unwrap();
    let id = providers[0]["id"].as_str().unwrap().to_owned();
    node.cli(&["keys", "rotate", &id, "--key-stdin"], key)
        .await
        .unwrap();
    // Told that its conversations are lost with the old socket.
    assert_eq!(socket.closed_with().await, 1012);
    let mut socket = Socket::open(&alice, RESPONSES).await;
    socket.create("hi").await;
    socket.response().await;
    let last = standin.seen().pop().unwrap();
    assert_eq!(
        last.header("authorization"),
        Some(format!("Bearer {key}").as_str())
    );
}

#[tokio::test]
async fn a_provider_without_websockets_is_asked_over_http() {
    for transport in TRANSPORTS {
        let (standin, node) = pair(Vendor::Vllm, transport, NodeOptions::default()).await;
        let alice = node.alice().await.unwrap();
        let mut socket = Socket::open(&alice, RESPONSES).await;
        let ask = |prompt: &str| {
            json!({"type": "response.create", "stream_id": "main", "model": "Qwen/Qwen3-8B", "input": prompt,
                "temperature": 0.5})
        };
        socket.send(ask("one two [[events=4]]")).await;
        let events = socket.until(&["response.completed", "error"]).await;
        assert!(events.iter().all(|event| event["stream_id"] == "main"));
        let deltas = events
            .iter()
            .filter(|e| e["type"] == "response.output_text.delta");
        assert_eq!(deltas.count(), 4);
        socket.send(ask("[[status=429]]")).await;
        let error = socket.next().await;
        assert_eq!(
            (&error["type"], &error["status"]),
            (&json!("error"), &json!(429))
        );
        assert_eq!(error["error"]["code"], "rate_limit_exceeded");
        socket.send(ask("[[events=9 cut=2]]")).await;
        let events = socket.until(&["response.completed", "error"]).await;
        assert_eq!(
            events.last().unwrap()["error"]["code"],
            "keyway.provider_cut"
        );
        // An event of 64 KiB and more, and one after it.
        socket.send(ask("[[events=2 bytes=65535]]")).await;
        let done = socket
            .until(&["response.completed", "error"])
            .await
            .pop()
            .unwrap();
        assert_eq!(done["response"]["usage"]["output_tokens"], 2);
        socket.send(ask("[[events=60000 ms=10]]")).await;
        socket.until(&["response.output_text.delta"]).await;
        drop(socket);
        standin
            .wait_stats(PATIENCE, |stats| stats.cancelled == 1)
            .await
            .unwrap();
        let rows = node.records(5).await.unwrap();
        let ended: Vec<_> = (rows.iter().rev())
            .map(|row| {
                (
                    text(row, "outcome"),
                    number(row, "status_code"),
                    number(row, "output_tokens"),
                )
            })
            .collect();
        assert_eq!(
            ended,
            [
                ("answered", 200, 4),
                ("answered", 429, 0),
                ("cut", 200, 0),
                ("answered", 200, 2),
                ("cancelled", 200, 0)
            ]
        );
        let seen = &standin.seen()[0];
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("POST", RESPONSES)
        );
        assert_eq!(seen.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let mut expected = ask("one two [[events=4]]");
        expected["stream"] = json!(true);
        expected
            .as_object_mut()
            .unwrap()
            .retain(|name, _| name != "type" && name != "stream_id");
        assert_eq!(body, expected);
        assert!(standin.stats().refused.is_empty(), "{:?}", standin.stats());
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_response_beyond_its_bound_is_ended_where_a_hard_limit_is() {
    const WORDS: u64 = 100_000;
    for transport in TRANSPORTS {
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
