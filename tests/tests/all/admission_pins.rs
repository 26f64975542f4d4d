//! The kernel program outlives the process that attached it: killed, restarted, replaced a hundred times
//! under load, kept by a unit of its own for a node without capabilities, and removed without a trace.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use gateway_tests::{
    agent::{Agent, PATIENCE, Version},
    node::keyway,
};
use tokio::{
    net::TcpSocket,
    time::{Instant, sleep, timeout},
};

use super::{
    admission::{answer, is_silent, packets},
    *,
};

const ENDPOINT: &str = "100.64.0.1";
const PEER: &str = "100.64.0.7";
const STRANGER: &str = "100.64.0.8";
const PROBER: &str = "192.0.2.2";
const PINS: &str = "/sys/fs/bpf/keyway";
const STATE: &str = "/run/keyway-admission/state.json";
/// Debian's `nobody` and `nogroup`.
const NOBODY: libc::uid_t = 65_534;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The node's machine, alice's on the overlay (`wt0`), and one that is not on it (`out0`).
struct Site {
    host: Arc<Machine>,
    alice: Arc<Machine>,
    outside: Arc<Machine>,
    _standin: StandIn,
    node: Node,
}

impl Site {
    /// A node whose admission is pinned and required; alice is a peer and may.
    async fn start(test: &str, admission: &str, user: Option<libc::uid_t>) -> Option<Self> {
        let [host, alice, outside] = machines(test)?;
        host.run("mount -t bpf bpf /sys/fs/bpf -o mode=0755")
            .unwrap();
        host.run("mount -t tmpfs tmpfs /run").unwrap();
        host.lay_cable("wt0", &alice, "wt1").unwrap();
        host.lay_cable("out0", &outside, "out1").unwrap();
        host.set_up("wt0", &format!("{ENDPOINT}/24")).unwrap();
        host.set_up("out0", "192.0.2.1/24").unwrap();
        for address in [PEER, STRANGER] {
            alice.set_up("wt1", &format!("{address}/24")).unwrap();
        }
        outside.set_up("out1", &format!("{PROBER}/24")).unwrap();
        let way = format!("ip route add {ENDPOINT}/32 via 192.0.2.1");
        outside.run(&way).unwrap();
        let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
        let standin = StandIn::start_on(&host, standin).await.unwrap();
        let node = Node::start(NodeOptions {
            machine: Some(Arc::clone(&host)),
            overlay: Some(("wt0", ENDPOINT.parse().unwrap())),
            admission: Some("required"),
            extra: vec![(
                "admission",
                format!("pins = {PINS:?}\nstate = {STATE:?}\ngroup = \"nogroup\"\n{admission}"),
            )],
            user,
            ..NodeOptions::default()
        });
        let node = node.await.unwrap();
        let provider = node.connect(&standin, Vendor::OpenAi, KEY).await.unwrap();
        let peer = PEER.parse().unwrap();
        node.add_peer("alice", peer, "agents").await.unwrap();
        let added = node.add_policy("agents-may", "agents", &provider).await;
        added.unwrap();
        Some(Self {
            host,
            alice,
            outside,
            _standin: standin,
            node,
        })
    }

    async fn agent(&self) -> Agent {
        let peer = PEER.parse().unwrap();
        self.node.agent_on(&self.alice, peer).await.unwrap()
    }

    /// Whether the filter holds: silence for who is outside or a stranger, and an answer, be it a
    /// refusal, for alice.
    async fn assert_filters(&self, when: &str) {
        let endpoint = self.node.endpoint();
        let (alice, outside) = (&self.alice, &self.outside);
        assert!(is_silent(outside, endpoint, PROBER, "out1").await, "{when}");
        assert!(is_silent(alice, endpoint, STRANGER, "wt1").await, "{when}");
        assert!(!is_silent(alice, endpoint, PEER, "wt1").await, "{when}");
    }

