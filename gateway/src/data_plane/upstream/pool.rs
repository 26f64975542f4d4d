//! Upstream connections of a worker, by target: idle HTTP/1.1 ones and shared HTTP/2 ones. A target's id
//! changes with its credential and address, so what is pooled never outlives either; connections leave
//! when they are old, long idle, or their target is gone from the snapshot.

use std::{
    cell::RefCell,
    collections::HashSet,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use foldhash::HashMap;

use super::{h1::H1Connection, h2::H2Handle};
use crate::{
    data_plane::{
        alarm::coarse_now,
        buffer::Buffer,
        failure::Failure,
        inject::LateKey,
        io,
        transport::{H2Io, Transport},
        worker::Worker,
    },
    handoff::{
        counters::WorkerCounters,
        reason::Reason,
        snapshot::{Target, TargetId},
    },
};

/// Idle HTTP/1.1 connections kept per target.
const IDLE_LIMIT: usize = 1024;
/// Exchanges put on one HTTP/2 connection before another is opened.
const STREAMS_PER_CONNECTION: usize = 100;
/// An HTTP/1.1 connection that rested longer is looked at before it is used.
const LIVENESS_CHECK_AFTER: Duration = Duration::from_millis(100);
/// Flow-control windows offered to providers: a fast answer does not wait for the agent's round trip.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// A connection for one exchange.
pub enum Acquired {
    H1(Box<H1Connection>),
    H2(H2Handle, StreamGuard),
}

/// Counts a stream on its connection while it lives.
pub struct StreamGuard(#[expect(dead_code, reason = "counted by its references")] Rc<()>);

/// Counts an open connection while it lives.
pub struct OpenGuard(Arc<WorkerCounters>);

impl OpenGuard {
    pub fn new(worker: &Worker) -> Self {
        worker.counters.upstream_connections_open.add(1);
        Self(Arc::clone(&worker.counters))
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.upstream_connections_open.add(-1);
    }
}

/// See the module.
#[derive(Default)]
pub struct Pool {
    targets: RefCell<HashMap<TargetId, Connections>>,
}

#[derive(Default)]
struct Connections {
    #[expect(
        clippy::vec_box,
        reason = "connections move between here and their exchanges"
    )]
    idle: Vec<Box<H1Connection>>,
    shared: Vec<Shared>,
    /// The last handshake agreed on HTTP/1.1: every exchange needs a connection of its own.
    speaks_h1: bool,
    /// Somebody is connecting, and these wait to share what comes of it.
    connecting: Option<Vec<Waker>>,
}

/// What [`Pool::take_or_connect`] found.
pub enum Turn {
    Pooled(Acquired),
    /// Nothing to share: connect. Hold the turn until that is done.
    Connect(Option<ConnectTurn>),
}

/// Held by the one that connects for all; its end, whatever it is, wakes the others.
pub struct ConnectTurn {
    worker: Rc<Worker>,
    target: TargetId,
}

