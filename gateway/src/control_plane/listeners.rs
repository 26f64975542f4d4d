//! Keeps the workers' listening sockets in step with the overlay device. The device may come late,
//! vanish, or return with another index or address: sockets that are bound to what is gone hear
//! nothing, so they are closed, and opened again when the device is back.
//!
//! Every worker has its own socket per address and port (`SO_REUSEPORT`); the kernel spreads new
//! connections over them by a hash of the flow.

mod device;
mod socket;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::mpsc::Sender,
    time::Duration,
};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    config::{EndpointConfig, OverlayConfig},
    control_plane::netlink::LinkWatch,
    handoff::command::WorkerCommand,
};

pub use device::{Device, look};
pub use socket::{OpenFailure, open_alone};

/// How often the device is looked at when the kernel tells of no change, while all is well and while
/// something is not.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// What the listeners look like from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Open on every worker.
    pub listening: Vec<SocketAddr>,
    /// Why something that should be open is not; readiness waits for it.
    pub failure: Option<String>,
}

/// One listener: a socket per worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Listener {
    address: SocketAddr,
    device_index: u32,
    tls: bool,
}

/// See the module.
pub struct Listeners {
    overlay: OverlayConfig,
    /// Port, and whether TLS is spoken there.
    ports: Vec<(u16, bool)>,
    workers: Vec<Sender<WorkerCommand>>,
    open: BTreeMap<Listener, u64>,
    next_id: u64,
    /// What this node had open at some time. Workers may still be closing it, so it may look taken.
    held: BTreeSet<SocketAddr>,
    status: watch::Sender<ListenerStatus>,
    addresses: watch::Sender<Vec<IpAddr>>,
    front: Front,
}

/// Asked before every look at the device; what it returns as an error keeps everything closed.
type Front = Box<dyn FnMut() -> Result<(), String> + Send>;

impl Listeners {
    /// Looks at the device for its addresses, so that the first snapshot knows them; opens nothing yet.
    pub fn new(
        endpoint: &EndpointConfig,
        overlay: &OverlayConfig,
        workers: Vec<Sender<WorkerCommand>>,
    ) -> Self {
        let tls = (endpoint.port, true);
        let plain = endpoint.plain_port.map(|port| (port, false));
        let listeners = Self {
            overlay: overlay.clone(),
            ports: std::iter::once(tls).chain(plain).collect(),
            workers,
            open: BTreeMap::new(),
            next_id: 1,
            held: BTreeSet::new(),
            status: watch::Sender::default(),
            addresses: watch::Sender::default(),
            front: Box::new(|| Ok(())),
        };
        if let Ok((wanted, _)) = wanted(overlay, &listeners.ports, look(&overlay.interface)) {
            listeners.note_addresses(wanted.iter());
        }
        listeners
    }

    /// Lets `front` take its place before anything opens, each time; while it cannot, nothing is open.
    pub fn stand_behind(&mut self, front: impl FnMut() -> Result<(), String> + Send + 'static) {
        self.front = Box::new(front);
    }

    pub fn status(&self) -> watch::Receiver<ListenerStatus> {
        self.status.subscribe()
    }

    /// The addresses of the endpoint; the last known ones while the device is away, so that its name
    /// and certificate do not change with it.
    pub fn addresses(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.addresses.subscribe()
    }

