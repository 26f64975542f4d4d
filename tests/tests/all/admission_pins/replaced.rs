//! A program in the place of its forerunner: under load, after a crash, from another version.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::{net::TcpSocket, time::timeout};

use super::*;

#[tokio::test]
async fn another_versions_maps_are_left_behind_and_their_peers_are_not() {
    let test = "another_versions_maps_are_left_behind_and_their_peers_are_not";
    let Some(site) = Site::start(test, "keeper = \"unit\"", None).await else {
        return;
    };
    site.attach();
    site.node.wait_ready().await.unwrap();
    assert_serves(&site.agent().await).await;
    // Nobody but the next keeper is there to know the peers.
    site.node.signal(libc::SIGKILL).unwrap();
    let pins = site.host.path(Path::new(PINS));
    let maps = || -> Vec<String> {
        let names = names(&pins).into_iter();
        names.filter(|name| name.starts_with("maps-")).collect()
    };
    let current = maps();
    assert_eq!(current.len(), 1, "{current:?}");
    fs::rename(pins.join(&current[0]), pins.join("maps-0-another")).unwrap();
    site.assert_filters("with the maps of another version")
        .await;
    site.attach();
    assert_eq!(maps(), current);
    site.assert_filters("with maps of this version").await;
}

/// How often a keeper is killed on its way.
const KILLS: u64 = 24;

#[tokio::test]
async fn what_a_killed_keeper_leaves_the_next_one_repairs() {
    let test = "what_a_killed_keeper_leaves_the_next_one_repairs";
    let Some(site) = Site::start(test, "keeper = \"unit\"", None).await else {
        return;
    };
    let mut finished = 0;
    let start = Instant::now();
    site.attach();
    let whole = start.elapsed();
    let detached = site.keyway(&["admission", "detach"]);
    assert!(detached.status.success());
    for kill in 0..KILLS {
        let mut attach = site.command(&["admission", "attach"]);
        let mut attach = attach.stdout(Stdio::null()).spawn().unwrap();
        sleep(whole.mul_f64(kill as f64 / KILLS as f64)).await;
        finished += u64::from(attach.try_wait().unwrap().is_some());
        attach.kill().unwrap();
        attach.wait().unwrap();
        // Half of them begin with nothing, the others with what is there.
        if kill == KILLS / 2 {
            site.attach();
        }
    }
    assert!(finished < KILLS, "none was killed");
    site.attach();
    site.node.wait_ready().await.unwrap();
    site.assert_filters("in the end").await;
    assert_serves(&site.agent().await).await;
    assert_eq!(site.links().len(), 3, "{:?}", site.links());
    for (side, programs) in [(TcAttachType::Ingress, 1), (TcAttachType::Egress, 1)] {
        assert_eq!(programs_on(&site.host, "wt0", side), programs);
    }
    assert_eq!(programs_on(&site.host, "out0", TcAttachType::Ingress), 0);
    site.node.stop().await.unwrap();
}

/// How often the programs are replaced.
const SWAPS: usize = 100;
/// A connection attempt from outside is given up after this; the kernel repeats a SYN after a second.
const PROBE_TIME: Duration = Duration::from_millis(40);
const PROBERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_leak_nothing_and_drop_nothing() {
    let test = "a_hundred_swaps_under_load_leak_nothing_and_drop_nothing";
    let Some(site) = Site::start(test, "keeper = \"unit\"", None).await else {
        return;
    };
    site.attach();
    site.node.wait_ready().await.unwrap();
    let alice = site.agent().await;
    assert_serves(&alice).await;
    let (before, program) = (Seen::of(&site.node).await, program_of(&site.host));
    // Tail loss probes repeat segments that are only late.
    for machine in [&site.alice, &site.host] {
        let off = machine.within(|| fs::write("/proc/sys/net/ipv4/tcp_early_retrans", "0"));
        off.unwrap();
    }

    let (stop, probes, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..PROBERS {
        let (stop, probes) = (Arc::clone(&stop), Arc::clone(&probes));
        let (outside, endpoint) = (Arc::clone(&site.outside), site.node.endpoint());
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let socket = outside.within(TcpSocket::new_v4).unwrap();
                probes.fetch_add(1, Ordering::Relaxed);
                let met = timeout(PROBE_TIME, socket.connect(endpoint)).await;
                assert!(met.is_err(), "a probe from outside met {met:?}");
            }
        });
    }
    {
        let (stop, calls, alice) = (Arc::clone(&stop), Arc::clone(&calls), alice.clone());
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                assert_serves(&alice).await;
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::task::block_in_place(|| (0..SWAPS).for_each(|_| site.attach()));
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let after = Seen::of(&site.node).await;
    let (probes, calls) = (
        probes.load(Ordering::Relaxed),
        calls.load(Ordering::Relaxed),
    );
    println!("{SWAPS} swaps, {probes} probes from outside, {calls} requests");
    assert_ne!(program_of(&site.host), program, "nothing was replaced");
    let sent = probes + counter(&site.outside, "RetransSegs");
    assert_eq!(
        after.dropped - before.dropped,
        sent,
        "dropped, of those sent"
    );
    // What was repeated came twice, and was never lost: its receiver said so (RFC 2883).
    let lost = || {
        let machines = [&site.alice, &site.host];
        let sum = |name| -> u64 { machines.iter().map(|one| counter(one, name)).sum() };
        sum("RetransSegs").saturating_sub(sum("TCPDSACKRecv"))
    };
    wait("a receipt of every repeated segment", || lost() == 0).await;
    let status = answer(&site.node, &["admission", "status"]).await;
    let overlay = crate::admission::interface(&status, "wt0").unwrap();
    for count in overlay["counters"].as_array().unwrap() {
        let (verdict, packets) = (text(count, "verdict"), number(count, "packets"));
        assert!(verdict == "pass" || packets == 0, "{count}");
    }
    assert!(probes > SWAPS as u64 && calls > 0);
    assert_eq!(site.links().len(), 3, "{:?}", site.links());
    site.node.stop().await.unwrap();
}

/// Id of the XDP program on `out0`.
fn program_of(host: &Machine) -> String {
    let shown = host.run("ip -d link show dev out0").unwrap();
    let program = shown.lines().find(|line| line.contains("prog/xdp"));
    program.expect("XDP is attached").to_owned()
}

/// What a machine's TCP has counted under this name.
fn counter(machine: &Machine, name: &str) -> u64 {
    let shown = machine.run("cat /proc/net/snmp /proc/net/netstat").unwrap();
    let lines: Vec<_> = shown.lines().collect();
    // A line of names, then one of values.
    let mut pairs = lines
        .chunks_exact(2)
        .flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
    let (_, value) = pairs.find(|(one, _)| *one == name).unwrap();
    value.parse().unwrap()
}
