//! What the kernel counts of a peer is what went over the tunnel: compared with the agent's own TCP, and
//! with packets made one by one.

use std::{
    io,
    os::fd::AsRawFd as _,
    time::{Duration, SystemTime},
};

use gateway_common::Link;
use gateway_tests::{
    frame::{ACK, Frame, RST, SYN},
    wire::Wire,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::*;

/// TCP headers with timestamps, as Linux sends them, and what a SYN has beyond (MSS, window scale, SACK).
const TCP_BYTES: u64 = 20 + 12;
const SYN_MORE_BYTES: u64 = 8;
/// IP headers, by family.
const IP_BYTES: [u64; 2] = [20, 40];
const TCP_PLAIN_BYTES: u64 = 20;
/// A SYN-ACK to a SYN without options tells its MSS.
const MSS_BYTES: u64 = 4;
const COUNT_TIME_MAX: Duration = Duration::from_secs(5);
/// The kernel's coarse clock and the wall's are read at different moments.
const CLOCK_SLACK: Duration = Duration::from_millis(100);

/// One direction of a peer's traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flow {
    packets: u64,
    bytes: u64,
    connections: u64,
    resets: u64,
}

impl Flow {
    fn plus(self, more: Self) -> Self {
        Self {
            packets: self.packets + more.packets,
            bytes: self.bytes + more.bytes,
            connections: self.connections + more.connections,
            resets: self.resets + more.resets,
        }
    }
}

/// What the node shows of one address: in and out.
async fn counted(site: &Site, address: &str) -> [Flow; 2] {
    let row = row(site, address).await;
    ["ingress", "egress"].map(|side| Flow {
        packets: number(&row[side], "packets"),
        bytes: number(&row[side], "bytes"),
        connections: number(&row[side], "connections"),
        resets: number(&row[side], "resets"),
    })
}

async fn row(site: &Site, address: &str) -> Value {
    let peers = admission::answer(&site.node, &["admission", "peers"]).await;
    let mut rows = peers.as_array().unwrap().iter();
    let row = rows.find(|row| row["address"] == address);
    row.unwrap_or_else(|| panic!("{address} in {peers:#}"))
        .clone()
}

