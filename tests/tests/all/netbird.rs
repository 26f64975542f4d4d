//! Identity from NetBird: what its management API says decides who is let in and with which groups, for
//! as long as it is known.

mod outage;

use std::{fs, net::IpAddr, os::unix::fs::OpenOptionsExt as _, path::Path};

use gateway_tests::{
    agent::{Agent, PATIENCE, Version},
    memory::{self, Wanted},
    netbird::{Account, NetBird, Trouble},
    node::ALICE,
};
use http::{Method, StatusCode};
use tempfile::TempDir;
use tokio::time::{Duration, Instant, sleep};

use super::{
    revoked::{self, END_TIME_MAX, Streaming, VERSIONS},
    *,
};

const TOKEN: &str = "nbp_standin0123456789abcdef0123456789ab";
const PEERS: &str = "/api/agent-network/peers";
/// A machine without a user, and a peer outside the group.
const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));
const CAROL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 4));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Alice and Bob are in the group `agents`, Carol is not.
fn account(crowd: u32) -> Account {
    let mut account = Account::with_crowd(crowd);
    account.add_group("grp-agents", "agents");
    account.add_group("grp-trap", "not hers");
    account.add_group("grp-agents-and-a-long-name", "control");
    account.add_user("ada");
    account.add_peer("alice", ALICE, "ada", &["grp-agents"]);
    account.add_peer("bob", BOB, "", &["grp-agents"]);
    account.add_peer("carol", CAROL, "ada", &[]);
    account
}

/// NetBird, a provider, and a node that knows both.
struct Site {
    netbird: NetBird,
    standin: StandIn,
    node: Node,
    /// Of the token and the CA.
    _files: TempDir,
    token_file: std::path::PathBuf,
}

impl Site {
    async fn start(account: Account, identity: &str) -> Self {
        Self::start_with(account, identity, NodeOptions::default()).await
    }

    /// A node that may not be ready yet.
    async fn start_with(account: Account, identity: &str, options: NodeOptions) -> Self {
        let netbird = NetBird::start(account, TOKEN).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let (token_file, ca) = (files.path().join("token"), files.path().join("ca.pem"));
        write_token(&token_file, TOKEN);
        fs::write(&ca, netbird.ca_pem()).unwrap();
        let identity = format!(
            "source = \"netbird\"\nnetbird_url = {:?}\nnetbird_token_file = {token_file:?}\n\
             netbird_ca = {ca:?}\n{identity}",
            netbird.url(),
        );
        let identity = match identity.contains("netbird_refresh") {
            true => identity,
            false => format!("{identity}\nnetbird_refresh = \"1s\""),
        };
        let mut options = options;
        options.extra.push(("identity", identity));
        let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
        let standin = StandIn::start(standin).await.unwrap();
        let node = Node::start(options).await.unwrap();
        let provider = node.connect(&standin, Vendor::OpenAi, KEY).await.unwrap();
        node.wait_ready().await.unwrap();
        node.add_policy("agents-may", "agents", &provider)
            .await
            .unwrap();
        Self {
            netbird,
            standin,
            node,
            _files: files,
            token_file,
        }
    }

    /// The peer as the management API shows it.
    async fn peer(&self, id: &str) -> Value {
        let path = format!("{PEERS}/{id}");
        self.node.api_ok(Method::GET, &path, None).await.unwrap()
    }

    /// The value of a metric; 0 where it is not there.
    async fn metric(&self, name: &str) -> f64 {
        let (_, metrics) = self.node.telemetry("/metrics").await.unwrap();
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.map_or(0.0, |line| {
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        })
    }

    async fn wait_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.metric(name).await) {
            assert!(Instant::now() < deadline, "{name}\n{}", self.node.log());
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Ends all: nothing may have been wrong with requests, and the token is nowhere.
    async fn stop(self) {
        self.netbird.check().unwrap();
        let log = self.node.log();
        assert!(!log.contains("nbp_"), "the token is in the log");
        let (_, metrics) = self.node.telemetry("/metrics").await.unwrap();
        assert!(!metrics.contains("nbp_"));
        self.node.stop().await.unwrap();
    }
}

fn write_token(path: &Path, token: &str) {
    let mut file = fs::OpenOptions::new();
    let file = file
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    std::io::Write::write_all(&mut file.unwrap(), token.as_bytes()).unwrap();
}

/// What a request of an agent comes to.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    Served,
    /// By policy.
    Denied,
    /// Its connection is closed.
    Stranger,
}

