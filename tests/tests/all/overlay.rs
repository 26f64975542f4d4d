//! The overlay's device as a real one: the node on a machine of its own, agents on another, a cable
//! between them that comes late, goes, and is laid anew.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_tests::{
    agent::{Agent, Version},
    machine::Machine,
};
use http::StatusCode;
use tokio::{io::AsyncReadExt as _, time::timeout};

use super::*;

const DEVICE: &str = "kw0";
/// At the agents' end of the cable.
const FAR_DEVICE: &str = "kw1";
const ACCEPTED: &str = "keyway_connections_accepted_total";
/// How long nobody may answer until it counts as silence.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a drain may take when nothing runs: far less than any time limit for agents.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// A provider and a node on `machine`, which waits for its device.
async fn deviceless(machine: &Arc<Machine>) -> (StandIn, Node) {
    let options = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
    let standin = StandIn::start_on(machine, options).await.unwrap();
    let node = Node::start(NodeOptions {
        machine: Some(Arc::clone(machine)),
        overlay: Some((DEVICE, "198.18.7.1".parse().unwrap())),
        // Connections that lost their device are waited for this long at the end.
        extra: vec![(
            "timeouts",
            "tls_handshake = \"500ms\"\nrequest_head = \"1s\"".to_owned(),
        )],
        ..NodeOptions::default()
    });
    let node = node.await.unwrap();
    let provider = node.connect(&standin, Vendor::OpenAi, KEY).await.unwrap();
    node.add_policy("agents-may", "agents", &provider)
        .await
        .unwrap();
    (standin, node)
}

/// An agent on `machine` that calls the node at another of its addresses.
async fn agent_on(machine: &Arc<Machine>, node: &Node, source: &str, endpoint: &str) -> Agent {
    let agent = node.agent_on(machine, source.parse().unwrap()).await;
    let mut agent = agent.unwrap();
    agent.endpoint.set_ip(endpoint.parse().unwrap());
    agent
}

/// Connections that came to the node's listeners.
async fn accepted(node: &Node) -> f64 {
    let (_, metrics) = node.telemetry("/metrics").await.unwrap();
    let accepted = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        name.starts_with(ACCEPTED)
            .then(|| value.parse::<f64>().unwrap())
    };
    metrics.lines().filter_map(accepted).sum()
}

async fn assert_serves(agent: &Agent) {
    for version in [Version::Http1, Version::Http2] {
        let reply = agent.post(version, CHAT, &chat("hi", false)).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }
}

