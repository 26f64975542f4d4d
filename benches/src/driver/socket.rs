//! A non-blocking connection, plain or TLS, that never loses what the kernel would not take yet.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes for the wire that the kernel has not taken, from `unsent_from` on.
    unsent: Vec<u8>,
    unsent_from: usize,
}

/// What a client needs to speak TLS.
#[derive(Clone)]
pub(crate) struct TlsClient {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
}

impl Socket {
    pub(super) fn connect(address: SocketAddr, tls: Option<&TlsClient>) -> io::Result<Self> {
        let tls = match tls {
            None => None,
            Some(tls) => {
                let config = Arc::clone(&tls.config);
                let mut session = ClientConnection::new(config, tls.server_name.clone())
                    .map_err(io::Error::other)?;
                // A whole request is written at once, also before the handshake is over.
                session.set_buffer_limit(None);
                Some(Box::new(session))
            }
        };
        Self::new(TcpStream::connect(address)?, tls)
    }

    pub(super) fn accepted(stream: TcpStream) -> io::Result<Self> {
        Self::new(stream, None)
    }

    fn new(stream: TcpStream, tls: Option<Box<ClientConnection>>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            tls,
            unsent: Vec::new(),
            unsent_from: 0,
        })
    }

    /// Queues `bytes` and sends what the kernel takes; [`Self::flush`] sends the rest later.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(session) => session.writer().write_all(bytes)?,
            None => self.unsent.extend_from_slice(bytes),
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.tls {
            while session.wants_write() {
                session.write_tls(&mut self.unsent)?;
            }
        }
        while self.unsent_from < self.unsent.len() {
            match self.stream.write(&self.unsent[self.unsent_from..]) {
                Ok(n) => self.unsent_from += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.unsent.clear();
        self.unsent_from = 0;
        Ok(())
    }

    /// Appends what arrived to `inbox`; false once the other side has closed. After a short read the
    /// kernel has no more, unless the other side hung up.
    pub(super) fn receive(
        &mut self,
        hang_up: bool,
        scratch: &mut [u8],
        inbox: &mut Vec<u8>,
    ) -> io::Result<bool> {
        loop {
            let n = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            match &mut self.tls {
                None => inbox.extend_from_slice(&scratch[..n]),
                Some(session) => decrypt(session, &scratch[..n], inbox)?,
            }
            if n < scratch.len() && !hang_up {
                break;
            }
        }
        if self
            .tls
            .as_ref()
            .is_some_and(|session| session.wants_write())
        {
            self.flush()?;
        }
        Ok(true)
    }

    /// The protocol agreed on by ALPN.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn_protocol()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn decrypt(session: &mut ClientConnection, mut wire: &[u8], inbox: &mut Vec<u8>) -> io::Result<()> {
    while !wire.is_empty() {
        session.read_tls(&mut wire)?;
        let state = session.process_new_packets().map_err(io::Error::other)?;
        let plain = state.plaintext_bytes_to_read();
        let start = inbox.len();
        inbox.resize(start + plain, 0);
        session.reader().read_exact(&mut inbox[start..])?;
    }
    Ok(())
}
