//! A connection's life: requests one after another (HTTP/1.1) or side by side (HTTP/2), until it is
//! idle too long, the agent goes, its peer is removed, or the node drains.

use std::{
    cell::Cell,
    future::poll_fn,
    rc::Rc,
    time::{Duration, Instant},
};

use http::Request;

use super::{
    accept::Peer,
    alarm::{Alarm, Elapsed, TICK},
    buffer::Buffer,
    downstream::{Downstream, h1::H1Downstream, h2::H2Downstream},
    exchange,
    failure::Failure,
    io as rt,
    message::{Fields, Framing, RequestHead, Version},
    parse::h1,
    transport::{FLOOD, H2Io, Transport},
    websocket,
    worker::Worker,
};
use crate::handoff::{
    counters::{H2End, Protocol},
    reason::Reason,
};

/// Streams an agent may have open on one connection.
const STREAMS_LIMIT: u32 = 256;
/// Windows offered for request bodies.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Response bytes the h2 crate may hold per stream before the window opens.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// While the node drains, how long an agent may take to hear that it has to go. A dead one never does.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1. Without TLS no version was agreed: `plain` connections may turn out to speak HTTP/2.
pub async fn serve_h1(
    worker: Rc<Worker>,
    peer: Peer,
    transport: Transport,
    inbox: Buffer,
    mut alarm: Alarm,
    plain: bool,
) {
    let timeouts = worker.config.timeouts.clone();
    let head_limit = worker.config.workers.head_bytes_limit;
    peer.guard.speaks(Protocol::Http1);
    let mut down = H1Downstream::new(transport, inbox);
    let mut may_be_http2 = plain;
    loop {
        if !down.has_input() {
            let idle = alarm.within_idle(timeouts.keep_alive, down.wait_for_request());
            if !matches!(idle.await, Ok(true)) {
                break;
            }
        }
        if !worker.may_begin() {
            worker.counters.requests_log_full.add(1);
            break;
        }
        let arrived = Instant::now();
        let arriving = async {
            if std::mem::take(&mut may_be_http2) && down.begins_in_http2().await {
                return Ok(Arrived::Http2);
            }
            let head = down.request(head_limit).await?;
            Ok(head.map_or(Arrived::End, Arrived::Request))
        };
        let head = match alarm.within(timeouts.request_head, arriving).await {
            Ok(Ok(Arrived::Request(head))) => Ok(head),
            Ok(Ok(Arrived::Http2)) => {
                let (transport, inbox) = down.into_parts();
                return Box::pin(serve_h2(worker, peer, transport, inbox, alarm)).await;
            }
            Ok(Ok(Arrived::End)) => break,
            Ok(Err(reason)) => Err(reason),
            Err(Elapsed) => Err(Reason::RequestTimeout),
        };
        let head = match head {
            Ok(head) if websocket::is_asked_for(&head) => {
                return Box::pin(websocket::serve(worker, peer, head, down, alarm, arrived)).await;
            }
            head => head,
        };
        if head.is_err() || worker.is_draining() {
            down.close_after();
        }
        let side = Downstream::H1(&mut down);
        // Boxed, so that a connection at rest is small.
        match head {
            Ok(head) => {
                Box::pin(exchange::run(
                    &worker, &peer, &head, side, &mut alarm, arrived,
                ))
                .await
            }
            Err(reason) => {
                let failure = Failure::from(reason);
                Box::pin(exchange::refuse(
                    &worker, &peer, failure, side, &mut alarm, arrived,
                ))
                .await;
            }
        }
        if !down.may_continue() || worker.is_draining() {
            break;
        }
    }
    down.close(&alarm).await;
}

/// What an agent sends first.
enum Arrived {
    Request(RequestHead),
    Http2,
    /// It closed instead.
    End,
}

