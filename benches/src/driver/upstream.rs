//! The provider behind every proxy. It lives in the driver's thread: as a process of its own it would
//! use the driver's core up first, and then all proxies look alike.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    time::Duration,
};

use anyhow::Result;
use memchr::memmem;
use socket2::{Domain, SockAddr, Type};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{clock, head, socket::Socket};
use crate::poll::{Poll, Ready};

/// Stands before the send time in each event, in 20 digits of nanoseconds.
pub(super) const STAMP: &[u8] = br#""stamp_ns":""#;
pub(super) const STAMP_DIGITS: usize = 20;

/// Ends a chunked body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Proxies open a connection per stream at once.
const BACKLOG: i32 = 4096;

/// Where a request says that it wants a stream, if it does.
const STREAM_KEY_WITHIN: usize = 64;

const JSON_BYTES: usize = 1024;

/// Answers chat completions, whole or as paced events.
pub(super) struct Upstream {
    listener: TcpListener,
    address: SocketAddr,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// When which connection sends its next event.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    pub(super) pace: Pace,
    answer: Vec<u8>,
    event: Event,
    /// Requests that came without a credential.
    pub(super) without_credential: u64,
}

/// How streams are paced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) events: u32,
    pub(crate) interval: Duration,
}

struct Connection {
    socket: Socket,
    inbox: Vec<u8>,
    events_left: u32,
}

/// One event with a hole for its stamp.
struct Event {
    chunk: Vec<u8>,
    stamp: Range<usize>,
    /// Follows the last event: usage, the end mark, the last chunk.
    end: Vec<u8>,
}

impl Upstream {
    pub(super) fn bind(poll: &Poll, token: u64) -> Result<Self> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        poll.add(&listener, token)?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            pace: Pace {
                events: 1,
                interval: Duration::ZERO,
            },
            answer: json_answer(),
            event: Event::new(),
            without_credential: 0,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes every waiting connection; `first_token` plus its slot is its token.
    pub(super) fn accept(&mut self, poll: &Poll, first_token: u64) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let socket = Socket::accepted(stream)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poll.add(&socket, first_token + slot as u64)?;
            self.connections[slot] = Some(Connection {
                socket,
                inbox: Vec::new(),
                events_left: 0,
            });
        }
    }

    /// Answers what arrived on a connection. A connection that fails is the proxy's to notice.
    pub(super) fn serve(&mut self, slot: usize, ready: Ready, scratch: &mut [u8]) {
        let Some(connection) = &mut self.connections[slot] else {
            return;
        };
        let open = connection
            .socket
            .receive(ready.hang_up, scratch, &mut connection.inbox);
        let answered = matches!(open, Ok(true)) && self.answer(slot).is_ok();
        if !answered {
            self.connections[slot] = None;
            self.free.push(slot);
        }
    }

    fn answer(&mut self, slot: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[slot] else {
            return Ok(());
        };
        connection.socket.flush()?;
        while let Some(head_end) = head::end(&connection.inbox) {
            let (head, rest) = connection.inbox.split_at(head_end);
            let body = head::content_length(head).unwrap_or(0);
            if rest.len() < body {
                return Ok(());
            }
            if memmem::find(head, b"uthorization: Bearer ").is_none() {
                self.without_credential += 1;
            }
            if let Some(answer) = switching(head) {
                connection.inbox.drain(..head_end);
                connection.socket.send(&answer)?;
                continue;
            }
            let start = &rest[..body.min(STREAM_KEY_WITHIN)];
            let streams = memmem::find(start, br#""stream":true"#).is_some();
            connection.inbox.drain(..head_end + body);
            if streams {
                connection.socket.send(STREAM_HEAD)?;
                connection.events_left = self.pace.events;
                let first = clock::now_ns() + self.pace.interval.as_nanos() as u64;
                self.due.push(Reverse((first, slot)));
            } else {
                connection.socket.send(&self.answer)?;
            }
        }
        Ok(())
    }

    /// Sends the events that are due at `now`; whether there were any.
    pub(super) fn send_due_events(&mut self, now: u64) -> bool {
        let mut sent = false;
        while let Some(Reverse((due, slot))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            let Some(connection) = &mut self.connections[slot] else {
                continue;
            };
            // The slot may hold a new connection after its stream was cut.
            let Some(left) = connection.events_left.checked_sub(1) else {
                continue;
            };
            connection.events_left = left;
            let event = self.event.stamped(clock::now_ns(), left == 0);
            if connection.socket.send(event).is_ok() && left > 0 {
                let next = due + self.pace.interval.as_nanos() as u64;
                self.due.push(Reverse((next, slot)));
            }
            sent = true;
        }
        sent
    }
}

