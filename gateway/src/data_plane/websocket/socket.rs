//! One side of a WebSocket over a [`Transport`]. Owned by one task; every wait may be dropped and polled again.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::messages::{CloseCode, Event, Messages, Role, Violation};
use crate::data_plane::{
    alarm::{Alarm, coarse_now},
    buffer::Buffer,
    transport::Transport,
};

/// Bytes handed to the transport at once.
const WRITE_BYTES: usize = 32 * 1024;
/// Events and reads after which other tasks of the worker have their turn, however much more is there.
const STEPS_LIMIT: u32 = 16;
/// How long the other side may take to answer a close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// What is still read from who cannot be understood, so that the close frame arrives.
const LINGER_BYTES_LIMIT: usize = 1024 * 1024;

/// Why a socket is of no further use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ended without a close frame.
    Gone,
    /// The other side broke the protocol or a limit; this code tells it so.
    Violation(CloseCode),
}

/// See the module.
pub(super) struct WebSocket {
    transport: Transport,
    pub(super) messages: Messages,
    /// Something came since it was last asked.
    heard: bool,
    /// Since when the other side takes nothing of what is queued.
    stalled_since: Option<Instant>,
    /// Events and reads since this socket last had nothing.
    steps: u32,
}

impl WebSocket {
    /// `inbox` holds what arrived behind the handshake.
    pub(super) fn new(
        transport: Transport,
        inbox: Buffer,
        role: Role,
        message_bytes_limit: usize,
    ) -> Self {
        Self {
            transport,
            messages: Messages::new(inbox, role, message_bytes_limit),
            heard: false,
            stalled_since: None,
            steps: 0,
        }
    }

    /// Waits for a message or the end. The message before must have been consumed. Answers to pings are
    /// queued.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Broken>> {
        let event = self.poll_steps(cx);
        if event.is_pending() {
            self.steps = 0;
        }
        event
    }

    fn poll_steps(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Broken>> {
        loop {
            if self.steps == STEPS_LIMIT {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.steps += 1;
            if let Some(event) = self.messages.step()? {
                return Poll::Ready(Ok(event));
            }
            match ready!(self.transport.poll_read(cx, &mut self.messages.inbox)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Gone)),
                Ok(_) => self.heard = true,
            }
        }
    }

    /// Whether anything came since the last call.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Since when the other side takes nothing of what is queued.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Sends what is queued.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = &mut self.messages.out;
        while !out.is_empty() {
            let piece = &out.data()[..out.len().min(WRITE_BYTES)];
            let Poll::Ready(sent) = self.transport.poll_write(cx, piece) else {
                self.stalled_since.get_or_insert_with(coarse_now);
                return Poll::Pending;
            };
            out.consume(sent?);
            self.stalled_since = None;
        }
        self.transport.poll_flush(cx)
    }

    /// Closes in an orderly way, as far as the other side lets it within a second: a close frame each way,
    /// then the connection. Without a code the frame has none.
    pub(super) async fn close(mut self, alarm: &Alarm, code: Option<CloseCode>) {
        self.messages.push_close(code);
        let farewell = poll_fn(|cx| {
            ready!(self.poll_flush(cx))?;
            while !self.messages.heard_close() {
                // What else comes is too late.
                self.messages.consume();
                if ready!(self.poll_event(cx)).is_err() {
                    break;
                }
            }
            Poll::Ready(io::Result::Ok(()))
        });
        // Time up is as good an end as any.
        let _ = alarm.last_words(CLOSE_LIMIT, farewell).await;
        self.transport.close();
        if !self.messages.heard_close() {
            self.linger(alarm).await;
        }
    }

    /// Reads for a moment what is still sent: unread input would reset the connection and take the close frame
    /// with it.
    async fn linger(mut self, alarm: &Alarm) {
        let mut left = LINGER_BYTES_LIMIT;
        let drain = poll_fn(|cx| {
            while left > 0 {
                let inbox = &mut self.messages.inbox;
                inbox.consume(inbox.len());
                match ready!(self.transport.poll_read(cx, inbox)) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
            Poll::Ready(())
        });
        let _ = alarm.last_words(CLOSE_LIMIT, drain).await;
    }
}

impl From<Violation> for Broken {
    fn from(Violation(code): Violation) -> Self {
        Self::Violation(code)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use super::*;
    use crate::{
        config::Driver,
        data_plane::io::{self as rt, Socket},
    };

    #[test]
    fn a_flood_leaves_others_their_turn() {
        const MESSAGES: u32 = 100 * STEPS_LIMIT;
        let (mut events, mut most) = (0, 0);
        let reading = async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = Socket::connect(listener.local_addr().unwrap()).await;
            let (mut server, _) = listener.accept().unwrap();
            server
                .write_all(&[0x81, 0x00].repeat(MESSAGES as usize))
                .unwrap();
            let transport = Transport::plain(socket.unwrap());
            let mut socket = WebSocket::new(transport, Buffer::default(), Role::Client, 1);
            poll_fn(|cx| {
                let before = events;
                while events < MESSAGES
                    && let Poll::Ready(event) = socket.poll_event(cx)
                {
                    assert_eq!(event, Ok(Event::Message { is_text: true }));
                    socket.messages.consume();
                    events += 1;
                }
                most = most.max(events - before);
                match events < MESSAGES {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                }
            })
            .await;
        };
        rt::block_on(Driver::Epoll, |_| {}, reading).unwrap();
        assert_eq!(events, MESSAGES);
        assert!(most <= STEPS_LIMIT, "{most} events at once");
    }
}
