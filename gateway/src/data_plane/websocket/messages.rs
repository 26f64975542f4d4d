//! A WebSocket's messages (RFC 6455): bytes in, messages out, and the other way. A frame is read and unmasked
//! where it arrived, and without bytes there is no buffer. Well-kept libraries have buffers of their own, which
//! grow to the longest message and stay. No I/O: that is [`super::socket`]'s.

use super::{
    frame::{self, BadFrame, CONTROL_BYTES_LIMIT, Opcode},
    payload::{LONG_BYTES, Payload},
};
use crate::data_plane::buffer::Buffer;

/// Bytes on their way out beyond which a ping gets no answer: its sender does not read.
const PONG_QUEUE_BYTES_LIMIT: usize = 64 * 1024;

/// Which side this node is: clients mask, servers do not (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// Why a socket closes, as a close frame says it (section 7.4.1 and the IANA registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(pub u16);

impl CloseCode {
    pub const NORMAL: Self = Self(1000);
    pub const GOING_AWAY: Self = Self(1001);
    pub const PROTOCOL_ERROR: Self = Self(1002);
    pub const UNSUPPORTED: Self = Self(1003);
    pub const NOT_TEXT: Self = Self(1007);
    pub const POLICY: Self = Self(1008);
    pub const TOO_BIG: Self = Self(1009);
    pub const FAILED: Self = Self(1011);
    pub const RESTART: Self = Self(1012);
    pub const TRY_AGAIN: Self = Self(1013);
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message is in [`Messages::data`].
    Message { is_text: bool },
    /// The other side closes, and may have said why.
    Closed(Option<CloseCode>),
}

/// The other side broke the protocol or a limit; this code tells it so.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation(pub CloseCode);

/// See the module.
pub struct Messages {
    role: Role,
    message_bytes_limit: usize,
    /// What arrived.
    pub inbox: Buffer,
    /// What is to be sent.
    pub out: Buffer,
    /// Frames of a message whose last one has not come; its kind.
    fragments: Buffer,
    fragmented: Option<Opcode>,
    ready: Ready,
    /// What the other side broke.
    violation: Option<CloseCode>,
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

impl Messages {
    /// `inbox` holds what arrived behind the handshake.
    pub fn new(inbox: Buffer, role: Role, message_bytes_limit: usize) -> Self {
        Self {
            role,
            message_bytes_limit,
            inbox,
            out: Buffer::default(),
            fragments: Buffer::default(),
            fragmented: None,
            ready: Ready::Nothing,
            violation: None,
            said_close: false,
            heard_close: false,
        }
    }

    /// The message at hand.
    pub fn data(&self) -> &[u8] {
        match self.ready {
            Ready::Nothing => &[],
            Ready::Inbox { start, end } => &self.inbox.data()[start..end],
            Ready::Fragments => self.fragments.data(),
        }
    }

    /// The message at hand was used.
    pub fn consume(&mut self) {
        match std::mem::replace(&mut self.ready, Ready::Nothing) {
            Ready::Nothing => {}
            Ready::Inbox { end, .. } => self.inbox.consume(end),
            Ready::Fragments => self.fragments.consume(self.fragments.len()),
        }
    }

    /// Takes the message at hand.
    pub fn take(&mut self) -> Payload {
        match self.is_long() {
            true => Payload::of_buffer(self.take_buffer()),
            false => {
                let payload = self.data().to_vec().into();
                self.consume();
                payload
            }
        }
    }

    /// Takes the message at hand, in a buffer however short it is.
    pub fn take_buffer(&mut self) -> Buffer {
        if !self.is_long() {
            let mut buffer = Buffer::default();
            buffer.extend(self.data());
            self.consume();
            return buffer;
        }
        match std::mem::replace(&mut self.ready, Ready::Nothing) {
            Ready::Nothing => Buffer::default(),
            Ready::Inbox { start, end } => {
                let mut buffer = self.inbox.take_front(end);
                // Room for the header with which it goes on.
                buffer.consume(start);
                buffer
            }
            Ready::Fragments => std::mem::take(&mut self.fragments),
        }
    }

    fn is_long(&self) -> bool {
        self.data().len() >= LONG_BYTES
    }

    /// Hands the message at hand on to `other`.
    pub fn pass_to(&mut self, other: &mut Self, is_text: bool) {
        if self.is_long() {
            other.push_buffer(is_text, self.take_buffer());
        } else {
            other.push(is_text, self.data());
            self.consume();
        }
    }

    /// Bytes held of a message that is not whole.
    pub fn received(&self) -> usize {
        self.inbox.len() + self.fragments.len()
    }

    /// Bytes queued and not handed to the transport.
    pub fn queued(&self) -> usize {
        self.out.len()
    }

