//! Calls that name an object by its id and no model: they reach the provider that keeps it, and what a job in
//! the background used is billed once, to whom it belongs.

use gateway_tests::{
    agent::{Reply, Session, Version},
    node::ALICE,
    standin::{Options, StandIn, Transport, Vendor},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

const RESPONSES: &str = "/v1/responses";

/// Two providers of one dialect, each with a model of its own; the first is the older one.
async fn two() -> ([StandIn; 2], Node) {
    let standin = || StandIn::start(Options::new(Vendor::OpenAi, Transport::TlsHttp1, KEY));
    let standins = [standin().await.unwrap(), standin().await.unwrap()];
    let node = Node::start(NodeOptions::default()).await.unwrap();
    for (name, standin) in ["first", "second"].into_iter().zip(&standins) {
        let provider = json!({
            "provider_id": "openai_api",
            "name": name,
            "upstream_url": standin.url(),
            "api_key": KEY,
            "models": [{"id": format!("model-{name}"), "input_per_1k": 0.001, "output_per_1k": 0.002}],
            "enabled": true,
            "allow_private_addresses": true,
            "ca_pem": standin.ca_pem(),
        });
        let provider = node.connect_with(provider).await.unwrap();
        node.add_policy(name, "agents", &provider).await.unwrap();
    }
    node.add_peer("alice", ALICE, "agents").await.unwrap();
    node.wait_ready().await.unwrap();
    (standins, node)
}

async fn alice(node: &Node) -> Session {
    let alice = node.alice().await.unwrap();
    alice.session(Version::Http1).await.unwrap()
}

async fn respond(session: &mut Session, model: &str, prompt: &str, background: bool) -> String {
    let body = json!({"model": model, "input": prompt, "background": background});
    let made = session.post(RESPONSES, &body, &[]).await.unwrap();
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    text(&made.json().unwrap(), "id").to_owned()
}

async fn call(session: &mut Session, method: Method, path: &str) -> Reply {
    let body = Default::default();
    session.send(method, path, &[], body).await.unwrap()
}

/// Billed tokens and cost of all rows.
fn billed(rows: &[Value]) -> [u64; 3] {
    let sum = |field| rows.iter().map(|row| number(row, field)).sum();
    let cost = rows.iter().map(|row| nano_usd(row, "cost_usd")).sum();
    [sum("input_tokens"), sum("output_tokens"), cost]
}

#[tokio::test]
async fn an_id_reaches_the_provider_that_keeps_it() {
    let (standins, node) = two().await;
    let mut session = alice(&node).await;
    for (model, at) in [("model-second", 1), ("model-first", 0)] {
        let id = respond(&mut session, model, "one two", false).await;
        let before = standins.each_ref().map(|standin| standin.stats().requests);
        for (method, path) in [
            (Method::GET, format!("{RESPONSES}/{id}")),
            (Method::GET, format!("{RESPONSES}/{id}/input_items")),
            (Method::POST, format!("{RESPONSES}/{id}/cancel")),
            (Method::DELETE, format!("{RESPONSES}/{id}")),
        ] {
            let reply = call(&mut session, method.clone(), &path).await;
            assert_eq!(reply.status, StatusCode::OK, "{method} {path} {reply:?}");
        }
        let after = standins.each_ref().map(|standin| standin.stats().requests);
        assert_eq!(after[at] - before[at], 4);
        assert_eq!(after[1 - at], before[1 - at]);
    }
    // Asking again was free: only the two answers that were made are billed.
    let rows = node.records(10).await.unwrap();
    assert_eq!(billed(&rows), [4, 16, 4 * 1000 + 16 * 2000]);
}

#[tokio::test]
async fn an_id_of_a_stream_is_known_while_it_runs() {
    let (_standins, node) = two().await;
    let mut session = alice(&node).await;
    let body = json!({"model": "model-second", "input": "[[stall=1]]", "stream": true});
    let headers = [("content-type", "application/json")];
    let mut stream = session
        .begin(Method::POST, RESPONSES, &headers, body.to_string().into())
        .await
        .unwrap();
    let first = http_body_util::BodyExt::frame(stream.body_mut()).await;
    let first = first.unwrap().unwrap().into_data().unwrap();
    let first = String::from_utf8_lossy(&first);
    let id = first.split("\"id\":\"").nth(1).unwrap();
    let id = id.split('"').next().unwrap();
    let mut other = alice(&node).await;
    let path = format!("{RESPONSES}/{id}");
    let reply = call(&mut other, Method::GET, &path).await;
    assert_eq!(reply.status, StatusCode::OK, "{id} {reply:?}");
}

#[tokio::test]
async fn an_id_of_somebody_else_or_of_nobody_goes_to_the_first_provider() {
    let (standins, node) = two().await;
    let address = "127.0.0.3".parse().unwrap();
    node.add_peer("bob", address, "agents").await.unwrap();
    let mut session = alice(&node).await;
    let id = respond(&mut session, "model-second", "hi", false).await;
    let bob = node.agent(address).await.unwrap();
    let mut bob = bob.session(Version::Http1).await.unwrap();
    for (session, id) in [(&mut bob, id.as_str()), (&mut session, "resp_unheard_of")] {
        let reply = call(session, Method::GET, &format!("{RESPONSES}/{id}")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{reply:?}");
    }
    assert_eq!(standins[0].stats().requests, 2);
}

#[tokio::test]
async fn an_object_behind_a_policy_that_is_gone_is_denied() {
    let (standins, node) = two().await;
    let mut session = alice(&node).await;
    let id = respond(&mut session, "model-second", "hi", false).await;
    node.cli(&["policies", "remove", "second"], "")
        .await
        .unwrap();
    let before = standins[0].stats().requests;
    let reply = call(&mut session, Method::GET, &format!("{RESPONSES}/{id}")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{reply:?}");
    assert_eq!(reply.error_code(), "llm_policy.no_authorised_provider");
    assert_eq!(
        standins[0].stats().requests,
        before,
        "another provider was asked"
    );
}

#[tokio::test]
async fn files_stay_where_they_were_put_when_the_first_provider_changes() {
    let (standins, node) = two().await;
    let mut session = alice(&node).await;
    node.cli(&["providers", "disable", "first"], "")
        .await
        .unwrap();
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let put = session
        .send(Method::POST, "/v1/files", &headers, "--b--".into())
        .await
        .unwrap();
    let id = text(&put.json().unwrap(), "id").to_owned();
    node.cli(&["providers", "enable", "first"], "")
        .await
        .unwrap();
    let reply = call(&mut session, Method::GET, &format!("/v1/files/{id}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(standins[0].stats().requests, 0);
}

#[tokio::test]
async fn a_job_in_the_background_is_billed_once() {
    let (_standins, node) = two().await;
    let mut session = alice(&node).await;
    let prompt = "one two three [[events=5 polls=3]]";
    let id = respond(&mut session, "model-second", prompt, true).await;
    let path = format!("{RESPONSES}/{id}");
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let reply = call(&mut session, Method::GET, &path).await;
        statuses.push(text(&reply.json().unwrap(), "status").to_owned());
    }
    assert_eq!(
        statuses,
        ["queued", "queued", "completed", "completed", "completed"]
    );
    // Over many connections, and so on both workers.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut session, path) = (alice(&node).await, path.clone());
        asking.spawn(async move { call(&mut session, Method::GET, &path).await.status });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 200));

    let rows = node.records(14).await.unwrap();
    assert_eq!(billed(&rows), [3, 5, 3 * 1000 + 5 * 2000]);
    let row = rows.iter().find(|row| number(row, "output_tokens") > 0);
    let row = row.unwrap();
    assert_eq!(text(row, "operation"), "stored_response");
    assert_eq!(text(row, "model"), "model-second");
    assert_eq!(text(row, "display_name"), "alice");
}

#[tokio::test]
async fn of_many_who_ask_for_a_job_at_once_one_is_billed() {
    let (_standins, node) = two().await;
    let mut session = alice(&node).await;
    let id = respond(&mut session, "model-second", "a b [[polls=1]]", true).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (mut session, path) = (alice(&node).await, format!("{RESPONSES}/{id}"));
        asking.spawn(async move { call(&mut session, Method::GET, &path).await.status });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 200));
    let rows = node.records(17).await.unwrap();
    assert_eq!(billed(&rows), [2, 8, 2 * 1000 + 8 * 2000]);
}

