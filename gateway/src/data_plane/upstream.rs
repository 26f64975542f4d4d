//! One attempt at one target: a connection from the pool or a new one, the request sent, the response
//! read. HTTP/1.1 and HTTP/2 behind one face.

pub mod h1;
pub mod h2;
pub mod pool;

use std::{
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use self::{
    h1::H1Exchange,
    h2::H2Exchange,
    pool::{Acquired, Turn},
};
use super::{
    alarm::{Alarm, Elapsed},
    buffer::Buffer,
    failure::Failure,
    inject::LateKey,
    io::Socket,
    message::{Fields, ResponseHead},
    transport::Transport,
    worker::Worker,
};
use crate::handoff::{
    reason::Reason,
    snapshot::{Provider, Target},
};

/// A request on its way and its response on the way back.
pub enum Upstream {
    H1(H1Exchange),
    H2(Box<H2Exchange>),
}

/// A connection that is ready for one request.
pub struct Ready {
    pub connection: Acquired,
    /// Microseconds spent connecting; 0 for a pooled one.
    pub connect_us: u32,
}

impl Ready {
    /// A fault of a reused connection may be its age's, not the provider's.
    pub fn reused(&self) -> bool {
        self.connect_us == 0
    }
}

/// Takes a pooled connection to `target` or opens one.
pub async fn acquire(
    worker: &Rc<Worker>,
    target: &Arc<Target>,
    provider: &Provider,
    alarm: &Alarm,
    fresh: bool,
) -> Result<Ready, Failure> {
    let timeouts = &provider.timeouts;
    let mut slot = None;
    if !fresh {
        let pooled = alarm.within(
            timeouts.connect,
            worker.pool.take_or_connect(worker, target),
        );
        match pooled.await {
            Ok(Turn::Pooled(connection)) => {
                return Ok(Ready {
                    connection,
                    connect_us: 0,
                });
            }
            Ok(Turn::Connect(turn)) => slot = turn,
            Err(Elapsed) => return Err(Failure::provider(Reason::ConnectTimeout, target.address)),
        }
    }
    let started = Instant::now();
    // Boxed, as it is rare and large: the state of every exchange has room for what it holds itself.
    let connecting = Box::pin(connect(worker, target, provider));
    let connected = alarm.within(timeouts.connect, connecting).await;
    let connection = match connected {
        Ok(result) => result?,
        Err(Elapsed) => return Err(Failure::provider(Reason::ConnectTimeout, target.address)),
    };
    drop(slot);
    let connect_us = u32::try_from(started.elapsed().as_micros())
        .unwrap_or(u32::MAX)
        .max(1);
    Ok(Ready {
        connection,
        connect_us,
    })
}

async fn connect(
    worker: &Rc<Worker>,
    target: &Arc<Target>,
    provider: &Provider,
) -> Result<Acquired, Failure> {
    let mut inbox = Buffer::default();
    let config = target.tls.as_ref().map(|tls| Arc::clone(&tls.config));
    let transport = open(target, config, &mut inbox).await?;
    if transport.alpn() == Some(b"h2") {
        let key = match (&provider.auth, &target.credential) {
            (Some(auth), Some(credential)) => credential
                .header(auth)
                .map(|auth| LateKey::new(auth, credential)),
            (_, None) | (None, _) => None,
        };
        worker
            .pool
            .opened_h2(worker, target, transport, inbox, key)
            .await
    } else {
        Ok(worker.pool.opened_h1(worker, target, transport, inbox))
    }
}

/// A connection that will speak HTTP/1.1 and belongs to no pool; `inbox` gets what comes with the handshake.
pub async fn open_http1(target: &Target, inbox: &mut Buffer) -> Result<Transport, Failure> {
    let config = target.tls.as_ref().map(|tls| {
        let mut config = rustls::ClientConfig::clone(&tls.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    });
    open(target, config, inbox).await
}

async fn open(
    target: &Target,
    config: Option<Arc<rustls::ClientConfig>>,
    inbox: &mut Buffer,
) -> Result<Transport, Failure> {
    let socket = Socket::connect(target.address).await.map_err(|e| {
        Failure::provider(Reason::ConnectFailed, format!("{}: {e}", target.address))
    })?;
    let (Some(tls), Some(config)) = (&target.tls, config) else {
        return Ok(Transport::plain(socket));
    };
    let failed = |e: &dyn std::fmt::Display| {
        let name = tls.server_name.to_str();
        Failure::provider(
            Reason::TlsFailed,
            format!("{name} ({}): {e}", target.address),
        )
    };
    let session =
        rustls::ClientConnection::new(config, tls.server_name.clone()).map_err(|e| failed(&e))?;
    Transport::handshake(socket, Box::new(session.into()), inbox)
        .await
        .map_err(|e| failed(&e))
}

impl Upstream {
    /// Waits for the response's head; informational ones are skipped.
    pub async fn response(&mut self) -> Result<ResponseHead, Failure> {
        match self {
            Self::H1(exchange) => exchange.response().await,
            Self::H2(exchange) => exchange.response().await,
        }
    }

    /// Waits for more of the body; false at its end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        match self {
            Self::H1(exchange) => exchange.poll_fill(cx),
            Self::H2(exchange) => exchange.poll_fill(cx),
        }
    }

    /// Body bytes that are here. After `poll_fill` said true there are some.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::H1(exchange) => exchange.data(),
            Self::H2(exchange) => exchange.data(),
        }
    }

    /// All of `data` was passed on.
    pub fn consume(&mut self) {
        match self {
            Self::H1(exchange) => exchange.consume(),
            Self::H2(exchange) => exchange.consume(),
        }
    }

    /// Fields that came behind the body; once, after its end.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::H1(exchange) => exchange.take_trailers(),
            Self::H2(exchange) => exchange.take_trailers(),
        }
    }

    /// The body was read to its end: the connection may serve again.
    pub fn finish(self, worker: &Rc<Worker>) {
        match self {
            Self::H1(exchange) => exchange.finish(worker),
            // The stream is over; its connection was never away.
            Self::H2(_) => {}
        }
    }
}
