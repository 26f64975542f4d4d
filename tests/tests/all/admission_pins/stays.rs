//! What stays when a process ends, and what a detach leaves.

use super::*;

#[tokio::test]
async fn a_killed_node_leaves_the_filter_and_the_next_one_goes_on_with_it() {
    let test = "a_killed_node_leaves_the_filter_and_the_next_one_goes_on_with_it";
    let Some(mut site) = Site::start(test, "", None).await else {
        return;
    };
    site.node.wait_ready().await.unwrap();
    assert_serves(&site.agent().await).await;
    site.assert_filters("at first").await;
    let before = Seen::of(&site.node).await;
    assert!(before.peer > 0 && before.dropped > 0, "{before:?}");

    site.node.signal(libc::SIGKILL).unwrap();
    while site.node.telemetry("/healthz").await.is_ok() {
        sleep(LOOK_INTERVAL).await;
    }
    site.assert_filters("without a node").await;

    site.node = site.node.kill_and_restart().await.unwrap();
    site.node.wait_ready().await.unwrap();
    let after = Seen::of(&site.node).await;
    assert!(after.peer > before.peer, "{before:?} {after:?}");
    assert!(after.dropped > before.dropped, "{before:?} {after:?}");
    assert_eq!(after.all_from_peers, after.peer, "{after:?}");
    assert_serves(&site.agent().await).await;
    assert_watches(&site);

    // What a peer had counted stays in the sum, also over a restart.
    site.node
        .cli(&["peers", "remove", "alice"], "")
        .await
        .unwrap();
    let departed = answer(&site.node, &["admission", "status"]).await;
    let departed = number(&departed["departed"]["ingress"], "packets");
    assert!(departed >= after.peer);
    site.node = site.node.restart().await.unwrap();
    site.node.wait_ready().await.unwrap();
    let status = answer(&site.node, &["admission", "status"]).await;
    assert_eq!(number(&status["departed"]["ingress"], "packets"), departed);
    assert_eq!(status["peers"], 0);
}

#[tokio::test]
async fn detach_leaves_nothing_and_only_without_a_node() {
    let test = "detach_leaves_nothing_and_only_without_a_node";
    let Some(site) = Site::start(test, "", None).await else {
        return;
    };
    site.node.wait_ready().await.unwrap();
    site.assert_filters("at first").await;
    let links = site.links();
    assert_eq!(links.len(), 3, "{links:?}");

    let refused = site.keyway(&["admission", "detach"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("stop it"),
        "{said}"
    );
    assert_eq!(site.links(), links);

    let endpoint = site.node.endpoint();
    let directory = site.node.directory().to_owned();
    let config = fs::read_to_string(directory.join("keyway.toml")).unwrap();
    let (host, outside) = (Arc::clone(&site.host), Arc::clone(&site.outside));
    site.node.stop().await.unwrap();
    assert!(
        is_silent(&outside, endpoint, PROBER, "out1").await,
        "a clean stop leaves the filter"
    );

    // Its directory is gone with the node; the configuration is written again elsewhere.
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("keyway.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(keyway().unwrap());
    command.args(["admission", "detach", "--config"]).arg(&file);
    host.enter(&mut command);
    let detached = command.output().unwrap();
    let said = String::from_utf8_lossy(&detached.stdout);
    assert!(
        detached.status.success() && said.contains("3 links"),
        "{said}"
    );
    assert!(!is_silent(&outside, endpoint, PROBER, "out1").await);
    assert!(names(&host.path(Path::new("/sys/fs/bpf"))).is_empty());
    assert!(!host.path(Path::new(STATE)).exists());
    let shown = host.run("ip -d link show").unwrap();
    assert!(!shown.contains("xdp"), "{shown}");
    let filters = host.run("tc filter show dev wt0 ingress").unwrap();
    assert!(filters.is_empty(), "{filters}");
    for (device, side) in [
        ("wt0", TcAttachType::Ingress),
        ("wt0", TcAttachType::Egress),
        ("out0", TcAttachType::Ingress),
    ] {
        assert_eq!(programs_on(&host, device, side), 0, "{device}");
    }
}

/// `keyway admission watch` for programs: a line every second, with rates from the second one on.
fn assert_watches(site: &Site) {
    let mut command = site.command(&["admission", "watch", "--output", "json"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = std::io::BufReader::new(watch.stdout.take().unwrap());
    let lines = std::io::BufRead::lines(stdout).take(2);
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    for line in &lines {
        assert_eq!(line["in_front"], true, "{line:#}");
        assert_eq!(line["peers"][0]["address"], PEER, "{line:#}");
    }
    let rate = |line: &Value| line["verdicts"][0]["packets_per_second"].as_u64();
    assert!(rate(&lines[0]).is_none() && rate(&lines[1]).is_some());
    // SAFETY: plain numbers; the child is not reaped yet, so the id is still its own.
    unsafe { libc::kill(watch.id() as libc::pid_t, libc::SIGINT) };
    assert!(watch.wait().unwrap().success());
}
