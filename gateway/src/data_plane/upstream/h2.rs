//! HTTP/2 toward a provider, by the h2 crate.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, Request};

use crate::{
    data_plane::{
        failure::Failure,
        message::{Fields, Framing, ResponseHead},
        parse::trailers::{self, BadTrailers},
        upstream::pool::StreamGuard,
    },
    handoff::reason::Reason,
};

/// Shared by all exchanges on a connection.
pub type H2Handle = h2::client::SendRequest<Bytes>;

/// One stream. Dropping it resets the stream, so that the provider stops at once.
pub struct H2Exchange {
    response: Option<ResponseFuture>,
    sender: SendStream<Bytes>,
    body: Option<RecvStream>,
    /// DATA being passed on; its flow-control window is given back when it was.
    ready: Bytes,
    trailers: Option<Fields>,
    _stream: StreamGuard,
}

impl H2Exchange {
    /// Sends the head. `end`: there is no body.
    pub async fn start(
        handle: H2Handle,
        stream: StreamGuard,
        request: Request<()>,
        end: bool,
    ) -> Result<Self, h2::Error> {
        let mut handle = handle.ready().await?;
        let (response, sender) = handle.send_request(request, end)?;
        let response = Some(response);
        Ok(Self {
            response,
            sender,
            body: None,
            ready: Bytes::new(),
            trailers: None,
            _stream: stream,
        })
    }

    /// Sends body bytes as the provider's window allows.
    pub async fn send(&mut self, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
        while !data.is_empty() {
            self.sender.reserve_capacity(data.len());
            let granted = match poll_fn(|cx| self.sender.poll_capacity(cx)).await {
                Some(granted) => granted?,
                None => return Err(h2::Reason::STREAM_CLOSED.into()),
            };
            let piece = data.split_to(granted.min(data.len()));
            self.sender.send_data(piece, end && data.is_empty())?;
        }
        Ok(())
    }

    /// Ends a body whose last bytes were not known to be the last, with the fields behind it.
    pub fn end(&mut self, trailers: HeaderMap) -> Result<(), h2::Error> {
        if trailers.is_empty() {
            self.sender.send_data(Bytes::new(), true)
        } else {
            self.sender.send_trailers(trailers)
        }
    }

    pub async fn response(&mut self) -> Result<ResponseHead, Failure> {
        let response = self.response.take().expect("the head is read once");
        let response = response.await.map_err(|e| broken(&e))?;
        let (parts, body) = response.into_parts();
        let framing = match parts.headers.get(http::header::CONTENT_LENGTH) {
            _ if body.is_end_stream() => Framing::None,
            Some(length) => (length.to_str().ok().and_then(|l| l.parse().ok()))
                .map_or(Framing::Chunked, Framing::Length),
            None => Framing::Chunked,
        };
        self.body = Some(body);
        Ok(ResponseHead {
            status: parts.status.as_u16(),
            fields: Fields::from_h2(parts.headers),
            framing,
            keep_alive: true,
            connection_names_fields: false,
        })
    }

    /// See [`super::Upstream::poll_fill`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        if !self.ready.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let body = self.body.as_mut().expect("the head came before the body");
        loop {
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.ready = data;
                    return Poll::Ready(Ok(true));
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => break,
            }
        }
        if let Some(map) = ready!(body.poll_trailers(cx)).map_err(|e| broken(&e))? {
            self.trailers = trailers::of_h2(map)
                .map_err(|BadTrailers| Failure::provider(Reason::ProviderProtocol, "trailers"))?;
        }
        Poll::Ready(Ok(false))
    }

    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    pub fn data(&self) -> &[u8] {
        &self.ready
    }

    pub fn consume(&mut self) {
        let length = self.ready.len();
        self.ready = Bytes::new();
        if let Some(body) = &mut self.body {
            // Fails only when the stream is over, and then the window does not matter.
            let _ = body.flow_control().release_capacity(length);
        }
    }
}

/// Whether the provider surely has not worked on the request (RFC 9113 section 8.7).
pub fn is_unprocessed(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
}

fn broken(error: &h2::Error) -> Failure {
    Failure::provider(Reason::ProviderCut, error)
}
