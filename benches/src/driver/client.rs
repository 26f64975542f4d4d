//! One connection to a proxy, with its protocol on top.

use anyhow::{Context, Result, anyhow, ensure};

use super::{
    Load, Protocol,
    http1::Http1,
    http2::{Broken, Http2},
    socket::Socket,
    tally::Tally,
};
use crate::poll::Ready;

pub(super) struct Client {
    socket: Socket,
    protocol: Talk,
    /// ALPN is looked at once, with the first answer.
    alpn_checked: bool,
}

enum Talk {
    Http1(Http1),
    Http2(Http2),
}

impl Client {
    /// Connects and sends what a client says first; the handshakes go on in [`Self::receive`].
    pub(super) fn connect(load: &Load) -> Result<Self> {
        let mut socket = Socket::connect(load.address, load.tls.as_ref())
            .with_context(|| format!("cannot connect to {}", load.address))?;
        let protocol = match load.protocol {
            Protocol::Http1 => Talk::Http1(Http1::default()),
            Protocol::Http2 { .. } => Talk::Http2(Http2::new(&load.request)),
        };
        socket.flush()?;
        Ok(Self {
            socket,
            protocol,
            alpn_checked: load.tls.is_none(),
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends one request. `http1` is the whole request as HTTP/1.1 has it.
    pub(super) fn ask(&mut self, http1: &[u8], now_ns: u64) -> Result<()> {
        match &mut self.protocol {
            Talk::Http1(talk) => {
                talk.asked(now_ns);
                self.socket.send(http1)?;
            }
            Talk::Http2(talk) => talk.ask(now_ns),
        }
        Ok(())
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) -> Result<()> {
        if let Talk::Http2(talk) = &mut self.protocol
            && !talk.outbox.is_empty()
        {
            self.socket.send(&talk.outbox)?;
            talk.outbox.clear();
            return Ok(());
        }
        Ok(self.socket.flush()?)
    }

    /// Takes what arrived; returns how many answers it completed.
    pub(super) fn receive(
        &mut self,
        ready: Ready,
        scratch: &mut [u8],
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<usize> {
        let inbox = match &mut self.protocol {
            Talk::Http1(talk) => &mut talk.inbox,
            Talk::Http2(talk) => &mut talk.inbox,
        };
        let open = self.socket.receive(ready.hang_up, scratch, inbox)?;
        let arrived = !inbox.is_empty();
        let completed = match &mut self.protocol {
            Talk::Http1(talk) => usize::from(arrived && talk.absorb(now_ns, tally)),
            Talk::Http2(talk) => talk
                .absorb(now_ns, tally)
                .map_err(|Broken(why)| anyhow!("the proxy broke an HTTP/2 connection: {why}"))?,
        };
        if completed > 0 && !self.alpn_checked {
            self.check_alpn()?;
        }
        let reason = tally
            .first_failure
            .as_deref()
            .unwrap_or("no answer before it");
        ensure!(open, "the proxy closed a connection: {reason}");
        Ok(completed)
    }

    fn check_alpn(&mut self) -> Result<()> {
        let wanted: &[u8] = match &self.protocol {
            Talk::Http1(_) => b"http/1.1",
            Talk::Http2(_) => b"h2",
        };
        let got = self.socket.alpn().unwrap_or_default();
        ensure!(got == wanted, "ALPN gave `{}`", got.escape_ascii());
        self.alpn_checked = true;
        Ok(())
    }
}