#[tokio::test]
async fn the_device_may_come_late_vanish_and_return_as_another() {
    let test = "the_device_may_come_late_vanish_and_return_as_another";
    let Some([near, far]) = machines(test) else {
        return;
    };
    let (standin, node) = deviceless(&near).await;
    node.add_peer("alice", "198.18.7.2".parse().unwrap(), "agents")
        .await
        .unwrap();
    node.add_peer("bob", "198.18.8.2".parse().unwrap(), "agents")
        .await
        .unwrap();
    for reason in ["there is no device kw0", "device kw0 is down"] {
        node.wait_unready(reason).await.unwrap();
        node.wait_log(reason).await.unwrap();
        let status = node.cli(&["status"], "").await.unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains("listeners"), "{status}");
        if reason.contains("no device") {
            near.lay_cable(DEVICE, &far, FAR_DEVICE).unwrap();
        }
    }
    near.run("ip link set kw0 up").unwrap();
    node.wait_unready("device kw0 has no address")
        .await
        .unwrap();
    near.run("ip addr add 198.18.7.1/24 dev kw0").unwrap();
    far.set_up(FAR_DEVICE, "198.18.7.2/24").unwrap();
    node.wait_ready().await.unwrap();
    let alice = agent_on(&far, &node, "198.18.7.2", "198.18.7.1").await;
    assert_serves(&alice).await;

    let index = near.device_index(DEVICE).unwrap();
    near.run("ip link del kw0").unwrap();
    node.wait_unready("there is no device kw0").await.unwrap();

    // The same address on a device with another number.
    near.lay_cable(DEVICE, &far, FAR_DEVICE).unwrap();
    assert_ne!(near.device_index(DEVICE).unwrap(), index);
    far.set_up(FAR_DEVICE, "198.18.7.2/24").unwrap();
    near.set_up(DEVICE, "198.18.7.1/24").unwrap();
    node.wait_ready().await.unwrap();
    assert_serves(&alice).await;

    // Another address on the same device: the old one is not served any more.
    far.run("ip addr add 198.18.8.2/24 dev kw1").unwrap();
    near.run("ip addr add 198.18.8.1/24 dev kw0").unwrap();
    near.run("ip addr del 198.18.7.1/24 dev kw0").unwrap();
    let bob = agent_on(&far, &node, "198.18.8.2", "198.18.8.1").await;
    node.wait_log("listening address=198.18.8.1").await.unwrap();
    node.wait_ready().await.unwrap();
    assert_serves(&bob).await;
    let refused = timeout(SILENCE, alice.tcp()).await;
    assert!(!matches!(refused, Ok(Ok(_))), "the old address is served");

    assert_eq!(node.records(6).await.unwrap().len(), 6);
    assert_eq!(standin.stats().answered, 6);
    // Connections that lost their device never say farewell, and are not waited for.
    let since = Instant::now();
    node.stop().await.unwrap();
    assert!(since.elapsed() < STOP_LIMIT, "{:?}", since.elapsed());
}

#[tokio::test]
async fn only_the_overlays_device_leads_to_the_node() {
    let test = "only_the_overlays_device_leads_to_the_node";
    let Some([near, far, beside]) = machines(test) else {
        return;
    };
    let (standin, node) = deviceless(&near).await;
    near.lay_cable(DEVICE, &far, FAR_DEVICE).unwrap();
    near.lay_cable("side0", &beside, "side1").unwrap();
    near.set_up(DEVICE, "198.18.7.1/24").unwrap();
    far.set_up(FAR_DEVICE, "198.18.7.2/24").unwrap();
    near.set_up("side0", "198.18.9.1/24").unwrap();
    beside.set_up("side1", "198.18.9.2/24").unwrap();
    beside
        .run("ip route add 198.18.7.0/24 via 198.18.9.1")
        .unwrap();
    // The kernel would take packets to any of its addresses on any device: only the listener's own
    // device keeps this caller out, who is a peer.
    for (name, address) in [("alice", "198.18.7.2"), ("mallory", "198.18.9.2")] {
        node.add_peer(name, address.parse().unwrap(), "agents")
            .await
            .unwrap();
    }
    node.wait_ready().await.unwrap();
    assert_serves(&agent_on(&far, &node, "198.18.7.2", "198.18.7.1").await).await;
    let mallory = agent_on(&beside, &node, "198.18.9.2", "198.18.7.1").await;
    let error = timeout(SILENCE, mallory.tcp()).await.unwrap().unwrap_err();
    let refused = error.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused), "{error}");

    // From the node's own host the packets count as the device's, but the caller is no peer.
    let host = agent_on(&near, &node, "198.18.7.1", "198.18.7.1").await;
    let before = accepted(&node).await;
    // The node may be quicker to close it than this side is to see it open.
    if let Ok(mut tcp) = host.tcp().await {
        let end = timeout(SILENCE, tcp.read_u8()).await.unwrap();
        assert!(end.is_err(), "the node spoke to its host");
    }
    assert_eq!(
        accepted(&node).await,
        before + 1.0,
        "never came to the node"
    );
    assert!(host.tls(Version::Http1).await.is_err());

    assert_eq!(standin.stats().answered, 2);
    assert_eq!(node.records(2).await.unwrap().len(), 2);
    node.stop().await.unwrap();
}
