//! The index of usage in PostgreSQL: a server that stands still, is killed and comes back costs nothing but
//! time, and nodes that share one add up.

use gateway_tests::{
    agent::{Session, Version},
    postgresql::{self, Postgresql},
};
use http::{Method, StatusCode};
use nix::sys::signal::Signal;

use super::*;

const OVERVIEW: &str = "/api/agent-network/usage/overview";

/// A server and its URL in a node's configuration; `None` where there is none, which it says.
fn server(test: &str) -> Option<(Postgresql, NodeOptions)> {
    if let Some(reason) = postgresql::why_not() {
        skip(test, reason);
        return None;
    }
    let server = Postgresql::start().unwrap();
    let options = NodeOptions {
        extra: vec![("usage", format!("postgresql_url = {:?}", server.url()))],
        ..NodeOptions::default()
    };
    Some((server, options))
}

async fn exchanges(alice: &mut Session, count: usize) {
    for _ in 0..count {
        let reply = alice.post(CHAT, &chat("hi", false), &[]).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }
}

async fn metric(node: &Node, series: &str) -> f64 {
    let (_, text) = node.telemetry("/metrics").await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap().trim().parse().unwrap()
}

/// Requests, and tokens of both directions, of all that is in the index.
async fn sums(node: &Node) -> (u64, u64) {
    let days = node.api_ok(Method::GET, OVERVIEW, None).await.unwrap();
    let days = days.as_array().unwrap();
    let sum = |name: &str| days.iter().map(|day| day[name].as_u64().unwrap()).sum();
    (sum("request_count"), sum("total_tokens"))
}

#[tokio::test]
async fn a_server_that_stops_and_dies_loses_nothing() {
    let Some((server, options)) = server("a_server_that_stops_and_dies_loses_nothing") else {
        return;
    };
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let mut alice = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http2)
        .await
        .unwrap();
    exchanges(&mut alice, 20).await;
    node.records(20).await.unwrap();
    assert_eq!(sums(&node).await.0, 20);
    let shown = node.cli(&["logs"], "").await.unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("gpt-4o-mini"));

    // Agents do not notice: neither that it stands still nor that it is gone.
    server.signal(Signal::SIGSTOP).unwrap();
    exchanges(&mut alice, 20).await;
    server.kill().unwrap();
    exchanges(&mut alice, 20).await;
    node.wait_log("cannot go on").await.unwrap();
    assert!(metric(&node, "keyway_usage_log_batches_to_index ").await > 0.0);
    assert_eq!(
        metric(&node, "keyway_usage_log_behind{part=\"indexer\"} ").await,
        1.0
    );
    let (status, report) = node.telemetry("/readyz").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{report}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let parts = report["parts"].as_array().unwrap();
    let index = parts
        .iter()
        .find(|part| part["name"] == "usage_index")
        .unwrap();
    assert!(text(index, "reason").contains("the database"), "{index}");
    let (status, body) = node.api(Method::GET, OVERVIEW, None).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(text(&body, "message").contains("the database"), "{body}");

    // A node that is killed with all this in its spool loses nothing either, and starts without it.
    let node = node.kill_and_restart().await.unwrap();
    let mut alice = node
        .alice()
        .await
        .unwrap()
        .session(Version::Http2)
        .await
        .unwrap();
    exchanges(&mut alice, 20).await;
    server.start_again().unwrap();
    let rows = node.records(80).await.unwrap();
    assert_eq!(rows.len(), 80);
    node.wait_log("caught up").await.unwrap();
    let reported = standin.stats().total();
    let tokens = reported.input_tokens + reported.output_tokens;
    assert_eq!(standin.stats().answered, 80);
    assert_eq!(sums(&node).await, (80, tokens));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn nodes_that_share_a_database_add_up() {
    let Some((_server, options)) = server("nodes_that_share_a_database_add_up") else {
        return;
    };
    let (_first, here) = pair(Vendor::OpenAi, Transport::Plain, options.clone()).await;
    let (_second, there) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    for node in [&here, &there] {
        let mut alice = node
            .alice()
            .await
            .unwrap()
            .session(Version::Http2)
            .await
            .unwrap();
        exchanges(&mut alice, 30).await;
    }
    for node in [&here, &there] {
        assert_eq!(node.records(60).await.unwrap().len(), 60);
        assert_eq!(sums(node).await.0, 60);
    }
    here.stop().await.unwrap();
    there.stop().await.unwrap();
}