impl Drop for ConnectTurn {
    fn drop(&mut self) {
        let mut targets = self.worker.pool.targets.borrow_mut();
        let waiting = targets
            .get_mut(&self.target)
            .and_then(|c| c.connecting.take());
        drop(targets);
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

struct Shared {
    handle: H2Handle,
    opened: Instant,
    /// One reference per stream under way, and one held here.
    streams: Rc<()>,
}

impl Shared {
    fn acquire(&self) -> Acquired {
        Acquired::H2(self.handle.clone(), StreamGuard(Rc::clone(&self.streams)))
    }

    fn streams(&self) -> usize {
        Rc::strong_count(&self.streams) - 1
    }

    /// Whether new streams may be opened on it.
    fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(self.handle.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }
}

impl Pool {
    /// A pooled connection, or leave to open one. A burst toward a provider that may speak HTTP/2 waits
    /// for the first handshake, and shares its connection.
    pub async fn take_or_connect(&self, worker: &Rc<Worker>, target: &Target) -> Turn {
        poll_fn(|cx| {
            if let Some(connection) = self.take(worker, target) {
                return Poll::Ready(Turn::Pooled(connection));
            }
            let mut targets = self.targets.borrow_mut();
            let connections = targets.entry(target.id).or_default();
            if target.tls.is_none() || connections.speaks_h1 {
                return Poll::Ready(Turn::Connect(None));
            }
            if let Some(waiting) = &mut connections.connecting {
                waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            connections.connecting = Some(Vec::new());
            let turn = ConnectTurn {
                worker: Rc::clone(worker),
                target: target.id,
            };
            Poll::Ready(Turn::Connect(Some(turn)))
        })
        .await
    }

    /// A connection that is likely alive.
    fn take(&self, worker: &Worker, target: &Target) -> Option<Acquired> {
        let mut targets = self.targets.borrow_mut();
        let connections = targets.get_mut(&target.id)?;
        if !connections.shared.is_empty() {
            let age_max = worker.config.timeouts.upstream_age_max;
            connections
                .shared
                .retain_mut(|s| age(s.opened) < age_max && s.is_open());
            let room = |shared: &&Shared| shared.streams() < STREAMS_PER_CONNECTION;
            if let Some(shared) = connections.shared.iter().find(room) {
                return Some(shared.acquire());
            }
        }
        // The one that rested least is the likeliest to be alive.
        while let Some(mut connection) = connections.idle.pop() {
            if age(connection.idle_since) < LIVENESS_CHECK_AFTER || is_alive(&mut connection) {
                return Some(Acquired::H1(connection));
            }
        }
        None
    }

    /// A fresh HTTP/1.1 connection.
    pub fn opened_h1(
        &self,
        worker: &Worker,
        target: &Target,
        transport: Transport,
        inbox: Buffer,
    ) -> Acquired {
        if let Some(connections) = self.targets.borrow_mut().get_mut(&target.id) {
            connections.speaks_h1 = true;
        }
        let now = coarse_now();
        let _open = OpenGuard::new(worker);
        let target = target.id;
        Acquired::H1(Box::new(H1Connection {
            target,
            transport,
            inbox,
            opened: now,
            idle_since: now,
            _open,
        }))
    }

    /// A fresh HTTP/2 connection: starts its driver and shares it.
    pub async fn opened_h2(
        &self,
        worker: &Rc<Worker>,
        target: &Target,
        transport: Transport,
        inbox: Buffer,
        key: Option<LateKey>,
    ) -> Result<Acquired, Failure> {
        let (handle, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(worker.config.workers.head_bytes_limit as u32)
            .handshake(H2Io::client(transport, inbox, key))
            .await
            .map_err(|e| Failure::provider(Reason::ProviderProtocol, e))?;
        let open = OpenGuard::new(worker);
        io::spawn(async move {
            // Its end, good or bad, reaches every stream on it.
            let _ = connection.await;
            drop(open);
        });
        let shared = Shared {
            handle,
            opened: coarse_now(),
            streams: Rc::new(()),
        };
        let acquired = shared.acquire();
        let mut targets = self.targets.borrow_mut();
        let connections = targets.entry(target.id).or_default();
        connections.speaks_h1 = false;
        connections.shared.push(shared);
        Ok(acquired)
    }

    /// An HTTP/1.1 connection whose exchange is over.
    pub fn give(&self, worker: &Worker, mut connection: Box<H1Connection>) {
        let young = age(connection.opened) < worker.config.timeouts.upstream_age_max;
        connection.idle_since = coarse_now();
        let mut targets = self.targets.borrow_mut();
        let idle = &mut targets.entry(connection.target).or_default().idle;
        if young && idle.len() < IDLE_LIMIT && !worker.is_draining() {
            idle.push(connection);
        }
    }

    /// Closes what is old, long idle, or belongs to a target that is no more.
    pub fn tick(&self, worker: &Worker, current: &HashSet<TargetId>) {
        let idle_max = worker.config.timeouts.upstream_keep_alive;
        self.targets.borrow_mut().retain(|id, connections| {
            if !current.contains(id) {
                return false;
            }
            connections
                .idle
                .retain(|connection| age(connection.idle_since) < idle_max);
            // A burst may have opened several at once; without streams the first is enough.
            let mut kept = 0;
            connections.shared.retain_mut(|shared| {
                let keep = shared.is_open() && (kept == 0 || shared.streams() > 0);
                kept += usize::from(keep);
                keep
            });
            true
        });
    }

    /// Closes all that is idle; what is in use goes on.
    pub fn clear(&self) {
        self.targets.borrow_mut().clear();
    }
}

fn age(since: Instant) -> Duration {
    coarse_now().saturating_duration_since(since)
}

/// Whether the provider has neither closed nor spoken out of turn.
fn is_alive(connection: &mut H1Connection) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    connection.transport.assume_readable();
    connection
        .transport
        .poll_read(&mut cx, &mut connection.inbox)
        .is_pending()
        && connection.inbox.is_empty()
}
