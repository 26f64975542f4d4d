//! What the check of policies and limits costs per request, by the number of policies, groups and peers. The
//! control plane's compiler makes the snapshot, so what is decided by lies in memory as it does in a node.

mod fleet;

use std::{fmt::Write as _, fs, hint::black_box, io::Write as _, path::Path, time::Duration};

use anyhow::{Result, ensure};
use gateway::control_plane::ledger::fullest::fullest;
use nix::time::{ClockId, clock_gettime};

use crate::{
    decisions::fleet::{Fleet, NOW, Size},
    machine::Machine,
    placement::{self, Placement},
    stats::Spread,
};

/// In each a group has as many policies and peers: what a caller's decision has to go through is the same.
const SIZES: [Size; 3] = [
    Size {
        policies: 100,
        groups: 10,
        peers: 1_000,
    },
    Size {
        policies: 1_000,
        groups: 100,
        peers: 10_000,
    },
    Size {
        policies: 10_000,
        groups: 1_000,
        peers: 100_000,
    },
];
const CORE: usize = 1;
const LOOKS: usize = 5;
/// At most so many nanoseconds per decision, in the median.
const TARGET_NS: f64 = 2_000.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; in each, every size has one turn
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Decisions in a turn
    #[arg(long, default_value_t = 200_000)]
    decisions: usize,
    /// Also write the tables to benches/decisions.md
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.rounds > 0,
        "there is nothing to report of no rounds"
    );
    let machine = Machine::look();
    Placement {
        core: CORE,
        realtime: placement::realtime_allowed(),
    }
    .enter()?;
    let mut fleets = SIZES.map(Fleet::compile);
    let mut nanos = SIZES.map(|_| Vec::new());
    // Round by round, so that a slow second of the machine meets all of them.
    for _ in 0..arguments.rounds {
        for (fleet, nanos) in fleets.iter_mut().zip(&mut nanos) {
            nanos.push(decide(fleet, arguments.decisions)?);
        }
    }
    let mut report = format!(
        "# Decisions\n\n{}: {}, {}, load {}.\n\n{READING}\n",
        machine.date, machine.processor, machine.kernel, machine.load_average
    );
    writeln!(
        report,
        "| policies | groups | peers | ns, least | median | most | target | fullest limits, ms |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|"
    )?;
    for (fleet, nanos) in fleets.iter().zip(nanos) {
        let Size {
            policies,
            groups,
            peers,
        } = fleet.size;
        if let Some(Spread { median, min, max }) = Spread::of(nanos) {
            let verdict = if median <= TARGET_NS { "met" } else { "missed" };
            writeln!(
                report,
                "| {policies} | {groups} | {peers} | {min:.0} | {median:.0} | {max:.0} | ≤ {TARGET_NS:.0}: {verdict} | {:.1} |",
                look_at_all(fleet)?
            )?;
        }
    }
    write!(std::io::stdout(), "{report}")?;
    if arguments.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("decisions.md");
        fs::write(path, report)?;
    }
    Ok(())
}

const READING: &str = "\
CPU time of one thread for a request of a random peer for one of ten models: the peer by its address, provider,
policy, price, and two limits of a day (its group's tokens and its user's), spent and settled. Each model is one
provider's, and each policy lets three groups reach one provider; each peer has five groups and a user of its own.
Whatever the size, a group is named by 30 policies, three for each provider, so that about 15 hold for a request.
The target is for the median. The last column is what a scrape of the metrics takes to find the fullest limits.
";

/// CPU nanoseconds of one decision.
fn decide(fleet: &mut Fleet, decisions: usize) -> Result<f64> {
    let begun = cpu_time()?;
    let mut permitted = 0;
    for turn in 0..decisions {
        permitted += usize::from(fleet.decide(turn));
    }
    let took = cpu_time()? - begun;
    ensure!(permitted > 0, "nobody may do anything");
    Ok(took.as_nanos() as f64 / decisions as f64)
}

/// Milliseconds of a look at how full the limits are, the least of some.
fn look_at_all(fleet: &Fleet) -> Result<f64> {
    let mut least = Duration::MAX;
    for _ in 0..LOOKS {
        let begun = cpu_time()?;
        black_box(fullest(&fleet.snapshot, NOW).len());
        least = least.min(cpu_time()? - begun);
    }
    Ok(least.as_secs_f64() * 1e3)
}

/// Of this thread, so that neighbours on its core do not count.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