/// The answer to a WebSocket's handshake, if it is one.
fn switching(head: &[u8]) -> Option<Vec<u8>> {
    const KEY: &str = "sec-websocket-key: ";
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let key = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(KEY.len())?;
        name.eq_ignore_ascii_case(KEY).then_some(value)
    })?;
    let accept = derive_accept_key(key.as_bytes());
    Some(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes(),
    )
}

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: upstream\r\n\
    Content-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

impl Event {
    fn new() -> Self {
        let before = format!(
            "{}{}",
            r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"#,
            r#""model":"bench-model","choices":[{"index":0,"delta":{"content":" token"}}],"#,
        );
        let stamp = std::str::from_utf8(STAMP).expect("the stamp's name is ASCII");
        let data = format!("{before}{stamp}{:0STAMP_DIGITS$}\"}}\n\n", 0);
        let chunk = format!("{:x}\r\n{data}\r\n", data.len()).into_bytes();
        let digits = memmem::find(&chunk, STAMP).expect("just written") + STAMP.len();
        let usage = concat!(
            r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"#,
            r#""model":"bench-model","choices":[],"#,
            r#""usage":{"prompt_tokens":12,"completion_tokens":100,"total_tokens":112}}"#,
            "\n\ndata: [DONE]\n\n",
        );
        let mut end = chunk.clone();
        end.extend_from_slice(format!("{:x}\r\n{usage}\r\n", usage.len()).as_bytes());
        end.extend_from_slice(LAST_CHUNK);
        Self {
            chunk,
            stamp: digits..digits + STAMP_DIGITS,
            end,
        }
    }

    fn stamped(&mut self, now_ns: u64, last: bool) -> &[u8] {
        let bytes = if last { &mut self.end } else { &mut self.chunk };
        write!(&mut bytes[self.stamp.clone()], "{now_ns:0STAMP_DIGITS$}")
            .expect("20 digits hold every u64");
        bytes
    }
}

fn json_answer() -> Vec<u8> {
    let start = concat!(
        r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"#,
        r#""model":"bench-model","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    );
    let end = concat!(
        r#""},"finish_reason":"stop"}],"#,
        r#""usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}"#,
    );
    let content = "x".repeat(JSON_BYTES - start.len() - end.len());
    let head = "HTTP/1.1 200 OK\r\n\
        Server: upstream\r\n\
        Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
        Content-Type: application/json\r\n";
    format!("{head}Content-Length: {JSON_BYTES}\r\n\r\n{start}{content}{end}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_answer_is_json_of_the_announced_length() {
        let answer = json_answer();
        let body = &answer[head::end(&answer).unwrap()..];
        assert_eq!(Some(body.len()), head::content_length(&answer));
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(value["usage"]["total_tokens"], 46);
    }

    #[test]
    fn a_stamp_replaces_its_digits_only() {
        let mut event = Event::new();
        let before = event.chunk.len();
        let chunk = event.stamped(1234, false);
        assert_eq!(chunk.len(), before);
        let text = std::str::from_utf8(chunk).unwrap();
        assert!(
            text.contains(r#""stamp_ns":"00000000000000001234"}"#),
            "{text}"
        );
        assert!(event.stamped(5, true).ends_with(LAST_CHUNK));
    }
}