async fn meets(agent: &Agent) -> Met {
    match agent.post(Version::Http1, CHAT, &chat("hi", false)).await {
        Ok(reply) if reply.status == StatusCode::OK => Met::Served,
        // It came while the change did.
        Ok(reply) if reply.error_code() == "llm_policy.peer_revoked" => Met::Stranger,
        Ok(reply) => {
            assert_eq!(reply.error_code(), "llm_policy.no_authorised_provider");
            Met::Denied
        }
        Err(_) => Met::Stranger,
    }
}

async fn until(agent: &Agent, wanted: Met) {
    let deadline = Instant::now() + PATIENCE;
    while meets(agent).await != wanted {
        assert!(Instant::now() < deadline, "never {wanted:?}");
        sleep(LOOK_INTERVAL).await;
    }
}

#[tokio::test]
async fn thousands_of_peers_come_with_their_users_and_groups() {
    let site = Site::start(account(5_000), "").await;
    let node = &site.node;
    let alice = node.alice().await.unwrap();
    let bob = node.agent(BOB).await.unwrap();
    for version in VERSIONS {
        for agent in [&alice, &bob] {
            let reply = agent.post(version, CHAT, &chat("hi", false)).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        }
    }
    // Her owner's groups would not help her: they are not the peer's.
    assert_eq!(meets(&node.agent(CAROL).await.unwrap()).await, Met::Denied);
    assert_eq!(
        meets(&node.agent(STRANGER).await.unwrap()).await,
        Met::Stranger
    );

    let rows = node.records(5).await.unwrap();
    let users: Vec<_> = rows.iter().map(|row| text(row, "user_id")).collect();
    assert_eq!(
        users.iter().filter(|user| **user == "ada").count(),
        3,
        "{rows:#?}"
    );
    assert_eq!(
        users.iter().filter(|user| **user == "bob").count(),
        2,
        "{rows:#?}"
    );

    let peers = node.api_ok(Method::GET, PEERS, None).await.unwrap();
    assert_eq!(peers.as_array().unwrap().len(), 5_003);
    let listed = node.cli(&["peers", "list"], "").await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let line = listed.lines().find(|line| line.contains("alice-laptop"));
    for part in [
        "127.0.0.2",
        "ada@example.com",
        "agents",
        "netbird",
        " s ",
        "let in",
    ] {
        assert!(line.unwrap().contains(part), "{part} in {line:?}");
    }
    let name = "keyway_identity_peers{source=\"netbird\",state=\"let_in\"}";
    assert_eq!(site.metric(name).await, 5_003.0);

    // They are NetBird's to change.
    let blocked = node
        .cli_any(&["peers", "block", "alice-laptop"], "")
        .await
        .unwrap();
    let told = String::from_utf8(blocked.stderr).unwrap();
    assert!(
        !blocked.status.success() && told.contains("NetBird"),
        "{told}"
    );

    // Another order of the same is no change: nothing is published.
    let revision = site.metric("keyway_config_revision").await;
    site.netbird.edit(|account| account.peers.reverse());
    site.netbird.wait_readings(3, PATIENCE).await.unwrap();
    assert_eq!(site.metric("keyway_config_revision").await, revision);
    assert_eq!(site.metric("keyway_identity_changes_total").await, 1.0);
    assert_eq!(site.standin.stats().answered, 4);
    site.stop().await;
}

type Edit = fn(&mut Account);

