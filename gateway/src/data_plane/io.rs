//! The one place that touches monoio: runtime, sockets, accept, connect, timer.
//!
//! Reads and writes are plain non-blocking system calls made when the driver says a socket is ready, so
//! nothing the kernel has delivered is ever in flight inside a future: dropping any wait here loses
//! nothing. (monoio 0.2.4 loses bytes when a read is dropped and leaks the descriptor when an accept
//! is.) It also means that a waiting connection holds no buffer.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use monoio::{
    IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder,
    net::{TcpListener, TcpStream},
    time::TimeDriver,
};
use nix::sys::socket::{self, MsgFlags, SockFlag};
use pin_project_lite::pin_project;

/// Entries of a worker's ring: how many operations are submitted in one go.
const RING_ENTRIES: u32 = 4096;

pub use monoio::spawn;
pub use monoio::time::sleep;

/// Runs `main` on this thread with the driver wanted. `on_start` learns which driver it became and why.
pub fn block_on<F: Future>(
    wanted: crate::config::Driver,
    on_start: impl FnOnce(&str),
    main: F,
) -> io::Result<F::Output> {
    use crate::config::Driver as Wanted;
    match wanted {
        Wanted::IoUring => {
            let (mut runtime, flags) = uring_runtime()?;
            on_start(flags);
            Ok(runtime.block_on(main))
        }
        Wanted::Epoll => {
            let mut runtime = epoll_runtime()?;
            on_start("epoll (configured)");
            Ok(runtime.block_on(main))
        }
        Wanted::Auto => match uring_runtime() {
            Ok((mut runtime, flags)) => {
                on_start(flags);
                Ok(runtime.block_on(main))
            }
            Err(error) => {
                let mut runtime = epoll_runtime()?;
                on_start(&format!("epoll (io_uring is not usable: {error})"));
                Ok(runtime.block_on(main))
            }
        },
    }
}

/// io_uring with completions run when the worker asks for them, as far as the kernel has the flags:
/// on the same machine they cut CPU per request by 12 % (HTTP/1.1) to 45 % (TLS) against monoio's default.
fn uring_runtime() -> io::Result<(Runtime<TimeDriver<IoUringDriver>>, &'static str)> {
    type Setup = fn(&mut io_uring::Builder);
    const SETUPS: [(Setup, &str); 3] = [
        (
            |b| {
                b.setup_single_issuer().setup_defer_taskrun();
            },
            "io_uring (SINGLE_ISSUER|DEFER_TASKRUN)",
        ),
        (
            |b| {
                b.setup_single_issuer().setup_coop_taskrun();
            },
            "io_uring (SINGLE_ISSUER|COOP_TASKRUN; the kernel has no DEFER_TASKRUN)",
        ),
        (|_| {}, "io_uring (no flags; the kernel is older than 6.0)"),
    ];
    let mut last = None;
    for (setup, flags) in SETUPS {
        let mut ring = io_uring::IoUring::builder();
        setup(&mut ring);
        match RuntimeBuilder::<IoUringDriver>::new()
            .with_entries(RING_ENTRIES)
            .uring_builder(ring)
            .enable_timer()
            .build()
        {
            Ok(runtime) => return Ok((runtime, flags)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("at least one set-up was tried"))
}

fn epoll_runtime() -> io::Result<Runtime<TimeDriver<LegacyDriver>>> {
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()
}

/// Waits for one direction of a socket, again and again, in one allocation.
trait Readiness {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

struct Waiter<M, F> {
    make: M,
    armed: Pin<Box<Option<F>>>,
}

impl<M: Fn() -> F, F: Future<Output = io::Result<()>>> Readiness for Waiter<M, F> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.armed.is_none() {
            self.armed.set(Some((self.make)()));
        }
        let armed = self.armed.as_mut().as_pin_mut().expect("armed above");
        let result = ready!(armed.poll(cx));
        self.armed.set(None);
        Poll::Ready(result)
    }
}

fn readiness<M, F>(make: M) -> Box<dyn Readiness>
where
    M: Fn() -> F + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    Box::new(Waiter {
        make,
        armed: Box::pin(None),
    })
}

