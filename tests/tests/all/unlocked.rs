//! A host that lets nothing be locked into memory: the node serves, and says what is missing.

use gateway_tests::{agent::Version, memory, standin::Transport};
use http::StatusCode;

use super::*;

#[tokio::test]
async fn keys_that_cannot_be_locked_are_kept_out_of_dumps_and_said_to_be_unlocked() {
    let options = NodeOptions {
        no_locked_memory: true,
        ..NodeOptions::default()
    };
    let (_standin, node) = pair(Vendor::OpenAi, Transport::TlsHttp2, options).await;
    let warnings: Vec<String> = (node.log().lines())
        .filter(|line| line.contains("keys are in memory that may be swapped"))
        .map(str::to_owned)
        .collect();
    assert_eq!(warnings.len(), 1, "{}", node.log());
    for part in ["WARN", "left out of dumps, and not locked", "LimitMEMLOCK="] {
        assert!(warnings[0].contains(part), "{}", warnings[0]);
    }
    let reply = node.alice().await.unwrap();
    let reply = reply.post(Version::Http2, CHAT, &chat("hi", false)).await;
    assert_eq!(reply.unwrap().status, StatusCode::OK);

    let pid = node.pid().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_ascii_whitespace().next().unwrap()
    };
    assert_eq!(limit("Max locked memory"), "0");
    assert_eq!(limit("Max core file size"), "0");
    if let Err(error) = memory::may_scan(pid) {
        let test = "keys_that_cannot_be_locked_are_kept_out_of_dumps_and_said_to_be_unlocked";
        gateway_tests::skip(test, &format!("reading /proc/PID/mem: {error}"));
        return;
    }
    let wanted = [memory::Wanted {
        name: "the provider's key",
        secret: KEY.as_bytes(),
    }];
    let scan = memory::scan(pid, &wanted).unwrap();
    assert_eq!(scan.hidden_bytes, 0, "secret memory all the same");
    assert!(!scan.found.is_empty(), "the scan does not see the arena");
    for found in &scan.found {
        assert_eq!(found.place, memory::Place::UnlockedArena, "{found}");
    }
}
