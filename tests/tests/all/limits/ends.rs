//! Two hundred requests at once against a cap for twenty, which end in every way there is.

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use tokio::sync::watch;

use super::*;

const AT_ONCE: usize = 200;
const ROOM: usize = 20;
/// Words of a prompt, and of an answer.
const USED: u64 = 2 + 8;

/// How a request ends that gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// The agent leaves in the middle of the answer.
    Left,
    /// Of the provider's.
    Error(u16),
}

const ENDS: [End; 4] = [End::Whole, End::Left, End::Error(500), End::Error(429)];

impl End {
    /// All bodies have one length, and so one upper bound.
    fn body(self) -> Value {
        let script = match self {
            Self::Whole => "[[gate]]".to_owned(),
            Self::Left => "[[gate stall=2]]".to_owned(),
            Self::Error(status) => format!("[[gate status={status}]]"),
        };
        let mut body = chat(&format!("all together {script:<24}"), true);
        body["max_tokens"] = json!(MAX_TOKENS);
        body
    }

    fn of(body: &[u8]) -> Self {
        let sent: Value = serde_json::from_slice(body).unwrap();
        let is = |end: &&End| end.body()["messages"] == sent["messages"];
        *ENDS.iter().find(is).unwrap()
    }

    /// What a hard limit counts once it is over.
    fn counted(self) -> u64 {
        match self {
            Self::Whole => USED,
            // The provider may charge for all of it.
            Self::Left => upper_bound(),
            Self::Error(_) => 0,
        }
    }
}

fn upper_bound() -> u64 {
    most(&End::Whole.body()) as u64
}

/// Sends a request and sees it to its end; whether it got through.
async fn call(alice: &Agent, version: Version, end: End, refused: &watch::Sender<usize>) -> bool {
    let mut session = alice.session(version).await.unwrap();
    let json = [("content-type", "application/json")];
    let body = Bytes::from(end.body().to_string());
    let answer = session.begin(Method::POST, CHAT, &json, body).await;
    let (head, mut body) = answer.unwrap().into_parts();
    if (head.status, end) == (StatusCode::OK, End::Left) {
        body.frame().await.unwrap().unwrap();
        return true;
    }
    let body = body.collect().await.unwrap().to_bytes();
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    if told.pointer("/error/code") == Some(&json!("llm_policy.token_cap_exceeded")) {
        assert_eq!(head.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(head.headers.contains_key("retry-after"));
        assert!(head.headers.contains_key("retry-after-ms"));
        refused.send_modify(|refused| *refused += 1);
        return false;
    }
    let expected = match end {
        End::Whole | End::Left => 200,
        End::Error(status) => status,
    };
    assert_eq!(head.status, expected, "{told}");
    true
}

/// Lets two hundred go at once, all of which the provider holds until every other one is refused. Returns how those end
/// that got through.
async fn crowd(
    standin: &StandIn,
    node: &Node,
    alice: &Agent,
    version: Version,
    room: usize,
) -> Vec<End> {
    let (seen, before) = (standin.seen().len(), spent(node).await);
    standin.set_gate(false);
    let refused = watch::Sender::new(0);
    let ends = ENDS.iter().cycle().take(AT_ONCE);
    let calls = join_all(ends.map(|end| call(alice, version, *end, &refused)));
    let watch = async {
        let mut refused = refused.subscribe();
        let all = tokio::time::timeout(PATIENCE, refused.wait_for(|n| *n >= AT_ONCE - room));
        all.await.unwrap().unwrap();
        let reached = |stats: &Stats| stats.requests as usize >= seen + room;
        standin.wait_stats(PATIENCE, reached).await.unwrap();
        // All of them are in flight, and nothing is settled.
        assert_eq!(spent(node).await, before + room as u64 * upper_bound());
        assert_eq!(in_flight(node).await, room as u64);
        standin.set_gate(true);
    };
    let (passed, ()) = tokio::join!(calls, watch);
    assert_eq!(passed.into_iter().filter(|passed| *passed).count(), room);
    let seen = &standin.seen()[seen..];
    assert_eq!(seen.len(), room);
    seen.iter().map(|seen| End::of(&seen.body)).collect()
}

#[tokio::test]
async fn exactly_what_has_room_passes_and_nothing_stays_set_aside() {
    for version in VERSIONS {
        let cap = ROOM as u64 * upper_bound() + upper_bound() / 2;
        let limits = ["--user-tokens", &format!("{cap}/1d"), "--mode", "hard"];
        let (standin, node, alice) = limited(&limits).await;
        limit(&node, &["--user-concurrency", "1000"]).await;
        let mut counted = 0;
        for _ in 0..3 {
            // What was given back has room for so many more.
            let room = ((cap - counted) / upper_bound()) as usize;
            let ends = crowd(&standin, &node, &alice, version, room).await;
            counted += ends.iter().map(|end| end.counted()).sum::<u64>();
            wait_for_all(&node).await;
            wait_spent(&node, counted).await;
            assert!(counted <= cap);
        }
        node.stop().await.unwrap();
    }
}

/// Waits until nothing is in flight: a provider's stall ends shortly after its agent left.
async fn wait_for_all(node: &Node) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = in_flight(node).await;
        if left == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{left} are in flight");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Requests under way, as far as limits know; users who have none are not listed.
async fn in_flight(node: &Node) -> u64 {
    let path = "/api/agent-network/limits";
    let levels = node.api_ok(Method::GET, path, None).await.unwrap();
    let mut levels = levels["limits"].as_array().unwrap().iter();
    let level = levels.find(|level| level["unit"] == "in_flight");
    level.map_or(0, |level| number(level, "spent"))
}
