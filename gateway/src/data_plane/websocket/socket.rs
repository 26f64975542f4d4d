//! One side of a WebSocket over a [`Transport`] (RFC 6455): messages whole, pings answered, limits kept.
//! A frame is read and unmasked where it arrived, and a socket at rest holds no buffer. Well-kept
//! libraries have buffers of their own, which grow to the longest message and stay.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::frame::{self, BadFrame, CONTROL_BYTES_LIMIT, Opcode};
use crate::data_plane::{alarm::Alarm, buffer::Buffer, transport::Transport};

/// Bytes handed to the transport at once.
const WRITE_BYTES: usize = 32 * 1024;
/// Bytes on their way out beyond which a ping gets no answer: its sender does not read.
const PONG_QUEUE_BYTES_LIMIT: usize = 64 * 1024;
/// How long the other side may take to answer a close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// What is still read from who cannot be understood, so that the close frame arrives.
const LINGER_BYTES_LIMIT: usize = 1024 * 1024;

/// Which side this node is: clients mask, servers do not (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// Why a socket closes, as a close frame says it (section 7.4.1 and the IANA registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CloseCode(pub u16);

impl CloseCode {
    pub(super) const NORMAL: Self = Self(1000);
    pub(super) const GOING_AWAY: Self = Self(1001);
    pub(super) const PROTOCOL_ERROR: Self = Self(1002);
    pub(super) const UNSUPPORTED: Self = Self(1003);
    pub(super) const NOT_TEXT: Self = Self(1007);
    pub(super) const POLICY: Self = Self(1008);
    pub(super) const TOO_BIG: Self = Self(1009);
    pub(super) const FAILED: Self = Self(1011);
    pub(super) const RESTART: Self = Self(1012);
    pub(super) const TRY_AGAIN: Self = Self(1013);
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole message is in [`WebSocket::data`].
    Message { is_text: bool },
    /// The other side closes, and may have said why.
    Closed(Option<CloseCode>),
}

/// Why a socket is of no further use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ended without a close frame.
    Gone,
    /// The other side broke the protocol or a limit; this code tells it so.
    Violation(CloseCode),
}

/// See the module. Owned by one task; every wait may be dropped and polled again.
pub(super) struct WebSocket {
    transport: Transport,
    role: Role,
    message_bytes_limit: usize,
    inbox: Buffer,
    out: Buffer,
    /// Frames of a message whose last one has not come; its kind.
    fragments: Buffer,
    fragmented: Option<Opcode>,
    ready: Ready,
    /// Something came since it was last asked.
    heard: bool,
    said_close: bool,
    heard_close: bool,
}

