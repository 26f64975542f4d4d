//! What is not the endpoint's goes on as if there were no programs, on the overlay and beside it.

use std::time::Duration;

use gateway_tests::agent::Version;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, UdpSocket},
    task::JoinSet,
    time::timeout,
};

use super::*;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const SSH: u16 = 22;
const HELLO: &[u8] = b"hello";

/// Answers TCP and UDP with what it is sent, until it is dropped.
pub(super) fn echo_on(machine: &Machine, at: SocketAddr) -> JoinSet<()> {
    let bound = machine.within(|| {
        let tcp = std::net::TcpListener::bind(at)?;
        tcp.set_nonblocking(true)?;
        let udp = std::net::UdpSocket::bind(at)?;
        udp.set_nonblocking(true)?;
        Ok((tcp, udp))
    });
    let (tcp, udp) = bound.unwrap();
    let tcp = TcpListener::from_std(tcp).unwrap();
    let udp = UdpSocket::from_std(udp).unwrap();
    let mut echo = JoinSet::new();
    echo.spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    echo.spawn(async move {
        let mut buffer = [0; HELLO.len()];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let _ = udp.send_to(&buffer[..length], from).await;
        }
    });
    echo
}

/// From a machine's address by one of its devices.
struct From<'a> {
    machine: &'a Machine,
    source: &'a str,
    device: &'a str,
}

