//! One worker: a pinned thread with its own monoio runtime, listeners, pools and counters.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    io,
    rc::Rc,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
    time::{Instant, SystemTime},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::{
    accept::{self, Acceptor},
    alarm::{Alarms, TICK},
    date, io as rt,
    upstream::pool::Pool,
};
use crate::{
    config::Config,
    handoff::{
        capture::CaptureSender,
        command::WorkerCommand,
        counters::WorkerCounters,
        ledger::GrantQueue,
        objects::ObjectTable,
        publish::SnapshotReader,
        queue::RecordSender,
        record::ExchangeRecord,
        snapshot::{Snapshot, TargetId},
    },
};

/// What a worker starts with; everything it will ever share.
pub struct WorkerStart {
    /// 0-based; names the thread, the core it is pinned to, and part of record ids.
    pub index: usize,
    /// Random per process; part of record ids.
    pub node: u16,
    pub config: Arc<Config>,
    pub snapshots: SnapshotReader,
    pub counters: Arc<WorkerCounters>,
    pub records: RecordSender,
    pub captures: CaptureSender,
    /// Shared by all workers.
    pub objects: Arc<ObjectTable>,
    /// Shared by all workers.
    pub grants: Arc<GrantQueue>,
    pub commands: Receiver<WorkerCommand>,
}

/// A worker that runs.
pub struct RunningWorker {
    /// Ends when a drain is over, after the worker's last record was handed over.
    pub thread: JoinHandle<()>,
    /// Which driver `workers.driver` became, and why; for the operator.
    pub driver: String,
}

/// Starts the thread and returns once its runtime stands.
///
/// # Errors
/// When the thread or its runtime could not be made.
pub fn start(start: WorkerStart) -> io::Result<RunningWorker> {
    let (started, wait) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{}", start.index))
        .spawn(move || {
            let index = start.index;
            let driver = start.config.workers.driver;
            if start.config.workers.pin
                && let Err(error) = pin(index)
            {
                tracing::warn!(worker = index, %error, "worker could not be pinned to a core");
            }
            let on_start = started.clone();
            let result = rt::block_on(
                driver,
                |driver| {
                    tracing::info!(worker = index, driver, "worker runs");
                    let _ = on_start.send(Ok(driver.to_owned()));
                },
                // Boxed inside: everything of a worker must be made on its own thread.
                async move { run(start).await },
            );
            if let Err(error) = result {
                let _ = started.send(Err(error));
            }
        })?;
    let driver = wait
        .recv()
        .map_err(|_| io::Error::other("the worker ended while it started"))??;
    Ok(RunningWorker { thread, driver })
}

/// Binds this thread to the `index`-th of the cores the process may use.
fn pin(index: usize) -> nix::Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let cores: Vec<usize> = (0..CpuSet::count())
        .filter(|core| allowed.is_set(*core).unwrap_or(false))
        .collect();
    let mut one = CpuSet::new();
    one.set(cores[index % cores.len()])?;
    sched_setaffinity(Pid::from_raw(0), &one)
}

/// State of a worker; its tasks share it, nobody else does.
pub struct Worker {
    pub config: Arc<Config>,
    pub counters: Arc<WorkerCounters>,
    pub alarms: Alarms,
    pub pool: Pool,
    pub captures: CaptureSender,
    pub objects: Arc<ObjectTable>,
    pub grants: Arc<GrantQueue>,
    index: u8,
    node: u16,
    snapshots: RefCell<SnapshotReader>,
    current: RefCell<Rc<HeldSnapshot>>,
    records: RefCell<RecordSender>,
    sequence: Cell<u64>,
    draining: Cell<bool>,
    cut: Cell<bool>,
    connections: Cell<usize>,
    connections_by_peer: RefCell<HashMap<u32, usize>>,
    exchanges: Cell<usize>,
    held_body_bytes: Cell<usize>,
}

async fn run(start: WorkerStart) {
    let WorkerStart {
        index,
        node,
        config,
        snapshots,
        counters,
        records,
        captures,
        objects,
        grants,
        commands,
    } = start;
    let mut snapshots = snapshots;
    let current = Rc::new(HeldSnapshot(Arc::clone(snapshots.get())));
    let worker = Rc::new(Worker {
        current: RefCell::new(current),
        config,
        counters,
        alarms: Alarms::default(),
        pool: Pool::default(),
        captures,
        objects,
        grants,
        index: index as u8,
        node,
        snapshots: RefCell::new(snapshots),
        records: RefCell::new(records),
        sequence: Cell::new(0),
        draining: Cell::new(false),
        cut: Cell::new(false),
        connections: Cell::new(0),
        connections_by_peer: RefCell::default(),
        exchanges: Cell::new(0),
        held_body_bytes: Cell::new(0),
    });
    let mut listeners: HashMap<u64, Rc<Acceptor>> = HashMap::new();
    let mut drain_deadline = None;
    let mut revision = 0;
    let mut targets = HashSet::new();
    loop {
        rt::sleep(TICK).await;
        let now = Instant::now();
        while let Ok(command) = commands.try_recv() {
            match command {
                WorkerCommand::OpenListener { id, socket, tls } => {
                    match accept::open(&worker, socket, tls) {
                        Ok(acceptor) => drop(listeners.insert(id, acceptor)),
                        Err(error) => tracing::error!(id, %error, "listener could not be opened"),
                    }
                }
                WorkerCommand::CloseListener { id } => {
                    if let Some(acceptor) = listeners.remove(&id) {
                        acceptor.stop();
                    }
                }
                WorkerCommand::Drain { deadline } => {
                    drain_deadline = Some(deadline);
                    listeners.drain().for_each(|(_, acceptor)| acceptor.stop());
                    worker.draining.set(true);
                    worker.pool.clear();
                }
            }
        }
        worker.alarms.tick(now);
        date::tick(SystemTime::now());
        if worker.is_draining() {
            // Also those that came to rest since the last tick.
            worker.alarms.end_idle();
        }
        let snapshot = worker.snapshot();
        if snapshot.revision != revision {
            revision = snapshot.revision;
            targets = snapshot_targets(&snapshot);
            // An address may be another peer's by now.
            worker.alarms.revoke(|address, slot| {
                let principal = snapshot.peers.get(&address);
                principal.is_some_and(|principal| principal.slot == slot)
            });
        }
        drop(snapshot);
        worker.pool.tick(&worker, &targets);
        worker.records.borrow_mut().tick();
        if let Some(deadline) = drain_deadline {
            if worker.connections.get() == 0 {
                break;
            }
            if deadline <= now {
                if worker.cut.replace(true) {
                    // Told a tick ago and still here: nothing more can be done for them.
                    break;
                }
                worker.alarms.end_all();
            }
        }
    }
    worker.records.borrow_mut().flush();
}