#[tokio::test]
async fn what_a_peer_or_its_owner_becomes_holds_with_the_next_reading() {
    let site = Site::start(account(0), "").await;
    let alice = site.node.alice().await.unwrap();
    until(&alice, Met::Served).await;
    let cases: [(Edit, Edit, &str); 7] = [
        (
            |account| account.user("ada")["is_blocked"] = json!(true),
            |account| account.user("ada")["is_blocked"] = json!(false),
            "owner_blocked",
        ),
        (
            |account| account.user("ada")["status"] = json!("invited"),
            |account| account.user("ada")["status"] = json!("active"),
            "owner_inactive",
        ),
        (
            |account| account.user("ada")["pending_approval"] = json!(true),
            |account| account.user("ada")["pending_approval"] = json!(false),
            "owner_pending",
        ),
        (
            |account| account.user("ada")["id"] = json!("somebody"),
            |account| account.user("somebody")["id"] = json!("ada"),
            "owner_unknown",
        ),
        (
            |account| account.peer("alice")["login_expired"] = json!(true),
            |account| account.peer("alice")["login_expired"] = json!(false),
            "login_expired",
        ),
        (
            |account| account.peer("alice")["approval_required"] = json!(true),
            |account| account.peer("alice")["approval_required"] = json!(false),
            "approval_required",
        ),
        (
            |account| account.peer("alice")["ip"] = json!("127.0.0.77"),
            |account| account.peer("alice")["ip"] = json!(ALICE),
            "",
        ),
    ];
    for (worse, better, denial) in cases {
        let stream = Streaming::begin(&alice, Version::Http2).await;
        let idle = revoked::idle(&alice, Version::Http1).await;
        site.netbird.edit(worse);
        until(&alice, Met::Stranger).await;
        let deadline = Instant::now() + END_TIME_MAX;
        let read = stream.read_to_cut(deadline).await;
        assert!(read.contains("llm_policy.peer_revoked"), "{read}");
        revoked::assert_ends(idle, deadline).await;
        let shown = site.peer("alice").await;
        assert_eq!(shown["let_in"], denial.is_empty(), "{shown}");
        assert_eq!(shown["denial"].as_str().unwrap_or_default(), denial);
        site.netbird.edit(better);
        until(&alice, Met::Served).await;
    }
    // Gone altogether. One reading is enough; another one may have been under way.
    site.netbird
        .edit(|account| account.peers.retain(|peer| peer["id"] != "alice"));
    site.netbird.wait_readings(2, PATIENCE).await.unwrap();
    site.netbird.trouble(Some(Trouble::Status(503)));
    until(&alice, Met::Stranger).await;
    let path = format!("{PEERS}/alice");
    let (status, _) = site.node.api(Method::GET, &path, None).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    site.stop().await;
}

#[tokio::test]
async fn a_peer_that_leaves_a_group_may_no_more_on_the_connection_it_has() {
    let site = Site::start(account(0), "").await;
    let alice = site.node.alice().await.unwrap();
    until(&alice, Met::Served).await;
    let mut session = alice.session(Version::Http2).await.unwrap();
    let json = [("content-type", "application/json")];
    let mut ask = async || {
        let body = bytes::Bytes::from(chat("hi", false).to_string());
        let reply = session.begin(Method::POST, CHAT, &json, body).await;
        reply.unwrap().status()
    };
    assert_eq!(ask().await, StatusCode::OK);
    site.netbird.edit(|account| account.regroup("alice", &[]));
    let deadline = Instant::now() + PATIENCE;
    while ask().await != StatusCode::FORBIDDEN {
        assert!(Instant::now() < deadline, "she still may");
        sleep(LOOK_INTERVAL).await;
    }
    site.netbird
        .edit(|account| account.regroup("alice", &["grp-agents"]));
    until(&alice, Met::Served).await;
    site.stop().await;
}

#[tokio::test]
async fn the_token_is_in_no_memory_between_two_readings() {
    let test = "the_token_is_in_no_memory_between_two_readings";
    let seldom = "netbird_refresh = \"1h\"\nnetbird_max_age = \"2h\"";
    let site = Site::start(account(0), seldom).await;
    site.wait_metric("keyway_identity_reads_total", |count| count == 1.0)
        .await;
    let pid = site.node.pid().unwrap();
    if let Err(error) = memory::may_scan(pid) {
        skip(test, &format!("reading /proc/PID/mem: {error}"));
        return;
    }
    let token = Wanted {
        name: "the token",
        secret: TOKEN.as_bytes(),
    };
    // No secret, and always there: what shows that the scan can see.
    let control = Wanted {
        name: "a group's id",
        secret: b"grp-agents-and-a-long-name",
    };
    let scan = memory::scan(pid, &[token, control]).unwrap();
    let leaks: Vec<_> = scan.leaks().collect();
    assert!(
        leaks.iter().all(|found| found.name == control.name),
        "{leaks:?}"
    );
    assert!(!leaks.is_empty(), "the scan sees nothing");
    site.stop().await;
}

#[tokio::test]
async fn an_ipv6_address_is_as_good() {
    let address: IpAddr = "::1".parse().unwrap();
    let mut account = account(0);
    account.peer("alice")["ipv6"] = json!(address);
    let options = NodeOptions {
        overlay: Some(("lo", address)),
        ..NodeOptions::default()
    };
    let site = Site::start_with(account, "", options).await;
    let alice = site.node.agent(address).await.unwrap();
    until(&alice, Met::Served).await;
    let row = site.node.only_record().await.unwrap();
    assert_eq!(text(&row, "user_id"), "ada");
    site.netbird
        .edit(|account| account.peer("alice")["ipv6"] = json!("fd00::1"));
    until(&alice, Met::Stranger).await;
    site.stop().await;
}
