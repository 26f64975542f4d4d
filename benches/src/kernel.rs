//! What the kernel's programs cost per packet, by `BPF_PROG_TEST_RUN`: the kernel repeats one packet and
//! averages. Caches are warm, so this is what the program adds to a busy path, not to the first packet.
//! Then the same policy by other means, under real packets.

mod bpf;
mod side_by_side;
mod wire;

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Result, ensure};
use gateway_common::{Config, Link, Network, Verdict, program};
use gateway_tests::{
    frame::{Frame, UDP},
    kernel::{Kernel, PROGRAMS},
};

use crate::{
    machine::Machine,
    placement::{self, Placement},
    stats::median,
};

const PEERS: [u32; 3] = [10, 1_000, 100_000];
const ROUNDS: usize = 7;
/// Not the one that the other part receives on.
const CORE: usize = 1;
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// Peers follow it.
const FIRST_PEER: u32 = 0x6440_0100;
const PEER: &str = "100.64.1.5:40000";
const PEER_6: &str = "[fd00::5]:40000";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Runs of the program per measurement
    #[arg(long, default_value_t = 1_000_000)]
    repeat: u32,
    /// Also write the tables to benches/kernel.md
    #[arg(long)]
    write: bool,
}

/// One line of the table.
struct Case {
    title: &'static str,
    program: &'static str,
    frame: Frame,
    verdict: Verdict,
    /// At most so many nanoseconds.
    target: Option<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut report = String::new();
    let machine = Machine::look();
    Placement {
        core: CORE,
        realtime: placement::realtime_allowed(),
    }
    .enter()?;
    writeln!(
        report,
        "# Kernel programs, per packet\n\n{}: {}, {}, load {}.\n\n`BPF_PROG_TEST_RUN`, {} repeats, median of {ROUNDS} interleaved rounds (least, most), in ns.\n",
        machine.date, machine.processor, machine.kernel, machine.load_average, arguments.repeat
    )?;
    writeln!(
        report,
        "| packet | program | 10 peers | 1,000 peers | 100,000 peers | target |"
    )?;
    writeln!(report, "|---|---|---|---|---|---|")?;
    let mut kernels = Vec::new();
    for peers in PEERS {
        kernels.push(kernel(peers)?);
    }
    let mut cases = cases().map(|case| (case, [const { Vec::new() }; PEERS.len()]));
    // Round by round, so that a slow second of the machine meets all of them.
    for _ in 0..ROUNDS {
        for (case, columns) in &mut cases {
            for (kernel, rounds) in kernels.iter().zip(columns) {
                rounds.push(measure(kernel, case, arguments.repeat)?);
            }
        }
    }
    for (case, columns) in cases {
        write!(report, "| {} | `{}` |", case.title, case.program)?;
        for rounds in columns {
            write!(report, " {} |", spread(rounds))?;
        }
        match case.target {
            Some(target) => writeln!(report, " ≤ {target:.0} |")?,
            None => writeln!(report, " |")?,
        }
    }
    writeln!(
        report,
        "\n| program | instructions that the verifier looked at |\n|---|---|"
    )?;
    for name in PROGRAMS {
        let count = kernels[0].verified_instructions(name)?;
        writeln!(report, "| `{name}` | {count} |")?;
    }
    report.push_str(&side_by_side::report(arguments.repeat)?);
    write!(std::io::stdout(), "{report}")?;
    if arguments.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernel.md");
        fs::write(path, report)?;
    }
    Ok(())
}

/// Nanoseconds of a run.
fn measure(kernel: &Kernel, case: &Case, repeat: u32) -> Result<f64> {
    let ran = kernel.run(case.program, &case.frame.bytes(), repeat)?;
    ensure!(
        ran.verdict == case.verdict,
        "{}: {:?}",
        case.title,
        ran.verdict
    );
    Ok(ran.duration.as_nanos() as f64)
}

/// Median, least and most of the rounds.
fn spread(rounds: Vec<f64>) -> String {
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rounds.iter().copied().fold(0.0, f64::max);
    format!("{:.0} ({least:.0}, {most:.0})", median(rounds))
}

