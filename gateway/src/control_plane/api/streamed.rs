//! An answer that is made while it is sent, by a task that is at most a few pieces ahead. A reader that
//! goes away ends the task, and an answer that fails half-way is broken off: it never looks whole.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait for the reader.
const PIECES_MAX: usize = 2;

/// Where the task puts the pieces.
pub(super) struct Pieces {
    sender: mpsc::Sender<Result<Bytes, Broken>>,
    last: oneshot::Sender<Bytes>,
}

/// The answer cannot be completed; why is in the log.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(super) struct Broken;

/// Nobody reads any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Pieces {
    /// Waits while the reader is behind.
    pub(super) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.sender.send(Ok(piece.into())).await.map_err(|_| Gone)
    }

    /// Resolves once nobody reads any more.
    pub(super) async fn gone(&self) {
        self.sender.closed().await;
    }

    /// Breaks the answer off.
    pub(super) async fn break_off(self) {
        // Nobody to tell when the reader is gone.
        let _ = self.sender.send(Err(Broken)).await;
    }

    /// Ends the answer with `piece`, which waits for a reader without anybody else waiting.
    pub(super) fn end_with(self, piece: impl Into<Bytes>) {
        // As above.
        let _ = self.last.send(piece.into());
    }
}

/// An answer of this type, and where its pieces go.
pub(super) fn answer(content_type: &'static str) -> (Pieces, Response) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let (last_sender, last) = oneshot::channel();
    let body = Streamed {
        pieces,
        last: Some(last),
    };
    let mut response = Response::new(Body::new(body));
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let pieces = Pieces {
        sender,
        last: last_sender,
    };
    (pieces, response)
}

struct Streamed {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    last: Option<oneshot::Receiver<Bytes>>,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let piece = match self.pieces.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(piece)) => Some(piece),
            // The other end is dropped whole, so that this has been sent by now, or never will be.
            Poll::Ready(None) => self
                .last
                .take()
                .and_then(|mut last| last.try_recv().ok())
                .map(Ok),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_last_piece_waits_for_a_reader() {
        let (pieces, response) = answer("text/plain");
        pieces.send("a").await.unwrap();
        pieces.send("b").await.unwrap();
        pieces.end_with("c");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "abc");
    }

    #[tokio::test]
    async fn what_is_broken_off_is_no_whole_answer() {
        let (pieces, response) = answer("text/plain");
        pieces.send("a").await.unwrap();
        pieces.break_off().await;
        assert!(response.into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed() {
        let (pieces, response) = answer("text/plain");
        drop(response);
        pieces.gone().await;
        assert_eq!(pieces.send("a").await, Err(Gone));
    }
}
