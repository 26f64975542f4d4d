//! HTTP/1.1 toward an agent.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{FieldLines, ReplyHead};
use crate::{
    data_plane::{
        alarm::Alarm,
        buffer::Buffer,
        failure::Failure,
        message::{Fields, Framing, RequestHead, Version},
        parse::{body::BodyDecoder, h1},
        transport::Transport,
    },
    handoff::reason::Reason,
};

/// How a connection in HTTP/2 begins (RFC 9113 section 3.4). No HTTP/1 request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of following requests taken in while one is served.
const PIPELINE_BYTES_LIMIT: usize = 32 * 1024;
/// What a connection that is closed early is still listened to, so that its last answer arrives.
const LINGER_BYTES_LIMIT: usize = 1024 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// One connection; serves requests one after another.
pub struct H1Downstream {
    transport: Transport,
    inbox: Buffer,
    out: Buffer,
    body: BodyDecoder,
    expects_continue: bool,
    takes_trailers: bool,
    head_request: bool,
    version: Version,
    chunked: bool,
    until_close: bool,
    keep_alive: bool,
    aborted: bool,
}

impl H1Downstream {
    /// `inbox` holds what arrived with the handshake.
    pub fn new(transport: Transport, inbox: Buffer) -> Self {
        Self {
            transport,
            inbox,
            out: Buffer::default(),
            body: BodyDecoder::new(Framing::None),
            expects_continue: false,
            takes_trailers: false,
            head_request: false,
            version: Version::Http11,
            chunked: false,
            until_close: false,
            keep_alive: true,
            aborted: false,
        }
    }

