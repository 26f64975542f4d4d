//! Which interfaces the kernel program is in front of, and how: what appears, vanishes, is excluded or
//! taken by another's program, and what is logged of it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use gateway_common::Link;
use gateway_tests::{
    agent::{Agent, PATIENCE, Version},
    kernel::Kernel,
    machine,
    namespace::{Namespace, ip},
    node::keyway,
};
use http::Method;
use tokio::{
    net::TcpSocket,
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    admission::{interface, packets},
    *,
};

const ENDPOINT: &str = "100.64.0.1";
const PEER: &str = "100.64.0.7";
/// A connection that is not answered within this time meets silence: an answer takes microseconds.
const SILENCE: Duration = Duration::from_millis(700);
/// From the end of `ip link add` to the program in front.
const COVERED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Two namespaces with two cables between them: `wt0`-`wt1` is the overlay, `out0`-`out1` everything else.
struct Wired {
    host: Namespace,
    outside: Namespace,
}

impl Wired {
    /// `None` when this host cannot have namespaces.
    fn new() -> Option<Self> {
        if let Some(reason) = machine::why_not() {
            skip("admission_watch", reason);
            return None;
        }
        keyway().unwrap();
        let (host, outside) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let wired = Self { host, outside };
        wired.on_host(|| {
            wired.lay_overlay()?;
            ip("link add out0 type veth peer name out1")?;
            ip(&format!("link set out1 netns {}", wired.outside.path()))?;
            ip("address add 192.0.2.1/24 dev out0")?;
            ip("link set out0 up")
        });
        wired.outside(|| {
            ip("address add 192.0.2.2/24 dev out1")?;
            ip("link set out1 up")?;
            ip(&format!(
                "route add {ENDPOINT}/32 via 192.0.2.1 dev out1 metric 9"
            ))
        });
        wired.outside(lay_overlay_outside);
        Some(wired)
    }

    fn lay_overlay(&self) -> Result<()> {
        ip("link add wt0 type veth peer name wt1")?;
        ip(&format!("link set wt1 netns {}", self.outside.path()))?;
        ip(&format!("address add {ENDPOINT}/24 dev wt0"))?;
        ip("link set wt0 up")
    }

    fn on_host(&self, work: impl FnOnce() -> Result<()> + Send) {
        self.host.run(work).unwrap();
    }

    fn outside(&self, work: impl FnOnce() -> Result<()> + Send) {
        self.outside.run(work).unwrap();
    }

    /// Runs `test` with a ready node on the host, with these lines in its `[admission]`.
    fn guarded(&self, admission: &str, test: impl AsyncFnOnce(Guarded) -> Result<()> + Send) {
        let run = async || {
            let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
            let standin = StandIn::start(standin).await?;
            let node = Node::start(NodeOptions {
                overlay: Some(("wt0", ENDPOINT.parse()?)),
                admission: Some("required"),
                extra: vec![("admission", admission.to_owned())],
                ..NodeOptions::default()
            })
            .await?;
            let provider = node.connect(&standin, Vendor::OpenAi, KEY).await?;
            node.add_peer("alice", PEER.parse()?, "agents").await?;
            node.add_policy("agents-may", "agents", &provider).await?;
            node.wait_ready().await?;
            test(Guarded { node, standin }).await
        };
        self.on_host(|| Runtime::new()?.block_on(run()));
    }
}

fn lay_overlay_outside() -> Result<()> {
    ip(&format!("address add {PEER}/24 dev wt1"))?;
    ip("link set wt1 up")?;
    ip(&format!("route add {ENDPOINT}/32 dev wt1 metric 1"))
}

struct Guarded {
    node: Node,
    #[expect(dead_code, reason = "the provider lives as long as the node")]
    standin: StandIn,
}

