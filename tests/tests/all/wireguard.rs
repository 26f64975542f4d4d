//! Identity from the overlay's own device: the peers' public keys are in the store, their addresses are
//! those that the device lets each key use. A real WireGuard tunnel between two machines.

use std::net::{IpAddr, SocketAddr};

use gateway_tests::{
    agent::{Agent, Version},
    wireguard::{self, Tunnel},
};
use http::{Method, StatusCode};
use tokio::time::{Duration, Instant, sleep};

use super::{
    revoked::{self, END_TIME_MAX},
    *,
};

const OVERLAY: &str = "wt0";
const OUTER: &str = "out0";
const PORT: u16 = 51820;
const HOST: [&str; 2] = ["100.64.0.1", "fd00:64::1"];
const ALICE: [&str; 2] = ["100.64.0.2", "fd00:64::2"];
/// Within the network that her key may use as well.
const WITHIN: &str = "100.64.9.5";
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn is_served(agent: &Agent) -> bool {
    let reply = agent.post(Version::Http1, CHAT, &chat("hi", false)).await;
    reply.is_ok_and(|reply| reply.status == StatusCode::OK)
}

async fn until_denied(node: &Node, denial: Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let peers = node.api_ok(Method::GET, "/api/agent-network/peers", None);
        let peers = peers.await.unwrap();
        if peers[0]["denial"] == denial {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{denial}: {peers:#}\n{}",
            node.log()
        );
        sleep(LOOK_INTERVAL).await;
    }
}

#[tokio::test]
async fn the_device_says_which_addresses_a_key_has() {
    let test = "the_device_says_which_addresses_a_key_has";
    if let Some(reason) = wireguard::why_not() {
        skip(test, reason);
        return;
    }
    let Some([host, alice]) = machines(test) else {
        return;
    };
    host.lay_cable(OUTER, &alice, OUTER).unwrap();
    host.set_up(OUTER, "192.0.2.1/24").unwrap();
    alice.set_up(OUTER, "192.0.2.2/24").unwrap();
    let [near, far] = [&host, &alice].map(|one| Tunnel::dig(one, OVERLAY, PORT).unwrap());
    let at = |text: &str| -> SocketAddr { format!("{text}:{PORT}").parse().unwrap() };
    let hers = format!("{}/32,{}/128,100.64.9.0/24", ALICE[0], ALICE[1]);
    near.add_peer(&far, at("192.0.2.2"), &hers).unwrap();
    far.add_peer(&near, at("192.0.2.1"), "100.64.0.0/16,fd00:64::/64")
        .unwrap();
    for (machine, own) in [(&host, HOST), (&alice, ALICE)] {
        machine.set_up(OVERLAY, &format!("{}/16", own[0])).unwrap();
        machine
            .set_up(OVERLAY, &format!("{}/64 nodad", own[1]))
            .unwrap();
    }
    alice
        .run(&format!("ip addr add {WITHIN}/16 dev {OVERLAY}"))
        .unwrap();

    let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
    let standin = StandIn::start_on(&host, standin).await.unwrap();
    let node = Node::start(NodeOptions {
        machine: Some(Arc::clone(&host)),
        overlay: Some((OVERLAY, address(HOST[0]))),
        extra: vec![
            ("identity", "source = \"wireguard\"".to_owned()),
            // Connections that the tunnel lost are waited for this long at the end.
            (
                "timeouts",
                "tls_handshake = \"500ms\"\nrequest_head = \"1s\"\nkeep_alive = \"2s\"".to_owned(),
            ),
        ],
        ..NodeOptions::default()
    });
    let node = node.await.unwrap();
    let provider = node.connect(&standin, Vendor::OpenAi, KEY).await.unwrap();
    node.add_policy("agents-may", "agents", &provider)
        .await
        .unwrap();
    let key = far.public_key();
    let words = [
        "peers",
        "add",
        "alice",
        "--public-key",
        key,
        "--group",
        "agents",
    ];
    node.cli(&words, "").await.unwrap();
    node.wait_ready().await.unwrap();
    until_denied(&node, Value::Null).await;

    let agent = async |source: &str, endpoint: &str| {
        let agent = node.agent_on(&alice, address(source)).await;
        let mut agent = agent.unwrap();
        agent.endpoint.set_ip(address(endpoint));
        agent
    };
    let v4 = agent(ALICE[0], HOST[0]).await;
    assert!(is_served(&v4).await);
    assert!(is_served(&agent(ALICE[1], HOST[1]).await).await);
    assert!(
        !is_served(&agent(WITHIN, HOST[0]).await).await,
        "a network names her"
    );
    let listed = node.cli(&["peers", "list"], "").await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for part in [
        "wireguard",
        ALICE[0],
        ALICE[1],
        "100.64.9.0/24 is a network",
    ] {
        assert!(listed.contains(part), "{part}: {listed}");
    }

    // The device is the one who knows: what it takes away is gone, on open connections too.
    let idle = revoked::idle(&v4, Version::Http1).await;
    let set = |rest: &str| {
        host.run(&format!("wg set {OVERLAY} peer {key} {rest}"))
            .unwrap()
    };
    set("allowed-ips 100.64.0.0/17");
    until_denied(&node, json!("networks_only")).await;
    revoked::assert_ends(idle, Instant::now() + END_TIME_MAX).await;
    assert!(!is_served(&v4).await);
    set(&format!("allowed-ips {WITHIN}/32"));
    until_denied(&node, Value::Null).await;
    assert!(is_served(&agent(WITHIN, HOST[0]).await).await);
    set("remove");
    until_denied(&node, json!("key_unknown")).await;

    let (_, metrics) = node.telemetry("/metrics").await.unwrap();
    assert!(
        metrics.contains("keyway_identity_stale{source=\"wireguard\"} 0"),
        "{metrics}"
    );
    node.stop().await.unwrap();
}