    /// Whether anything of a next request is here.
    pub fn has_input(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Waits for the first byte of a request; false when the agent has closed.
    pub async fn wait_for_request(&mut self) -> bool {
        self.has_input()
            || self
                .transport
                .read(&mut self.inbox)
                .await
                .is_ok_and(|n| n > 0)
    }

    /// Whether the agent speaks HTTP/2 without having been asked (RFC 9113 section 3.3). Waits for as much
    /// as that takes; nothing of it is used up.
    pub async fn begins_in_http2(&mut self) -> bool {
        loop {
            let data = self.inbox.data();
            if data.starts_with(PREFACE) {
                return true;
            }
            if !PREFACE.starts_with(data) {
                return false;
            }
            match self.transport.read(&mut self.inbox).await {
                // An unfinished request, as the next read finds.
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
    }

    /// Answers with `head` that the connection becomes another protocol's from here on.
    pub async fn switch(&mut self, head: &[u8]) -> io::Result<()> {
        self.transport.write_all(&[head]).await
    }

    /// The connection and what has come over it, for another protocol.
    pub fn into_parts(self) -> (Transport, Buffer) {
        (self.transport, self.inbox)
    }

    /// Reads a request's head; its body stays to be read. `Ok(None)`: the agent closed first.
    pub async fn request(&mut self, limit: usize) -> Result<Option<RequestHead>, Reason> {
        loop {
            while self.inbox.data().starts_with(b"\r\n") {
                // RFC 9112 section 2.2: an empty line before a request is ignored.
                self.inbox.consume(2);
            }
            if !self.inbox.is_empty()
                && let Some((head, length)) = h1::request(self.inbox.data(), limit)?
            {
                self.inbox.consume(length);
                self.body = BodyDecoder::new(head.framing);
                self.expects_continue = head.expects_continue;
                self.takes_trailers = head.takes_trailers;
                self.head_request = head.method == http::Method::HEAD;
                self.version = head.version;
                self.keep_alive = head.keep_alive;
                return Ok(Some(head));
            }
            match self.transport.read(&mut self.inbox).await {
                Ok(0) | Err(_) if self.inbox.is_empty() => return Ok(None),
                Ok(0) | Err(_) => return Err(Reason::RequestTruncated),
                Ok(_) => {}
            }
        }
    }

    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        loop {
            let ready = self.body.step(&mut self.inbox);
            let ready = ready.map_err(|_| Failure::from(Reason::MalformedRequest))?;
            if ready || self.body.is_end() {
                return Poll::Ready(Ok(ready));
            }
            if self.expects_continue {
                self.expects_continue = false;
                self.out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            ready!(self.poll_flush(cx)).map_err(|_| Failure::from(Reason::ClientGone))?;
            match ready!(self.transport.poll_read(cx, &mut self.inbox)) {
                Ok(0) | Err(_) => {
                    self.keep_alive = false;
                    return Poll::Ready(Err(Reason::RequestTruncated.into()));
                }
                Ok(_) => {}
            }
        }
    }

    pub fn body_data(&self) -> &[u8] {
        self.body.data(&self.inbox)
    }

    pub fn consume_body(&mut self) {
        self.body.consume(&mut self.inbox);
    }

    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }

    /// RFC 9110 section 6.5.1: only an agent that asked for them will not throw them away.
    pub fn takes_trailers(&self) -> bool {
        self.takes_trailers && self.version == Version::Http11
    }

    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.inbox.len() < PIPELINE_BYTES_LIMIT {
            match ready!(self.transport.poll_read(cx, &mut self.inbox)) {
                Ok(0) | Err(_) => {
                    self.keep_alive = false;
                    return Poll::Ready(());
                }
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    pub fn start(&mut self, head: ReplyHead<'_, '_>) {
        // A body that was not read would be taken for the next request.
        self.keep_alive &= self.body.is_end();
        self.chunked = false;
        let framing = match head.framing {
            Framing::Chunked | Framing::UntilClose if self.version == Version::Http10 => {
                self.keep_alive = false;
                Framing::UntilClose
            }
            Framing::UntilClose => Framing::Chunked,
            framing @ (Framing::None | Framing::Length(_) | Framing::Chunked) => framing,
        };
        self.until_close = framing == Framing::UntilClose;
        let out = &mut self.out;
        let reason = http::StatusCode::from_u16(head.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("");
        let mut digits = itoa::Buffer::new();
        out.extend_all([
            b"HTTP/1.1 ",
            digits.format(head.status).as_bytes(),
            b" ",
            reason.as_bytes(),
            b"\r\n",
        ]);
        for (name, value) in head.fields {
            out.extend_all([name, b": ", value, b"\r\n"]);
        }
        match framing {
            Framing::Length(length) => {
                let length = digits.format(length).as_bytes();
                out.extend_all([b"content-length: ", length, b"\r\n"]);
            }
            Framing::Chunked => {
                self.chunked = !self.head_request;
                out.extend(b"transfer-encoding: chunked\r\n");
            }
            Framing::None
                if !matches!(head.status, 100..=199 | 204 | 304) && !self.head_request =>
            {
                out.extend(b"content-length: 0\r\n");
            }
            Framing::None | Framing::UntilClose => {}
        }
        if !self.keep_alive {
            out.extend(b"connection: close\r\n");
        } else if self.version == Version::Http10 {
            out.extend(b"connection: keep-alive\r\n");
        }
        out.extend(b"\r\n");
    }

    pub fn push(&mut self, data: &[u8]) {
        if self.head_request || data.is_empty() {
            return;
        }
        if self.chunked {
            let mut digits = [0; CHUNK_SIZE_DIGITS];
            let size = hexadecimal(data.len(), &mut digits);
            self.out.extend_all([size, b"\r\n", data, b"\r\n"]);
        } else {
            self.out.extend(data);
        }
    }

    pub fn queued(&self) -> usize {
        self.out.len()
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let result = self.transport.write_all(&[self.out.data()]).await;
        self.keep_alive &= result.is_ok();
        self.out.consume(self.out.len());
        result
    }

    pub async fn finish(&mut self, trailers: FieldLines<'_, '_>) -> io::Result<()> {
        if self.chunked {
            self.out.extend(b"0\r\n");
            if self.takes_trailers() {
                for (name, value) in trailers {
                    self.out.extend_all([name, b": ", value, b"\r\n"]);
                }
            }
            self.out.extend(b"\r\n");
        }
        self.flush().await
    }

    pub fn abort(&mut self) {
        self.keep_alive = false;
        self.aborted = true;
    }

    /// The exchange is over: whether another may follow.
    pub fn may_continue(&self) -> bool {
        self.keep_alive && self.body.is_end()
    }

    /// Ends this connection after the exchange under way.
    pub fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// Closes; what the agent still sends is read for a moment, since unread input would reset the
    /// connection and take the last answer with it (RFC 9112 section 9.6).
    pub async fn close(mut self, alarm: &Alarm) {
        if self.aborted {
            // A body of known length or in chunks shows by itself that it is not whole; only one that
            // lasts until the close needs a reset to say so.
            self.transport.abort(self.until_close);
            return;
        }
        self.transport.close();
        if self.body.is_end() {
            return;
        }
        let mut left = LINGER_BYTES_LIMIT;
        let drain = async {
            while left > 0 {
                self.inbox.consume(self.inbox.len());
                match self.transport.read(&mut self.inbox).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => left = left.saturating_sub(n),
                }
            }
        };
        // Time up is as good an end as any.
        let _ = alarm.within(LINGER_TIMEOUT, drain).await;
    }

    /// For the few bytes sent while a body is read (`100 Continue`).
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let sent = ready!(self.transport.poll_write(cx, self.out.data()))?;
            self.out.consume(sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// Digits of the longest chunk size.
const CHUNK_SIZE_DIGITS: usize = usize::BITS as usize / 4;

/// A chunk size as its line has it.
fn hexadecimal(mut number: usize, digits: &mut [u8; CHUNK_SIZE_DIGITS]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdef"[number & 0xf];
        number >>= 4;
        if number == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for number in [0, 1, 9, 10, 15, 16, 255, 0xc0ffee, usize::MAX] {
            let mut digits = [0; CHUNK_SIZE_DIGITS];
            let text = hexadecimal(number, &mut digits);
            assert_eq!(text, format!("{number:x}").as_bytes());
        }
    }
}