    /// Runs the command line on the node's machine, as root.
    fn keyway(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Attaches once.
    fn attach(&self) {
        let output = self.keyway(&["admission", "attach"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_as(Command::new(keyway().unwrap()), arguments)
    }

    /// As keyway-admission.service runs it: root, in the node's group, with three capabilities.
    fn as_unit(&self, arguments: &[&str]) -> Command {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--regid", "nogroup", "--clear-groups", "--no-new-privs"]);
        setpriv.args(["--bounding-set", "-all,+bpf,+net_admin,+perfmon"]);
        setpriv.arg(keyway().unwrap());
        self.command_as(setpriv, arguments)
    }

    fn command_as(&self, mut command: Command, arguments: &[&str]) -> Command {
        let config = self.node.directory().join("keyway.toml");
        command.args(arguments).arg("--config").arg(config);
        self.host.enter(&mut command);
        command
    }

    /// Starts the unit, and waits until it has looked.
    async fn keeper(&self) -> Keeper {
        let state = self.host.path(Path::new(STATE));
        let before = fs::read_to_string(&state).unwrap_or_default();
        let log = self.node.directory().join("keeper.log");
        let log = fs::File::options().create(true).append(true).open(log);
        let mut command = self.as_unit(&["admission", "attach", "--watch"]);
        let keeper = Keeper(
            (command.stdin(Stdio::null()).stdout(Stdio::null()))
                .stderr(log.unwrap())
                .spawn()
                .unwrap(),
        );
        wait("the unit's state", || {
            fs::read_to_string(&state).is_ok_and(|text| text != before)
        })
        .await;
        keeper
    }

    fn links(&self) -> Vec<String> {
        names(&self.host.path(Path::new(PINS)).join("links"))
    }
}

/// `keyway admission attach --watch`.
struct Keeper(Child);

impl Drop for Keeper {
    /// As a crash would.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    let _keeper = site.keeper().await;
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
        let late = super::admission::interface(&status, "late0");
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
    let overlay = super::admission::interface(&status, "wt0").unwrap();
    assert_eq!(text(overlay, "role"), "overlay", "{status:#}");
    assert_eq!(status["peers"], 1, "{status:#}");
    let departed = number(&status["departed"]["ingress"], "packets");
    assert!(departed >= before.peer, "{before:?} {status:#}");
    let state = fs::read_to_string(site.host.path(Path::new(STATE))).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["overlay"], "ip", "{state:#}");
    site.node.stop().await.unwrap();
}

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
    let overlay = super::admission::interface(&status, "wt0").unwrap();
    for count in overlay["counters"].as_array().unwrap() {
        let (verdict, packets) = (text(count, "verdict"), number(count, "packets"));
        assert!(verdict == "pass" || packets == 0, "{count}");
    }
    assert!(probes > SWAPS as u64 && calls > 0);
    assert_eq!(site.links().len(), 3, "{:?}", site.links());
    site.node.stop().await.unwrap();
}

/// What the kernel counted.
#[derive(Debug)]
struct Seen {
    /// From alice.
    peer: u64,
    /// From all peers, on the interface.
    all_from_peers: u64,
    departed: u64,
    /// From outside.
    dropped: u64,
}

impl Seen {
    /// Read while nothing moves.
    async fn of(node: &Node) -> Self {
        let peers = answer(node, &["admission", "peers"]).await;
        let status = answer(node, &["admission", "status"]).await;
        Self {
            peer: number(&peers[0]["ingress"], "packets"),
            all_from_peers: packets(&status, "wt0", "from_peer"),
            departed: number(&status["departed"]["ingress"], "packets"),
            dropped: packets(&status, "out0", "not_overlay"),
        }
    }
}

async fn assert_serves(agent: &Agent) {
    let reply = agent.post(Version::Http1, CHAT, &chat("hi", false)).await;
    assert_eq!(reply.unwrap().status, 200);
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

/// TCX programs on a device.
fn programs_on(host: &Machine, device: &str, side: TcAttachType) -> usize {
    let query = || SchedClassifier::query_tcx(device, side).map_err(std::io::Error::other);
    let (_, programs) = host.within(query).unwrap();
    programs.len()
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

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // What every bpffs has.
    names.filter(|name| !name.ends_with(".debug")).collect()
}

async fn wait(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} does not come");
        sleep(LOOK_INTERVAL).await;
    }
}