    /// Queues a message.
    pub fn push(&mut self, is_text: bool, message: &[u8]) {
        self.push_frame(Opcode::of_message(is_text), message);
    }

    /// Queues a message, in the memory that it has when nothing else is queued.
    pub fn push_payload(&mut self, is_text: bool, payload: Payload) {
        match payload.into_long() {
            Ok(buffer) => self.push_buffer(is_text, buffer),
            Err(short) => self.push(is_text, &short),
        }
    }

    fn push_buffer(&mut self, is_text: bool, mut buffer: Buffer) {
        let mask = self.new_mask();
        let opcode = Opcode::of_message(is_text);
        let (header, header_bytes) = frame::header(opcode, buffer.len(), mask);
        if !self.out.is_empty() || !buffer.prepend(&header[..header_bytes]) {
            return self.push(is_text, buffer.data());
        }
        if let Some(mask) = mask {
            frame::apply_mask(&mut buffer.data_mut()[header_bytes..], mask);
        }
        self.out = buffer;
    }

    /// Queues a ping.
    pub fn ping(&mut self) {
        self.push_frame(Opcode::Ping, &[]);
    }

    /// Queues a close frame, the last one; without a code it has none.
    pub fn push_close(&mut self, code: Option<CloseCode>) {
        if !self.said_close {
            self.said_close = true;
            let code = code.map(|CloseCode(code)| code.to_be_bytes());
            self.push_frame(Opcode::Close, code.as_ref().map_or(&[], |code| code));
        }
    }

    /// Whether the other side's close frame came.
    pub fn heard_close(&self) -> bool {
        self.heard_close
    }

    /// Reads on to the next message or close frame, if all of it is here. The message before must have been
    /// consumed. Answers to pings are queued.
    ///
    /// # Errors
    /// The same again when it is asked again.
    pub fn step(&mut self) -> Result<Option<Event>, Violation> {
        if let Some(code) = self.violation {
            return Err(Violation(code));
        }
        self.read_on()
            .inspect_err(|Violation(code)| self.violation = Some(*code))
    }

    fn read_on(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            let Some(header) = frame::parse(self.inbox.data())? else {
                return Ok(None);
            };
            let is_masked = header.mask.is_some();
            if is_masked != (self.role == Role::Server) || self.heard_close {
                return Err(Violation(CloseCode::PROTOCOL_ERROR));
            }
            // Before it has come: a message that is too long is not waited for.
            let room = self
                .message_bytes_limit
                .saturating_sub(self.fragments.len());
            let length = usize::try_from(header.payload_bytes)
                .ok()
                .filter(|length| header.opcode.is_control() || *length <= room)
                .ok_or(Violation(CloseCode::TOO_BIG))?;
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
                        self.push_frame(Opcode::Pong, payload);
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
                    return Err(Violation(CloseCode::PROTOCOL_ERROR));
                }
            }
        }
    }

    fn message(&self, opcode: Opcode) -> Result<Event, Violation> {
        let is_text = opcode == Opcode::Text;
        if is_text && std::str::from_utf8(self.data()).is_err() {
            return Err(Violation(CloseCode::NOT_TEXT));
        }
        Ok(Event::Message { is_text })
    }

    fn read_close(&mut self, start: usize, end: usize) -> Result<Event, Violation> {
        self.heard_close = true;
        let code = match &self.inbox.data()[start..end] {
            [] => None,
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !frame::is_close_code(code) {
                    return Err(Violation(CloseCode::PROTOCOL_ERROR));
                }
                if std::str::from_utf8(reason).is_err() {
                    return Err(Violation(CloseCode::NOT_TEXT));
                }
                Some(CloseCode(code))
            }
            [_] => return Err(Violation(CloseCode::PROTOCOL_ERROR)),
        };
        self.inbox.consume(end);
        Ok(Event::Closed(code))
    }

    fn push_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = self.new_mask();
        let (header, header_bytes) = frame::header(opcode, payload.len(), mask);
        self.out.extend_all([&header[..header_bytes], payload]);
        if let Some(mask) = mask {
            let start = self.out.len() - payload.len();
            frame::apply_mask(&mut self.out.data_mut()[start..], mask);
        }
    }

    /// Section 5.3: unpredictable, so that nobody can choose the bytes on the wire.
    fn new_mask(&self) -> Option<[u8; 4]> {
        match self.role {
            Role::Server => None,
            Role::Client => {
                let mut mask = [0; 4];
                aws_lc_rs::rand::fill(&mut mask).expect("the system's random source works");
                Some(mask)
            }
        }
    }
}

impl From<BadFrame> for Violation {
    fn from(BadFrame: BadFrame) -> Self {
        Self(CloseCode::PROTOCOL_ERROR)
    }
}

#[cfg(test)]
mod tests;