/// A connected TCP socket. Owned by one task; every wait may be dropped and polled again.
pub struct Socket {
    stream: Rc<TcpStream>,
    readable: Box<dyn Readiness>,
    /// Made when a send first finds the socket full.
    writable: Option<Box<dyn Readiness>>,
    /// The last read filled its buffer: more may wait, try before asking the driver.
    likely_readable: bool,
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        let stream = Rc::new(stream);
        let for_read = Rc::clone(&stream);
        let readable = readiness(move || {
            let stream = Rc::clone(&for_read);
            async move { stream.readable(false).await }
        });
        Self {
            stream,
            readable,
            writable: None,
            likely_readable: false,
        }
    }

    /// Connects; dropping the future abandons the attempt.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_addr(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and outlives the borrow of `self`.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }

    /// Waits until a read is likely to find something.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.likely_readable {
            ready!(self.readable.poll_ready(cx))?;
            self.likely_readable = true;
        }
        Poll::Ready(Ok(()))
    }

    /// The next read tries before it asks the driver.
    pub fn assume_readable(&mut self) {
        self.likely_readable = true;
    }

    /// Reads into `buf`; 0 is the end.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            match socket::recv(self.stream.as_raw_fd(), buf, MsgFlags::MSG_DONTWAIT) {
                Ok(n) => {
                    self.likely_readable = n == buf.len();
                    return Poll::Ready(Ok(n));
                }
                Err(nix::Error::EAGAIN) => self.likely_readable = false,
                Err(nix::Error::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Sends what the kernel takes of `parts`; never 0 unless they are empty.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_send(parts) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.poll_writable(cx))?;
        }
    }

    /// Sends what the kernel takes at once, else `WouldBlock`.
    pub fn try_send(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);
            let sent = match parts {
                // The kernel has no list to copy in then.
                [part] => socket::send(self.stream.as_raw_fd(), part, FLAGS).map_err(Into::into),
                parts => {
                    socket2::SockRef::from(&self.fd()).send_vectored_with_flags(parts, FLAGS.bits())
                }
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Waits until a send may go through after `try_send` said `WouldBlock`.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writable
            .get_or_insert_with(|| {
                let stream = Rc::clone(&self.stream);
                readiness(move || {
                    let stream = Rc::clone(&stream);
                    async move { stream.writable(false).await }
                })
            })
            .poll_ready(cx)
    }

    /// No more will be sent; the other side reads its end.
    pub fn shutdown_write(&self) {
        // The other side may be gone already, which is as good.
        let _ = socket::shutdown(self.stream.as_raw_fd(), socket::Shutdown::Write);
    }

    /// Closes with a reset in place of an orderly end, so that a peer cannot take what it got for the whole.
    pub fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(&self.fd()).set_linger(Some(Duration::ZERO));
    }
}

/// A listening socket made by the control plane.
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    pub fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
        })
    }

    /// The next connection. Dropping the future loses none.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        loop {
            match self.try_accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            self.socket.readable(false).await?;
        }
    }

    /// Ends the pending accept with an error. The kernel refuses what waits in the backlog.
    pub fn shutdown(&self) {
        // Fails only when the socket is not listening any more, which is what is wanted.
        let _ = socket::shutdown(self.socket.as_raw_fd(), socket::Shutdown::Both);
    }

    fn try_accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let fd = socket::accept4(
            self.socket.as_raw_fd(),
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        )?;
        // SAFETY: accept4 has just made this descriptor; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let stream = std::net::TcpStream::from(fd);
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        Ok((Socket::new(TcpStream::from_std(stream)?), peer))
    }
}

/// Resolves with the first of two waits to finish; the other is dropped, or polled again later when it
/// was passed by reference.
pub fn race<A: Future, B: Future>(first: A, second: B) -> Race<A, B> {
    Race { first, second }
}

pin_project! {
    /// See [`race`]; by hand for the reason that [`super::alarm::Within`] is.
    pub struct Race<A, B> {
        #[pin]
        first: A,
        #[pin]
        second: B,
    }
}

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = Raced<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.first.poll(cx) {
            return Poll::Ready(Raced::First(output));
        }
        this.second.poll(cx).map(Raced::Second)
    }
}

/// See [`race`]; the first wins when both are ready.
pub enum Raced<A, B> {
    First(A),
    Second(B),
}
