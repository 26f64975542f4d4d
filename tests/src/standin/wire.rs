//! Answers on the wire: one interface over HTTP/1.1 and HTTP/2, close enough to the bytes that an
//! answer can be cut, stalled, or framed in unusual ways.

mod http1;
mod http2;

use std::time::Duration;

pub(super) use http1::serve as serve_http1;
pub(super) use http2::serve as serve_http2;

/// Why an answer did not end whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The client went away.
    Peer,
    /// The script wanted it so.
    Scripted,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    /// Chunked in HTTP/1.1.
    Stream,
    /// The end of the connection in HTTP/1.1.
    Close,
}

/// Where one answer goes.
pub(super) enum Out<'a> {
    Http1(http1::Answer<'a>),
    Http2(http2::Answer),
}

impl Out<'_> {
    /// Sends `103 Early Hints`.
    pub(super) async fn interim(&mut self) -> Result<(), Gone> {
        match self {
            Self::Http1(answer) => answer.interim().await,
            Self::Http2(answer) => answer.interim(),
        }
    }

    /// Sends the final head.
    pub(super) async fn head(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        framing: Framing,
    ) -> Result<(), Gone> {
        match self {
            Self::Http1(answer) => answer.head(status, headers, framing).await,
            Self::Http2(answer) => answer.head(status, headers, framing),
        }
    }

    /// Sends body bytes, waiting while the client does not take them.
    pub(super) async fn data(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        match self {
            Self::Http1(answer) => answer.data(bytes).await,
            Self::Http2(answer) => answer.data(bytes).await,
        }
    }

    /// Ends the body.
    pub(super) async fn end(&mut self) -> Result<(), Gone> {
        self.end_with(&[]).await
    }

    /// Ends a [`Framing::Stream`] with fields behind it.
    pub(super) async fn end_with(&mut self, trailers: &[(&str, &str)]) -> Result<(), Gone> {
        match self {
            Self::Http1(answer) => answer.end(trailers).await,
            Self::Http2(answer) => answer.end(trailers),
        }
    }

    /// Breaks off in the middle.
    pub(super) async fn cut(&mut self) -> Gone {
        match self {
            // Closing the connection without the body's end is the cut; `serve` does it.
            Self::Http1(_) => {}
            Self::Http2(answer) => answer.cut().await,
        }
        Gone::Scripted
    }

    /// Waits, or returns early when the client leaves.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.peer_gone() => Err(Gone::Peer),
        }
    }

    /// Waits until the client leaves.
    pub(super) async fn peer_gone(&mut self) {
        match self {
            Self::Http1(answer) => answer.peer_gone().await,
            Self::Http2(answer) => answer.peer_gone().await,
        }
    }

    /// A whole answer with a length.
    pub(super) async fn whole(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), Gone> {
        self.head(status, headers, Framing::Length(body.len()))
            .await?;
        self.data(body).await?;
        self.end().await
    }
}
