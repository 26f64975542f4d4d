//! A connection as plaintext bytes both ways, with or without TLS under it. One task owns it; every
//! wait may be dropped and polled again.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    buffer::{Buffer, PIECE_BYTES},
    frame_watch::{Flood, FrameWatch},
    inject::LateKey,
    io::Socket,
};

/// Least room offered to a plaintext read.
const READ_BYTES_MIN: usize = 4 * 1024;

/// Plaintext sealed before the records are sent; bounds what a slow reader holds in memory.
const SEAL_BYTES_LIMIT: usize = 64 * 1024;

thread_local! {
    /// Ciphertext as it comes from the socket; it is opened at once, so one per worker is enough.
    static CIPHERTEXT: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE_BYTES].into_boxed_slice());
}

/// A TCP connection, perhaps under TLS.
pub struct Transport {
    socket: Socket,
    tls: Option<Box<rustls::Connection>>,
    /// The other side said that no more will come.
    ended: bool,
}

impl Transport {
    pub fn plain(socket: Socket) -> Self {
        Self {
            socket,
            tls: None,
            ended: false,
        }
    }

    /// Completes a handshake as either side. Early application data lands in `inbox`.
    pub async fn handshake(
        socket: Socket,
        tls: Box<rustls::Connection>,
        inbox: &mut Buffer,
    ) -> io::Result<Self> {
        let mut this = Self {
            socket,
            tls: Some(tls),
            ended: false,
        };
        poll_fn(|cx| this.poll_handshake(cx, inbox)).await?;
        Ok(this)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>, inbox: &mut Buffer) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush_tls(cx))?;
            let tls = self.tls.as_deref_mut().expect("handshakes run under TLS");
            if !tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(poll_open(&mut self.socket, tls, cx, inbox))? == Opened::End {
                // A whole request and the end may come with the handshake's last bytes.
                if tls.is_handshaking() || inbox.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.ended = true;
            }
        }
    }

    /// Protocol agreed by ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn_protocol()
    }

    /// The next read tries the socket before it waits; for a look at a connection that rested.
    pub fn assume_readable(&mut self) {
        self.socket.assume_readable();
    }

    /// Waits for more plaintext and adds it to `inbox`; 0 is the orderly end. Under TLS an end without
    /// `close_notify` is an error, so that a cut answer is never taken for a whole one.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let before = inbox.len();
        let Some(tls) = self.tls.as_deref_mut() else {
            return poll_recv_plain(&mut self.socket, cx, inbox);
        };
        while !self.ended {
            self.ended = ready!(poll_open(&mut self.socket, tls, cx, inbox))? == Opened::End;
            if inbox.len() > before {
                return Poll::Ready(Ok(inbox.len() - before));
            }
        }
        Poll::Ready(Ok(0))
    }

    /// See [`Self::poll_read`].
    pub async fn read(&mut self, inbox: &mut Buffer) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, inbox)).await
    }

    /// Sends all of `parts`, in order, in as few system calls as they take.
    pub async fn write_all(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if self.tls.is_some() {
            return self.seal_all(parts).await;
        }
        // Nearly always a head and a body: no memory is taken for those.
        let mut few = [IoSlice::new(&[]); 4];
        let mut many = Vec::new();
        let mut left: &mut [IoSlice<'_>] = if parts.len() <= few.len() {
            &mut few[..parts.len()]
        } else {
            many.resize(parts.len(), IoSlice::new(&[]));
            &mut many
        };
        for (slice, part) in left.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let sent = poll_fn(|cx| self.socket.poll_send(cx, left)).await?;
            IoSlice::advance_slices(&mut left, sent);
        }
        Ok(())
    }

    async fn seal_all(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut sealed = 0;
        for part in parts {
            for piece in part.chunks(SEAL_BYTES_LIMIT) {
                if sealed + piece.len() > SEAL_BYTES_LIMIT {
                    poll_fn(|cx| self.poll_flush_tls(cx)).await?;
                    sealed = 0;
                }
                self.seal(piece)?;
                sealed += piece.len();
            }
        }
        poll_fn(|cx| self.poll_flush_tls(cx)).await
    }

    /// Sends some of `data`; for short messages.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.tls.is_none() {
            return self.socket.poll_send(cx, &[IoSlice::new(data)]);
        }
        ready!(self.poll_flush_tls(cx))?;
        self.seal(data)?;
        // What the socket does not take goes with the next flush.
        let _ = self.poll_flush_tls(cx)?;
        Poll::Ready(Ok(data.len()))
    }

    /// Sends what was taken and not sent.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_tls(cx)
    }

    fn seal(&mut self, piece: &[u8]) -> io::Result<()> {
        let tls = self.tls.as_deref_mut().expect("sealing runs under TLS");
        tls.writer().write_all(piece)
    }

    /// Sends what TLS has ready.
    fn poll_flush_tls(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = self.tls.as_deref_mut() else {
            return Poll::Ready(Ok(()));
        };
        while tls.wants_write() {
            match tls.write_tls(&mut Sink(&mut self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_writable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the connection in an orderly way, as far as that goes without waiting.
    pub fn close(&mut self) {
        if let Some(tls) = self.tls.as_deref_mut() {
            tls.send_close_notify();
            // A full socket means the other side does not read; it gets no farewell.
            let _ = tls.write_tls(&mut Sink(&mut self.socket));
        }
        self.socket.shutdown_write();
    }

    /// Ends the connection in the middle of a message: without `close_notify`, and with a reset when
    /// nothing else would show that the message is not whole.
    pub fn abort(&mut self, reset: bool) {
        if reset {
            self.socket.reset_on_close();
        } else {
            self.socket.shutdown_write();
        }
    }
}

fn poll_recv_plain(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    inbox: &mut Buffer,
) -> Poll<io::Result<usize>> {
    // The driver is asked first, so that a waiting connection takes no buffer.
    ready!(socket.poll_readable(cx))?;
    let received = socket.poll_recv(cx, inbox.space(READ_BYTES_MIN));
    if let Poll::Ready(Ok(n)) = received {
        inbox.filled(n);
    }
    inbox.release_if_empty();
    received
}

#[derive(PartialEq, Eq)]
enum Opened {
    /// Records were processed; there may be plaintext.
    Some,
    /// The other side ended the session in an orderly way.
    End,
}

/// Receives once and opens what came, all of it, into `inbox`.
fn poll_open(
    socket: &mut Socket,
    tls: &mut rustls::Connection,
    cx: &mut Context<'_>,
    inbox: &mut Buffer,
) -> Poll<io::Result<Opened>> {
    CIPHERTEXT.with_borrow_mut(|scratch| {
        let received = ready!(socket.poll_recv(cx, scratch))?;
        let mut ciphertext = &scratch[..received];
        if received == 0 {
            // Tells rustls about the end, so that a missing close_notify becomes an error below.
            tls.read_tls(&mut io::empty())?;
            tls.process_new_packets().map_err(io::Error::other)?;
            return Poll::Ready(drain(tls, inbox).map(|_| Opened::End));
        }
        // rustls takes a limited amount at a time and refuses more while plaintext waits: both are
        // drained in turns until the scratch is empty.
        while !ciphertext.is_empty() {
            tls.read_tls(&mut ciphertext)?;
            if let Err(error) = tls.process_new_packets() {
                // The alert that tells the other side why; best effort.
                let _ = tls.write_tls(&mut Sink(socket));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            if drain(tls, inbox)? {
                return Poll::Ready(Ok(Opened::End));
            }
        }
        if tls.wants_write() && !tls.is_handshaking() {
            // Answers of the record layer (key updates, tickets) ride along; the rest goes with the next write.
            let _ = tls.write_tls(&mut Sink(socket));
        }
        Poll::Ready(Ok(Opened::Some))
    })
}

/// Moves opened plaintext to `inbox`; true when the session has ended.
fn drain(tls: &mut rustls::Connection, inbox: &mut Buffer) -> io::Result<bool> {
    loop {
        let waiting = match tls.process_new_packets() {
            Ok(state) => state.plaintext_bytes_to_read(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        if waiting == 0 {
            // No room is taken for nothing; the reader only tells how the session stands.
            return match tls.reader().read(&mut [0]) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        }
        let n = tls.reader().read(inbox.space(waiting))?;
        inbox.filled(n);
    }
}

/// Where rustls writes its records: straight to the socket, many at once.
struct Sink<'a>(&'a mut Socket);

impl Write for Sink<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_send(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_send(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Kind of the error by which [`H2Io`] ends a connection with too many control frames: the h2 crate keeps little
/// else of it.
pub const FLOOD: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// The transport as the h2 crate wants it.
pub struct H2Io {
    transport: Transport,
    inbox: Buffer,
    /// Plaintext sealed since the last flush.
    sealed: usize,
    watch: Option<FrameWatch>,
    key: Option<LateKey>,
}

impl H2Io {
    /// Toward a provider, under TLS. `inbox` holds what arrived with the handshake; `key` goes into the
    /// heads as they leave.
    pub fn client(mut transport: Transport, inbox: Buffer, key: Option<LateKey>) -> Self {
        if let Some(tls) = transport.tls.as_deref_mut() {
            // Every write is taken whole, as `LateKey` wants it; `sealed` bounds what piles up.
            tls.set_buffer_limit(None);
        }
        Self {
            transport,
            inbox,
            sealed: 0,
            watch: None,
            key,
        }
    }

    /// Toward an agent, whose control frames are counted.
    pub fn server(transport: Transport, inbox: Buffer) -> Self {
        Self {
            transport,
            inbox,
            sealed: 0,
            watch: Some(FrameWatch::default()),
            key: None,
        }
    }
}

impl tokio::io::AsyncRead for H2Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self.get_mut();
        if this.inbox.is_empty() && ready!(this.transport.poll_read(cx, &mut this.inbox))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let n = buf.remaining().min(this.inbox.len());
        let data = &this.inbox.data()[..n];
        if let Some(watch) = &mut this.watch {
            watch
                .feed(data)
                .map_err(|Flood| io::Error::new(FLOOD, "too many control frames"))?;
        }
        buf.put_slice(data);
        this.inbox.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for H2Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self.get_mut();
        if this.sealed >= SEAL_BYTES_LIMIT {
            ready!(this.transport.poll_flush_tls(cx))?;
            this.sealed = 0;
        }
        let Some(tls) = this.transport.tls.as_deref_mut() else {
            return this.transport.socket.poll_send(cx, bufs);
        };
        let sealed = match &mut this.key {
            Some(key) => {
                let whole: usize = bufs.iter().map(|buf| buf.len()).sum();
                let exchanged = key.exchange(bufs)?;
                let sealed = tls
                    .writer()
                    .write_vectored(exchanged.as_deref().unwrap_or(bufs))?;
                if sealed != whole {
                    return Poll::Ready(Err(io::Error::other("TLS takes no more")));
                }
                sealed
            }
            None => tls.writer().write_vectored(bufs)?,
        };
        this.sealed += sealed;
        Poll::Ready(Ok(sealed))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.get_mut();
        ready!(this.transport.poll_flush_tls(cx))?;
        this.sealed = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.get_mut();
        ready!(this.transport.poll_flush_tls(cx))?;
        this.transport.close();
        Poll::Ready(Ok(()))
    }
}
