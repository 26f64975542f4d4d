//! The `wireguard` source: peers of the store name a public key, and the overlay's device says which
//! addresses that key may use. Nobody tells of a change, so the device is read again and again: from the
//! kernel (`wireguard/netlink.rs`), or from the program whose device it is (`wireguard/uapi.rs`).

mod netlink;
mod uapi;

use std::{collections::BTreeMap, fmt, io, net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{Denial, Identity, SourceStatus};

/// Between two looks at the device.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long the last look holds when the device cannot be read: a program that is started again is away
/// for less.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Bytes of a public key.
const KEY_BYTES: usize = 32;

/// What keys, in base64, may use.
type Keys = BTreeMap<String, Vec<AllowedIp>>;

/// Keeps [`Identity::wireguard`] current.
pub(super) struct Wireguard {
    device: String,
    /// The last look that came to something.
    read_at: Option<Instant>,
    identity: Arc<watch::Sender<Arc<Identity>>>,
    status: watch::Sender<SourceStatus>,
}

/// Why the device cannot be read.
#[derive(Debug, thiserror::Error)]
enum DeviceError {
    #[error(
        "{0} is no WireGuard device, neither of the kernel nor of a program with a socket in /var/run/wireguard"
    )]
    Other(String),
    #[error("reading {device}: {source}")]
    Io { device: String, source: io::Error },
}

impl DeviceError {
    /// In metrics.
    fn code(&self) -> &'static str {
        match self {
            Self::Other(_) => "device",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "permission"
            }
            Self::Io { .. } => "read",
        }
    }
}

impl Wireguard {
    pub(super) fn new(device: &str, identity: Arc<watch::Sender<Arc<Identity>>>) -> Self {
        identity.send_modify(|identity| Arc::make_mut(identity).wireguard = Some(Arc::default()));
        Self {
            device: device.to_owned(),
            read_at: None,
            identity,
            status: watch::Sender::new(SourceStatus {
                stale: true,
                ..SourceStatus::default()
            }),
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.subscribe()
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        loop {
            let device = self.device.clone();
            let read = spawn_blocking(move || read(&device)).await;
            match read.expect("reading a device does not panic") {
                Ok(keys) => self.take(keys),
                Err(error) => self.miss(&error),
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn take(&mut self, by_key: Keys) {
        self.read_at = Some(Instant::now());
        let keys = by_key.len();
        let changed = self.publish(DevicePeers {
            by_key,
            usable: true,
        });
        self.status.send_modify(|status| {
            status.read_at = Some(Timestamp::now());
            status.stale = false;
            status.reads += 1;
            status.changes += u64::from(changed);
            status.failure = None;
        });
        if changed {
            info!(device = self.device, keys, "WireGuard's peers changed");
        }
    }

    fn miss(&mut self, error: &DeviceError) {
        let text = error.to_string();
        if self.status.borrow().failure.as_ref() != Some(&text) {
            warn!(error = text, "the overlay's device cannot be read");
        }
        self.status.send_modify(|status| {
            *status.failures.entry(error.code()).or_default() += 1;
            status.failure = Some(text);
        });
        if self.read_at.take_if(|at| at.elapsed() > AGE_MAX).is_some() {
            error!(
                max_age = ?AGE_MAX,
                "the overlay's device could not be read for too long: its peers are not let in any more",
            );
            self.status.send_modify(|status| status.stale = true);
            self.publish(DevicePeers::default());
        }
    }

    /// Whether it is another one than before.
    fn publish(&self, device: DevicePeers) -> bool {
        self.identity.send_if_modified(|identity| {
            let changed = identity.wireguard.as_deref() != Some(&device);
            if changed {
                Arc::make_mut(identity).wireguard = Some(Arc::new(device));
            }
            changed
        })
    }
}

/// Blocks while the device answers.
fn read(device: &str) -> Result<Keys, DeviceError> {
    let keys = match netlink::read(device) {
        Ok(None) => uapi::read(device),
        of_kernel => of_kernel,
    };
    let keys = keys.map_err(|source| DeviceError::Io {
        device: device.to_owned(),
        source,
    })?;
    let mut keys = keys.ok_or_else(|| DeviceError::Other(device.to_owned()))?;
    // Another order is no change.
    keys.values_mut()
        .for_each(|allowed| allowed.sort_unstable());
    Ok(keys)
}

/// A public key as `wg` shows it.
fn encoded(key: &[u8]) -> Option<String> {
    (key.len() == KEY_BYTES).then(|| BASE64_STANDARD.encode(key))
}

/// A network that a key may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedIp {
    pub address: IpAddr,
    pub prefix: u8,
}

impl fmt::Display for AllowedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl AllowedIp {
    /// The address, where the network is no more than one.
    fn host(self) -> Option<IpAddr> {
        let whole = match self.address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (self.prefix == whole).then_some(self.address)
    }
}

/// What the device allows to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicePeers {
    /// By public key, in base64.
    pub by_key: BTreeMap<String, Vec<AllowedIp>>,
    /// It was read a moment ago.
    pub usable: bool,
}

impl DevicePeers {
    /// Networks that this key may use; nobody can be told by them.
    pub fn networks(&self, key: &str) -> impl Iterator<Item = AllowedIp> {
        let allowed = self.by_key.get(key).into_iter().flatten();
        allowed.filter(|ip| ip.host().is_none()).copied()
    }

    /// The addresses that only this key can have, or why there are none.
    pub(super) fn addresses(&self, key: &str) -> (Vec<IpAddr>, Option<Denial>) {
        if !self.usable {
            return (Vec::new(), Some(Denial::SourceStale));
        }
        let Some(allowed) = self.by_key.get(key) else {
            return (Vec::new(), Some(Denial::KeyUnknown));
        };
        let hosts: Vec<_> = allowed.iter().filter_map(|ip| ip.host()).collect();
        let denial = match (hosts.is_empty(), allowed.is_empty()) {
            (false, _) => None,
            (true, false) => Some(Denial::NetworksOnly),
            (true, true) => Some(Denial::NoAddress),
        };
        (hosts, denial)
    }
}
