//! A response that an agent asked for on a WebSocket, out of a provider's HTTP answer: each server-sent event is
//! a message, and an error the error event of the socket.

use std::{
    io,
    task::{Context, Poll},
};

use super::ReplyHead;
use crate::{
    data_plane::websocket::mailbox::{Closed, Mailbox, Watch},
    dialect::{
        sse::{Frame, Framer, parse},
        websocket::{message_of_error, message_of_event},
    },
};

/// Largest event that is put together, and largest error that is read.
const MESSAGE_BYTES_LIMIT: usize = 64 * 1024 * 1024;
const ERROR_BYTES_LIMIT: usize = 64 * 1024;

/// See the module.
pub struct EventDownstream<'a> {
    outbox: &'a Mailbox,
    /// The agent's socket is over.
    gone: &'a Watch<'a>,
    /// The conversation that the messages name.
    lane: Option<&'a str>,
    status: u16,
    framer: Option<Framer>,
    /// An event that came in parts, or an error's body.
    held: Vec<u8>,
    messages: Vec<Vec<u8>>,
    is_too_long: bool,
}

impl<'a> EventDownstream<'a> {
    pub fn new(outbox: &'a Mailbox, gone: &'a Watch<'a>, lane: Option<&'a str>) -> Self {
        Self {
            outbox,
            gone,
            lane,
            status: 0,
            framer: None,
            held: Vec::new(),
            messages: Vec::new(),
            is_too_long: false,
        }
    }

    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.gone.poll_closed(cx)
    }

    pub fn start(&mut self, head: ReplyHead<'_, '_>) {
        self.status = head.status;
        let mut types = head
            .fields
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        let is_stream = types.next().is_some_and(|(_, value)| {
            (value.get(..STREAM.len())).is_some_and(|start| start.eq_ignore_ascii_case(STREAM))
        });
        self.framer = is_stream.then(Framer::default);
    }

    pub fn push(&mut self, data: &[u8]) {
        let Self {
            lane,
            framer,
            held,
            messages,
            is_too_long,
            ..
        } = self;
        let Some(framer) = framer else {
            let room = ERROR_BYTES_LIMIT.saturating_sub(held.len());
            held.extend_from_slice(&data[..data.len().min(room)]);
            return;
        };
        framer.feed(data, &mut |frame| {
            *is_too_long |= !read(frame, *lane, held, messages)
        });
    }

    pub fn queued(&self) -> usize {
        self.messages.iter().map(Vec::len).sum()
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        for message in std::mem::take(&mut self.messages) {
            let pushed = self.outbox.push(message.into()).await;
            pushed.map_err(|Closed| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        match self.is_too_long {
            true => Err(io::Error::other("an event is too long")),
            false => Ok(()),
        }
    }

    pub async fn finish(&mut self) -> io::Result<()> {
        let Self {
            lane,
            framer,
            held,
            messages,
            is_too_long,
            ..
        } = self;
        match framer {
            Some(framer) => {
                framer.finish(&mut |frame| *is_too_long |= !read(frame, *lane, held, messages));
            }
            // An answer that is no stream is none to this API.
            None if (200..300).contains(&self.status) => {
                messages.push(message_of_error(502, b"", *lane));
            }
            None => messages.push(message_of_error(self.status, held, *lane)),
        }
        self.flush().await
    }
}

const STREAM: &[u8] = b"text/event-stream";

/// Makes a message of an event once it is whole; false when it is too long.
fn read(
    frame: Frame<'_>,
    lane: Option<&str>,
    held: &mut Vec<u8>,
    messages: &mut Vec<Vec<u8>>,
) -> bool {
    let mut whole = |raw: &[u8]| {
        let event = parse(raw);
        // Comments, and the mark that some servers end every stream with.
        if !event.data.is_empty() && *event.data != *b"[DONE]" {
            messages.push(message_of_event(&event.data, lane));
        }
    };
    match frame {
        Frame::Event(raw) => whole(raw),
        Frame::Part { bytes, last, .. } => {
            if held.len() + bytes.len() > MESSAGE_BYTES_LIMIT {
                return false;
            }
            held.extend_from_slice(bytes);
            if last {
                whole(&std::mem::take(held));
            }
        }
        Frame::LineFeed(_) => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::data_plane::message::Framing;

    fn messages(content_type: &str, status: u16, pieces: &[&[u8]]) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let outbox = Mailbox::default();
        let gone = outbox.closed();
        let mut down = EventDownstream::new(&outbox, &gone, Some("a"));
        down.start(ReplyHead {
            status,
            fields: &mut [(&b"Content-Type"[..], content_type.as_bytes())].into_iter(),
            framing: Framing::Chunked,
        });
        pieces.iter().for_each(|piece| down.push(piece));
        assert!(std::pin::pin!(down.finish()).poll(&mut cx).is_ready());
        let mut all = Vec::new();
        while let Poll::Ready(Some(message)) = outbox.poll_take(&mut cx) {
            all.push(String::from_utf8_lossy(&message).into_owned());
        }
        all
    }

    #[test]
    fn events_are_messages() {
        let stream = b"event: a\ndata: {\"type\":\"a\"}\n\n: comment\n\ndata: {\"type\":\"b\"}\n\ndata: [DONE]\n\n";
        let expected = [
            r#"{"stream_id":"a","type":"a"}"#,
            r#"{"stream_id":"a","type":"b"}"#,
        ];
        let pieces: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(
            messages("text/event-stream; charset=utf-8", 200, &pieces),
            expected
        );
        let long = format!("{{\"x\":\"{}\"}}", "y".repeat(100_000));
        let event = format!("data: {long}\n\n");
        let pieces: Vec<&[u8]> = event.as_bytes().chunks(30_000).collect();
        let expected = long.replacen('{', "{\"stream_id\":\"a\",", 1);
        assert!(messages("text/event-stream", 200, &pieces) == [expected]);
    }

    #[test]
    fn an_error_is_the_error_event() {
        let body = br#"{"error":{"code":"slow_down"}}"#;
        assert_eq!(
            messages("application/json", 429, &[body]),
            [r#"{"stream_id":"a","type":"error","status":429,"error":{"code":"slow_down"}}"#]
        );
    }
}
