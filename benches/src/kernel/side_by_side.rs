//! The same policy ("drop TCP to the endpoint's address and port, pass the rest") by different means, under
//! the same packets, round by round.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use gateway_common::{Verdict, program};
use gateway_tests::{
    frame::{Frame, SYN, UDP},
    kernel::{Attachment, Kernel},
};

use super::{
    ROUNDS,
    bpf::{Attached, Program},
    kernel, spread,
    wire::{Cost, DEVICE, Receiver, Wire, with_checksums},
};

const PEERS: u32 = 1_000;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
/// What passes has to come as far as its protocol; neighbours say something now and then, too.
const REACHED_MIN: f64 = 0.99;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Nothing,
    /// An XDP program that says the same of every packet: what XDP costs here without any policy.
    Constant,
    KeywayXdp,
    KeywayTc,
    XdpFilter(Object),
    NftIngress,
    NftPrerouting,
}

/// Which of xdp-filter's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    /// The smallest that knows ports of TCP.
    Tcp,
    /// What it loads unless told otherwise: ports, addresses of both families, Ethernet addresses.
    Default,
}

const ALL: [Contender; 8] = [
    Contender::Nothing,
    Contender::Constant,
    Contender::KeywayXdp,
    Contender::XdpFilter(Object::Tcp),
    Contender::XdpFilter(Object::Default),
    Contender::KeywayTc,
    Contender::NftIngress,
    Contender::NftPrerouting,
];

/// What is measured of each contender.
struct Row {
    contender: Contender,
    drop: Vec<Cost>,
    pass: Vec<Cost>,
}

/// Both tables, or the reason why there are none.
pub(super) fn report(repeat: u32) -> Result<String> {
    let missing: Vec<&str> = [
        ("ethtool", "ethtool"),
        ("xdp-filter", "xdp-tools"),
        ("nft", "nftables"),
    ]
    .into_iter()
    .filter(|(program, _)| Command::new(program).arg("--version").output().is_err())
    .map(|(_, package)| package)
    .collect();
    if !missing.is_empty() {
        return Ok(format!(
            "\nSide by side: not measured, as these Debian packages are missing: {}.\n",
            missing.join(", ")
        ));
    }
    let wire = Wire::new()?;
    let mut keyway = kernel(PEERS)?;
    wire.run(|| {
        let mut report = by_test_run(&keyway, repeat)?;
        let receiver = Receiver::new()?;
        let mut rows: Vec<Row> = ALL
            .map(|contender| Row {
                contender,
                drop: Vec::new(),
                pass: Vec::new(),
            })
            .into();
        for _ in 0..ROUNDS {
            for row in &mut rows {
                row.drop.push(measure(
                    &wire,
                    &receiver,
                    &mut keyway,
                    row.contender,
                    Verdict::Drop,
                )?);
                row.pass.push(measure(
                    &wire,
                    &receiver,
                    &mut keyway,
                    row.contender,
                    Verdict::Pass,
                )?);
            }
        }
        table(&mut report, &rows)?;
        Ok(report)
    })
}

fn measure(
    wire: &Wire,
    receiver: &Receiver,
    keyway: &mut Kernel,
    contender: Contender,
    wanted: Verdict,
) -> Result<Cost> {
    let in_front = contender.stand_in_front(keyway, wanted)?;
    let cost = wire
        .load(receiver, &frame(wanted))
        .with_context(|| contender.title().to_owned())?;
    drop(in_front);
    let is_dropped = wanted == Verdict::Drop && contender != Contender::Nothing;
    let as_wanted = match is_dropped {
        true => cost.reached == 0.0,
        false => cost.reached > REACHED_MIN,
    };
    ensure!(as_wanted, "{}: {cost:?}", contender.title());
    Ok(cost)
}

const fn number(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Drop => XDP_DROP,
        Verdict::Pass => XDP_PASS,
    }
}

/// TCP to the endpoint, or UDP to a socket of another address.
fn frame(wanted: Verdict) -> Vec<u8> {
    with_checksums(match wanted {
        Verdict::Drop => Frame::new("192.0.2.2:40000", "100.64.0.1:443")
            .flags(SYN)
            .bytes(),
        Verdict::Pass => Frame::new("192.0.2.2:40000", "192.0.2.1:9")
            .protocol(UDP)
            .payload(18)
            .bytes(),
    })
}

