//! Sockets, admission and handshakes: a connection from an address that is no peer is closed before
//! anything is read from it.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    alarm::{Alarm, Elapsed},
    buffer::Buffer,
    connection,
    io::{self as rt, Listener, Socket},
    transport::Transport,
    worker::{ConnectionGuard, Worker},
};

/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener's accept loop.
pub struct Acceptor {
    listener: Listener,
    tls: bool,
    stopped: Cell<bool>,
}

impl Acceptor {
    /// Takes no more connections; those that are open live on.
    pub fn stop(&self) {
        self.stopped.set(true);
        // Wakes the pending accept.
        self.listener.shutdown();
    }
}

/// Who is on a connection and from where.
pub struct Peer {
    pub address: std::net::IpAddr,
    /// [`Principal::slot`](crate::handoff::snapshot::Principal::slot).
    pub slot: u32,
    /// Requests come over TLS.
    pub tls: bool,
    pub guard: ConnectionGuard,
}

/// Starts to accept on a socket.
pub fn open(
    worker: &Rc<Worker>,
    socket: std::net::TcpListener,
    tls: bool,
) -> io::Result<Rc<Acceptor>> {
    let acceptor = Rc::new(Acceptor {
        listener: Listener::new(socket)?,
        tls,
        stopped: Cell::new(false),
    });
    rt::spawn(accept_all(Rc::clone(worker), Rc::clone(&acceptor)));
    Ok(acceptor)
}

async fn accept_all(worker: Rc<Worker>, acceptor: Rc<Acceptor>) {
    while !acceptor.stopped.get() {
        match acceptor.listener.accept().await {
            Ok((socket, address)) => {
                admit(&worker, socket, address.ip().to_canonical(), acceptor.tls)
            }
            Err(_) if acceptor.stopped.get() => return,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                rt::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(worker: &Rc<Worker>, socket: Socket, address: std::net::IpAddr, tls: bool) {
    worker.counters.connections_accepted.add(1);
    let snapshot = worker.snapshot();
    let Some(principal) = snapshot.peers.get(&address) else {
        worker.counters.connections_unknown_peer.add(1);
        tracing::debug!(%address, "refused: no such peer");
        socket.reset_on_close();
        return;
    };
    if !worker.may_begin() {
        worker.counters.connections_log_full.add(1);
        tracing::debug!(%address, "refused: too many records wait");
        socket.reset_on_close();
        return;
    }
    let Some(guard) = worker.admit_connection(principal.slot) else {
        worker.counters.connections_over_limit.add(1);
        tracing::debug!(%address, "refused: too many connections");
        socket.reset_on_close();
        return;
    };
    let tls = if tls {
        snapshot.endpoint.tls.clone()
    } else {
        None
    };
    let peer = Peer {
        address,
        slot: principal.slot,
        tls: tls.is_some(),
        guard,
    };
    let alarm = worker.alarms.alarm(peer.address, peer.slot);
    rt::spawn(serve(Rc::clone(worker), socket, peer, tls, alarm));
}

async fn serve(
    worker: Rc<Worker>,
    socket: Socket,
    peer: Peer,
    tls: Option<Arc<rustls::ServerConfig>>,
    alarm: Alarm,
) {
    let mut inbox = Buffer::default();
    let plain = tls.is_none();
    let transport = match tls {
        None => Transport::plain(socket),
        // Boxed, as is HTTP/2 below: what most connections wait in should be small.
        Some(config) => {
            match Box::pin(handshake(&worker, socket, config, &alarm, &mut inbox)).await {
                Ok(transport) => transport,
                Err(error) => {
                    worker.counters.tls_handshake_failures.add(1);
                    tracing::debug!(address = %peer.address, %error, "TLS handshake failed");
                    return;
                }
            }
        }
    };
    if transport.alpn() == Some(b"h2") {
        Box::pin(connection::serve_h2(worker, peer, transport, inbox, alarm)).await;
    } else {
        connection::serve_h1(worker, peer, transport, inbox, alarm, plain).await;
    }
}

async fn handshake(
    worker: &Worker,
    socket: Socket,
    config: Arc<rustls::ServerConfig>,
    alarm: &Alarm,
    inbox: &mut Buffer,
) -> io::Result<Transport> {
    let began = Instant::now();
    let session = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
    let shake = Transport::handshake(socket, Box::new(session.into()), inbox);
    match alarm
        .within(worker.config.timeouts.tls_handshake, shake)
        .await
    {
        Ok(result) => {
            let us = began.elapsed().as_micros() as u64;
            worker.counters.tls_handshake.observe(us);
            result
        }
        Err(Elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}
