//! The kernel program outlives the process that attached it: killed, restarted, replaced a hundred times
//! under load, kept by a unit of its own for a node without capabilities, and removed without a trace.

mod replaced;
mod stays;
mod unit;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use gateway_tests::{
    agent::{Agent, PATIENCE, Version},
    node::keyway,
};
use tokio::time::{Instant, sleep};

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

/// TCX programs on a device.
fn programs_on(host: &Machine, device: &str, side: TcAttachType) -> usize {
    let query = || SchedClassifier::query_tcx(device, side).map_err(std::io::Error::other);
    let (_, programs) = host.within(query).unwrap();
    programs.len()
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