fn snapshot_targets(snapshot: &Snapshot) -> HashSet<TargetId> {
    snapshot
        .providers
        .iter()
        .flat_map(|p| &p.targets)
        .map(|target| target.id)
        .collect()
}

impl Worker {
    /// The newest configuration.
    pub fn snapshot(&self) -> Rc<HeldSnapshot> {
        let mut snapshots = self.snapshots.borrow_mut();
        let newest = snapshots.get();
        let mut current = self.current.borrow_mut();
        if newest.revision != current.revision {
            *current = Rc::new(HeldSnapshot(Arc::clone(newest)));
        }
        Rc::clone(&current)
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The drain's deadline has passed.
    pub fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Whether the usage log keeps up.
    pub fn has_log_room(&self) -> bool {
        self.records.borrow().has_room()
    }

    /// Whether anything may begin that leaves a record, be it a refusal.
    pub fn may_begin(&self) -> bool {
        self.records.borrow().may_begin()
    }

    pub fn append_record(&self, record: &ExchangeRecord<'_>) {
        self.records.borrow_mut().append(record);
    }

    /// An id that sorts by time; see [`ExchangeRecord::id`].
    pub fn next_record_id(&self, started_at_us: i64) -> u128 {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let millis = u128::from((started_at_us / 1000).max(0) as u64 & 0xffff_ffff_ffff);
        millis << 80
            | u128::from(self.node) << 64
            | u128::from(self.index) << 56
            | u128::from(sequence & 0x00ff_ffff_ffff_ffff)
    }

    /// Counts a connection of `peer_slot` in; `None` when a cap is reached.
    pub fn admit_connection(self: &Rc<Self>, peer_slot: u32) -> Option<ConnectionGuard> {
        let limits = &self.config.workers;
        let mut by_peer = self.connections_by_peer.borrow_mut();
        let of_peer = by_peer.entry(peer_slot).or_insert(0);
        if self.connections.get() >= limits.connections_limit
            || *of_peer >= limits.connections_per_peer_limit
        {
            if *of_peer == 0 {
                by_peer.remove(&peer_slot);
            }
            return None;
        }
        *of_peer += 1;
        self.connections.set(self.connections.get() + 1);
        self.counters.connections_open.add(1);
        Some(ConnectionGuard {
            worker: Rc::clone(self),
            peer_slot,
        })
    }

    /// Counts an exchange in; `None` when the cap is reached.
    pub fn admit_exchange(self: &Rc<Self>) -> Option<ExchangeGuard> {
        if self.exchanges.get() >= self.config.workers.exchanges_limit {
            return None;
        }
        self.exchanges.set(self.exchanges.get() + 1);
        self.counters.exchanges_in_flight.add(1);
        Some(ExchangeGuard {
            worker: Rc::clone(self),
            held: 0,
        })
    }
}

/// A snapshot as the tasks of one worker share it: their counting touches no other core's memory.
pub struct HeldSnapshot(Arc<Snapshot>);

impl std::ops::Deref for HeldSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// A connection that counts against the caps.
pub struct ConnectionGuard {
    worker: Rc<Worker>,
    peer_slot: u32,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.worker
            .connections
            .set(self.worker.connections.get() - 1);
        self.worker.counters.connections_open.add(-1);
        let mut by_peer = self.worker.connections_by_peer.borrow_mut();
        if let Some(count) = by_peer.get_mut(&self.peer_slot) {
            *count -= 1;
            if *count == 0 {
                by_peer.remove(&self.peer_slot);
            }
        }
    }
}

/// An exchange in flight, and the request bytes it holds.
pub struct ExchangeGuard {
    worker: Rc<Worker>,
    held: usize,
}

impl ExchangeGuard {
    /// The exchange now holds `bytes` of its request; false when the worker holds too many in all.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let all = &self.worker.held_body_bytes;
        let after = all.get() - self.held + bytes;
        if bytes > self.held && after > self.worker.config.workers.held_body_bytes_limit {
            return false;
        }
        all.set(after);
        self.held = bytes;
        true
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.hold(0);
        self.worker.exchanges.set(self.worker.exchanges.get() - 1);
        self.worker.counters.exchanges_in_flight.add(-1);
    }
}