    /// Looks at the device once and opens what can be opened.
    ///
    /// # Errors
    /// When a socket cannot be opened for a reason that waiting does not cure, such as a port that
    /// another process has. A missing device is no error: it may come.
    pub fn open_first(&mut self) -> Result<(), OpenFailure> {
        match self.step() {
            Some(failure) if failure.is_permanent() => Err(failure),
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps the listeners in step with the device until the task is dropped.
    pub async fn run(mut self) {
        let mut links = LinkWatch::start();
        loop {
            // What changed before the watch began is seen too.
            self.step();
            let longest = match self.status.borrow().failure {
                Some(_) => RETRY_INTERVAL,
                None => LOOK_INTERVAL,
            };
            links.next(longest).await;
        }
    }

    fn step(&mut self) -> Option<OpenFailure> {
        match (self.front)() {
            Ok(()) => self.reconcile(look(&self.overlay.interface)),
            Err(reason) => self.bring(Err(reason)),
        }
    }

    /// Closes what is bound to something gone, opens what is missing; returns the first failure to open.
    fn reconcile(&mut self, observed: io::Result<Option<Device>>) -> Option<OpenFailure> {
        self.bring(wanted(&self.overlay, &self.ports, observed))
    }

    fn bring(&mut self, wanted: Result<Wanted, String>) -> Option<OpenFailure> {
        let (wanted, mut reason) = match wanted {
            Ok(wanted) => wanted,
            Err(reason) => (BTreeSet::new(), Some(reason)),
        };
        let gone: Vec<_> = self
            .open
            .keys()
            .filter(|listener| !wanted.contains(listener))
            .copied()
            .collect();
        for listener in gone {
            self.close(&listener);
        }
        let mut failure = None;
        for listener in &wanted {
            if self.open.contains_key(listener) {
                continue;
            }
            if let Err(error) = self.open(*listener) {
                reason.get_or_insert_with(|| error.to_string());
                failure.get_or_insert(error);
            }
        }
        self.report(reason);
        failure
    }

    fn open(&mut self, listener: Listener) -> Result<(), OpenFailure> {
        if !self.held.contains(&listener.address) {
            socket::probe(listener.address, &self.overlay.interface)?;
        }
        // All or none: a worker without its socket would serve nobody and never be noticed.
        let sockets = self
            .workers
            .iter()
            .map(|_| socket::open(listener.address, &self.overlay.interface))
            .collect::<Result<Vec<_>, _>>()?;
        let id = self.next_id;
        self.next_id += 1;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let command = WorkerCommand::OpenListener {
                id,
                socket,
                tls: listener.tls,
            };
            // A worker that ended takes no more connections; its socket closes with the command.
            let _ = worker.send(command);
        }
        self.open.insert(listener, id);
        self.held.insert(listener.address);
        info!(address = %listener.address, tls = listener.tls, "listening");
        Ok(())
    }

    fn close(&mut self, listener: &Listener) {
        let Some(id) = self.open.remove(listener) else {
            return;
        };
        for worker in &self.workers {
            let _ = worker.send(WorkerCommand::CloseListener { id });
        }
        info!(address = %listener.address, "stopped listening");
    }

    fn report(&self, failure: Option<String>) {
        let status = ListenerStatus {
            listening: self.open.keys().map(|listener| listener.address).collect(),
            failure,
        };
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            if changed && status.failure != current.failure {
                match &status.failure {
                    Some(reason) => warn!(reason, "not listening where the node should"),
                    None => info!("listening everywhere the node should"),
                }
            }
            *current = status;
            changed
        });
        self.note_addresses(self.open.keys());
    }

    fn note_addresses<'a>(&self, listeners: impl Iterator<Item = &'a Listener>) {
        let addresses: BTreeSet<_> = listeners.map(|listener| listener.address.ip()).collect();
        if addresses.is_empty() {
            return;
        }
        let addresses: Vec<_> = addresses.into_iter().collect();
        self.addresses.send_if_modified(|current| {
            let changed = *current != addresses;
            *current = addresses;
            changed
        });
    }
}

/// Where a port on the overlay's addresses is to be opened, each with the index that the device has.
///
/// # Errors
/// Why there is no such place.
pub fn places(overlay: &OverlayConfig, port: u16) -> Result<BTreeSet<(SocketAddr, u32)>, String> {
    let (wanted, _) = wanted(overlay, &[(port, false)], look(&overlay.interface))?;
    let places = wanted.iter();
    Ok(places
        .map(|listener| (listener.address, listener.device_index))
        .collect())
}

/// What should be open, and why that is less than what is configured.
type Wanted = (BTreeSet<Listener>, Option<String>);

/// What should be open, and why that is less than what is configured.
///
/// # Errors
/// Why nothing can be open.
fn wanted(
    overlay: &OverlayConfig,
    ports: &[(u16, bool)],
    observed: io::Result<Option<Device>>,
) -> Result<Wanted, String> {
    let interface = &overlay.interface;
    let device = observed
        .map_err(|error| format!("cannot look at device {interface}: {error}"))?
        .ok_or_else(|| format!("there is no device {interface}"))?;
    if !device.up {
        return Err(format!("device {interface} is down"));
    }
    let mut missing = None;
    let addresses: Vec<IpAddr> = if overlay.addresses.is_empty() {
        // Agents cannot name a link-local address without its scope.
        let local =
            |address: &&IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        device
            .addresses
            .iter()
            .filter(|address| !local(address))
            .copied()
            .collect()
    } else {
        let (present, absent): (Vec<_>, Vec<_>) = overlay
            .addresses
            .iter()
            .partition(|address| device.addresses.contains(address));
        missing = absent
            .first()
            .map(|address| format!("device {interface} does not have address {address}"));
        present
    };
    if addresses.is_empty() {
        return Err(missing.unwrap_or_else(|| format!("device {interface} has no address")));
    }
    let listeners = addresses
        .iter()
        .flat_map(|address| {
            ports.iter().map(|(port, tls)| Listener {
                address: SocketAddr::new(*address, *port),
                device_index: device.index,
                tls: *tls,
            })
        })
        .collect();
    Ok((listeners, missing))
}

#[cfg(test)]
mod tests;