fn kernel(peers: u32) -> Result<Kernel> {
    let mut kernel = Kernel::load(Link::Ethernet)?;
    let networks = [
        Network::new(IpAddr::V4(ENDPOINT), 10),
        Network::new(IpAddr::V6(v6(0)), 64),
    ];
    let networks = networks.map(|network| network.expect("a prefix that fits"));
    let addresses = [IpAddr::V4(ENDPOINT), IpAddr::V6(v6(1))];
    kernel.configure(Config::new(&addresses, &[443, 80], &networks)?)?;
    // Half of them with IPv6, as each address is an entry of its own.
    for number in 0..peers / 2 {
        kernel.add_peer(Ipv4Addr::from(FIRST_PEER + number).into())?;
        kernel.add_peer(v6(2 + number).into())?;
    }
    // The ones that the packets are from.
    kernel.add_peer(Ipv4Addr::new(100, 64, 1, 5).into())?;
    kernel.add_peer(v6(5).into())?;
    Ok(kernel)
}

fn v6(number: u32) -> Ipv6Addr {
    let low = number as u16;
    let upper = (number >> 16) as u16;
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, upper, low)
}

fn cases() -> [Case; 15] {
    let new = Frame::new;
    let headers = [(0, 0), (43, 0), (60, 0), (60, 0), (135, 0), (60, 0)];
    let (xdp, tc) = (program::OUTER_XDP, program::OUTER_TC);
    let (ingress, egress) = (program::OVERLAY_INGRESS, program::OVERLAY_EGRESS);
    let row = |title, program, frame, verdict, target| Case {
        title,
        program,
        frame,
        verdict,
        target,
    };
    let (pass, drop) = (Verdict::Pass, Verdict::Drop);
    [
        row(
            "pass, UDP",
            xdp,
            new("203.0.113.9:1", "192.0.2.1:51820").protocol(UDP),
            pass,
            Some(60.0),
        ),
        row(
            "pass, TCP to another port",
            xdp,
            new("203.0.113.9:1", "192.0.2.1:22"),
            pass,
            Some(60.0),
        ),
        row(
            "pass, the endpoint's port elsewhere",
            xdp,
            new("203.0.113.9:1", "192.0.2.1:443"),
            pass,
            Some(60.0),
        ),
        row(
            "drop",
            xdp,
            new("203.0.113.9:1", "100.64.0.1:443"),
            drop,
            None,
        ),
        row(
            "drop, linear",
            program::OUTER_XDP_LINEAR,
            new("203.0.113.9:1", "100.64.0.1:443"),
            drop,
            None,
        ),
        row(
            "drop, two VLAN tags",
            xdp,
            new("203.0.113.9:1", "100.64.0.1:443").tags(&[0x88a8, 0x8100]),
            drop,
            None,
        ),
        row(
            "drop, IPv6",
            xdp,
            new("[2001:db8::9]:1", "[fd00::1]:443"),
            drop,
            None,
        ),
        row(
            "drop, IPv6 with six extension headers",
            xdp,
            new("[2001:db8::9]:1", "[fd00::1]:443").extensions(&headers),
            drop,
            None,
        ),
        row(
            "drop, TC",
            tc,
            new("203.0.113.9:1", "100.64.0.1:443"),
            drop,
            None,
        ),
        row(
            "overlay, other traffic",
            ingress,
            new(PEER, "100.64.0.1:22"),
            pass,
            Some(60.0),
        ),
        row(
            "known peer",
            ingress,
            new(PEER, "100.64.0.1:443"),
            pass,
            Some(100.0),
        ),
        row(
            "known peer, IPv6",
            ingress,
            new(PEER_6, "[fd00::1]:443"),
            pass,
            Some(100.0),
        ),
        row(
            "unknown peer",
            ingress,
            new("100.127.0.1:1", "100.64.0.1:443"),
            drop,
            None,
        ),
        row(
            "outside the overlay",
            ingress,
            new("203.0.113.9:1", "100.64.0.1:443"),
            drop,
            None,
        ),
        row(
            "answer to a peer",
            egress,
            new("100.64.0.1:443", PEER).payload(1000),
            pass,
            Some(100.0),
        ),
    ]
}