/// Where the message at hand is.
#[derive(Clone, Copy)]
enum Ready {
    Nothing,
    /// In the inbox, behind its header.
    Inbox {
        start: usize,
        end: usize,
    },
    Fragments,
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
            role,
            message_bytes_limit,
            inbox,
            out: Buffer::default(),
            fragments: Buffer::default(),
            fragmented: None,
            ready: Ready::Nothing,
            heard: false,
            said_close: false,
            heard_close: false,
        }
    }

    /// Waits for a message or the end. The message before must have been consumed. Answers to pings are
    /// queued.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Broken>> {
        loop {
            if let Some(event) = self.step()? {
                return Poll::Ready(Ok(event));
            }
            match ready!(self.transport.poll_read(cx, &mut self.inbox)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Gone)),
                Ok(_) => self.heard = true,
            }
        }
    }

    /// The message at hand.
    pub(super) fn data(&self) -> &[u8] {
        match self.ready {
            Ready::Nothing => &[],
            Ready::Inbox { start, end } => &self.inbox.data()[start..end],
            Ready::Fragments => self.fragments.data(),
        }
    }

    /// The message at hand was used.
    pub(super) fn consume(&mut self) {
        match std::mem::replace(&mut self.ready, Ready::Nothing) {
            Ready::Nothing => {}
            Ready::Inbox { end, .. } => self.inbox.consume(end),
            Ready::Fragments => self.fragments.consume(self.fragments.len()),
        }
    }

    /// Bytes held of a message that is not whole.
    pub(super) fn received(&self) -> usize {
        self.inbox.len() + self.fragments.len()
    }

    /// Whether anything came since the last call.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Queues a message, given in pieces.
    pub(super) fn push<'p>(
        &mut self,
        is_text: bool,
        pieces: impl Iterator<Item = &'p [u8]> + Clone,
    ) {
        let opcode = match is_text {
            true => Opcode::Text,
            false => Opcode::Binary,
        };
        self.push_frame(opcode, pieces);
    }

    /// Queues a ping.
    pub(super) fn ping(&mut self) {
        self.push_frame(Opcode::Ping, std::iter::empty());
    }

    /// Bytes queued and not handed to the transport.
    pub(super) fn queued(&self) -> usize {
        self.out.len()
    }

    /// Sends what is queued.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let piece = &self.out.data()[..self.out.len().min(WRITE_BYTES)];
            let sent = ready!(self.transport.poll_write(cx, piece))?;
            self.out.consume(sent);
        }
        self.transport.poll_flush(cx)
    }

    /// Closes in an orderly way, as far as the other side lets it within a second: a close frame each way,
    /// then the connection. Without a code the frame has none.
    pub(super) async fn close(mut self, alarm: &Alarm, code: Option<CloseCode>) {
        if !self.said_close {
            self.said_close = true;
            let code = code.map(|CloseCode(code)| code.to_be_bytes());
            self.push_frame(Opcode::Close, code.iter().map(<[u8; 2]>::as_slice));
        }
        let farewell = poll_fn(|cx| {
            ready!(self.poll_flush(cx))?;
            while !self.heard_close {
                // What else comes is too late.
                self.consume();
                if ready!(self.poll_event(cx)).is_err() {
                    break;
                }
            }
            Poll::Ready(io::Result::Ok(()))
        });
        // Time up is as good an end as any.
        let _ = alarm.last_words(CLOSE_LIMIT, farewell).await;
        self.transport.close();
        if !self.heard_close {
            self.linger(alarm).await;
        }
    }

    /// Reads for a moment what is still sent: unread input would reset the connection and take the close frame
    /// with it.
    async fn linger(mut self, alarm: &Alarm) {
        let mut left = LINGER_BYTES_LIMIT;
        let drain = poll_fn(|cx| {
            while left > 0 {
                self.inbox.consume(self.inbox.len());
                match ready!(self.transport.poll_read(cx, &mut self.inbox)) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
            Poll::Ready(())
        });
        let _ = alarm.last_words(CLOSE_LIMIT, drain).await;
    }

    /// Reads one frame, if all of it is here.
    fn step(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            let Some(header) = frame::parse(self.inbox.data())? else {
                return Ok(None);
            };
            let is_masked = header.mask.is_some();
            if is_masked != (self.role == Role::Server) || self.heard_close {
                return Err(Broken::Violation(CloseCode::PROTOCOL_ERROR));
            }
            // Before it has come: a message that is too long is not waited for.
            let room = self
                .message_bytes_limit
                .saturating_sub(self.fragments.len());
            let length = usize::try_from(header.payload_bytes)
                .ok()
                .filter(|length| header.opcode.is_control() || *length <= room)
                .ok_or(Broken::Violation(CloseCode::TOO_BIG))?;
            let (start, end) = (header.header_bytes, header.header_bytes + length);
            if self.inbox.len() < end {
                return Ok(None);
            }
            if let Some(mask) = header.mask {
                frame::apply_mask(&mut self.inbox.data_mut()[start..end], mask);
            }
            match (header.opcode, self.fragmented) {
                (Opcode::Close, _) => return self.read_close(start, end).map(Some),
                (Opcode::Ping, _) => {
                    if self.out.len() <= PONG_QUEUE_BYTES_LIMIT && !self.said_close {
                        let mut payload = [0; CONTROL_BYTES_LIMIT];
                        let payload = &mut payload[..length];
                        payload.copy_from_slice(&self.inbox.data()[start..end]);
                        self.push_frame(Opcode::Pong, std::iter::once(&*payload));
                    }
                    self.inbox.consume(end);
                }
                (Opcode::Pong, _) => self.inbox.consume(end),
                (opcode @ (Opcode::Text | Opcode::Binary), None) if header.is_final => {
                    self.ready = Ready::Inbox { start, end };
                    return self.message(opcode).map(Some);
                }
                (opcode @ (Opcode::Text | Opcode::Binary), None)
                | (Opcode::Continuation, Some(opcode)) => {
                    self.fragments.extend(&self.inbox.data()[start..end]);
                    self.inbox.consume(end);
                    self.fragmented = Some(opcode);
                    if header.is_final {
                        self.fragmented = None;
                        self.ready = Ready::Fragments;
                        return self.message(opcode).map(Some);
                    }
                }
                (Opcode::Continuation, None) | (Opcode::Text | Opcode::Binary, Some(_)) => {
                    return Err(Broken::Violation(CloseCode::PROTOCOL_ERROR));
                }
            }
        }
    }

    fn message(&self, opcode: Opcode) -> Result<Event, Broken> {
        let is_text = opcode == Opcode::Text;
        if is_text && std::str::from_utf8(self.data()).is_err() {
            return Err(Broken::Violation(CloseCode::NOT_TEXT));
        }
        Ok(Event::Message { is_text })
    }

    fn read_close(&mut self, start: usize, end: usize) -> Result<Event, Broken> {
        self.heard_close = true;
        let code = match &self.inbox.data()[start..end] {
            [] => None,
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !frame::is_close_code(code) {
                    return Err(Broken::Violation(CloseCode::PROTOCOL_ERROR));
                }
                if std::str::from_utf8(reason).is_err() {
                    return Err(Broken::Violation(CloseCode::NOT_TEXT));
                }
                Some(CloseCode(code))
            }
            [_] => return Err(Broken::Violation(CloseCode::PROTOCOL_ERROR)),
        };
        self.inbox.consume(end);
        Ok(Event::Closed(code))
    }

    fn push_frame<'p>(&mut self, opcode: Opcode, pieces: impl Iterator<Item = &'p [u8]> + Clone) {
        let length = pieces.clone().map(<[u8]>::len).sum();
        let mask = (self.role == Role::Client).then(new_mask);
        let (header, header_bytes) = frame::header(opcode, length, mask);
        self.out.extend(&header[..header_bytes]);
        for piece in pieces {
            self.out.extend(piece);
        }
        if let Some(mask) = mask {
            let payload = self.out.len() - length;
            frame::apply_mask(&mut self.out.data_mut()[payload..], mask);
        }
    }
}

impl From<BadFrame> for Broken {
    fn from(BadFrame: BadFrame) -> Self {
        Self::Violation(CloseCode::PROTOCOL_ERROR)
    }
}

/// Section 5.3: unpredictable, so that nobody can choose the bytes on the wire.
fn new_mask() -> [u8; 4] {
    let mut mask = [0; 4];
    aws_lc_rs::rand::fill(&mut mask).expect("the system's random source works");
    mask
}
