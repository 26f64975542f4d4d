//! Listeners of the management API: a unix socket, where the kernel says who calls, and TCP, where a
//! token does. Both are bounded in connections and in how long a head may take.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use super::auth::Connection;

/// Open connections per listener; more wait in the backlog.
const CONNECTIONS_LIMIT: usize = 64;
/// For the head of a request, from its connection's accept or the answer before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed accept (no free descriptor), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that serves until this is dropped.
pub struct AdminListener {
    task: JoinHandle<()>,
    address: Option<SocketAddr>,
    socket: Option<PathBuf>,
}

impl AdminListener {
    /// The bound TCP address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(socket) = &self.socket {
            // Nothing to do about a failure: the next start removes a socket that nobody serves.
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Binds a unix socket (mode 0600) and serves `router` there. A socket file that nobody serves any more
/// is replaced.
///
/// # Errors
/// When another process serves this path, or it cannot be bound.
pub async fn serve_unix(path: &Path, router: Router) -> io::Result<AdminListener> {
    remove_stale(path).await?;
    let listener = UnixListener::bind(path)?;
    // Between the two calls others may connect; `auth` judges them by their user id all the same.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(AdminListener {
        task: tokio::spawn(serve(listener, router)),
        address: None,
        socket: Some(path.to_owned()),
    })
}

/// Binds `address` and serves `router` there, for callers with a token.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve_tcp(address: SocketAddr, router: Router) -> io::Result<AdminListener> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok(AdminListener {
        task: tokio::spawn(serve(listener, router)),
        address: Some(local),
        socket: None,
    })
}

/// Serves `router` on a socket of the overlay's device, for its peers.
///
/// # Errors
/// When the socket cannot be watched.
pub(super) fn serve_tunnel(
    socket: std::net::TcpListener,
    router: Router,
) -> io::Result<AdminListener> {
    let listener = TcpListener::from_std(socket)?;
    let address = listener.local_addr()?;
    Ok(AdminListener {
        task: tokio::spawn(serve(Tunnel(listener), router)),
        address: Some(address),
        socket: None,
    })
}

/// Whoever connects is who the overlay says.
struct Tunnel(TcpListener);

/// A listener that tells how its connections came in.
trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept_next(&self) -> impl Future<Output = io::Result<(Self::Stream, Connection)>> + Send;
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept_next(&self) -> io::Result<(UnixStream, Connection)> {
        let (stream, _) = self.accept().await?;
        let uid = stream.peer_cred()?.uid();
        Ok((stream, Connection::Unix { uid }))
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept_next(&self) -> io::Result<(TcpStream, Connection)> {
        let (stream, peer) = self.accept().await?;
        let local = stream.local_addr()?;
        Ok((stream, Connection::Tcp { local, peer }))
    }
}

impl Accept for Tunnel {
    type Stream = TcpStream;

    async fn accept_next(&self) -> io::Result<(TcpStream, Connection)> {
        let (stream, peer) = self.0.accept().await?;
        let local = stream.local_addr()?;
        Ok((stream, Connection::Tunnel { local, peer }))
    }
}

async fn serve<L: Accept>(listener: L, router: Router) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&free)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        while connections.try_join_next().is_some() {}
        let (stream, connection) = match listener.accept_next().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "management listener: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(connection)));
        connections.spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "management connection ended early");
            }
            drop(slot);
        });
    }
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} exists and is no socket", path.display()),
        ));
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another process serves {}", path.display()),
        ));
    }
    std::fs::remove_file(path)
}
