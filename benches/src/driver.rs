//! The load driver: one thread, one epoll instance, agents on one side and the provider on the other.
//! `upstream` answers; `client` asks; this file keeps time.

mod client;
mod clock;
mod head;
mod http1;
mod http2;
mod request;
mod socket;
mod tally;
mod tls;
mod upstream;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use self::{client::Client, tally::Tally, upstream::Upstream};
pub(crate) use self::{
    request::{Body, MODEL, Request},
    socket::TlsClient,
    tally::Latency,
    upstream::Pace,
};
use crate::poll::Poll;

/// Handshakes in progress while connections are opened.
const OPENING_AT_ONCE: usize = 8;
/// A run that has not ended by this much after its plan has hung.
const OVERTIME: Duration = Duration::from_secs(30);
/// Stamps that may be unreadable because a proxy cut a chunk inside one.
const EVENTS_READ_MIN: f64 = 0.99;
/// Idle connections settle for so long before memory is read: session tickets and acknowledgements
/// are under way after the last answer.
const IDLE_SETTLES: Duration = Duration::from_millis(500);

const SCRATCH_BYTES: usize = 64 * 1024;

const TOKEN_LISTENER: u64 = u64::MAX;
/// Tokens from here on are the upstream's connections, those below are clients.
const TOKEN_UPSTREAM: u64 = 1 << 32;

/// Agents, and what they ask.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsClient>,
    pub(crate) protocol: Protocol,
    pub(crate) connections: usize,
    pub(crate) request: Request,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// Requests in flight per connection.
    Http2 {
        streams: usize,
    },
}

/// One measured window. `T` is what the caller reads at its start and end.
pub(crate) struct Run<T> {
    pub(crate) before: T,
    pub(crate) after: T,
    /// Requests answered, or events delivered.
    pub(crate) count: u64,
    /// Answers other than 200, and streams that were reset.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// Requests that reached the upstream without a credential.
    pub(crate) without_credential: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Latency,
    /// Share of the window in which the driver had something to do; near 1, it is the limit.
    pub(crate) driver_share: f64,
}

pub(crate) struct Driver {
    poll: Poll,
    upstream: Upstream,
    scratch: Box<[u8]>,
    /// Time in turns that found nothing to do.
    idle_ns: u64,
}

