//! The limit: a relay on layer 4 that parses nothing, one thread on epoll, one upstream connection per
//! client. What no proxy that also reads and rewrites can be expected to beat by much.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::{Context, Result};
use socket2::{Domain, SockAddr, Type};

use crate::poll::{Poll, Ready};

const BACKLOG: i32 = 4096;
const SCRATCH_BYTES: usize = 64 * 1024;
const TOKEN_LISTENER: u64 = u64::MAX;

/// Relays until it is killed.
pub(crate) fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let listener = bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    poll.add(&listener, TOKEN_LISTENER)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut scratch = vec![0; SCRATCH_BYTES];
    loop {
        for i in 0..poll.wait(None)? {
            let ready = poll.ready(i);
            if ready.token == TOKEN_LISTENER {
                accept(&listener, upstream, &poll, &mut pairs)?;
                continue;
            }
            let slot = (ready.token / 2) as usize;
            let from_client = ready.token % 2 == 0;
            let Some(pair) = &mut pairs[slot] else {
                continue;
            };
            // Either end closing, or failing, ends both.
            if !matches!(pair.pump(from_client, ready, &mut scratch), Ok(true)) {
                pairs[slot] = None;
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn accept(
    listener: &TcpListener,
    upstream: SocketAddr,
    poll: &Poll,
    pairs: &mut Vec<Option<Pair>>,
) -> Result<()> {
    loop {
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let slot = pairs
            .iter()
            .position(Option::is_none)
            .unwrap_or(pairs.len());
        let pair = Pair::new(client, TcpStream::connect(upstream)?)?;
        poll.add(&pair.client.stream, slot as u64 * 2)?;
        poll.add(&pair.upstream.stream, slot as u64 * 2 + 1)?;
        if slot == pairs.len() {
            pairs.push(None);
        }
        pairs[slot] = Some(pair);
    }
}

struct Pair {
    client: End,
    upstream: End,
}

struct End {
    stream: TcpStream,
    /// Bytes for this end that the kernel would not take; while there are any, the other end is not
    /// read.
    unsent: Vec<u8>,
}

impl Pair {
    fn new(client: TcpStream, upstream: TcpStream) -> io::Result<Self> {
        Ok(Self {
            client: End::new(client)?,
            upstream: End::new(upstream)?,
        })
    }

    /// Handles a change of one end: its bytes go over, and bytes that waited for it are sent. False
    /// once an end has closed.
    fn pump(&mut self, client: bool, ready: Ready, scratch: &mut [u8]) -> io::Result<bool> {
        let (near, far) = if client {
            (&mut self.client, &mut self.upstream)
        } else {
            (&mut self.upstream, &mut self.client)
        };
        if !near.unsent.is_empty() && near.flush()? && !carry(far, near, true, scratch)? {
            return Ok(false);
        }
        carry(near, far, ready.hang_up, scratch)
    }
}

impl End {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            unsent: Vec::new(),
        })
    }

    /// True once nothing is left.
    fn flush(&mut self) -> io::Result<bool> {
        let sent = write(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        Ok(self.unsent.is_empty())
    }
}

/// Moves what `from` has to `to`; false at the end of `from`. Without `to_the_end` a short read says
/// that the kernel has no more.
fn carry(from: &mut End, to: &mut End, to_the_end: bool, scratch: &mut [u8]) -> io::Result<bool> {
    while to.unsent.is_empty() {
        let n = match from.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let sent = write(&mut to.stream, &scratch[..n])?;
        to.unsent.extend_from_slice(&scratch[sent..n]);
        if n < scratch.len() && !to_the_end {
            break;
        }
    }
    Ok(true)
}

/// Writes until the kernel takes no more; returns how much it took.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}
