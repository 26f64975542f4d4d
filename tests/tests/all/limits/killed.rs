//! What limits count after `kill -9`: what was settled, and the upper bound of what was in flight.

use futures_util::future::join_all;

use super::*;

/// Far more than thirty requests use, so that a sum tells how many of them were in flight.
const OUTPUT_MAX: u64 = 5000;
/// Words of a prompt, and of an answer.
const USED: u64 = 1 + 8;
/// A soft limit takes a body to be a token per so many bytes.
const BYTES_PER_TOKEN: u64 = 3;
const AT_ONCE: u64 = 30;

fn load(script: &str) -> Value {
    let mut body = chat(&format!("load {script:<20}"), false);
    body["max_tokens"] = json!(OUTPUT_MAX);
    body
}

fn upper_bound() -> u64 {
    (load("").to_string().len() as u64).div_ceil(BYTES_PER_TOKEN) + OUTPUT_MAX
}

async fn killed(node: Node) -> (Node, Agent) {
    let node = node.kill_and_restart().await.unwrap();
    node.wait_ready().await.unwrap();
    let alice = node.alice().await.unwrap();
    (node, alice)
}

/// Has some requests answered and others held, and waits until all of them are counted for what they are.
async fn settle_some_and_hold_others(
    standin: &StandIn,
    node: &Node,
    alice: &Agent,
    settled: u64,
    held: u64,
) -> u64 {
    let (before, total_before) = (spent(node).await, total(standin));
    for _ in 0..settled {
        let reply = alice.post(Version::Http1, CHAT, &load("")).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK);
    }
    let seen = standin.stats().requests;
    for _ in 0..held {
        let alice = alice.clone();
        let asking = async move { alice.post(Version::Http1, CHAT, &load("[[gate]]")).await };
        // Ends with the node.
        tokio::spawn(asking);
    }
    let reached = |stats: &Stats| stats.requests == seen + held;
    standin.wait_stats(PATIENCE, reached).await.unwrap();
    let used = total(standin) - total_before;
    assert_eq!(used, settled * USED);
    let expected = before + used + held * upper_bound();
    wait_spent(node, expected).await;
    expected
}

#[tokio::test]
async fn after_a_kill_every_counter_is_what_it_was() {
    let (standin, mut node, mut alice) = limited(&["--user-tokens", "10M/1d"]).await;
    for round in 1..=3 {
        let expected = settle_some_and_hold_others(&standin, &node, &alice, 2 * round, 3).await;
        (node, alice) = killed(node).await;
        assert_eq!(spent(&node).await, expected, "round {round}");
    }
    // So they are after a clean stop.
    let before = spent(&node).await;
    node = node.restart().await.unwrap();
    node.wait_ready().await.unwrap();
    assert_eq!(spent(&node).await, before);
    let (_, metrics) = node.telemetry("/metrics").await.unwrap();
    assert!(metrics.contains("keyway_limit_buckets_unkept 0"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_kill_under_load_leaves_each_request_settled_or_in_flight() {
    let (standin, mut node, mut alice) = limited(&["--user-tokens", "10M/1d"]).await;
    for round in 1..=3 {
        let (before, asked) = (spent(&node).await, standin.stats());
        // They end one after the other.
        let requests = join_all((0..AT_ONCE).map(|number| {
            let body = load(&format!("[[slow_head={}]]", 30 * number));
            let alice = alice.clone();
            async move { alice.post(Version::Http1, CHAT, &body).await }
        }));
        let kill = async {
            let enough = |stats: &Stats| stats.answered >= asked.answered + 5 * round;
            standin.wait_stats(PATIENCE, enough).await.unwrap();
            node.signal(libc::SIGKILL).unwrap();
        };
        tokio::join!(requests, kill);
        (node, alice) = killed(node).await;
        let counted = spent(&node).await - before;
        let (held, rest) = (counted / upper_bound(), counted % upper_bound());
        let (settled, odd) = (rest / USED, rest % USED);
        let now = standin.stats();
        assert_eq!(odd, 0, "round {round}: {counted}");
        assert!(settled <= now.answered - asked.answered);
        let counted = settled + held;
        // The provider has seen none that is not counted.
        assert!(counted >= now.requests - asked.requests && counted <= AT_ONCE);
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_put_aside_and_what_was_granted_counts() {
    let (standin, node, alice) = limited(&["--user-tokens", "10M/1d"]).await;
    let expected = settle_some_and_hold_others(&standin, &node, &alice, 2, 1).await;
    let file = node.directory().join("limits");
    node.signal(libc::SIGKILL).unwrap();
    std::fs::write(&file, "garbage").unwrap();
    let (node, alice) = killed(node).await;
    node.wait_log("counters are damaged").await.unwrap();
    assert_eq!(
        std::fs::read(file.with_extension("damaged")).unwrap(),
        b"garbage"
    );
    let granted = spent(&node).await;
    assert!(granted > expected, "{granted}");
    // From here on they are kept again.
    let expected = settle_some_and_hold_others(&standin, &node, &alice, 1, 1).await;
    let (node, _) = killed(node).await;
    assert_eq!(spent(&node).await, expected);
    node.stop().await.unwrap();
}