pub async fn serve_h2(
    worker: Rc<Worker>,
    peer: Peer,
    transport: Transport,
    inbox: Buffer,
    alarm: Alarm,
) {
    let timeouts = &worker.config.timeouts;
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS_LIMIT)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(worker.config.workers.head_bytes_limit as u32)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .handshake::<_, bytes::Bytes>(H2Io::server(transport, inbox));
    let Ok(Ok(mut connection)) = alarm.within_idle(timeouts.request_head, handshake).await else {
        return;
    };
    peer.guard.speaks(Protocol::Http2);
    let peer = Rc::new(peer);
    let streams = Rc::new(Cell::new(0usize));
    // Set once the agent was told to go, to the reason.
    let mut ending: Option<H2End> = None;
    let end = loop {
        let arrived = if ending.is_some() {
            // An agent that was told to go gets as long for its farewell as for a request's head.
            let limit = match worker.is_draining() {
                true => timeouts.request_head.min(FAREWELL_LIMIT),
                false => timeouts.request_head,
            };
            alarm.within(limit, connection.accept()).await
        } else {
            alarm
                .within_idle(timeouts.keep_alive, connection.accept())
                .await
        };
        match arrived {
            // "Not processed": the agent may try again.
            Ok(Some(Ok((_, mut respond)))) if !worker.may_begin() => {
                worker.counters.requests_log_full.add(1);
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            Ok(Some(Ok((request, respond)))) => {
                let (head, body) = h2_head(request);
                let head_request = head.method == http::Method::HEAD;
                let down = H2Downstream::new(body, respond, head_request);
                let alarm = worker.alarms.alarm(peer.address, peer.slot);
                let stream = StreamGuard::new(&streams);
                let (worker, peer) = (Rc::clone(&worker), Rc::clone(&peer));
                rt::spawn(serve_stream(worker, peer, head, down, alarm, stream));
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(address = %peer.address, %error, "HTTP/2 connection failed");
                break end_of(&error);
            }
            Ok(None) => break ending.unwrap_or(H2End::Agent),
            Err(Elapsed) if alarm.ended().is_some() => {
                // Its streams were woken too: a moment for what they say at the end.
                connection.graceful_shutdown();
                let farewell = poll_fn(|cx| connection.poll_closed(cx));
                rt::race(farewell, rt::sleep(TICK)).await;
                break H2End::Ended;
            }
            Err(Elapsed) => match ending {
                Some(end) if streams.get() == 0 => break end,
                Some(_) => {}
                None if worker.is_draining() || streams.get() == 0 => {
                    ending = Some(match worker.is_draining() {
                        true => H2End::Draining,
                        false => H2End::Idle,
                    });
                    // GOAWAY: what runs goes on, nothing new begins.
                    connection.graceful_shutdown();
                }
                None => {}
            },
        }
    };
    worker.counters.h2_ends[end as usize].add(1);
}

/// Whose end an error is.
fn end_of(error: &h2::Error) -> H2End {
    match (error.get_io(), error.reason()) {
        (Some(io), _) if io.kind() == FLOOD => H2End::ControlFlood,
        (Some(_), _) => H2End::Io,
        (None, Some(h2::Reason::ENHANCE_YOUR_CALM)) => H2End::EnhanceYourCalm,
        (None, Some(h2::Reason::NO_ERROR)) => H2End::Agent,
        (None, _) => H2End::ProtocolError,
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an async function keeps its arguments twice"
)]
fn serve_stream(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    head: RequestHead,
    mut down: H2Downstream,
    mut alarm: Alarm,
    stream: StreamGuard,
) -> impl Future<Output = ()> {
    async move {
        let _stream = &stream;
        let arrived = Instant::now();
        let side = Downstream::H2(&mut down);
        exchange::run(&worker, &peer, &head, side, &mut alarm, arrived).await;
    }
}

/// Counts a stream while it lives.
struct StreamGuard(Rc<Cell<usize>>);

impl StreamGuard {
    fn new(streams: &Rc<Cell<usize>>) -> Self {
        streams.set(streams.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn h2_head(request: Request<h2::RecvStream>) -> (RequestHead, h2::RecvStream) {
    let (parts, body) = request.into_parts();
    let framing = if body.is_end_stream() {
        Framing::None
    } else {
        (parts.headers.get(http::header::CONTENT_LENGTH))
            .and_then(|length| length.to_str().ok()?.parse().ok())
            .map_or(Framing::Chunked, Framing::Length)
    };
    let takes_trailers =
        (parts.headers.get(http::header::TE)).is_some_and(|te| h1::takes_trailers(te.as_bytes()));
    let head = RequestHead {
        target: parts
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
        target_authority: parts.uri.authority().map(ToString::to_string),
        method: parts.method,
        version: Version::Http2,
        fields: Fields::from_h2(parts.headers),
        framing,
        keep_alive: true,
        expects_continue: false,
        takes_trailers,
    };
    (head, body)
}