#[tokio::test]
async fn a_restart_forgets_neither_where_an_object_is_nor_that_it_is_billed() {
    let (_standins, mut node) = two().await;
    let mut session = alice(&node).await;
    let done = respond(&mut session, "model-second", "one [[events=2]]", false).await;
    let open = respond(
        &mut session,
        "model-second",
        "a b [[events=3 polls=1]]",
        true,
    )
    .await;
    node.records(2).await.unwrap();
    for round in 0..2 {
        node = node.restart().await.unwrap();
        node.wait_ready().await.unwrap();
        let mut session = alice(&node).await;
        for id in [&done, &open] {
            let reply = call(&mut session, Method::GET, &format!("{RESPONSES}/{id}")).await;
            assert_eq!(reply.status, StatusCode::OK, "{round} {reply:?}");
        }
        node.records(4 + 2 * round).await.unwrap();
    }
    let rows = node.records(6).await.unwrap();
    assert_eq!(billed(&rows), [3, 5, 3 * 1000 + 5 * 2000]);
}

#[tokio::test]
async fn what_is_billed_in_other_units_is_unpriced() {
    let (_standins, node) = two().await;
    let mut session = alice(&node).await;
    let speech = json!({"model": "model-first", "input": "hi", "voice": "alloy"});
    let reply = session
        .post("/v1/audio/speech", &speech, &[])
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let row = node.only_record().await.unwrap();
    assert_eq!(
        (text(&row, "operation"), &row["unpriced"]),
        ("unmetered", &json!(true))
    );
}