impl From<'_> {
    async fn assert_tcp(&self, to: SocketAddr) {
        let (source, device) = (self.source, self.device);
        let socket = self.machine.within(|| match to {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        });
        let socket = socket.unwrap();
        socket.bind_device(Some(device.as_bytes())).unwrap();
        socket.bind(SocketAddr::new(address(source), 0)).unwrap();
        let echoed = async {
            let mut stream = socket.connect(to).await?;
            stream.write_all(HELLO).await?;
            let mut echoed = [0; HELLO.len()];
            stream.read_exact(&mut echoed).await
        };
        let echoed = timeout(ANSWER_TIME_MAX, echoed).await;
        let echoed = echoed.unwrap_or_else(|_| panic!("{source} by {device}: {to} is silent"));
        echoed.unwrap();
    }

    async fn assert_udp(&self, to: SocketAddr) {
        let (source, device) = (self.source, self.device);
        let from = SocketAddr::new(address(source), 0);
        let socket = self.machine.within(|| std::net::UdpSocket::bind(from));
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = UdpSocket::from_std(socket).unwrap();
        socket.bind_device(Some(device.as_bytes())).unwrap();
        socket.send_to(HELLO, to).await.unwrap();
        let mut echoed = [0; HELLO.len()];
        let echoed = timeout(ANSWER_TIME_MAX, socket.recv_from(&mut echoed)).await;
        let echoed = echoed.unwrap_or_else(|_| panic!("{source} by {device}: UDP {to}"));
        assert_eq!(echoed.unwrap(), (HELLO.len(), to));
    }

    /// One packet, and one in fragments.
    fn assert_ping(&self, to: &str) {
        for bytes in [56, 4000] {
            let ping = format!("ping -n -c 1 -W 5 -s {bytes} -I {} {to}", self.device);
            self.machine.run(&ping).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_not_the_endpoints_is_untouched() {
    let test = "what_is_not_the_endpoints_is_untouched";
    let Some(site) = Site::start(test, false).await else {
        return;
    };
    let (alice, stranger) = (&*site.alice, &*site.stranger);
    for (family, endpoint) in site.endpoints().into_iter().enumerate() {
        let port = endpoint.port();
        let at = |text: &str, port| SocketAddr::new(address(text), port);
        let by_cable = From {
            machine: alice,
            source: ALICE_OUTER[family],
            device: OUTER,
        };
        let by_tunnel = From {
            machine: alice,
            source: ALICE[family],
            device: OVERLAY,
        };
        let by_strange_tunnel = From {
            machine: stranger,
            source: STRANGER[family],
            device: OVERLAY,
        };
        // Another port of the endpoint's own address, also for those who are no peers.
        let ssh = at(ENDPOINT[family], SSH);
        let _ssh = echo_on(&site.host, ssh);
        for from in [&by_cable, &by_tunnel, &by_strange_tunnel] {
            from.assert_tcp(ssh).await;
            from.assert_udp(ssh).await;
        }
        // The endpoint's port of another address.
        let beside = at(HOST_OUTER[family], port);
        let _beside = echo_on(&site.host, beside);
        by_cable.assert_tcp(beside).await;
        by_cable.assert_udp(beside).await;
        // UDP to the endpoint's address and port.
        let udp = site.host.within(|| std::net::UdpSocket::bind(endpoint));
        let udp = udp.unwrap();
        udp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::from_std(udp).unwrap();
        for from in [&by_cable, &by_tunnel, &by_strange_tunnel] {
            let mut heard = [0; HELLO.len()];
            let answered = async {
                let (length, from) = udp.recv_from(&mut heard).await.unwrap();
                udp.send_to(&heard[..length], from).await.unwrap();
            };
            tokio::join!(from.assert_udp(endpoint), answered);
        }
        // Neighbours find each other anew, and answer.
        for machine in [&site.host, &site.alice] {
            machine.run(&format!("ip neigh flush dev {OUTER}")).unwrap();
        }
        by_cable.assert_ping(HOST_OUTER[family]);
        by_tunnel.assert_ping(ENDPOINT[family]);
    }
    // In one piece only: a fragment for the endpoint's address does not show its port.
    for endpoint in ENDPOINT {
        let ping = format!("ping -n -c 1 -W 5 -I {OUTER} {endpoint}");
        site.alice.run(&ping).unwrap();
    }
    site.node.stop().await.unwrap();
}

#[tokio::test]
async fn routed_traffic_and_the_nodes_own_connections_are_untouched() {
    let test = "routed_traffic_and_the_nodes_own_connections_are_untouched";
    let Some(site) = Site::start(test, false).await else {
        return;
    };
    let port = site.node.endpoint().port();
    // Through the node's machine to a third one, at the endpoint's port there.
    site.host
        .within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
        .unwrap();
    let target = SocketAddr::new(address(STRANGER_OUTER), port);
    let _echo = echo_on(&site.stranger, target);
    for (machine, line) in [
        (&site.stranger, format!("{}/32 via {HOST_SECOND}", ALICE[0])),
        (&site.stranger, format!("default via {HOST_SECOND}")),
        (
            &site.alice,
            format!("{STRANGER_OUTER} dev {OVERLAY} metric 1"),
        ),
        (
            &site.alice,
            format!(
                "{STRANGER_OUTER} via {} dev {OUTER} metric 9",
                HOST_OUTER[0]
            ),
        ),
    ] {
        machine.run(&format!("ip route add {line}")).unwrap();
    }
    for (source, device) in [(ALICE_OUTER[0], OUTER), (ALICE[0], OVERLAY)] {
        let from = From {
            machine: &site.alice,
            source,
            device,
        };
        from.assert_tcp(target).await;
        from.assert_udp(target).await;
        from.assert_ping(STRANGER_OUTER);
    }

    // The node's own connections: a provider beside the overlay, at a port with the endpoint's number.
    let mut options = Options::new(Vendor::Anthropic, Transport::Plain, KEY);
    options.listen = SocketAddr::new(address(ALICE_OUTER[0]), port);
    let provider = StandIn::start_on(&site.alice, options).await.unwrap();
    let connected = site.node.connect(&provider, Vendor::Anthropic, KEY).await;
    let connected = connected.unwrap();
    let added = site.node.add_policy("beside", "agents", &connected).await;
    added.unwrap();
    let agent = site.agent(0).await;
    let mut session = agent.session(Version::Http1).await.unwrap();
    for stream in [false, true] {
        let body = message("hi", stream);
        let version = [("anthropic-version", "2023-06-01")];
        let reply = session.post(MESSAGES, &body, &version).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(provider.stats().answered, 2);
    site.node.stop().await.unwrap();
}