impl Guarded {
    /// Waits until an interface is shown like this, and returns how long that took.
    async fn wait(&self, name: &str, is: impl Fn(Option<&Value>) -> bool) -> Result<Duration> {
        let since = Instant::now();
        loop {
            let path = "/api/agent-network/admission";
            let status = self.node.api_ok(Method::GET, path, None).await?;
            if is(interface(&status, name)) {
                return Ok(since.elapsed());
            }
            ensure!(since.elapsed() < PATIENCE, "{name}: {status:#}");
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn wait_mode(&self, name: &str, mode: &str) -> Result<Duration> {
        let is_so = |one: Option<&Value>| one.is_some_and(|one| one["mode"] == mode);
        self.wait(name, is_so).await
    }

    async fn status(&self) -> Result<Value> {
        Ok(super::admission::answer(&self.node, &["admission", "status"]).await)
    }

    fn is_silent(&self, wired: &Wired, from: &str, device: &str) -> Result<bool> {
        is_silent(&wired.outside, self.node.endpoint(), from, device)
    }
}

#[test]
fn what_appears_is_covered_at_once_and_what_vanishes_is_released() {
    let Some(wired) = Wired::new() else {
        return;
    };
    wired.guarded("", async |guarded| {
        let alice = guarded.node.agent(PEER.parse()?).await?;
        let mut last = 0;
        for _ in 0..3 {
            ip("link add late0 type veth peer name late1")?;
            let took = guarded.wait_mode("late0", "native").await?;
            ensure!(took < COVERED_WITHIN, "late0 after {took:?}");
            let status = guarded.status().await?;
            let index = interface(&status, "late0").context("late0")?["index"].as_u64();
            let index = index.context("an index")?;
            ensure!(index > last, "another device with the same index");
            last = index;
            ensure!(
                guarded
                    .node
                    .log()
                    .matches("in front interface=\"late0\"")
                    .count()
                    > 0
            );
            ip("link delete late0")?;
            let took = guarded.wait("late0", |one| one.is_none()).await?;
            ensure!(took < COVERED_WITHIN, "late0 is gone, after {took:?}");
        }
        // The overlay's own device.
        for _ in 0..2 {
            assert_eq!(asked(&wired.outside, &alice)?, 200);
            ip("link delete wt0")?;
            let took = guarded.wait("wt0", |one| one.is_none()).await?;
            ensure!(took < COVERED_WITHIN, "wt0 is gone, after {took:?}");
            let since = Instant::now();
            wired.lay_overlay()?;
            wired.outside.run(lay_overlay_outside)?;
            guarded.wait_mode("wt0", "tc").await?;
            guarded.node.wait_ready().await?;
            let took = since.elapsed();
            ensure!(took < COVERED_WITHIN * 2, "bound again after {took:?}");
        }
        assert_eq!(asked(&wired.outside, &alice)?, 200);
        guarded.node.stop().await
    });
}

#[test]
fn every_hook_is_in_front() {
    for (hooks, mode) in [
        ("", "native"),
        ("hooks = [\"generic\"]", "generic"),
        ("hooks = [\"tc\"]", "tc"),
        ("hooks = [\"tc\", \"native\"]", "tc"),
    ] {
        let Some(wired) = Wired::new() else {
            return;
        };
        wired.guarded(hooks, async |guarded| {
            guarded.wait_mode("out0", mode).await?;
            ensure!(guarded.is_silent(&wired, "192.0.2.2", "out1")?, "{mode}");
            let status = guarded.status().await?;
            ensure!(packets(&status, "out0", "not_overlay") > 0, "{status:#}");
            assert_eq!(status["in_front"], true, "{status:#}");
            let alice = guarded.node.agent(PEER.parse()?).await?;
            assert_eq!(asked(&wired.outside, &alice)?, 200);
            guarded.node.stop().await
        });
    }
}

#[test]
fn devices_whose_drivers_know_no_xdp_have_it_in_the_stack() {
    let Some(wired) = Wired::new() else {
        return;
    };
    wired.on_host(|| {
        ip("link add mac0 link out0 address 02:00:00:00:00:03 type macvlan mode bridge")?;
        ip("address add 198.51.100.1/24 dev mac0")?;
        ip("link set mac0 up")?;
        ip("link add out2 type veth peer name out3")?;
        ip(&format!("link set out3 netns {}", wired.outside.path()))?;
        ip("link set out2 up")?;
        ip("link add bridge0 type bridge")?;
        ip("link set out2 master bridge0")?;
        ip("address add 203.0.113.1/24 dev bridge0")?;
        ip("link set bridge0 up")?;
        ip("tuntap add tun0 mode tun")
    });
    wired.outside(|| {
        ip("address add 203.0.113.2/24 dev out3")?;
        ip("link set out3 up")?;
        ip(&format!(
            "route add {ENDPOINT}/32 via 203.0.113.1 dev out3 metric 7"
        ))?;
        ip("address add 198.51.100.2/24 dev out1")?;
        ip("neighbour add 198.51.100.1 lladdr 02:00:00:00:00:03 dev out1")
    });
    // Otherwise nothing would come as far as those that stand on it.
    wired.guarded("exclude = [\"out?\"]", async |guarded| {
        guarded.wait_mode("out0", "excluded").await?;
        for name in ["mac0", "bridge0", "tun0"] {
            guarded.wait_mode(name, "generic").await?;
        }
        ensure!(guarded.is_silent(&wired, "203.0.113.2", "out3")?, "bridge0");
        // The kernel lets it through there, to where nobody listens.
        ensure!(!guarded.is_silent(&wired, "192.0.2.2", "out1")?, "out0");
        wired.outside.run(|| {
            ip(&format!(
                "route replace {ENDPOINT}/32 via 198.51.100.1 dev out1 metric 9"
            ))
        })?;
        ensure!(guarded.is_silent(&wired, "198.51.100.2", "out1")?, "mac0");
        let status = guarded.status().await?;
        for name in ["mac0", "bridge0"] {
            ensure!(packets(&status, name, "not_overlay") > 0, "{status:#}");
        }
        assert_eq!(status["in_front"], true, "{status:#}");
        guarded.node.wait_ready().await?;
        let (_, metrics) = guarded.node.telemetry("/metrics").await?;
        for sample in [
            "keyway_admission_mode_info{interface=\"out0\",mode=\"excluded\"} 1",
            "keyway_admission_in_front 1",
            "keyway_admission_peers 1",
        ] {
            ensure!(metrics.contains(sample), "{sample}");
        }
        guarded.node.stop().await
    });
}

#[test]
fn only_what_is_included_is_covered() {
    let Some(wired) = Wired::new() else {
        return;
    };
    wired.on_host(|| ip("link add bridge0 type bridge"));
    wired.guarded("include = [\"out*\", \"eth?\"]", async |guarded| {
        for (name, mode) in [("out0", "native"), ("bridge0", "excluded"), ("wt0", "tc")] {
            guarded.wait_mode(name, mode).await?;
        }
        // A name is another interface.
        ip("link set bridge0 name eth7")?;
        guarded.wait_mode("eth7", "generic").await?;
        guarded.node.stop().await
    });
}

#[test]
fn a_strangers_xdp_program_stays_and_is_named() {
    let Some(wired) = Wired::new() else {
        return;
    };
    let mut stranger = None;
    wired.on_host(|| {
        let mut kernel = Kernel::load(Link::Ethernet)?;
        kernel.take_xdp("out0")?;
        stranger = Some(kernel);
        Ok(())
    });
    wired.guarded("", async |guarded| {
        guarded.wait_mode("out0", "tc").await?;
        let status = guarded.status().await?;
        let problem = text(interface(&status, "out0").context("out0")?, "problem").to_owned();
        ensure!(
            problem.starts_with("XDP program ")
                && problem.ends_with(" (kw_outer_xdp) is attached; TC is used"),
            "{problem}"
        );
        assert_eq!(status["in_front"], true, "{status:#}");
        ensure!(guarded.is_silent(&wired, "192.0.2.2", "out1")?, "TC");
        // Looks that change nothing.
        for mtu in [1400, 1300, 1500] {
            ip(&format!("link set out0 mtu {mtu}"))?;
            ip("link add late0 type veth peer name late1")?;
            guarded.wait_mode("late0", "native").await?;
            ip("link delete late0")?;
        }
        let told = |log: &str| log.lines().filter(|line| line.contains("out0")).count();
        assert_eq!(told(&guarded.node.log()), 1, "{}", guarded.node.log());
        drop(stranger.take());
        guarded.wait_mode("out0", "native").await?;
        ensure!(guarded.is_silent(&wired, "192.0.2.2", "out1")?, "native");
        guarded.node.stop().await
    });
}

#[test]
fn what_no_hook_fits_keeps_the_endpoint_closed() {
    let Some(wired) = Wired::new() else {
        return;
    };
    wired.guarded("hooks = [\"native\"]", async |guarded| {
        ip("link add bridge0 type bridge")?;
        guarded.node.wait_unready("bridge0").await?;
        guarded.wait_mode("bridge0", "none").await?;
        ip("link delete bridge0")?;
        guarded.node.wait_ready().await?;
        guarded.node.stop().await
    });
}

#[test]
fn drops_are_logged_but_not_all_of_them() {
    const PROBES: u64 = 300;
    const LINES_PER_SECOND: usize = 3;
    let Some(wired) = Wired::new() else {
        return;
    };
    let lines = format!("log_drops = {LINES_PER_SECOND}");
    wired.guarded(&lines, async |guarded| {
        let since = Instant::now();
        wired
            .outside
            .run(|| knock(guarded.node.endpoint(), PROBES))?;
        let dropped = async {
            loop {
                let status = guarded.status().await?;
                if packets(&status, "out0", "not_overlay") >= PROBES {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(PATIENCE, dropped).await??;
        let address = format!(
            "dropped reason=\"not_overlay\" interface=\"out0\" from=192.0.2.2 to={ENDPOINT}"
        );
        guarded.node.wait_log(&address).await?;
        let processors = std::thread::available_parallelism()?.get();
        let seconds = usize::try_from(since.elapsed().as_secs())? + 2;
        let seen = guarded.node.log().matches("dropped reason=").count();
        ensure!(
            seen <= LINES_PER_SECOND * processors * seconds && (seen as u64) < PROBES,
            "{seen} lines in {seconds} s"
        );
        guarded.node.stop().await
    });
}

/// Sends SYNs that nobody will answer, in a moment.
fn knock(to: SocketAddr, times: u64) -> Result<()> {
    Runtime::new()?.block_on(async {
        let mut knocking = JoinSet::new();
        for _ in 0..times {
            let socket = TcpSocket::new_v4()?;
            socket.bind_device(Some(b"out1"))?;
            knocking.spawn(timeout(SILENCE, socket.connect(to)));
        }
        knocking.join_all().await;
        Ok(())
    })
}

fn asked(outside: &Namespace, agent: &Agent) -> Result<u16> {
    outside.run(|| {
        Runtime::new()?.block_on(async {
            let reply = agent.post(Version::Http1, CHAT, &chat("hi", false)).await?;
            Ok(reply.status.as_u16())
        })
    })
}

/// Neither a connection nor a refusal.
fn is_silent(outside: &Namespace, to: SocketAddr, from: &str, device: &str) -> Result<bool> {
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
