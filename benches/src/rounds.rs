//! Rounds: every proxy in turn, then again (A B C A B C), so that whatever disturbs the machine meets
//! all of them. Ratios are taken within a round.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    case::{self, Case, Shape},
    driver::{Body, Driver, Latency, Load, Protocol, Request, Run, TlsClient},
    placement::Placement,
    process::{CpuReading, CpuUse, Memory, Processes},
    proxy::{Certificate, Endpoint, HOST, Proxy, Running, Site},
};

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) streams: usize,
    pub(crate) idle_connections: usize,
}

/// The machine's two cores, the driver, and a place for files.
pub(crate) struct Bench<'a> {
    pub(crate) plan: Plan,
    pub(crate) driver: Driver,
    pub(crate) directory: &'a Path,
    pub(crate) certificate: &'a Certificate,
    pub(crate) proxy_place: Placement,
    pub(crate) driver_place: Placement,
    /// Proxies started so far; each has a directory of its own.
    pub(crate) starts: usize,
}

/// One proxy in one round; CPU times are per request or event.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) data_us: f64,
    /// Other threads, within the window.
    pub(crate) control_us: f64,
    /// Other threads, from the window's end until the proxy rests.
    pub(crate) catch_up_us: f64,
    pub(crate) latency: Latency,
    /// Share of the window on a core.
    pub(crate) proxy_share: f64,
    pub(crate) driver_share: f64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
}

/// Growth per idle connection, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdleSample {
    pub(crate) rss_kib: f64,
    pub(crate) pss_kib: f64,
}

/// What the rounds of one proxy gave, or why there is nothing.
pub(crate) type Rounds<T> = Result<Vec<T>>;

/// Connections that exist before memory is first read, so that one-time costs are not counted.
const IDLE_WARM_UP: usize = 16;
/// A fresh process per round makes rounds of memory equal to each other; more than this say no more.
const IDLE_ROUNDS_MAX: usize = 3;
/// A proxy is quiet when it used less than one percent of a core between two looks.
const REST_LOOK_EVERY: Duration = Duration::from_millis(100);
const REST_CPU_MAX: Duration = Duration::from_millis(1);
/// A control plane rests when it was quiet for so many looks: its threads may sleep for some hundred
/// milliseconds before they find work.
const REST_QUIET_LOOKS: u32 = 8;
/// After this long a proxy that does not rest is measured as it is.
const RESTS_WITHIN: Duration = Duration::from_secs(60);
/// Part of the window that goes before it, unmeasured.
const WARM_UP_DIVISOR: u32 = 10;
/// Streams start one after another over this part of the window.
const RAMP_DIVISOR: u32 = 2;

impl Sample {
    /// All of the proxy's threads within the window.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.data_us + self.control_us
    }

    pub(crate) fn cpu_with_catch_up_us(&self) -> f64 {
        self.cpu_us() + self.catch_up_us
    }
}

