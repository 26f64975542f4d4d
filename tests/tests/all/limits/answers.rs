//! What answers tell of the limits that their requests counted into.

use gateway_tests::agent::Session;
use jiff::Timestamp;

use super::*;

const YEAR_SECONDS: i64 = 365 * 86_400;
const CAP: u64 = 1_000_000;
/// Names of the remaining tokens and requests, by vendor.
const OPENAI: [&str; 2] = [
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-remaining-requests",
];
const ANTHROPIC: [&str; 2] = [
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-requests-remaining",
];

#[track_caller]
fn told<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    let mut values = reply.headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap());
    assert_eq!(values.next(), None, "{name} stands twice");
    value
}

#[track_caller]
fn left(reply: &Reply, name: &str) -> u64 {
    let value = told(reply, name);
    let value = value.unwrap_or_else(|| panic!("no {name} in {:?}", reply.headers));
    value.parse().unwrap()
}

/// Seconds of a span as Go writes it.
fn seconds(span: &str) -> i64 {
    let mut rest = span;
    let mut sum = 0;
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            sum += number.parse::<i64>().unwrap() * length;
            rest = after;
        }
    }
    assert_eq!(rest, "", "{span}");
    sum
}

async fn post(session: &mut Session, path: &str, body: &Value) -> Reply {
    let version = [("anthropic-version", "2023-06-01")];
    let reply = session.post(path, body, &version).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    reply
}

#[tokio::test]
async fn answers_count_down_what_is_left() {
    for (version, transport) in [
        (Version::Http1, Transport::Plain),
        (Version::Http2, Transport::TlsHttp2),
    ] {
        for stream in [false, true] {
            for (vendor, path, names) in [
                (Vendor::OpenAi, CHAT, OPENAI),
                (Vendor::Anthropic, MESSAGES, ANTHROPIC),
            ] {
                let (standin, node) = pair(vendor, transport, NodeOptions::default()).await;
                let cap = format!("{CAP}/365d");
                limit(&node, &["--user-tokens", &cap, "--mode", "hard"]).await;
                let mut session = node.alice().await.unwrap().session(version).await.unwrap();
                let body = match vendor == Vendor::Anthropic {
                    true => message("one two three", stream),
                    false => {
                        let mut body = chat("one two three", stream);
                        body["max_tokens"] = json!(MAX_TOKENS);
                        body
                    }
                };
                // What the request may use is not left any more.
                let most = most(&body) as u64;
                let reply = post(&mut session, path, &body).await;
                assert_eq!(left(&reply, names[0]), CAP - most);
                assert_eq!(told(&reply, names[1]), None);
                node.records(1).await.unwrap();
                let reply = post(&mut session, path, &body).await;
                let used = total(&standin) / 2;
                assert_eq!(left(&reply, names[0]), CAP - used - most);

                let named = |part| names[0].replace("remaining", part);
                assert_eq!(left(&reply, &named("limit")), CAP);
                let reset = told(&reply, &named("reset")).unwrap();
                let reset = match vendor == Vendor::Anthropic {
                    true => {
                        let at: Timestamp = reset.parse().unwrap();
                        assert_eq!(at.as_second() % YEAR_SECONDS, 0);
                        at.as_second() - Timestamp::now().as_second()
                    }
                    false => seconds(reset),
                };
                assert!((0..=YEAR_SECONDS).contains(&reset), "{reset}");
                node.stop().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_denial_tells_of_the_limit_that_denied() {
    for version in VERSIONS {
        let body = bounded("x");
        let cap = most(&body) as u64 + 100;
        let arguments = ["--user-tokens", &format!("{cap}/365d"), "--mode", "hard"];
        let (standin, node, alice) = limited(&arguments).await;
        alice.post(version, CHAT, &body).await.unwrap();
        node.records(1).await.unwrap();
        let long = bounded(&"x".repeat(200));
        let reply = alice.post(version, CHAT, &long).await.unwrap();
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(left(&reply, OPENAI[0]), cap - total(&standin));
        assert_eq!(left(&reply, "x-ratelimit-limit-tokens"), cap);
        let span = seconds(told(&reply, "x-ratelimit-reset-tokens").unwrap());
        let retry: i64 = told(&reply, "retry-after").unwrap_or("0").parse().unwrap();
        assert!(span > 0 && retry <= span + 1, "{span} {retry}");

        // In a minute's window, which may end in between.
        limit(
            &node,
            &["--user-tokens", "0", "--user-requests-per-minute", "2"],
        )
        .await;
        let mut before = 2;
        for _ in 0..6 {
            let reply = alice.post(version, CHAT, &body).await.unwrap();
            let now = left(&reply, OPENAI[1]);
            assert_eq!(told(&reply, OPENAI[0]), None);
            assert!(seconds(told(&reply, "x-ratelimit-reset-requests").unwrap()) <= 60);
            match reply.status {
                StatusCode::OK => assert!(now + 1 == before || now == 1, "{now} {before}"),
                _ => assert_eq!(now, 0),
            }
            before = now;
        }
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_providers_own_fields_pass_where_they_are_tighter_or_no_limit_holds() {
    const PARTS: &str = "anthropic-ratelimit-input-tokens-remaining";
    for version in VERSIONS {
        let (_standin, node) = anthropic(Transport::Plain).await;
        let mut session = node.alice().await.unwrap().session(version).await.unwrap();
        let reply = post(&mut session, MESSAGES, &message("[[left=7]]", true)).await;
        for name in [ANTHROPIC[0], PARTS, OPENAI[0]] {
            assert_eq!(left(&reply, name), 7);
        }
        assert_eq!(told(&reply, "anthropic-ratelimit-tokens-limit"), None);

        limit(&node, &["--user-tokens", "1M/365d"]).await;
        let reply = post(&mut session, MESSAGES, &message("[[left=7]]", true)).await;
        assert_eq!((left(&reply, ANTHROPIC[0]), left(&reply, PARTS)), (7, 7));
        assert_eq!(told(&reply, "anthropic-ratelimit-tokens-limit"), None);
        let reply = post(&mut session, MESSAGES, &message("[[left=2000000]]", true)).await;
        assert!(left(&reply, ANTHROPIC[0]) < CAP);
        assert_eq!(left(&reply, "anthropic-ratelimit-tokens-limit"), CAP);
        assert_eq!(told(&reply, PARTS), None);
        // Of another unit, which nothing limits here.
        assert_eq!(left(&reply, OPENAI[1]), 2_000_000);
        node.stop().await.unwrap();
    }
}
