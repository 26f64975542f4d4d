//! One listening socket: bound to an address, a port and the overlay's device.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, per socket; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    #[error("{0} is taken by another process")]
    InUse(SocketAddr),
    #[error("{0} is not (yet) an address of this machine")]
    NoAddress(SocketAddr),
    #[error(
        "port {0} needs CAP_NET_BIND_SERVICE: give it to the service, or choose a port above net.ipv4.ip_unprivileged_port_start"
    )]
    PortPrivilege(u16),
    #[error(
        "binding to device {0} needs CAP_NET_RAW on this kernel (unprivileged since Linux 5.7)"
    )]
    DevicePrivilege(String),
    #[error("cannot listen on {address}: {error}")]
    Other {
        address: SocketAddr,
        error: io::Error,
    },
}

impl OpenFailure {
    /// Whether waiting for the device would not cure it.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::InUse(_) | Self::PortPrivilege(_) | Self::DevicePrivilege(_) => true,
            Self::NoAddress(_) | Self::Other { .. } => false,
        }
    }
}

/// Opens a listening, non-blocking socket that only hears packets which came in by `interface`.
///
/// # Errors
/// See [`OpenFailure`].
pub(super) fn open(address: SocketAddr, interface: &str) -> Result<TcpListener, OpenFailure> {
    let socket = bind(address, interface, true)?;
    socket
        .listen(BACKLOG)
        .map_err(|error| OpenFailure::Other { address, error })?;
    Ok(socket.into())
}

/// As [`open`], for a socket that shares its port with no other.
///
/// # Errors
/// See [`OpenFailure`].
pub fn open_alone(address: SocketAddr, interface: &str) -> Result<TcpListener, OpenFailure> {
    let socket = bind(address, interface, false)?;
    socket
        .listen(BACKLOG)
        .map_err(|error| OpenFailure::Other { address, error })?;
    Ok(socket.into())
}

/// Whether `address` is free. Sockets that share their port would also join those of another node, and
/// take some of its connections, without a word.
///
/// # Errors
/// See [`OpenFailure`].
pub(super) fn probe(address: SocketAddr, interface: &str) -> Result<(), OpenFailure> {
    bind(address, interface, false).map(drop)
}

fn bind(address: SocketAddr, interface: &str, shared: bool) -> Result<Socket, OpenFailure> {
    let other = |error| OpenFailure::Other { address, error };
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )
    .map_err(other)?;
    socket.set_reuse_address(true).map_err(other)?;
    socket.set_reuse_port(shared).map_err(other)?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(other)?;
    }
    // Before bind, so that there is no moment in which the socket hears other devices.
    socket
        .bind_device(Some(interface.as_bytes()))
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => OpenFailure::DevicePrivilege(interface.to_owned()),
            _ => other(error),
        })?;
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(libc::EADDRINUSE) => OpenFailure::InUse(address),
        Some(libc::EADDRNOTAVAIL) => OpenFailure::NoAddress(address),
        Some(libc::EPERM | libc::EACCES) => OpenFailure::PortPrivilege(address.port()),
        _ => other(error),
    };
    socket.bind(&address.into()).map_err(refused)?;
    Ok(socket)
}
