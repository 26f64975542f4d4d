//! The agent's side of one exchange: its request body and the response to it. HTTP/1.1, HTTP/2, and events
//! of a WebSocket behind one face.

pub mod events;
pub mod h1;
pub mod h2;

use std::{
    io,
    task::{Context, Poll},
};

use self::{events::EventDownstream, h1::H1Downstream, h2::H2Downstream};
use super::{
    failure::Failure,
    message::{Fields, Framing},
};

/// See the module.
pub enum Downstream<'a> {
    H1(&'a mut H1Downstream),
    H2(&'a mut H2Downstream),
    /// A response asked for on a WebSocket.
    Events(&'a mut EventDownstream<'a>),
}

/// Names and values of header or trailer fields.
pub type FieldLines<'i, 'a> = &'i mut dyn Iterator<Item = (&'a [u8], &'a [u8])>;

/// Head of a response to the agent.
pub struct ReplyHead<'i, 'a> {
    pub status: u16,
    /// Without framing and connection fields; those are the writer's.
    pub fields: FieldLines<'i, 'a>,
    pub framing: Framing,
}

impl Downstream<'_> {
    /// Waits for more of the request body; bytes are then in [`Self::body_data`]. False at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        match self {
            Self::H1(down) => down.poll_body(cx),
            Self::H2(down) => down.poll_body(cx),
            Self::Events(_) => Poll::Ready(Ok(false)),
        }
    }

    pub fn body_data(&self) -> &[u8] {
        match self {
            Self::H1(down) => down.body_data(),
            Self::H2(down) => down.body_data(),
            Self::Events(_) => &[],
        }
    }

    /// All of `body_data` was used.
    pub fn consume_body(&mut self) {
        match self {
            Self::H1(down) => down.consume_body(),
            Self::H2(down) => down.consume_body(),
            Self::Events(_) => {}
        }
    }

    /// Fields that came behind the request body; once, after its end.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::H1(down) => down.take_trailers(),
            Self::H2(down) => down.take_trailers(),
            Self::Events(_) => None,
        }
    }

    /// Whether fields behind the response body reach the agent.
    pub fn takes_trailers(&self) -> bool {
        match self {
            Self::H1(down) => down.takes_trailers(),
            Self::H2(_) => true,
            Self::Events(_) => false,
        }
    }

    /// Resolves when the agent has gone away. Bytes of a next request are kept.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(down) => down.poll_gone(cx),
            Self::H2(down) => down.poll_gone(cx),
            Self::Events(down) => down.poll_gone(cx),
        }
    }

    /// Queues the response's head.
    pub fn start(&mut self, head: ReplyHead<'_, '_>) -> io::Result<()> {
        match self {
            Self::H1(down) => {
                down.start(head);
                Ok(())
            }
            Self::H2(down) => down.start(head),
            Self::Events(down) => {
                down.start(head);
                Ok(())
            }
        }
    }

    /// Queues body bytes.
    pub fn push(&mut self, data: &[u8]) {
        match self {
            Self::H1(down) => down.push(data),
            Self::H2(down) => down.push(data),
            Self::Events(down) => down.push(data),
        }
    }

    /// Bytes queued and not sent.
    pub fn queued(&self) -> usize {
        match self {
            Self::H1(down) => down.queued(),
            Self::H2(down) => down.queued(),
            Self::Events(down) => down.queued(),
        }
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::H1(down) => down.flush().await,
            Self::H2(down) => down.flush(false).await,
            Self::Events(down) => down.flush().await,
        }
    }

    /// Lets what was flushed leave before an abort, which would throw it away.
    pub async fn let_out(&mut self) {
        match self {
            Self::H1(_) => {}
            Self::H2(down) => down.let_out().await,
            Self::Events(_) => {}
        }
    }

    /// Ends the response in an orderly way, and sends what is queued.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.finish_with(&mut std::iter::empty()).await
    }

    /// As [`Self::finish`], with fields behind the body if the agent takes them.
    pub async fn finish_with(&mut self, trailers: FieldLines<'_, '_>) -> io::Result<()> {
        match self {
            Self::H1(down) => down.finish(trailers).await,
            Self::H2(down) => down.finish(trailers).await,
            Self::Events(down) => down.finish().await,
        }
    }

    /// Ends a response that has begun so that the agent sees it is not whole.
    pub fn abort(&mut self) {
        match self {
            Self::H1(down) => down.abort(),
            Self::H2(down) => down.abort(),
            // The next response has its own.
            Self::Events(_) => {}
        }
    }
}
