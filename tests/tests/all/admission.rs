//! The kernel program in front of a real node: machines, devices and routes of the test's own.

use std::{net::SocketAddr, time::Duration};

use gateway_tests::agent::Version;
use http::Method;
use tokio::{net::TcpSocket, time::timeout};

use super::*;

pub(super) const ENDPOINT: &str = "100.64.0.1";
pub(super) const PEER: &str = "100.64.0.7";
const STRANGER: &str = "100.64.0.8";
/// A connection that is not answered within this time meets silence: an answer takes microseconds.
pub(super) const SILENCE: Duration = Duration::from_millis(700);

#[tokio::test]
async fn only_peers_on_the_overlay_reach_the_endpoint() {
    let test = "only_peers_on_the_overlay_reach_the_endpoint";
    let Some([host, outside]) = machines(test) else {
        return;
    };
    // `wt0` is the overlay, `out0` everything else; the far ends are one machine.
    for (device, far, address) in [("wt0", "wt1", ENDPOINT), ("out0", "out1", "192.0.2.1")] {
        host.lay_cable(device, &outside, far).unwrap();
        host.set_up(device, &format!("{address}/24")).unwrap();
    }
    for (device, address) in [("wt1", PEER), ("wt1", STRANGER), ("out1", "192.0.2.2")] {
        outside.set_up(device, &format!("{address}/24")).unwrap();
    }
    // The way around the overlay.
    for way in ["via 192.0.2.1 dev out1 metric 9", "dev wt1 metric 1"] {
        outside
            .run(&format!("ip route add {ENDPOINT}/32 {way}"))
            .unwrap();
    }
    let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
    let standin = StandIn::start_on(&host, standin).await.unwrap();
    let node = Node::start(NodeOptions {
        machine: Some(Arc::clone(&host)),
        overlay: Some(("wt0", ENDPOINT.parse().unwrap())),
        admission: Some("required"),
        ..NodeOptions::default()
    });
    let node = node.await.unwrap();
    let provider = node.connect(&standin, Vendor::OpenAi, KEY).await.unwrap();
    let peer = PEER.parse().unwrap();
    node.add_peer("alice", peer, "agents").await.unwrap();
    let added = node.add_policy("agents-may", "agents", &provider).await;
    added.unwrap();
    node.wait_ready().await.unwrap();

    let alice = node.agent_on(&outside, peer).await.unwrap();
    let endpoint = node.endpoint();
    let reply = alice.post(Version::Http1, CHAT, &chat("hi", false)).await;
    assert_eq!(reply.unwrap().status, 200);
    assert!(is_silent(&outside, endpoint, "192.0.2.2", "out1").await);
    assert!(
        is_silent(&outside, endpoint, PEER, "out1").await,
        "a claimed source"
    );
    assert!(is_silent(&outside, endpoint, STRANGER, "wt1").await);
    let other_port = SocketAddr::new(endpoint.ip(), 9);
    assert!(
        !is_silent(&outside, other_port, STRANGER, "wt1").await,
        "another port"
    );

    let status = answer(&node, &["admission", "status"]).await;
    assert_eq!(status["in_front"], true, "{status:#}");
    for (interface, reason) in [
        ("out0", "not_overlay"),
        ("wt0", "unknown_peer"),
        ("wt0", "from_peer"),
        ("wt0", "to_peer"),
    ] {
        assert!(
            packets(&status, interface, reason) > 0,
            "{interface} {reason}: {status:#}"
        );
        let (_, metrics) = node.telemetry("/metrics").await.unwrap();
        let sample = format!(
            "keyway_admission_packets_total{{interface=\"{interface}\",reason=\"{reason}\"}}"
        );
        assert!(metrics.contains(&sample), "{sample}");
    }
    let peers = answer(&node, &["admission", "peers"]).await;
    assert_eq!(peers[0]["address"], PEER);
    assert_eq!(peers[0]["groups"], json!(["agents"]));
    assert_eq!(
        number(&peers[0]["ingress"], "packets"),
        packets(&status, "wt0", "from_peer"),
    );
    let table = node.cli(&["admission", "status"], "").await.unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("not_overlay"));

    node.cli(&["peers", "remove", "alice"], "").await.unwrap();
    assert!(
        is_silent(&outside, endpoint, PEER, "wt1").await,
        "a removed peer"
    );
    let status = answer(&node, &["admission", "status"]).await;
    assert_eq!(status["peers"], 0);
    assert!(number(&status["departed"]["ingress"], "packets") > 0);

    // A new interface is covered, one that vanished is released.
    host.lay_cable("late0", &outside, "late1").unwrap();
    wait_interface(&node, "late0", true).await;
    host.run("ip link delete late0").unwrap();
    wait_interface(&node, "late0", false).await;
    node.stop().await.unwrap();
}

/// Neither a connection nor a refusal.
pub(super) async fn is_silent(from: &Machine, to: SocketAddr, source: &str, device: &str) -> bool {
    let socket = from.within(|| match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    });
    let socket = socket.unwrap();
    socket.bind_device(Some(device.as_bytes())).unwrap();
    let source = SocketAddr::new(source.parse().unwrap(), 0);
    socket.bind(source).unwrap();
    timeout(SILENCE, socket.connect(to)).await.is_err()
}

/// What a command prints for programs.
pub(super) async fn answer(node: &Node, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    let output = node.cli(&arguments, "").await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(super) fn interface<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let interfaces = status["interfaces"].as_array()?;
    interfaces.iter().find(|one| one["name"] == name)
}

pub(super) fn packets(status: &Value, name: &str, reason: &str) -> u64 {
    let counted = || {
        let counters = interface(status, name)?["counters"].as_array()?;
        let count = counters.iter().find(|one| one["reason"] == reason)?;
        count["packets"].as_u64()
    };
    counted().unwrap_or(0)
}

async fn wait_interface(node: &Node, name: &str, there: bool) {
    let looks = async {
        loop {
            let status = node
                .api_ok(Method::GET, "/api/agent-network/admission", None)
                .await
                .unwrap();
            if interface(&status, name).is_some() == there {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(gateway_tests::agent::PATIENCE, looks)
        .await
        .unwrap_or_else(|_| panic!("{name} is there: not {there}"));
}