impl Driver {
    /// Binds the upstream to a free loopback port. It serves while a run is under way.
    pub(crate) fn new() -> Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            upstream: Upstream::bind(&poll, TOKEN_LISTENER)?,
            poll,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            idle_ns: 0,
        })
    }

    pub(crate) fn upstream_address(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// Every answer is followed by the next request, for `warm_up`, then for the measured `window`.
    pub(crate) fn closed_loop<T>(
        &mut self,
        load: &Load,
        warm_up: Duration,
        window: Duration,
        read: impl Fn() -> T,
    ) -> Result<Run<T>> {
        let http1 = load.request.http1();
        let mut clients = self.open(load, &http1)?;
        for client in &mut clients {
            for _ in 0..load.protocol.in_flight() {
                client.ask(&http1, clock::now_ns())?;
            }
            client.flush()?;
        }
        let mut unmeasured = Tally::default();
        let warm = after(warm_up);
        while clock::now_ns() < warm {
            self.turn(&mut clients, Some(&http1), &mut unmeasured)?;
        }
        let mut tally = Tally::default();
        let opened = Opened::now(self, &read);
        let end = after(window);
        while clock::now_ns() < end {
            self.turn(&mut clients, Some(&http1), &mut tally)?;
        }
        let count = tally.answered;
        Ok(opened.close(self, &read, count, tally))
    }

    /// One paced stream per connection, started one after another over `ramp`. Counts events.
    pub(crate) fn event_streams<T>(
        &mut self,
        load: &Load,
        pace: Pace,
        ramp: Duration,
        read: impl Fn() -> T,
    ) -> Result<Run<T>> {
        self.upstream.pace = pace;
        // The first answer of each connection is a whole one: only streams are measured.
        let small = Request::new(&load.request.host, Body::Small);
        let mut clients = self.open(load, &small.http1())?;
        let http1 = load.request.http1();
        let mut tally = Tally::default();
        let opened = Opened::now(self, &read);
        let step = ramp.as_nanos() as u64 / clients.len() as u64;
        let late = after(ramp + pace.interval * pace.events + OVERTIME);
        let (mut started, mut ended) = (0, 0);
        while ended < clients.len() {
            let now = clock::now_ns();
            ensure!(now < late, "{ended} of {} streams ended", clients.len());
            if let Some(client) = clients.get_mut(started)
                && opened.at_ns + step * started as u64 <= now
            {
                client.ask(&http1, now)?;
                started += 1;
            }
            ended += self.turn(&mut clients, None, &mut tally)?;
        }
        let planned = u64::from(pace.events) * (tally.answered);
        ensure!(
            tally.events as f64 >= planned as f64 * EVENTS_READ_MIN,
            "{} of {planned} events arrived",
            tally.events
        );
        Ok(opened.close(self, &read, planned, tally))
    }

    /// Opens the connections, lets each ask once, and calls `held` while all are idle.
    pub(crate) fn hold_idle<T>(&mut self, load: &Load, held: impl FnOnce() -> T) -> Result<T> {
        let mut clients = self.open(load, &load.request.http1())?;
        let mut tally = Tally::default();
        let settled = after(IDLE_SETTLES);
        while clock::now_ns() < settled {
            self.turn(&mut clients, None, &mut tally)?;
        }
        Ok(held())
    }

    /// Opens connections a few at a time; each is ready when its first request was answered.
    fn open(&mut self, load: &Load, http1: &[u8]) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(load.connections);
        let mut answered = 0;
        let mut tally = Tally::default();
        let late = after(OVERTIME);
        while answered < load.connections {
            while clients.len() < load.connections && clients.len() - answered < OPENING_AT_ONCE {
                let mut client = Client::connect(load)?;
                client.ask(http1, clock::now_ns())?;
                client.flush()?;
                self.poll.add(client.socket(), clients.len() as u64)?;
                clients.push(client);
            }
            answered += self.turn(&mut clients, None, &mut tally)?;
            ensure!(
                clock::now_ns() < late,
                "{answered} of {} connections were answered",
                load.connections
            );
            if let Some(failure) = tally.first_failure {
                bail!("the first request of a connection failed: {failure}");
            }
        }
        Ok(clients)
    }

    /// Sends the events that are due and handles what came; returns how many answers were completed. With
    /// `again`, each is followed by the same request.
    ///
    /// It does not sleep: a proxy would pay for waking it, by an interrupt to another processor, the more
    /// often the slower the proxy is.
    fn turn(
        &mut self,
        clients: &mut [Client],
        again: Option<&[u8]>,
        tally: &mut Tally,
    ) -> Result<usize> {
        let began = clock::now_ns();
        let sent = self.upstream.send_due_events(began);
        let came = self
            .poll
            .wait(Some(Duration::ZERO))
            .context("epoll_pwait2")?;
        if came == 0 && !sent {
            self.idle_ns += clock::now_ns() - began;
        }
        let mut completed = 0;
        for i in 0..came {
            let ready = self.poll.ready(i);
            if ready.token == TOKEN_LISTENER {
                self.upstream.accept(&self.poll, TOKEN_UPSTREAM)?;
            } else if let Some(slot) = ready.token.checked_sub(TOKEN_UPSTREAM) {
                self.upstream.serve(slot as usize, ready, &mut self.scratch);
            } else {
                let client = &mut clients[ready.token as usize];
                let now = clock::now_ns();
                let answers = client.receive(ready, &mut self.scratch, now, tally)?;
                if let Some(http1) = again {
                    for _ in 0..answers {
                        client.ask(http1, now)?;
                    }
                }
                client.flush()?;
                completed += answers;
            }
        }
        Ok(completed)
    }
}

impl Protocol {
    fn in_flight(self) -> usize {
        match self {
            Self::Http1 => 1,
            Self::Http2 { streams } => streams,
        }
    }
}

/// The start of a measured window.
struct Opened<T> {
    before: T,
    at_ns: u64,
    idle_ns: u64,
}

impl<T> Opened<T> {
    fn now(driver: &mut Driver, read: &impl Fn() -> T) -> Self {
        driver.upstream.without_credential = 0;
        Self {
            before: read(),
            at_ns: clock::now_ns(),
            idle_ns: driver.idle_ns,
        }
    }

    fn close(self, driver: &Driver, read: &impl Fn() -> T, count: u64, mut tally: Tally) -> Run<T> {
        let elapsed = Duration::from_nanos(clock::now_ns() - self.at_ns);
        let idle = Duration::from_nanos(driver.idle_ns - self.idle_ns);
        Run {
            before: self.before,
            after: read(),
            count,
            failed: tally.failed,
            latency: tally.latency(),
            first_failure: tally.first_failure,
            without_credential: driver.upstream.without_credential,
            elapsed,
            driver_share: 1.0 - idle.div_duration_f64(elapsed),
        }
    }
}

/// The instant `duration` from now.
fn after(duration: Duration) -> u64 {
    clock::now_ns() + duration.as_nanos() as u64
}
