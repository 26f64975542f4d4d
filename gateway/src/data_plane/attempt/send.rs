//! A request on its way to one target: head, body as it is held or comes, and what follows it.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use pin_project_lite::pin_project;

use super::Try;
use crate::{
    data_plane::{
        alarm::{Alarm, Elapsed, Within},
        body::RequestBody,
        downstream::Downstream,
        failure::Failure,
        inject::{self, BodyFraming, UpstreamRequest},
        message::Fields,
        record::Recorder,
        upstream::{
            h1::H1Exchange,
            h2::{H2Exchange, H2Handle},
            pool::StreamGuard,
        },
    },
    dialect::json::{pieces, spliced_len},
    handoff::reason::Reason,
};

/// A body up to this is copied behind its head: cheaper than a second part for the kernel, or a record of its
/// own under TLS.
const JOINED_BYTES_LIMIT: usize = 4 * 1024;
/// Memory of a larger head is freed.
const SPARE_BYTES_LIMIT: usize = 2 * JOINED_BYTES_LIMIT;

thread_local! {
    /// Memory of a head that was sent, for the next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A request head with the key in it, wiped when it is dropped.
struct Head(Vec<u8>);

impl Head {
    fn new() -> Self {
        Self(SPARE.take())
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if self.0.capacity() > SPARE_BYTES_LIMIT {
            // The allocator wipes it.
            return;
        }
        let mut bytes = std::mem::take(&mut self.0);
        // The memory lives on, so this is no dead store.
        bytes.fill(0);
        bytes.clear();
        // At thread exit the store may be gone already; then the memory is freed.
        let _ = SPARE.try_with(|spare| spare.set(bytes));
    }
}

/// Why a request did not get through.
pub(super) enum Unsent<E> {
    /// The connection broke.
    Broken(E),
    /// Anything else: no further try helps.
    Failed(Failure),
}

impl Try<'_> {
    pub(super) async fn send_h1(
        &self,
        exchange: &mut H1Exchange,
        down: &mut Downstream<'_>,
        alarm: &Alarm,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Unsent<io::Error>> {
        let signature = self
            .signature()
            .map_err(|reason| Unsent::Failed(reason.into()))?;
        let request = UpstreamRequest {
            signature: signature.as_ref(),
            ..self.request()
        };
        let mut trailers = Vec::new();
        if let RequestBody::Held {
            trailers: Some(fields),
            ..
        } = self.out.body
        {
            trailers = self.trailers_h1(fields)?;
        }
        // Nothing can follow a body of stated length.
        let body = match request.body {
            BodyFraming::Length(_) if !trailers.is_empty() => BodyFraming::Open,
            body @ (BodyFraming::Empty | BodyFraming::Length(_) | BodyFraming::Open) => body,
        };
        let request = UpstreamRequest { body, ..request };
        let is_joined = matches!(
            request.body,
            BodyFraming::Length(length) if length <= JOINED_BYTES_LIMIT as u64
        );
        let mut whole_head = Head::new();
        let Head(head) = &mut whole_head;
        inject::write_h1(&request, self.out.head.fields.iter(), head)
            .map_err(|reason| Unsent::Failed(reason.into()))?;
        match self.out.body {
            RequestBody::None => self.patient(alarm, exchange.send(&[head])).await,
            RequestBody::Held { bytes, .. } => {
                let splices = &self.out.edits.splices;
                let segments = [bytes.data()];
                if is_joined {
                    pieces(&segments, splices).for_each(|piece| head.extend_from_slice(piece));
                    return self.patient(alarm, exchange.send(&[head])).await;
                }
                let size;
                let mut parts = vec![&head[..]];
                if !trailers.is_empty() {
                    size = format!("{:x}\r\n", spliced_len(bytes.len(), splices));
                    parts.push(size.as_bytes());
                }
                parts.extend(pieces(&segments, splices));
                if !trailers.is_empty() {
                    parts.extend([&b"\r\n0\r\n"[..], &trailers, b"\r\n"]);
                }
                self.patient(alarm, exchange.send(&parts)).await
            }
            RequestBody::Streamed(_) | RequestBody::Form(_) => {
                self.patient(alarm, exchange.send(&[head])).await?;
                drop(whole_head);
                let is_chunked = request.body == BodyFraming::Open;
                if let RequestBody::Form(form) = self.out.body {
                    self.send_piece(exchange, is_chunked, form.begun(), alarm)
                        .await?;
                }
                while self.next_body(down, alarm, recorder).await? {
                    self.send_piece(exchange, is_chunked, down.body_data(), alarm)
                        .await?;
                    down.consume_body();
                }
                if is_chunked {
                    if let Some(fields) = down.take_trailers() {
                        trailers = self.trailers_h1(&fields)?;
                    }
                    let end: [&[u8]; 3] = [b"0\r\n", &trailers, b"\r\n"];
                    self.patient(alarm, exchange.send(&end)).await?;
                }
                Ok(())
            }
        }
    }

    pub(super) async fn send_h2(
        &self,
        handle: H2Handle,
        stream: StreamGuard,
        down: &mut Downstream<'_>,
        alarm: &Alarm,
        recorder: &mut Recorder<'_>,
    ) -> Result<H2Exchange, Unsent<h2::Error>> {
        let signature = self
            .signature()
            .map_err(|reason| Unsent::Failed(reason.into()))?;
        let request = UpstreamRequest {
            signature: signature.as_ref(),
            ..self.request()
        };
        let request = inject::build_h2(&request, self.out.head.fields.iter())
            .map_err(|reason| Unsent::Failed(reason.into()))?;
        let bodiless = matches!(self.out.body, RequestBody::None);
        let starting = H2Exchange::start(handle, stream, request, bodiless);
        let mut exchange = self.patient(alarm, starting).await?;
        match self.out.body {
            RequestBody::None => {}
            RequestBody::Held {
                bytes, trailers, ..
            } => {
                let trailers = self.trailers_h2(trailers.as_ref())?;
                let segments = [bytes.data()];
                let mut pieces = pieces(&segments, &self.out.edits.splices).peekable();
                while let Some(piece) = pieces.next() {
                    let last = pieces.peek().is_none() && trailers.is_empty();
                    let piece = Bytes::copy_from_slice(piece);
                    self.patient(alarm, exchange.send(piece, last)).await?;
                }
                if !trailers.is_empty() {
                    exchange.end(trailers).map_err(Unsent::Broken)?;
                }
            }
            RequestBody::Streamed(_) | RequestBody::Form(_) => {
                if let RequestBody::Form(form) = self.out.body {
                    let begun = Bytes::copy_from_slice(form.begun());
                    self.patient(alarm, exchange.send(begun, false)).await?;
                }
                while self.next_body(down, alarm, recorder).await? {
                    let piece = Bytes::copy_from_slice(down.body_data());
                    self.patient(alarm, exchange.send(piece, false)).await?;
                    down.consume_body();
                }
                let trailers = self.trailers_h2(down.take_trailers().as_ref())?;
                exchange.end(trailers).map_err(Unsent::Broken)?;
            }
        }
        Ok(exchange)
    }

    async fn send_piece(
        &self,
        exchange: &mut H1Exchange,
        is_chunked: bool,
        data: &[u8],
        alarm: &Alarm,
    ) -> Result<(), Unsent<io::Error>> {
        if !is_chunked {
            return self.patient(alarm, exchange.send(&[data])).await;
        }
        let size = format!("{:x}\r\n", data.len());
        self.patient(alarm, exchange.send(&[size.as_bytes(), data, b"\r\n"]))
            .await
    }

    /// What goes behind a chunked body; empty when none of `fields` may.
    fn trailers_h1<E>(&self, fields: &Fields) -> Result<Vec<u8>, Unsent<E>> {
        let mut lines = Vec::new();
        inject::write_h1_trailers(
            &self.request(),
            self.out.head.fields.iter(),
            fields,
            &mut lines,
        )
        .map_err(|reason| Unsent::Failed(reason.into()))?;
        Ok(lines)
    }

    fn trailers_h2<E>(&self, fields: Option<&Fields>) -> Result<HeaderMap, Unsent<E>> {
        let Some(fields) = fields else {
            return Ok(HeaderMap::new());
        };
        inject::build_h2_trailers(&self.request(), self.out.head.fields.iter(), fields)
            .map_err(|reason| Unsent::Failed(reason.into()))
    }

    /// Waits for more of a body that the agent is still sending.
    async fn next_body<E>(
        &self,
        down: &mut Downstream<'_>,
        alarm: &Alarm,
        recorder: &mut Recorder<'_>,
    ) -> Result<bool, Unsent<E>> {
        let idle = self.out.worker.config.timeouts.request_body_idle;
        let more = match alarm.within(idle, poll_fn(|cx| down.poll_body(cx))).await {
            Ok(more) => more.map_err(Unsent::Failed)?,
            Err(Elapsed) => return Err(Unsent::Failed(Reason::RequestTimeout.into())),
        };
        let data = match more {
            true => down.body_data(),
            false => &[],
        };
        recorder.request_bytes += data.len() as u64;
        if let RequestBody::Form(form) = self.out.body {
            form.check(data).map_err(Unsent::Failed)?;
        }
        Ok(more)
    }

    /// Waits for the provider to take bytes.
    fn patient<'a, F, T, E>(&'a self, alarm: &'a Alarm, sending: F) -> Patient<'a, F>
    where
        F: Future<Output = Result<T, E>>,
    {
        let limit = self.out.permit.provider().timeouts.first_byte;
        Patient {
            sending: alarm.within(limit, sending),
            attempt: self,
            alarm,
        }
    }
}

pin_project! {
    /// See [`Try::patient`].
    struct Patient<'a, F> {
        #[pin]
        sending: Within<'a, F>,
        attempt: &'a Try<'a>,
        alarm: &'a Alarm,
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Patient<'_, F> {
    type Output = Result<T, Unsent<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.sending.poll(cx).map(|sent| match sent {
            Ok(result) => result.map_err(Unsent::Broken),
            Err(Elapsed) => Err(Unsent::Failed(this.attempt.elapsed(this.alarm))),
        })
    }
}
