//! Side-by-side load bench: nginx, a relay that parses nothing, and Keyway with everything on, each
//! pinned to one core, under the same load from the other.
//!
//! `case` says what is measured, `rounds` in which order, `driver` makes the load, `proxy` starts what
//! is compared, `report` judges.

mod case;
mod decisions;
mod driver;
mod kernel;
mod machine;
mod placement;
mod poll;
mod process;
mod proxy;
mod relay;
mod report;
mod rounds;
mod stats;

use std::{
    env, fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use gateway::alloc::WipingAllocator;

use crate::{
    case::{Case, Shape},
    driver::Driver,
    machine::Machine,
    placement::Placement,
    proxy::{Certificate, Keyway, Nginx, Proxy, Relay},
    report::{CaseReport, ProxyVersion, Report, table},
    rounds::{Bench, Plan},
};

/// The node's, so that what is measured in this process lies in memory as it does there.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::new();

/// Measures proxies side by side on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Cases to run; all by default.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Proxies to compare; all that are found by default.
    #[arg(long, value_delimiter = ',')]
    proxies: Vec<ProxyKind>,
    /// Rounds per case: in each, every proxy has one turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one turn.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Streams of the SSE case.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Connections of the idle cases.
    #[arg(long, default_value_t = 5000)]
    idle_connections: usize,
    /// A smoke run: one short round with few connections; its figures say nothing.
    #[arg(long)]
    quick: bool,
    /// The nginx program.
    #[arg(long, default_value = "nginx")]
    nginx: PathBuf,
    /// The keyway program, built for release; by default the one beside this program.
    #[arg(long)]
    keyway: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    #[arg(long, default_value_t = 1)]
    driver_core: usize,
    /// Stay out of the real-time scheduling class, which is used when it is allowed.
    #[arg(long)]
    no_realtime: bool,
    /// Also write the report to benches/results.md.
    #[arg(long)]
    write: bool,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Nanoseconds per request of the check of policies and limits
    Decisions(decisions::Arguments),
    /// Nanoseconds per packet of the kernel's programs; needs root
    Kernel(kernel::Arguments),
    /// Relays TCP connections; the bench starts it as one of its proxies.
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProxyKind {
    Nginx,
    Relay,
    Keyway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// What `--quick` replaces.
const QUICK: Plan = Plan {
    rounds: 1,
    window: Duration::from_millis(300),
    streams: 50,
    idle_connections: 100,
};

/// Descriptors beside the connections of a case: upstream pools, listeners, files.
const DESCRIPTORS_SPARE: u64 = 2048;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Decisions(arguments)) => decisions::run(arguments),
        Some(Command::Kernel(arguments)) => kernel::run(arguments),
        Some(Command::Relay { listen, upstream }) => relay::serve(*listen, *upstream),
        None => run(&arguments),
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::look();
    let realtime = placement::realtime_allowed() && !arguments.no_realtime;
    let place = |core| Placement { core, realtime };
    let (proxy_place, driver_place) = (place(arguments.proxy_core), place(arguments.driver_core));
    let plan = plan(arguments);
    let descriptors = placement::raise_descriptor_limit()?;
    let needed = plan.idle_connections.max(plan.streams * 2) as u64 + DESCRIPTORS_SPARE;
    ensure!(
        descriptors >= needed,
        "{needed} open descriptors are needed and {descriptors} allowed: raise the limit, or lower \
         --idle-connections and --streams"
    );
    let proxies = proxies(arguments)?;
    let versions = proxies.iter().map(|proxy| {
        Ok(ProxyVersion {
            name: proxy.name(),
            version: proxy.version()?,
        })
    });
    let versions = versions.collect::<Result<Vec<_>>>()?;
    driver_place.enter()?;
    let directory = tempfile::tempdir()?;
    let certificate = Certificate::create(directory.path())?;
    let mut bench = Bench {
        plan,
        driver: Driver::new()?,
        directory: directory.path(),
        certificate: &certificate,
        proxy_place,
        driver_place,
        starts: 0,
    };
    let mut cases = Vec::new();
    for case in selected(&arguments.cases, Case::value_variants()) {
        let report = measure(&mut bench, case, &proxies);
        if arguments.output == Output::Table {
            writeln!(io::stdout(), "{}", table::case(&report))?;
        }
        cases.push(report);
    }
    let report = Report {
        machine,
        arguments: env::args().skip(1).collect::<Vec<_>>().join(" "),
        settings: settings(&plan, proxy_place, driver_place),
        proxies: versions,
        cases,
    };
    if arguments.output == Output::Json {
        serde_json::to_writer_pretty(io::stdout(), &report)?;
        writeln!(io::stdout())?;
    }
    if arguments.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results.md");
        fs::write(&path, table::document(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(bench: &mut Bench<'_>, case: Case, proxies: &[Box<dyn Proxy>]) -> CaseReport {
    let shape = case.shape(bench.plan.streams);
    let able: Vec<&dyn Proxy> = proxies
        .iter()
        .map(Box::as_ref)
        .filter(|proxy| proxy.speaks_tls() || !shape.needs_tls())
        .filter(|proxy| proxy.speaks_websockets() || !shape.needs_websockets())
        .collect();
    let names: Vec<&'static str> = able.iter().map(|proxy| proxy.name()).collect();
    match shape {
        Shape::Closed { .. } | Shape::Events { .. } => {
            let rounds = bench.load(case, &able);
            CaseReport::load(case, names.into_iter().zip(rounds).collect())
        }
        Shape::Idle { protocol, body } => {
            let rounds = bench.idle(protocol, body, &able);
            CaseReport::idle(case, names.into_iter().zip(rounds).collect())
        }
    }
}

fn plan(arguments: &Arguments) -> Plan {
    if arguments.quick {
        return QUICK;
    }
    Plan {
        rounds: arguments.rounds,
        window: Duration::from_secs_f64(arguments.seconds),
        streams: arguments.streams,
        idle_connections: arguments.idle_connections,
    }
}

fn proxies(arguments: &Arguments) -> Result<Vec<Box<dyn Proxy>>> {
    let mut proxies: Vec<Box<dyn Proxy>> = Vec::new();
    for kind in selected(&arguments.proxies, ProxyKind::value_variants()) {
        match kind {
            ProxyKind::Nginx => proxies.push(Box::new(Nginx::new(arguments.nginx.clone()))),
            ProxyKind::Relay => proxies.push(Box::new(Relay)),
            ProxyKind::Keyway => proxies.push(Box::new(Keyway::new(keyway(arguments)?))),
        }
    }
    Ok(proxies)
}

fn keyway(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(path) = &arguments.keyway {
        return Ok(path.clone());
    }
    let beside = env::current_exe()?.with_file_name("keyway");
    ensure!(
        beside.exists(),
        "{} is missing: build it, or say --keyway PATH, or --proxies nginx,relay",
        beside.display()
    );
    Ok(beside)
}

/// What was asked for, or everything.
fn selected<T: Copy>(asked: &[T], all: &[T]) -> Vec<T> {
    if asked.is_empty() { all } else { asked }.to_vec()
}

fn settings(plan: &Plan, proxy: Placement, driver: Placement) -> Vec<String> {
    let class = if proxy.realtime {
        "SCHED_FIFO 1"
    } else {
        "the normal scheduling class"
    };
    vec![
        format!(
            "{} rounds of {:.1} s; proxies on core {}, driver with upstream on core {}, {class}",
            plan.rounds,
            plan.window.as_secs_f64(),
            proxy.core,
            driver.core
        ),
        format!(
            "{} event streams, {} idle connections",
            plan.streams, plan.idle_connections
        ),
    ]
}
