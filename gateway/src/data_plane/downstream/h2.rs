//! One HTTP/2 stream toward an agent.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::{FieldLines, ReplyHead};
use crate::{
    data_plane::{
        failure::Failure,
        io as rt,
        message::{Fields, Framing},
        parse::trailers::{self, BadTrailers},
    },
    handoff::reason::Reason,
};

/// Long enough for a task that was woken to run.
const TURN: Duration = Duration::from_millis(1);
/// Names an exchange in its answer.
const REQUEST_ID: &str = "x-keyway-request-id";

/// See the module.
pub struct H2Downstream {
    body: RecvStream,
    /// Request DATA being used; its flow-control window is given back when it was.
    body_ready: Bytes,
    trailers: Option<Fields>,
    respond: SendResponse<Bytes>,
    sender: Option<SendStream<Bytes>>,
    out: Vec<u8>,
    ended: bool,
    head_request: bool,
}

impl H2Downstream {
    pub fn new(body: RecvStream, respond: SendResponse<Bytes>, head_request: bool) -> Self {
        Self {
            body,
            body_ready: Bytes::new(),
            trailers: None,
            respond,
            sender: None,
            out: Vec::new(),
            ended: false,
            head_request,
        }
    }

    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        loop {
            if !self.body_ready.is_empty() {
                return Poll::Ready(Ok(true));
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => self.body_ready = data,
                Some(Err(error)) => return Poll::Ready(Err(unread(&error))),
                None => return self.poll_trailers(cx).map_ok(|()| false),
            }
        }
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let map = ready!(self.body.poll_trailers(cx)).map_err(|error| unread(&error))?;
        if let Some(map) = map {
            let fields = trailers::of_h2(map).map_err(|BadTrailers| Reason::MalformedRequest)?;
            self.trailers = fields;
        }
        Poll::Ready(Ok(()))
    }

    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    pub fn body_data(&self) -> &[u8] {
        &self.body_ready
    }

    pub fn consume_body(&mut self) {
        let length = self.body_ready.len();
        self.body_ready = Bytes::new();
        // Fails only when the stream is over, and then the window does not matter.
        let _ = self.body.flow_control().release_capacity(length);
    }

    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sender {
            Some(sender) => sender.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    pub fn start(&mut self, head: ReplyHead<'_, '_>) -> io::Result<()> {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        append(headers, head.fields);
        if let Framing::Length(length) = head.framing {
            headers.insert(http::header::CONTENT_LENGTH, length.into());
        }
        self.ended = head.framing == Framing::None || self.head_request;
        let sender = self
            .respond
            .send_response(response, self.ended)
            .map_err(io::Error::other)?;
        self.sender = Some(sender);
        Ok(())
    }

    pub fn push(&mut self, data: &[u8]) {
        if !self.ended {
            self.out.extend_from_slice(data);
        }
    }

    pub fn queued(&self) -> usize {
        self.out.len()
    }

    /// Sends what is queued as the agent's window allows; `end` ends the stream.
    pub async fn flush(&mut self, end: bool) -> io::Result<()> {
        let mut data = Bytes::from(std::mem::take(&mut self.out));
        let Some(sender) = self.sender.as_mut().filter(|_| !self.ended) else {
            return Ok(());
        };
        while !data.is_empty() {
            sender.reserve_capacity(data.len());
            let granted = match poll_fn(|cx| sender.poll_capacity(cx)).await {
                Some(granted) => granted.map_err(io::Error::other)?,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let piece = data.split_to(granted.min(data.len()));
            self.ended = end && data.is_empty();
            sender
                .send_data(piece, self.ended)
                .map_err(io::Error::other)?;
        }
        if end && !self.ended {
            self.ended = true;
            sender
                .send_data(Bytes::new(), true)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// A reset clears the stream's queue, so the connection's task gets its turn first.
    pub async fn let_out(&self) {
        rt::sleep(TURN).await;
    }

    pub async fn finish(&mut self, trailers: FieldLines<'_, '_>) -> io::Result<()> {
        let mut map = HeaderMap::new();
        append(&mut map, trailers);
        self.flush(map.is_empty()).await?;
        if let Some(sender) = self.sender.as_mut().filter(|_| !self.ended) {
            self.ended = true;
            sender.send_trailers(map).map_err(io::Error::other)?;
        }
        Ok(())
    }

    pub fn abort(&mut self) {
        if let Some(sender) = &mut self.sender
            && !self.ended
        {
            self.ended = true;
            sender.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    }
}

/// What HTTP/2 cannot carry is not worth an exchange.
fn append(map: &mut HeaderMap, fields: FieldLines<'_, '_>) {
    for (name, value) in fields {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            value.set_sensitive(is_new_each_time(name.as_str()));
            map.append(name, value);
        }
    }
}

/// Such fields would only drive others out of HPACK's table: what names an exchange, and what is left of limits.
fn is_new_each_time(name: &str) -> bool {
    name == REQUEST_ID
        || name.starts_with("x-ratelimit-re")
        || (name.starts_with("anthropic-ratelimit-") && !name.ends_with("-limit"))
}

fn unread(error: &h2::Error) -> Failure {
    if error.is_reset() {
        Reason::ClientGone.into()
    } else {
        Reason::RequestTruncated.into()
    }
}
