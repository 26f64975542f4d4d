//! NetBird in trouble: what is known holds, for a time that has an end, also over a restart.

use std::time::SystemTime;

use super::*;

#[tokio::test]
async fn trouble_changes_nothing_and_is_told() {
    let site = Site::start(account(50), "netbird_timeout = \"1s\"").await;
    let alice = site.node.alice().await.unwrap();
    until(&alice, Met::Served).await;
    let troubles = [
        (Trouble::Status(500), "status"),
        (Trouble::Status(302), "status"),
        (Trouble::Status(403), "refused"),
        (Trouble::RateLimited(Duration::from_secs(2)), "rate_limited"),
        (Trouble::HalfJson, "malformed"),
        (Trouble::OtherShape, "malformed"),
        (Trouble::Cut, "cut"),
        (Trouble::Stall, "timeout"),
    ];
    for (trouble, reason) in troubles {
        let name =
            format!("keyway_identity_failures_total{{source=\"netbird\",reason=\"{reason}\"}}");
        let before = site.metric(&name).await;
        site.netbird.trouble(Some(trouble));
        // Would be lost on her, if half of an answer were believed.
        site.wait_metric(&name, |count| count > before).await;
        assert_eq!(meets(&alice).await, Met::Served, "{trouble:?}");
        site.netbird.trouble(None);
        site.netbird.wait_readings(1, PATIENCE).await.unwrap();
    }
    assert_eq!(site.metric("keyway_identity_changes_total").await, 1.0);
    site.node.wait_log("NetBird is read again").await.unwrap();

    // A token that has ended, and the next one in its file.
    let next = "nbp_next0123456789abcdef0123456789abcdef";
    let name = "keyway_identity_failures_total{source=\"netbird\",reason=\"refused\"}";
    let before = site.metric(name).await;
    site.netbird.set_token(next);
    site.wait_metric(name, |count| count > before).await;
    write_token(&site.token_file, next);
    site.netbird.wait_readings(1, PATIENCE).await.unwrap();
    site.stop().await;
}

#[tokio::test]
async fn what_is_too_old_lets_nobody_in() {
    let site = Site::start(account(0), "netbird_max_age = \"8s\"").await;
    let alice = site.node.alice().await.unwrap();
    until(&alice, Met::Served).await;
    let idle = revoked::idle(&alice, Version::Http1).await;
    site.netbird.trouble(Some(Trouble::Status(503)));
    site.node
        .wait_unready("netbird was last read")
        .await
        .unwrap();
    revoked::assert_ends(idle, Instant::now() + END_TIME_MAX).await;
    assert_eq!(meets(&alice).await, Met::Stranger);
    assert_eq!(site.peer("alice").await["denial"], "source_stale");
    assert_eq!(site.metric("keyway_identity_stale").await, 1.0);
    site.netbird.trouble(None);
    until(&alice, Met::Served).await;
    site.node.wait_ready().await.unwrap();
    assert_eq!(site.metric("keyway_identity_stale").await, 0.0);
    site.stop().await;
}

#[tokio::test]
async fn a_restart_without_netbird_goes_on_with_the_last_reading_until_it_is_too_old() {
    let mut site = Site::start(account(0), "").await;
    let alice = site.node.alice().await.unwrap();
    until(&alice, Met::Served).await;
    site.netbird.trouble(Some(Trouble::Status(503)));
    site.node = site.node.restart().await.unwrap();
    site.node.wait_ready().await.unwrap();
    assert_eq!(meets(&alice).await, Met::Served);
    assert_eq!(site.peer("alice").await["denial"], Value::Null);

    // The same when the reading is older than it may be.
    site.node.signal(libc::SIGTERM).unwrap();
    site.node.wait_exit().await.unwrap();
    let file = site.node.directory().join("store/netbird.json");
    let file = fs::File::options().write(true).open(file).unwrap();
    let old = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    file.set_modified(old).unwrap();
    site.node = site.node.again().await.unwrap();
    site.node
        .wait_unready("netbird was not read yet")
        .await
        .unwrap();
    assert_eq!(meets(&alice).await, Met::Stranger);
    site.netbird.trouble(None);
    until(&alice, Met::Served).await;
    site.node.wait_ready().await.unwrap();
    site.stop().await;
}