/// What stands in front; dropped, it is gone.
enum InFront {
    Nothing,
    Constant(#[expect(dead_code, reason = "held")] Attached),
    Keyway(#[expect(dead_code, reason = "held")] Attachment),
    /// A command that takes it away.
    Command(&'static str),
}

impl Drop for InFront {
    fn drop(&mut self) {
        if let Self::Command(undo) = self {
            let _ = run(undo, "");
        }
    }
}

impl Contender {
    fn title(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Constant => "XDP program of one constant",
            Self::KeywayXdp => "Keyway, XDP",
            Self::XdpFilter(Object::Tcp) => "xdp-filter's TCP object, XDP",
            Self::XdpFilter(Object::Default) => "xdp-filter's default object, XDP",
            Self::KeywayTc => "Keyway, TC",
            Self::NftIngress => "nftables, netdev ingress",
            Self::NftPrerouting => "nftables, inet prerouting raw",
        }
    }

    fn stand_in_front(self, keyway: &mut Kernel, wanted: Verdict) -> Result<InFront> {
        Ok(match self {
            Self::Nothing => InFront::Nothing,
            Self::Constant => {
                let index = nix::net::if_::if_nametoindex(DEVICE)?;
                InFront::Constant(Program::verdict(number(wanted))?.attach(index)?)
            }
            Self::KeywayXdp => InFront::Keyway(keyway.attach(program::OUTER_XDP, DEVICE)?),
            Self::KeywayTc => InFront::Keyway(keyway.attach(program::OUTER_TC, DEVICE)?),
            Self::XdpFilter(object) => object.load()?,
            Self::NftIngress => {
                run("nft -f -", NFT_INGRESS)?;
                InFront::Command("nft delete table netdev bench")
            }
            Self::NftPrerouting => {
                run("nft -f -", NFT_PREROUTING)?;
                InFront::Command("nft delete table inet bench")
            }
        })
    }
}

impl Object {
    fn load(self) -> Result<InFront> {
        let features = match self {
            Self::Tcp => "tcp",
            Self::Default => "all",
        };
        run(
            &format!("xdp-filter load -m native -f {features} {DEVICE}"),
            "",
        )?;
        let loaded = InFront::Command(XDP_FILTER_UNLOAD);
        run(XDP_FILTER_RULE, "")?;
        Ok(loaded)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "xdpfilt_alw_tcp",
            Self::Default => "xdpfilt_alw_all",
        }
    }
}

// It matches a port or an address, never both: a rule for the port drops it on every address.
const XDP_FILTER_RULE: &str = "xdp-filter port 443 -m dst -p tcp";
const XDP_FILTER_UNLOAD: &str = "xdp-filter unload kwb1";
const XDP_FILTER_PINS: &str = "/sys/fs/bpf/xdp-filter/programs/kwb1";

const NFT_INGRESS: &str = "table netdev bench { chain in { \
    type filter hook ingress device \"kwb1\" priority 0; policy accept; \
    ip daddr 100.64.0.1 tcp dport 443 drop\n}\n}\n";
const NFT_PREROUTING: &str = "table inet bench { chain in { \
    type filter hook prerouting priority raw; policy accept; \
    ip daddr 100.64.0.1 tcp dport 443 drop\n}\n}\n";

fn run(command: &str, input: &str) -> Result<()> {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| command.to_owned())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {errors}");
    Ok(())
}

/// Keyway's and xdp-filter's programs on the same frames, by `BPF_PROG_TEST_RUN`.
fn by_test_run(keyway: &Kernel, repeat: u32) -> Result<String> {
    // One after the other, as they share the places of their pins; a loaded one outlives its pin.
    let [tcp, default] = [Object::Tcp, Object::Default].map(|object| {
        let _loaded = object.load()?;
        Program::pinned(&format!("{XDP_FILTER_PINS}/{}", object.name()))
    });
    let others = [tcp?, default?];
    let mut report = String::new();
    writeln!(
        report,
        "\n## Beside xdp-filter\n\nThe same frames through all programs in the same run, in ns as above. \
         xdp-filter ({}) has one rule, `port 443 -m dst -p tcp`: it cannot ask for an address and a port \
         together.\n\n| packet | Keyway, `{}` | Keyway, `{}` | xdp-filter, `{}` | xdp-filter, `{}` |\n|---|---|---|---|---|",
        version("xdp-filter load --version"),
        program::OUTER_XDP,
        program::OUTER_XDP_LINEAR,
        Object::Tcp.name(),
        Object::Default.name(),
    )?;
    for (title, wanted) in [("drop, TCP", Verdict::Drop), ("pass, UDP", Verdict::Pass)] {
        let frame = frame(wanted);
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let (own, foreign) = rounds.split_at_mut(2);
            for (rounds, name) in own
                .iter_mut()
                .zip([program::OUTER_XDP, program::OUTER_XDP_LINEAR])
            {
                let ran = keyway.run(name, &frame, repeat)?;
                ensure!(ran.verdict == wanted, "{title}: {ran:?}");
                rounds.push(ran.duration.as_nanos() as f64);
            }
            for (rounds, other) in foreign.iter_mut().zip(&others) {
                let (verdict, ns) = other.run(&frame, repeat)?;
                ensure!(verdict == number(wanted), "{title}: {verdict}");
                rounds.push(f64::from(ns));
            }
        }
        let cells = rounds.map(spread).join(" | ");
        writeln!(report, "| {title} | {cells} |")?;
    }
    Ok(report)
}

fn table(report: &mut String, rows: &[Row]) -> Result<()> {
    writeln!(
        report,
        "\n## Between two machines\n\nTwo network namespaces and a veth pair. One sends the same frame from \
         one core (XDP redirection, so frames arrive as from a card's driver), the other receives on a NAPI \
         thread alone on the other core. CPU time of that thread per packet, in ns, and packets per second, \
         medians of {ROUNDS} interleaved rounds (least, most). What drops a packet was checked to let none \
         come as far as TCP, what passes it to let all come to a UDP socket, which is full. {}, {}.\n\n\
         | in front | drop: ns | packets/s | pass: ns | packets/s |\n|---|---|---|---|---|",
        version("xdp-filter load --version"),
        version("nft --version"),
    )?;
    for row in rows {
        write!(report, "| {} |", row.contender.title())?;
        for costs in [&row.drop, &row.pass] {
            let ns: Vec<f64> = costs.iter().map(|cost| cost.ns_per_packet).collect();
            let rates: Vec<f64> = costs.iter().map(|cost| cost.packets_per_second).collect();
            write!(
                report,
                " {} | {:.2} M |",
                spread(ns),
                crate::stats::median(rates) / 1e6
            )?;
        }
        writeln!(report)?;
    }
    writeln!(
        report,
        "\nWith nothing in front the host answers each of these TCP packets with a reset."
    )?;
    Ok(())
}

fn version(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .output();
    let output = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_default()
}
