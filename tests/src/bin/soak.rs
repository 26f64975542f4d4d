//! `soak`: minutes of load on a real node, and its log held against what the provider counted, to the
//! nano-dollar. `cargo xtask soak` builds and runs it.

#![expect(clippy::print_stdout, reason = "a command-line tool")]

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use gateway_tests::{
    agent::{Agent, Version},
    machine::{self, Machine},
    node::{Node, Options as NodeOptions},
    standin::{Options, StandIn, Transport, Vendor},
};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

const KEY: &str = "sk-standin-4f1d9c27b6aa";
const CHAT: &str = "/v1/chat/completions";
const MODEL: &str = "gpt-4o-mini";
/// Its price in nano-dollars per token, as the node is told it; reckoned here on its own.
const NANO_PER_INPUT: u64 = 150;
const NANO_PER_OUTPUT: u64 = 600;

/// Connections, half of them HTTP/1.1; each has one request under way.
const AGENTS: u64 = 64;
/// Answers have so many different lengths.
const LENGTHS: u64 = 16;
/// After a failed request, before the next.
const RECONNECT: Duration = Duration::from_millis(20);
/// A record leaves its worker after the flush interval and a tick, and is durable a sync later.
const UNWRITTEN: Duration = Duration::from_millis(250);
/// Until the log has caught up.
const CATCH_UP: Duration = Duration::from_secs(120);
/// Batches that wait for the disk, so that few seconds fill it.
const QUEUE: u32 = 16;
/// Of the disk that fills up.
const DISK: &str = "1g";

/// Load, faults, and whether every request has its record
#[derive(Parser)]
struct Arguments {
    /// All of them without
    cases: Vec<Case>,
    /// Requests per second
    #[arg(long, default_value_t = 5000)]
    rate: u64,
    /// Of each case
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Nothing goes wrong
    Steady,
    /// The node is killed after a third and after two thirds of the time
    Killed,
    /// The disk of the log is full in the second third of the time
    FullDisk,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Steady => "steady",
            Self::Killed => "killed",
            Self::FullDisk => "full disk",
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(reason) = machine::why_not() {
        bail!("this needs a network namespace of its own: {reason}");
    }
    let cases = match arguments.cases.is_empty() {
        true => Case::value_variants(),
        false => &arguments.cases,
    };
    println!(
        "{:<10} {:>9} {:>9} {:>8} {:>8} {:>9} {:>15} {:>15} {:>8}",
        "case",
        "answered",
        "per s",
        "refused",
        "broken",
        "records",
        "provider's $",
        "log's $",
        "caught up"
    );
    for case in cases {
        run(*case, &arguments)
            .await
            .with_context(|| format!("{case}"))?;
    }
    Ok(())
}

/// What the agents met.
#[derive(Default)]
struct Met {
    answered: AtomicU64,
    /// With 503, since the log cannot be written.
    refused: AtomicU64,
    /// Ended without an answer.
    broken: AtomicU64,
    is_over: AtomicBool,
}

async fn run(case: Case, arguments: &Arguments) -> Result<()> {
    let machine = Arc::new(Machine::start()?);
    let disk = Disk::mount(&machine)?;
    let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
    let standin = StandIn::start_on(&machine, standin).await?;
    let options = NodeOptions {
        machine: Some(Arc::clone(&machine)),
        usage: Some(disk.usage()),
        log: Some("warn"),
        extra: vec![("usage", format!("queue_batches_limit = {QUEUE}"))],
        ..NodeOptions::default()
    };
    let mut node = Node::with(options, &standin, Vendor::OpenAi, KEY).await?;
    let mut agent = node.alice().await?;
    agent.machine = Some(Arc::clone(&machine));

    let met = Arc::new(Met::default());
    let mut agents = JoinSet::new();
    let pace = Duration::from_secs(AGENTS).div_f64(arguments.rate as f64);
    for number in 0..AGENTS {
        agents.spawn(call(agent.clone(), number, pace, Arc::clone(&met)));
    }
    let begun = Instant::now();
    let third = Duration::from_secs(arguments.seconds) / 3;
    let mut kills = 0;
    for part in 1..=3 {
        tokio::time::sleep_until(begun + third * part).await;
        match (case, part) {
            (Case::Killed, 1 | 2) => {
                node = node.kill_and_restart().await?;
                kills += 1;
            }
            (Case::FullDisk, 1) => disk.fill()?,
            (Case::FullDisk, 2) => disk.empty()?,
            (Case::Steady | Case::Killed | Case::FullDisk, _) => {}
        }
    }
    met.is_over.store(true, Relaxed);
    while let Some(ended) = agents.join_next().await {
        ended??;
    }
    let took = begun.elapsed();

    let answered = met.answered.load(Relaxed);
    let refused = met.refused.load(Relaxed);
    let broken = met.broken.load(Relaxed);
    let unrecorded = kills * (AGENTS + arguments.rate * UNWRITTEN.as_millis() as u64 / 1000);
    let log = Log::caught_up(&node, (answered + refused).saturating_sub(unrecorded)).await?;
    let provider = standin.stats();
    let sums = provider.total();
    let nano = sums.input_tokens * NANO_PER_INPUT + sums.output_tokens * NANO_PER_OUTPUT;
    println!(
        "{:<10} {answered:>9} {:>9.0} {refused:>8} {broken:>8} {:>9} {:>15.9} {:>15.9} {:>6.1} s",
        case.to_string(),
        answered as f64 / took.as_secs_f64(),
        log.records,
        nano as f64 / 1e9,
        log.nano_usd as f64 / 1e9,
        log.behind.as_secs_f64(),
    );
    match case {
        Case::Steady | Case::FullDisk => {
            ensure!(broken == 0, "{broken} requests broke off");
            ensure!(log.records == answered + refused, "a record is missing");
            ensure!(provider.answered == answered, "an answer is missing");
            ensure!(log.nano_usd == nano, "costs differ");
            let tokens = sums.input_tokens + sums.output_tokens;
            ensure!(log.tokens == tokens, "tokens differ");
            ensure!(case == Case::Steady || refused > 0, "nothing was refused");
        }
        // What had been answered an instant ago is in nobody's log, and what was under way is not either.
        Case::Killed => {
            ensure!(
                log.records + unrecorded >= provider.answered,
                "more is missing than was under way or not yet written"
            );
            ensure!(log.nano_usd <= nano, "something was counted twice");
        }
    }
    node.stop().await
}