/// The last packets may be on their way.
async fn assert_counted(site: &Site, address: &str, wanted: [Flow; 2]) {
    let deadline = Instant::now() + COUNT_TIME_MAX;
    while counted(site, address).await != wanted && Instant::now() < deadline {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(counted(site, address).await, wanted, "{address}");
}

/// On a busy machine acknowledgements come late, and TCP would send again what was not lost: more bytes
/// than either side can tell.
fn send_nothing_twice(site: &Site) {
    for (machine, others, metric) in [
        (&site.host, ALICE, ""),
        (&site.alice, ENDPOINT, " metric 1"),
    ] {
        for other in others {
            let way = format!("{other} dev {OVERLAY}{metric} rto_min 10s");
            machine.run(&format!("ip route replace {way}")).unwrap();
        }
        for timer in ["tcp_early_retrans", "tcp_recovery"] {
            let file = format!("/proc/sys/net/ipv4/{timer}");
            machine.within(|| std::fs::write(file, "0")).unwrap();
        }
    }
}

/// One request without TLS, to the end of the connection; returns what both sides sent, as the agent's
/// TCP has counted it.
async fn asked(agent: &gateway_tests::agent::Agent, family: usize) -> [Flow; 2] {
    let mut stream = agent.tcp().await.unwrap();
    let body = chat("[[events=400 ms=1]]", true).to_string();
    let (host, length) = (agent.authority(), body.len());
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    stream.shutdown().await.unwrap();
    let info = closed(&stream).await;
    assert_eq!(info.tcpi_total_retrans, 0, "the tunnel lost a packet");
    let flow = |segments: u32, payload: usize| Flow {
        packets: segments.into(),
        bytes: u64::from(segments) * (IP_BYTES[family] + TCP_BYTES)
            + SYN_MORE_BYTES
            + payload as u64,
        connections: 1,
        resets: 0,
    };
    [
        flow(info.tcpi_segs_out, request.len()),
        flow(info.tcpi_segs_in, answer.len()),
    ]
}

/// The connection's figures once its last packet came.
async fn closed(stream: &TcpStream) -> libc::tcp_info {
    const CLOSED: u8 = 7;
    let deadline = Instant::now() + COUNT_TIME_MAX;
    loop {
        let info = tcp_info(stream).unwrap();
        if info.tcpi_state == CLOSED {
            return info;
        }
        assert!(Instant::now() < deadline, "the node does not close");
        sleep(Duration::from_millis(10)).await;
    }
}

fn tcp_info(stream: &TcpStream) -> io::Result<libc::tcp_info> {
    // SAFETY: all-zero bytes are a valid `tcp_info`.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is the structure's size.
    let got = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    match got {
        0 => Ok(info),
        _ => Err(io::Error::last_os_error()),
    }
}

#[tokio::test]
async fn every_peers_counters_are_what_was_sent() {
    const SYNS: u64 = 5;
    const STRAYS: u64 = 7;
    const STRAY_PAYLOAD: usize = 100;
    const RESETS: u64 = 3;
    let test = "every_peers_counters_are_what_was_sent";
    let Some(site) = Site::start(test, true).await else {
        return;
    };
    send_nothing_twice(&site);
    let tunnel = Wire::tap(&site.alice, OVERLAY).unwrap();
    let plain = site.node.plain().unwrap().port();
    let began = SystemTime::now();
    for (family, name) in ALICE.into_iter().enumerate() {
        assert_eq!(counted(&site, name).await, [Flow::default(); 2]);
        let fresh = row(&site, name).await;
        assert_eq!(fresh["ingress"].get("first_seen"), None);

        let mut agent = site.agent(family).await;
        agent.endpoint.set_port(plain);
        let mut sent = [Flow::default(); 2];
        for _ in 0..3 {
            let [to, from] = asked(&agent, family).await;
            sent = [sent[0].plus(to), sent[1].plus(from)];
        }
        assert!(sent[1].packets > 400, "events came one by one");
        assert_counted(&site, name, sent).await;

        // The node accepts, and alice's machine, which knows nothing of it, resets; both are counted.
        let send = |port: u64, flags: u8, payload: usize, count: u64| {
            for number in 0..count {
                let source = SocketAddr::new(address(name), (port + number) as u16);
                let to = agent.endpoint.to_string();
                let frame = Frame::new(&source.to_string(), &to);
                let frame = frame.link(Link::Ip).flags(flags).payload(payload);
                tunnel.send(&frame.sealed([0; 6], [0; 6])).unwrap();
            }
        };
        let header = IP_BYTES[family] + TCP_PLAIN_BYTES;
        send(50_000, SYN, 0, SYNS);
        let accepted = Flow {
            packets: SYNS,
            bytes: SYNS * (header + MSS_BYTES),
            connections: SYNS,
            resets: 0,
        };
        let reset = Flow {
            packets: 2 * SYNS,
            bytes: 2 * SYNS * header,
            connections: SYNS,
            resets: SYNS,
        };
        sent = [sent[0].plus(reset), sent[1].plus(accepted)];
        assert_counted(&site, name, sent).await;

        // Of no connection: the node resets.
        send(51_000, ACK, STRAY_PAYLOAD, STRAYS);
        let strays = Flow {
            packets: STRAYS,
            bytes: STRAYS * (header + STRAY_PAYLOAD as u64),
            ..Flow::default()
        };
        let refused = Flow {
            packets: STRAYS,
            bytes: STRAYS * header,
            connections: 0,
            resets: STRAYS,
        };
        sent = [sent[0].plus(strays), sent[1].plus(refused)];
        assert_counted(&site, name, sent).await;

        // Nothing answers a reset.
        send(52_000, RST, 0, RESETS);
        let resets = Flow {
            packets: RESETS,
            bytes: RESETS * header,
            connections: 0,
            resets: RESETS,
        };
        sent[0] = sent[0].plus(resets);
        assert_counted(&site, name, sent).await;

        let row = row(&site, name).await;
        for side in ["ingress", "egress"] {
            let [first, last] = ["first_seen", "last_seen"].map(|at| time(&row[side][at]));
            assert!(began - CLOCK_SLACK <= first && first < last, "{row:#}");
            assert!(last <= SystemTime::now() + CLOCK_SLACK, "{row:#}");
        }
    }

    // The interface's sums are those of its peers.
    let status = site.status().await;
    let mut sums = [0; 2];
    for name in ALICE {
        let flows = counted(&site, name).await;
        sums = [sums[0] + flows[0].packets, sums[1] + flows[1].packets];
    }
    let packets = |reason| admission::packets(&status, OVERLAY, reason);
    assert_eq!([packets("from_peer"), packets("to_peer")], sums);
    site.node.stop().await.unwrap();
}

/// A time in JSON; they sort as they are written.
fn time(value: &Value) -> SystemTime {
    let text = value.as_str().unwrap();
    let stamp: jiff::Timestamp = text.parse().unwrap();
    stamp.into()
}
