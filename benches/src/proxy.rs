//! The proxies that are compared: each starts on its core in front of the driver's upstream, with its
//! files in a directory of its own, and is gone when its value is dropped.

mod child;
mod keyway;
mod nginx;
mod relay;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use self::child::Child;
pub(crate) use self::{keyway::Keyway, nginx::Nginx, relay::Relay};
use crate::{placement::Placement, process::Processes};

/// The name agents use: `Host`, `:authority` and the server name in TLS.
pub(crate) const HOST: &str = "llm.bench.internal";

/// A kind of proxy.
pub(crate) trait Proxy {
    fn name(&self) -> &'static str;

    /// For the report.
    fn version(&self) -> Result<String>;

    fn speaks_tls(&self) -> bool;

    /// Whether requests must reach the upstream with a credential.
    fn adds_credential(&self) -> bool;

    /// Whether it passes OpenAI's realtime sessions on.
    fn speaks_websockets(&self) -> bool {
        false
    }

    /// Starts it and waits until it serves.
    fn start(&self, site: &Site<'_>) -> Result<Running>;
}

/// Where a proxy finds itself.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    /// Plain HTTP/1.1.
    pub(crate) upstream: SocketAddr,
    /// Empty, for the proxy's files.
    pub(crate) directory: &'a Path,
    pub(crate) certificate: &'a Certificate,
    pub(crate) proxy: Placement,
    pub(crate) driver: Placement,
}

/// A proxy that serves.
pub(crate) struct Running {
    pub(crate) endpoint: Endpoint,
    pub(crate) processes: Processes,
    /// Stops the proxy when dropped.
    _child: Child,
}

/// Where agents find a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) plain: SocketAddr,
    /// Plain HTTP for event streams, where these need a port of their own.
    pub(crate) plain_events: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
}

/// PEM files every proxy with files can use: ECDSA P-256, self-signed.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let paths = Self {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
        };
        std::fs::write(&paths.certificate, made.cert.pem())?;
        std::fs::write(&paths.key, made.signing_key.serialize_pem())?;
        Ok(paths)
    }
}

/// Loopback addresses nobody listens on. They are held together, so that they differ.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free loopback port")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}
