//! Who comes through the tunnel: a peer is served, everybody else meets silence before TCP.

use std::time::Duration;

use gateway_tests::{agent::Version, wire::Wire};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::*;
use crate::{
    admission::{interface, is_silent, packets},
    revoked::{self, END_TIME_MAX, Streaming, VERSIONS},
};

/// Where the overlay is when its device comes back.
const ENDPOINT_MOVED: &str = "100.65.0.1";
pub(super) const ALICE_MOVED: &str = "100.65.0.2";
const STRANGER_MOVED: &str = "100.65.0.3";
/// For what would have come long ago.
const AT_ONCE: Duration = Duration::from_millis(10);

#[tokio::test]
async fn only_peers_reach_the_endpoint_through_the_tunnel() {
    let test = "only_peers_reach_the_endpoint_through_the_tunnel";
    let Some(site) = Site::start(test, false).await else {
        return;
    };
    for family in 0..2 {
        let agent = site.agent(family).await;
        for version in VERSIONS {
            for stream in [false, true] {
                let reply = agent.post(version, CHAT, &chat("hi", stream)).await;
                assert_eq!(reply.unwrap().status, 200, "{version:?}");
            }
        }
    }
    assert_eq!(site.standin.stats().answered, 8);

    // Tunnels of others are tunnels too: what they carry arrives, for any port but the endpoint's.
    for (family, endpoint) in site.endpoints().into_iter().enumerate() {
        let outsider = OUTSIDER[family];
        set_up(&site.stranger, OVERLAY, outsider, [32, 128][family]);
        let way = format!("ip route add {outsider} dev {OVERLAY}");
        site.host.run(&way).unwrap();
        let closed = SocketAddr::new(endpoint.ip(), 9);
        for source in [STRANGER[family], outsider] {
            assert!(
                !is_silent(&site.stranger, closed, source, OVERLAY).await,
                "{source} has no tunnel"
            );
            let tunnel = Wire::tap(&site.stranger, OVERLAY).unwrap();
            assert!(
                is_silent(&site.stranger, endpoint, source, OVERLAY).await,
                "{source} is answered"
            );
            let answers = tunnel.receive(1, AT_ONCE, |_| true).unwrap();
            assert!(answers.is_empty(), "{source}: {answers:02x?}");
        }
    }
    let status = site.status().await;
    for reason in ["unknown_peer", "outside_overlay"] {
        assert!(packets(&status, OVERLAY, reason) >= 2, "{status:#}");
    }
    let records = site.node.records(8).await.unwrap();
    assert_eq!(records.len(), 8, "a stranger came to the node");
    site.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_removed_peers_packets_are_dropped_and_its_connections_end() {
    let test = "a_removed_peers_packets_are_dropped_and_its_connections_end";
    let Some(site) = Site::start(test, false).await else {
        return;
    };
    let agent = site.agent(0).await;
    let mut streams = Vec::new();
    let mut resting = Vec::new();
    for version in VERSIONS {
        streams.push(Streaming::begin(&agent, version).await);
        resting.push(revoked::idle(&agent, version).await);
    }
    let other = site.agent(1).await;
    let mut others = Streaming::begin(&other, Version::Http2).await;

    let removed = site.node.cli(&["peers", "remove", "alice"], "").await;
    removed.unwrap();
    let deadline = Instant::now() + END_TIME_MAX;
    assert!(
        is_silent(&site.alice, agent.endpoint, ALICE[0], OVERLAY).await,
        "the removed peer's next packet is answered"
    );
    for stream in streams {
        stream.read_to_cut(deadline).await;
    }
    for connection in resting {
        revoked::assert_ends(connection, deadline).await;
    }
    let status = site.status().await;
    assert!(packets(&status, OVERLAY, "unknown_peer") > 0);
    assert!(number(&status["departed"]["ingress"], "packets") > 0);

    // Her other address is still a peer's.
    others.response.frame().await.unwrap().unwrap();
    let reply = other.post(Version::Http1, CHAT, &chat("hi", false)).await;
    assert_eq!(reply.unwrap().status, 200);
    drop(others);
    site.node.stop().await.unwrap();
}

#[tokio::test]
async fn the_tunnels_device_may_return_with_another_index_and_address() {
    let test = "the_tunnels_device_may_return_with_another_index_and_address";
    let Some(mut site) = Site::start(test, false).await else {
        return;
    };
    let reply = site.agent(0).await;
    let reply = reply.post(Version::Http1, CHAT, &chat("hi", false)).await;
    assert_eq!(reply.unwrap().status, 200);
    let index = site.host.device_index(OVERLAY).unwrap();

    let [host, alice, stranger] = site.tunnels;
    drop(host);
    site.node
        .wait_unready("there is no device wt0")
        .await
        .unwrap();
    let host = Tunnel::dig(&site.host, OVERLAY, WIREGUARD_PORT).unwrap();
    site.tunnels = [host, alice, stranger];
    join(&site.tunnels);
    for (machine, moved) in [
        (&site.host, ENDPOINT_MOVED),
        (&site.alice, ALICE_MOVED),
        (&site.stranger, STRANGER_MOVED),
    ] {
        set_up(machine, OVERLAY, moved, 16);
    }
    assert_ne!(site.host.device_index(OVERLAY).unwrap(), index);
    let moved = address(ALICE_MOVED);
    site.node.add_peer("moved", moved, "agents").await.unwrap();
    site.node.wait_ready().await.unwrap();

    let mut agent = site.node.agent_on(&site.alice, moved).await.unwrap();
    agent.endpoint.set_ip(address(ENDPOINT_MOVED));
    for version in VERSIONS {
        let reply = agent.post(version, CHAT, &chat("hi", false)).await;
        assert_eq!(reply.unwrap().status, 200);
    }
    // Covered anew, on all sides.
    let by_cable = format!(
        "ip route add {ENDPOINT_MOVED} via {} dev {OUTER} metric 9",
        HOST_OUTER[0]
    );
    site.alice
        .run(&format!(
            "ip route add {ENDPOINT_MOVED} dev {OVERLAY} metric 1"
        ))
        .unwrap();
    site.alice.run(&by_cable).unwrap();
    for (machine, source, device) in [
        (&site.stranger, STRANGER_MOVED, OVERLAY),
        (&site.alice, ALICE_OUTER[0], OUTER),
        (&site.alice, ALICE_MOVED, OUTER),
    ] {
        assert!(
            is_silent(machine, agent.endpoint, source, device).await,
            "{source} by {device}"
        );
    }
    let status = site.status().await;
    assert_eq!(status["in_front"], true, "{status:#}");
    let covered = interface(&status, OVERLAY).unwrap();
    assert_ne!(number(covered, "index"), u64::from(index));
    assert!(packets(&status, OVERLAY, "from_peer") > 0);
    assert!(packets(&status, OVERLAY, "unknown_peer") > 0);
    site.node.stop().await.unwrap();
}