impl Bench<'_> {
    /// All proxies run side by side for the whole case; those that do not have their turn rest.
    pub(crate) fn load(&mut self, case: Case, proxies: &[&dyn Proxy]) -> Vec<Rounds<Sample>> {
        let shape = case.shape(self.plan.streams);
        let running: Vec<Result<Running>> = proxies.iter().map(|p| self.start(*p)).collect();
        let mut rounds: Vec<Rounds<Sample>> = Vec::new();
        let mut started = Vec::new();
        for (proxy, running) in proxies.iter().zip(running) {
            match running {
                Ok(running) => {
                    started.push(Some((proxy.adds_credential(), running)));
                    rounds.push(Ok(Vec::new()));
                }
                Err(error) => {
                    started.push(None);
                    rounds.push(Err(error));
                }
            }
        }
        for _ in 0..self.plan.rounds {
            for (entry, samples) in started.iter_mut().zip(&mut rounds) {
                let (Some((adds_credential, running)), Ok(list)) = (&*entry, &mut *samples) else {
                    continue;
                };
                match self.sample(shape, running, *adds_credential) {
                    Ok(sample) => list.push(sample),
                    Err(error) => {
                        *samples = Err(error);
                        *entry = None;
                    }
                }
            }
        }
        rounds
    }

    /// Memory needs a fresh process each time: freed memory hides growth.
    pub(crate) fn idle(
        &mut self,
        protocol: Protocol,
        body: Body,
        proxies: &[&dyn Proxy],
    ) -> Vec<Rounds<IdleSample>> {
        let mut rounds: Vec<Rounds<IdleSample>> = proxies.iter().map(|_| Ok(Vec::new())).collect();
        for _ in 0..self.plan.rounds.min(IDLE_ROUNDS_MAX) {
            for (proxy, samples) in proxies.iter().zip(&mut rounds) {
                if let Ok(list) = samples {
                    match self.idle_sample(protocol, body, *proxy) {
                        Ok(sample) => list.push(sample),
                        Err(error) => *samples = Err(error),
                    }
                }
            }
        }
        rounds
    }

    fn start(&mut self, proxy: &dyn Proxy) -> Result<Running> {
        self.starts += 1;
        let name = format!("{}-{}", proxy.name(), self.starts);
        let directory = self.directory.join(name);
        fs::create_dir(&directory)?;
        let site = Site {
            upstream: self.driver.upstream_address(),
            directory: &directory,
            certificate: self.certificate,
            proxy: self.proxy_place,
            driver: self.driver_place,
        };
        proxy
            .start(&site)
            .with_context(|| format!("{} does not start", proxy.name()))
    }

    fn sample(&mut self, shape: Shape, running: &Running, adds_credential: bool) -> Result<Sample> {
        let processes = &running.processes;
        let window = self.plan.window;
        rest(processes);
        let read = || processes.cpu();
        let run = match shape {
            Shape::Closed {
                tls,
                protocol,
                connections,
                body,
            } => {
                let load = load(&running.endpoint, tls, protocol, connections, body)?;
                let warm_up = window / WARM_UP_DIVISOR;
                self.driver.closed_loop(&load, warm_up, window, read)?
            }
            Shape::Events { streams } => {
                let protocol = Protocol::Http1;
                let mut load = load(&running.endpoint, false, protocol, streams, Body::Stream)?;
                load.address = running.endpoint.plain_events;
                let (pace, ramp) = (case::pace(window), window / RAMP_DIVISOR);
                self.driver.event_streams(&load, pace, ramp, read)?
            }
            Shape::Idle { .. } => unreachable!("idle connections are not a load"),
        };
        let rested = rest(processes);
        ensure!(
            run.count > 0,
            "nothing was answered: {}",
            run.first_failure.as_deref().unwrap_or("no answer came")
        );
        ensure!(
            !adds_credential || run.without_credential == 0,
            "{} requests went upstream without a credential",
            run.without_credential
        );
        Ok(sample(run, &rested))
    }

    fn idle_sample(
        &mut self,
        protocol: Protocol,
        body: Body,
        proxy: &dyn Proxy,
    ) -> Result<IdleSample> {
        let running = self.start(proxy)?;
        let mut hold = |connections| -> Result<Memory> {
            let load = load(&running.endpoint, true, protocol, connections, body)?;
            self.driver
                .hold_idle(&load, || running.processes.memory())?
        };
        let before = hold(IDLE_WARM_UP)?;
        let connections = self.plan.idle_connections;
        let after = hold(connections + IDLE_WARM_UP)?;
        let growth = |before: u64, after: u64| (after as f64 - before as f64) / connections as f64;
        Ok(IdleSample {
            rss_kib: growth(before.rss_kib, after.rss_kib),
            pss_kib: growth(before.pss_kib, after.pss_kib),
        })
    }
}

fn load(
    endpoint: &Endpoint,
    tls: bool,
    protocol: Protocol,
    connections: usize,
    body: Body,
) -> Result<Load> {
    let (address, tls) = if tls {
        let alpn: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 { .. } => b"h2",
        };
        let address = endpoint.tls.context("the proxy speaks no TLS")?;
        (address, Some(TlsClient::new(HOST, alpn)?))
    } else {
        (endpoint.plain, None)
    };
    Ok(Load {
        address,
        tls,
        protocol,
        connections,
        request: Request::new(HOST, body),
    })
}

fn sample(run: Run<CpuReading>, rested: &CpuReading) -> Sample {
    let in_window = run.after.since(&run.before);
    let catch_up: CpuUse = rested.since(&run.after);
    let each_us = |ns: u64| ns as f64 / 1e3 / run.count.max(1) as f64;
    Sample {
        per_second: run.count as f64 / run.elapsed.as_secs_f64(),
        data_us: each_us(in_window.data_ns),
        control_us: each_us(in_window.control_ns),
        // Closing the connections is the data plane's work, and no part of a request's cost.
        catch_up_us: each_us(catch_up.control_ns),
        latency: run.latency,
        proxy_share: in_window.total_ns() as f64 / run.elapsed.as_nanos() as f64,
        driver_share: run.driver_share,
        failed: run.failed,
        first_failure: run.first_failure,
    }
}

/// Waits until the proxy rests: its backlog is done, closed connections are cleaned up.
fn rest(processes: &Processes) -> CpuReading {
    let looks = if processes.has_control_plane() {
        REST_QUIET_LOOKS
    } else {
        1
    };
    let late = Instant::now() + RESTS_WITHIN;
    let mut before = processes.cpu();
    let mut quiet = 0;
    loop {
        thread::sleep(REST_LOOK_EVERY);
        let now = processes.cpu();
        let spent = Duration::from_nanos(now.since(&before).total_ns());
        quiet = if spent < REST_CPU_MAX { quiet + 1 } else { 0 };
        if quiet == looks || Instant::now() > late {
            return now;
        }
        before = now;
    }
}