/// One agent: a request at each beat of `pace`, or as soon as it can.
async fn call(agent: Agent, number: u64, pace: Duration, met: Arc<Met>) -> Result<()> {
    let version = match number % 2 {
        0 => Version::Http1,
        _ => Version::Http2,
    };
    let mut beat = tokio::time::interval_at(
        Instant::now() + pace.mul_f64(number as f64 / AGENTS as f64),
        pace,
    );
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut session = None;
    for turn in 0.. {
        beat.tick().await;
        if met.is_over.load(Relaxed) {
            break;
        }
        if session.is_none() {
            session = agent.session(version).await.ok();
        }
        let Some(open) = &mut session else {
            tokio::time::sleep(RECONNECT).await;
            continue;
        };
        let words = 1 + (number + turn) % LENGTHS;
        let body = json!({
            "model": MODEL,
            "messages": [{"role": "user", "content": format!("[[events={words}]] {}", "word ".repeat(words as usize))}],
        });
        match open.post(CHAT, &body, &[]).await {
            Ok(reply) if reply.status == StatusCode::OK => met.answered.fetch_add(1, Relaxed),
            Ok(reply) if reply.error_code() == "keyway.usage_log_behind" => {
                // The node closes such connections.
                session = None;
                met.refused.fetch_add(1, Relaxed)
            }
            Ok(reply) => bail!("{}: {:?}", reply.status, reply.body),
            Err(_) => {
                session = None;
                met.broken.fetch_add(1, Relaxed)
            }
        };
    }
    Ok(())
}

/// What the node's log says.
struct Log {
    records: u64,
    tokens: u64,
    nano_usd: u64,
    /// How long it took to say it.
    behind: Duration,
}

impl Log {
    /// Once it holds at least `records`, and no more come.
    async fn caught_up(node: &Node, records: u64) -> Result<Self> {
        let begun = Instant::now();
        let mut before = None;
        loop {
            let behind = begun.elapsed();
            let found = Self::read(node, behind).await?;
            if found.records >= records && before == Some(found.records) {
                return Ok(found);
            }
            before = Some(found.records);
            ensure!(behind < CATCH_UP, "{} of {records} records", found.records);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn read(node: &Node, behind: Duration) -> Result<Self> {
        let path = "/api/agent-network/usage/overview";
        let buckets = node.api_ok(Method::GET, path, None).await?;
        let sum = |field: &str| -> f64 {
            let buckets = buckets.as_array().into_iter().flatten();
            buckets.filter_map(|bucket| bucket[field].as_f64()).sum()
        };
        Ok(Self {
            records: sum("request_count") as u64,
            tokens: sum("total_tokens") as u64,
            nano_usd: (sum("cost_usd") * 1e9).round() as u64,
            behind,
        })
    }
}

/// A small disk for the log.
struct Disk {
    machine: Arc<Machine>,
    directory: tempfile::TempDir,
}

impl Disk {
    fn mount(machine: &Arc<Machine>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keyway-soak-").tempdir()?;
        let at = directory.path().display();
        machine.run(&format!("mount -t tmpfs -o size={DISK} none {at}"))?;
        Ok(Self {
            machine: Arc::clone(machine),
            directory,
        })
    }

    fn usage(&self) -> PathBuf {
        self.directory.path().join("usage")
    }

    fn fill(&self) -> Result<()> {
        let filler = self.filler();
        // It ends when there is no room.
        let _ = self.machine.run(&format!(
            "dd if=/dev/zero of={} bs=1M status=none",
            filler.display()
        ));
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        let filler = self.filler();
        self.machine
            .run(&format!("rm {}", filler.display()))
            .map(drop)
    }

    fn filler(&self) -> PathBuf {
        Path::join(self.directory.path(), "filler")
    }
}
