//! A node that leaves the kernel program to a unit of its own.

use super::*;

#[tokio::test]
async fn a_node_without_capabilities_serves_behind_its_unit() {
    let test = "a_node_without_capabilities_serves_behind_its_unit";
    let Some(site) = Site::start(test, "keeper = \"unit\"", Some(NOBODY)).await else {
        return;
    };
    // The unit is root, but may not read everything.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(site.node.directory(), open).unwrap();
    let pid = site.node.pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    assert!(status.contains("Uid:\t65534"), "{status}");
    let remedy = "start keyway-admission.service";
    site.node.wait_unready(remedy).await.unwrap();

    let keeper = site.keeper().await;
    site.node.wait_ready().await.unwrap();
    let alice = site.agent().await;
    assert_serves(&alice).await;
    site.assert_filters("with the unit").await;
    let before = Seen::of(&site.node).await;
    assert!(before.peer > 0 && before.dropped > 0, "{before:?}");

    // What the node may touch is the peers, and the sum of those that left.
    let set = site.host.path(Path::new(PINS));
    let maps = names(&set)
        .into_iter()
        .find(|name| name.starts_with("maps-"));
    let set = set.join(maps.unwrap()).join("ethernet");
    for (map, mode) in [
        ("kw_config", 0o600),
        ("kw_peers", 0o660),
        ("kw_interfaces", 0o640),
    ] {
        let metadata = fs::metadata(set.join(map)).unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(permissions & 0o777, mode, "{map}");
    }

    // A peer more and one less are the kernel's at once.
    let stranger = STRANGER.parse().unwrap();
    site.node.add_peer("bob", stranger, "agents").await.unwrap();
    let endpoint = site.node.endpoint();
    assert!(!is_silent(&site.alice, endpoint, STRANGER, "wt1").await);
    site.node
        .cli(&["peers", "remove", "bob"], "")
        .await
        .unwrap();
    assert!(is_silent(&site.alice, endpoint, STRANGER, "wt1").await);

    drop(keeper);
    assert_serves(&alice).await;
    site.assert_filters("without the unit").await;
    // That is told in a while, and what is open stays open.
    let told = site.node.wait_unready("nobody keeps the kernel program");
    told.await.unwrap();
    assert_serves(&alice).await;
    let _keeper = site.keeper().await;
    site.node.wait_ready().await.unwrap();
    assert_serves(&alice).await;
    site.assert_filters("with the next unit").await;
    let after = Seen::of(&site.node).await;
    assert!(after.peer > before.peer && after.dropped > before.dropped);
    assert_eq!(
        after.all_from_peers,
        after.peer + after.departed,
        "{after:?}"
    );

    // An interface that comes is covered.
    site.host
        .lay_cable("late0", &site.outside, "late1")
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = answer(&site.node, &["admission", "status"]).await;
        let late = crate::admission::interface(&status, "late0");
        if late.is_some_and(|late| late["mode"] != "none") {
            assert_eq!(status["in_front"], true, "{status:#}");
            break;
        }
        assert!(Instant::now() < deadline, "{status:#}");
        sleep(LOOK_INTERVAL).await;
    }
    site.node.stop().await.unwrap();
}

#[tokio::test]
async fn peers_follow_a_device_that_returns_with_other_frames() {
    let test = "peers_follow_a_device_that_returns_with_other_frames";
    let Some(site) = Site::start(test, "keeper = \"unit\"", None).await else {
        return;
    };
    let _keeper = site.keeper().await;
    site.node.wait_ready().await.unwrap();
    assert_serves(&site.agent().await).await;
    let before = Seen::of(&site.node).await;

    // Its packets begin with the IP header, so other programs with other maps are in front of it.
    site.host.run("ip link del wt0").unwrap();
    site.node.wait_unready("wt0").await.unwrap();
    site.host.run("ip tuntap add wt0 mode tun").unwrap();
    site.host.set_up("wt0", &format!("{ENDPOINT}/24")).unwrap();
    site.node.wait_ready().await.unwrap();
    let status = answer(&site.node, &["admission", "status"]).await;
    assert_eq!(status["in_front"], true, "{status:#}");
    let overlay = crate::admission::interface(&status, "wt0").unwrap();
    assert_eq!(text(overlay, "role"), "overlay", "{status:#}");
    assert_eq!(status["peers"], 1, "{status:#}");
    let departed = number(&status["departed"]["ingress"], "packets");
    assert!(departed >= before.peer, "{before:?} {status:#}");
    let state = fs::read_to_string(site.host.path(Path::new(STATE))).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["overlay"], "ip", "{state:#}");
    site.node.stop().await.unwrap();
}
