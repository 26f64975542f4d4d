//! The kernel program in front of a real node: namespaces, devices and routes of the test's own.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use gateway_tests::{
    agent::{Agent, Version},
    namespace::{Namespace, ip},
    node::keyway,
};
use http::Method;
use tokio::{net::TcpSocket, runtime::Runtime, time::timeout};

use super::*;

pub(super) const ENDPOINT: &str = "100.64.0.1";
pub(super) const PEER: &str = "100.64.0.7";
const STRANGER: &str = "100.64.0.8";
/// A connection that is not answered within this time meets silence: an answer takes microseconds.
pub(super) const SILENCE: Duration = Duration::from_millis(700);

#[test]
fn only_peers_on_the_overlay_reach_the_endpoint() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: kernel admission, needs root for namespaces and BPF");
        return;
    }
    keyway().unwrap();
    let (host, outside) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    host.run(|| {
        // `wt0` is the overlay, `out0` everything else; the far ends are one machine.
        for (device, far, address) in [("wt0", "wt1", ENDPOINT), ("out0", "out1", "192.0.2.1")] {
            ip(&format!("link add {device} type veth peer name {far}"))?;
            ip(&format!("link set {far} netns {}", outside.path()))?;
            ip(&format!("address add {address}/24 dev {device}"))?;
            ip(&format!("link set {device} up"))?;
        }
        Ok(())
    })
    .unwrap();
    outside
        .run(|| {
            for (device, address) in [("wt1", PEER), ("wt1", STRANGER), ("out1", "192.0.2.2")] {
                ip(&format!("address add {address}/24 dev {device}"))?;
                ip(&format!("link set {device} up"))?;
            }
            // The way around the overlay.
            ip(&format!(
                "route add {ENDPOINT}/32 via 192.0.2.1 dev out1 metric 9"
            ))?;
            ip(&format!("route add {ENDPOINT}/32 dev wt1 metric 1"))
        })
        .unwrap();
    host.run(|| Runtime::new()?.block_on(judged(&outside)))
        .unwrap();
}

async fn judged(outside: &Namespace) -> Result<()> {
    let standin = StandIn::start(Options::new(Vendor::OpenAi, Transport::Plain, KEY)).await?;
    let node = Node::start(NodeOptions {
        guarded: Some(("wt0", ENDPOINT.parse()?)),
        ..NodeOptions::default()
    })
    .await?;
    let provider = node.connect(&standin, Vendor::OpenAi, KEY).await?;
    node.add_peer("alice", PEER.parse()?, "agents").await?;
    node.add_policy("agents-may", "agents", &provider).await?;
    node.wait_ready().await?;

    let alice = node.agent(PEER.parse()?).await?;
    let endpoint = node.endpoint();
    assert_eq!(asked(outside, &alice)?, 200);
    assert!(is_silent(outside, endpoint, "192.0.2.2", "out1")?);
    assert!(
        is_silent(outside, endpoint, PEER, "out1")?,
        "a claimed source"
    );
    assert!(is_silent(outside, endpoint, STRANGER, "wt1")?);
    let other_port = SocketAddr::new(endpoint.ip(), 9);
    assert!(
        !is_silent(outside, other_port, STRANGER, "wt1")?,
        "another port"
    );

    let status = answer(&node, &["admission", "status", "--output", "json"]).await?;
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
        let (_, metrics) = node.telemetry("/metrics").await?;
        let sample = format!(
            "keyway_admission_packets_total{{interface=\"{interface}\",reason=\"{reason}\"}}"
        );
        assert!(metrics.contains(&sample), "{sample}");
    }
    let peers = answer(&node, &["admission", "peers", "--output", "json"]).await?;
    assert_eq!(peers[0]["address"], PEER);
    assert_eq!(peers[0]["groups"], json!(["agents"]));
    assert_eq!(
        number(&peers[0]["ingress"], "packets"),
        packets(&status, "wt0", "from_peer"),
    );
    let table = node.cli(&["admission", "status"], "").await?;
    assert!(String::from_utf8_lossy(&table.stdout).contains("not_overlay"));

    node.cli(&["peers", "remove", "alice"], "").await?;
    assert!(is_silent(outside, endpoint, PEER, "wt1")?, "a removed peer");
    let status = answer(&node, &["admission", "status", "--output", "json"]).await?;
    assert_eq!(status["peers"], 0);
    assert!(number(&status["departed"]["ingress"], "packets") > 0);

    // A new interface is covered, one that vanished is released.
    ip("link add late0 type veth peer name late1")?;
    wait_interface(&node, "late0", true).await?;
    ip("link delete late0")?;
    wait_interface(&node, "late0", false).await?;
    node.stop().await
}

pub(super) fn asked(outside: &Namespace, agent: &Agent) -> Result<u16> {
    outside.run(|| {
        Runtime::new()?.block_on(async {
            let reply = agent.post(Version::Http1, CHAT, &chat("hi", false)).await?;
            Ok(reply.status.as_u16())
        })
    })
}

/// Neither a connection nor a refusal.
pub(super) fn is_silent(
    outside: &Namespace,
    to: SocketAddr,
    from: &str,
    device: &str,
) -> Result<bool> {
    let from: IpAddr = from.parse()?;
    outside.run(|| {
        Runtime::new()?.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind_device(Some(device.as_bytes()))?;
            socket.bind(SocketAddr::new(from, 0))?;
            Ok(timeout(SILENCE, socket.connect(to)).await.is_err())
        })
    })
}

pub(super) async fn answer(node: &Node, arguments: &[&str]) -> Result<Value> {
    let output = node.cli(arguments, "").await?;
    Ok(serde_json::from_slice(&output.stdout)?)
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

async fn wait_interface(node: &Node, name: &str, there: bool) -> Result<()> {
    let looks = async {
        loop {
            let status = node
                .api_ok(Method::GET, "/api/agent-network/admission", None)
                .await?;
            if interface(&status, name).is_some() == there {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(gateway_tests::agent::PATIENCE, looks)
        .await
        .with_context(|| format!("{name} is there: not {there}"))?
}
