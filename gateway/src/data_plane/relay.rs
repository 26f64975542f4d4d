//! The response on its way to the agent: bytes as they come, with backpressure, past the meter.

use std::{future::poll_fn, io, rc::Rc, task::Poll, time::Instant};

use http::Method;

use super::{
    alarm::{Alarm, Elapsed},
    date::http_date,
    downstream::{Downstream, ReplyHead},
    failure::Failure,
    inject,
    limits::{RateFields, Spending, Watch},
    message::{Framing, RequestHead, ResponseHead},
    record::Recorder,
    settle,
    upstream::Upstream,
    worker::Worker,
};
use crate::{
    dialect::{Dialect, Operation, error_body, meter::Meter},
    handoff::{reason::Reason, record::Outcome},
    policy::Permit,
};

/// Response bytes gathered before they are sent, when that many are there at once.
const GATHER_BYTES: usize = 64 * 1024;

/// A provider that has begun to answer.
pub struct Answer {
    pub upstream: Upstream,
    pub head: ResponseHead,
    /// When the request had been sent.
    pub sent: Instant,
    /// The usage chunk was asked for by the node; the agent shall not see it.
    pub hide_usage_chunk: bool,
}

/// Passes an answer on to its end and notes what it used.
pub async fn relay(
    worker: &Rc<Worker>,
    request: &RequestHead,
    permit: &Permit<'_>,
    answer: &mut Answer,
    down: &mut Downstream<'_>,
    alarm: &Alarm,
    recorder: &mut Recorder<'_>,
) -> Result<(), Failure> {
    let Answer {
        upstream,
        head,
        sent,
        hide_usage_chunk,
    } = answer;
    let (sent, hide_usage_chunk) = (*sent, *hide_usage_chunk);
    // Until the first bytes are on their way the agent waits for the node.
    let mut begun = Some(Instant::now());
    if head.status >= 400 {
        recorder.spending = Spending::None;
    }
    if head.status == 401 {
        // Vendors show parts of a refused key in their answer.
        return Err(Failure::provider(Reason::UpstreamAuthFailed, "status 401"));
    }
    let dialect = recorder.dialect.expect("routed requests have a dialect");
    let operation = recorder.operation.unwrap_or(Operation::Other);
    let mut meter = Meter::new(
        dialect,
        operation,
        head.status,
        head.fields.get("content-type").unwrap_or(b""),
        head.fields.get("content-encoding").unwrap_or(b""),
        hide_usage_chunk,
    );
    if (200..300).contains(&head.status) {
        recorder.keep_answer(
            head.fields.get("content-type").unwrap_or(b""),
            head.fields.get("content-encoding").unwrap_or(b""),
        );
    }
    if operation == Operation::Invoke {
        meter.read_head(|name| head.fields.get(name));
    }
    recorder.is_array = meter.is_array();
    if dialect == Dialect::Ollama {
        // Unasked it streams, so the answer tells.
        recorder.stream = meter.is_lines();
    }
    let mut watch = Watch::over(permit, recorder);
    if let Some(watch) = &watch {
        meter.watch(watch.tells_thoughts());
    }
    let framing = match head.framing {
        // What the agent gets may be shorter than what the provider sends.
        Framing::Length(_) if hide_usage_chunk => Framing::Chunked,
        framing @ (Framing::None | Framing::Length(_) | Framing::Chunked | Framing::UntilClose) => {
            framing
        }
    };
    start(request, head, framing, down, recorder).map_err(|_| Failure::from(Reason::ClientGone))?;
    recorder.status = head.status;

    let timeouts = &permit.provider().timeouts;
    let write_idle = worker.config.timeouts.response_write_idle;
    let result = loop {
        let step =
            poll_fn(|cx| poll_step(cx, upstream, down, &mut meter, recorder, sent, &mut watch));
        match alarm.within(timeouts.idle, step).await {
            Ok(Step::Flush) => {
                settle::note_object(worker, permit, &meter, recorder);
                match alarm.within(write_idle, down.flush()).await {
                    Ok(Ok(())) => {
                        if let Some(begun) = begun.take() {
                            recorder.add_overhead(begun.elapsed());
                        }
                    }
                    Ok(Err(_)) | Err(Elapsed) => break Err(Reason::ClientGone.into()),
                }
            }
            Ok(Step::End)
                // Nothing but the dialect's own end tells a whole answer from one that was cut here.
                if head.framing == Framing::UntilClose
                    && head.status == 200
                    && !matches!(operation, Operation::Unmetered | Operation::Other)
                    && !meter.metered().complete =>
            {
                break Err(Failure::provider(Reason::ProviderCut, "closed before the dialect's end"));
            }
            Ok(Step::End) if meter.is_torn() => {
                break Err(Failure::provider(Reason::ProviderCut, "a damaged event stream"));
            }
            Ok(Step::End) => {
                meter.finish(&mut |piece| down.push(piece));
                settle::note_object(worker, permit, &meter, recorder);
                let trailers = upstream.take_trailers();
                let mut trailers = (trailers.iter().flat_map(|fields| fields.iter()))
                    .filter(|(name, _)| inject::response_trailer_passes(name))
                    .filter(|(name, _)| !head.is_of_connection(name));
                match alarm.within(write_idle, down.finish_with(&mut trailers)).await {
                    Ok(Ok(())) => break Ok(()),
                    Ok(Err(_)) | Err(Elapsed) => break Err(Reason::ClientGone.into()),
                }
            }
            Ok(Step::Gone) => break Err(Reason::ClientGone.into()),
            Ok(Step::Failed(failure)) => break Err(failure),
            Err(Elapsed) if worker.is_cut() => break Err(Reason::Draining.into()),
            Err(Elapsed) if alarm.total_elapsed() => break Err(Reason::TotalTimeout.into()),
            Err(Elapsed) => break Err(Reason::IdleTimeout.into()),
        }
    };
    let metered = meter.metered();
    settle::settle(worker, permit, Some(head), &metered, recorder);
    match result {
        Ok(()) if metered.error_event => {
            recorder.failed(Reason::ProviderErrorEvent, recorder.status);
            Ok(())
        }
        Ok(()) => {
            recorder.answered();
            Ok(())
        }
        // Some SDKs close right after the dialect's own end: they have their whole answer.
        Err(failure) if failure.reason == Reason::ClientGone && metered.complete => {
            recorder.answered();
            down.abort();
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// Queues the answer's head: the provider's, without what is of its connection, and with what the node adds.
fn start(
    request: &RequestHead,
    head: &ResponseHead,
    framing: Framing,
    down: &mut Downstream<'_>,
    recorder: &Recorder<'_>,
) -> io::Result<()> {
    let id = recorder.request_id();
    let head_request = request.method == Method::HEAD;
    let takes_trailers = down.takes_trailers();
    // RFC 9110 section 6.6.1: who forwards an answer without a date adds it.
    let missing_date = head.fields.get("date").is_none().then(http_date);
    let reservation = recorder.reservation.as_ref();
    let rates = reservation.map_or_else(RateFields::default, |reservation| {
        let of_provider = |name: &str| head.fields.get(name);
        RateFields::new(
            recorder.error_dialect(),
            &reservation.tightest(),
            of_provider,
        )
    });
    let mut fields = head
        .fields
        .iter()
        .filter(|(name, _)| {
            inject::response_header_passes(name)
                || (takes_trailers && name.eq_ignore_ascii_case(b"trailer"))
        })
        .filter(|(name, _)| !head.is_of_connection(name) && !rates.replace(name))
        // The writer frames the body; only the answer to HEAD tells of a length without one.
        .filter(|(name, _)| head_request || !name.eq_ignore_ascii_case(b"content-length"))
        .chain([(&b"x-keyway-request-id"[..], id.as_bytes())])
        .chain(rates.lines())
        .chain(missing_date.as_ref().map(|date| (&b"date"[..], &date[..])));
    down.start(ReplyHead {
        status: head.status,
        fields: &mut fields,
        framing,
    })
}

enum Step {
    /// Bytes are queued and no more are here.
    Flush,
    End,
    Gone,
    Failed(Failure),
}

/// Moves what is here from the provider to the agent's queue; else notices whether the agent is gone.
fn poll_step(
    cx: &mut std::task::Context<'_>,
    upstream: &mut Upstream,
    down: &mut Downstream<'_>,
    meter: &mut Meter,
    recorder: &mut Recorder<'_>,
    sent: Instant,
    watch: &mut Option<Watch<'_>>,
) -> Poll<Step> {
    loop {
        match upstream.poll_fill(cx) {
            Poll::Ready(Ok(true)) => {
                let data = upstream.data();
                recorder.response_bytes += data.len() as u64;
                recorder.keep(data);
                meter.feed(data, &mut |piece| down.push(piece));
                upstream.consume();
                if recorder.time_to_first_token_us == 0 && meter.content_started() {
                    recorder.time_to_first_token_us = (sent.elapsed().as_micros() as u64).max(1);
                }
                if let (Some(watch), Some(so_far)) = (&mut *watch, meter.so_far())
                    && watch.is_passed(&so_far, meter.is_between_events(), recorder)
                {
                    return Poll::Ready(Step::Failed(Reason::LimitPassed.into()));
                }
                if down.queued() >= GATHER_BYTES {
                    return Poll::Ready(Step::Flush);
                }
            }
            Poll::Ready(Ok(false)) => return Poll::Ready(Step::End),
            Poll::Ready(Err(failure)) => return Poll::Ready(Step::Failed(failure)),
            Poll::Pending if down.queued() > 0 => return Poll::Ready(Step::Flush),
            Poll::Pending => return down.poll_gone(cx).map(|()| Step::Gone),
        }
    }
}

/// Ends a response that has begun and cannot be completed: streams get the dialect's error event first.
pub async fn break_off(
    down: &mut Downstream<'_>,
    recorder: &mut Recorder<'_>,
    failure: &Failure,
) -> io::Result<()> {
    recorder.failed(failure.reason, recorder.status);
    if matches!(recorder.outcome, Outcome::ProviderError | Outcome::Denied) {
        recorder.outcome = Outcome::Cut;
    }
    if let Some(dialect) = recorder.error_dialect()
        && recorder.stream
    {
        let render = match recorder.is_array {
            true => error_body::render_element,
            false => error_body::render_event,
        };
        down.push(&render(dialect, failure.reason, &failure.message));
    }
    down.flush().await?;
    down.let_out().await;
    Ok(())
}
