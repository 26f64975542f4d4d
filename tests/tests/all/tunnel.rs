//! A node behind its kernel programs, on an overlay that is real WireGuard. Three machines: the node's;
//! alice's, who is a peer; and a stranger's, whose tunnel is as good as hers, but whose address is no
//! peer's. Each of the two is joined to the node's machine by a cable too, which the tunnel runs over.

mod counted;
mod outside;
mod peers;
mod untouched;

use std::net::{IpAddr, SocketAddr};

use gateway_tests::wireguard::{self, Tunnel};

use super::*;

/// The overlay's device, on all machines.
const OVERLAY: &str = "wt0";
/// The cable's end, on all machines; the node's second one goes to the stranger.
const OUTER: &str = "out0";
const OUTER_SECOND: &str = "out1";
const WIREGUARD_PORT: u16 = 51820;

// In IPv4 and IPv6.
const ENDPOINT: [&str; 2] = ["100.64.0.1", "fd00:64::1"];
const ALICE: [&str; 2] = ["100.64.0.2", "fd00:64::2"];
const STRANGER: [&str; 2] = ["100.64.0.3", "fd00:64::3"];
/// Addresses outside the overlay's networks that the stranger's tunnel may use all the same.
const OUTSIDER: [&str; 2] = ["203.0.113.9", "2001:db8:99::9"];
const HOST_OUTER: [&str; 2] = ["192.0.2.1", "2001:db8:2::1"];
const ALICE_OUTER: [&str; 2] = ["192.0.2.2", "2001:db8:2::2"];
const HOST_SECOND: &str = "198.51.100.1";
const STRANGER_OUTER: &str = "198.51.100.3";

struct Site {
    node: Node,
    standin: StandIn,
    host: Arc<Machine>,
    alice: Arc<Machine>,
    stranger: Arc<Machine>,
    /// The node's end, alice's and the stranger's.
    tunnels: [Tunnel; 3],
}

impl Site {
    /// A ready node that knows alice's addresses, and nobody else's.
    async fn start(test: &str, plain: bool) -> Option<Self> {
        if let Some(reason) = wireguard::why_not() {
            skip(test, reason);
            return None;
        }
        let [host, alice, stranger] = machines(test)?;
        host.lay_cable(OUTER, &alice, OUTER).unwrap();
        host.lay_cable(OUTER_SECOND, &stranger, OUTER).unwrap();
        for family in 0..2 {
            set_up(&host, OUTER, HOST_OUTER[family], [24, 64][family]);
            set_up(&alice, OUTER, ALICE_OUTER[family], [24, 64][family]);
        }
        set_up(&host, OUTER_SECOND, HOST_SECOND, 24);
        set_up(&stranger, OUTER, STRANGER_OUTER, 24);
        let tunnels = [&host, &alice, &stranger];
        let tunnels = tunnels.map(|one| Tunnel::dig(one, OVERLAY, WIREGUARD_PORT).unwrap());
        join(&tunnels);
        for (machine, own) in [(&host, ENDPOINT), (&alice, ALICE), (&stranger, STRANGER)] {
            set_up(machine, OVERLAY, own[0], 16);
            set_up(machine, OVERLAY, own[1], 64);
        }
        // The way around the overlay, for who asks for the device.
        for (endpoint, gateway) in ENDPOINT.into_iter().zip(HOST_OUTER) {
            for way in [
                format!("dev {OVERLAY} metric 1"),
                format!("via {gateway} dev {OUTER} metric 9"),
            ] {
                alice
                    .run(&format!("ip route add {endpoint} {way}"))
                    .unwrap();
            }
        }
        let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
        let standin = StandIn::start_on(&host, standin).await.unwrap();
        let node = Node::start(NodeOptions {
            machine: Some(Arc::clone(&host)),
            overlay: Some((OVERLAY, address(ENDPOINT[0]))),
            admission: Some("required"),
            plain,
            ..NodeOptions::default()
        });
        let node = node.await.unwrap();
        let provider = node.connect(&standin, Vendor::OpenAi, KEY).await.unwrap();
        let added = node.add_policy("agents-may", "agents", &provider).await;
        added.unwrap();
        for (name, own) in ["alice", "alice6"].into_iter().zip(ALICE) {
            node.add_peer(name, address(own), "agents").await.unwrap();
        }
        node.wait_ready().await.unwrap();
        Some(Self {
            node,
            standin,
            host,
            alice,
            stranger,
            tunnels,
        })
    }

    /// The endpoint's TLS listener, in both families.
    fn endpoints(&self) -> [SocketAddr; 2] {
        let port = self.node.endpoint().port();
        ENDPOINT.map(|own| SocketAddr::new(address(own), port))
    }

    /// Alice at her overlay address of this family.
    async fn agent(&self, family: usize) -> gateway_tests::agent::Agent {
        let agent = self.node.agent_on(&self.alice, address(ALICE[family]));
        let mut agent = agent.await.unwrap();
        agent.endpoint = self.endpoints()[family];
        agent
    }

    async fn status(&self) -> Value {
        admission::answer(&self.node, &["admission", "status"]).await
    }
}

/// Configures the tunnels for each other. The node's end takes more from the stranger than it should.
fn join([host, alice, stranger]: &[Tunnel; 3]) {
    let at = |address: &str| format!("{address}:{WIREGUARD_PORT}").parse().unwrap();
    let from = |networks: &[&str]| networks.join(",");
    // What the node's machine sends, from any of its addresses, and what it routes.
    let wide = ["100.64.0.0/15", "fd00:64::/64", "198.51.100.0/24"];
    let wide = from(&[&wide[..], &HOST_OUTER].concat());
    let outsiders = ["100.64.0.0/15", "fd00:64::/64", OUTSIDER[0], OUTSIDER[1]];
    // The longest network wins: hers are carved out of the stranger's.
    host.add_peer(stranger, at(STRANGER_OUTER), &from(&outsiders))
        .unwrap();
    let hers = from(&[ALICE[0], ALICE[1], peers::ALICE_MOVED]);
    host.add_peer(alice, at(ALICE_OUTER[0]), &hers).unwrap();
    alice.add_peer(host, at(HOST_OUTER[0]), &wide).unwrap();
    stranger.add_peer(host, at(HOST_SECOND), &wide).unwrap();
}

/// Gives a device an address that may be used at once, and sets it up.
fn set_up(machine: &Machine, device: &str, address: &str, prefix: u8) {
    let at_once = if address.contains(':') { " nodad" } else { "" };
    let address = format!("{address}/{prefix}{at_once}");
    machine.set_up(device, &address).unwrap();
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
