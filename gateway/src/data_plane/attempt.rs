//! From a permitted request to a provider that has begun to answer: targets in order, with the few
//! retries that are safe.

mod send;

use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Instant, SystemTime},
};

use self::send::Unsent;
use super::{
    alarm::{Alarm, Elapsed},
    body::RequestBody,
    downstream::Downstream,
    edit::Edits,
    failure::Failure,
    inject::{self, BodyFraming, Signature, UpstreamRequest},
    io::{Raced, race},
    join,
    limits::Spending,
    message::RequestHead,
    record::Recorder,
    relay::Answer,
    trace::Told,
    upstream::{self, Upstream, h1::H1Exchange, h2, pool::Acquired},
    worker::Worker,
};
use crate::{
    dialect::{
        Dialect,
        json::{pieces, spliced_len},
    },
    handoff::{counters::RetryCause, reason::Reason, record::Attempt, snapshot::Target},
    policy::Permit,
};

/// Room for a joined path; most fit.
const PATH_BYTES: usize = 256;
const UNAUTHORIZED: u16 = 401;
/// Tries for one request, all targets together.
const ATTEMPTS_LIMIT: usize = 4;

/// What may follow a failed try.
enum Retry {
    No,
    /// The connection's age was at fault; the provider has not seen the request.
    SameTarget,
    /// The target could not be reached.
    NextTarget,
}

/// A permitted request, ready to be sent.
pub struct Outgoing<'a> {
    pub worker: &'a Rc<Worker>,
    pub head: &'a RequestHead,
    pub permit: &'a Permit<'a>,
    pub body: &'a RequestBody,
    pub edits: &'a Edits,
    pub dialect: Dialect,
}

impl Outgoing<'_> {
    /// Sends the request until a provider answers or no safe try is left.
    pub async fn answer(
        &self,
        down: &mut Downstream<'_>,
        alarm: &Alarm,
        recorder: &mut Recorder<'_>,
    ) -> Result<Answer, Failure> {
        let provider = self.permit.provider();
        let path = &self.path();
        let mut targets = provider.targets.iter();
        let mut target = targets.next().ok_or(provider.no_target)?;
        let mut fresh = false;
        for tries_left in (0..ATTEMPTS_LIMIT).rev() {
            let mut attempt = Attempt {
                target_id: target.id.0,
                begun_us: recorder.begun_us(),
                connect_us: 0,
                status: 0,
            };
            let tried = Try {
                out: self,
                path,
                target,
                fresh,
                trace: recorder.told(provider, self.head),
            };
            let result = tried.run(down, alarm, recorder, &mut attempt).await;
            recorder.attempts.push(attempt);
            let (failure, retry) = match result {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let next = match retry {
                Retry::SameTarget if !fresh => Some((target, true, RetryCause::StaleConnection)),
                Retry::NextTarget => targets
                    .next()
                    .map(|next| (next, false, RetryCause::Unreachable)),
                Retry::SameTarget | Retry::No => None,
            };
            match next {
                Some((next, is_fresh, cause)) if tries_left > 0 => {
                    (target, fresh) = (next, is_fresh);
                    let counters = self.worker.counters.provider(provider.slot);
                    counters.retries[cause as usize].add(1);
                }
                Some(_) | None => return Err(failure),
            }
        }
        unreachable!("the last try returns")
    }

    /// The request's path and query, joined with the provider's base path.
    fn path(&self) -> Vec<u8> {
        let mut path = Vec::with_capacity(PATH_BYTES);
        let target = &self.head.target;
        let (plain, query) = target.split_once('?').unwrap_or((target, ""));
        join::path_join(
            self.permit.provider(),
            self.dialect,
            plain,
            query,
            &mut path,
        );
        if !query.is_empty() {
            join::query_join(query, &mut path);
        }
        path
    }
}

/// One try on one target.
struct Try<'a> {
    out: &'a Outgoing<'a>,
    /// Joined with the provider's base path.
    path: &'a [u8],
    target: &'a Arc<Target>,
    /// Do not take a pooled connection.
    fresh: bool,
    trace: Option<Told>,
}

type Tried = Result<Answer, (Failure, Retry)>;

impl Try<'_> {
    async fn run(
        &self,
        down: &mut Downstream<'_>,
        alarm: &Alarm,
        recorder: &mut Recorder<'_>,
        attempt: &mut Attempt,
    ) -> Tried {
        let provider = self.out.permit.provider();
        let timeouts = &provider.timeouts;
        let connecting =
            upstream::acquire(self.out.worker, self.target, provider, alarm, self.fresh);
        // An agent that leaves while the node connects needs no connection.
        let gone = poll_fn(|cx| match self.out.body {
            // Its bytes are still to be read, by the sender.
            RequestBody::Streamed(_) | RequestBody::Form(_) => Poll::Pending,
            RequestBody::None | RequestBody::Held { .. } => down.poll_gone(cx),
        });
        let ready = match race(connecting, gone).await {
            Raced::First(ready) => ready.map_err(|failure| (failure, Retry::NextTarget))?,
            Raced::Second(()) => return Err((Reason::ClientGone.into(), Retry::No)),
        };
        attempt.connect_us = ready.connect_us;
        if !ready.reused() {
            let counters = self.out.worker.counters.provider(provider.slot);
            counters.connect.observe(u64::from(ready.connect_us));
        }
        let retry = match self.out.body {
            // What may be the old connection's fault is tried again; a streamed body is gone for good.
            RequestBody::None | RequestBody::Held { .. } if ready.reused() => Retry::SameTarget,
            RequestBody::None
            | RequestBody::Held { .. }
            | RequestBody::Streamed(_)
            | RequestBody::Form(_) => Retry::No,
        };
        recorder.spending = Spending::Unknown;
        let sending = Instant::now();
        let mut upstream = match ready.connection {
            Acquired::H1(connection) => {
                let limit = self.out.worker.config.workers.head_bytes_limit;
                let head_request = self.out.head.method == http::Method::HEAD;
                let mut exchange = H1Exchange::new(connection, limit, head_request);
                match self.send_h1(&mut exchange, down, alarm, recorder).await {
                    Ok(()) => {}
                    // The provider may have answered and closed before it took everything.
                    Err(Unsent::Broken(_)) => exchange.answered_early(),
                    Err(Unsent::Failed(failure)) => return Err((failure, Retry::No)),
                }
                Upstream::H1(exchange)
            }
            Acquired::H2(handle, stream) => {
                // Boxed: most exchanges are not of this kind, and their state is smaller for it.
                let sending = Box::pin(self.send_h2(handle, stream, down, alarm, recorder));
                match sending.await {
                    Ok(exchange) => Upstream::H2(Box::new(exchange)),
                    Err(Unsent::Broken(error)) => {
                        let failure = Failure::provider(Reason::ProviderCut, &error);
                        return Err((
                            failure,
                            if h2::is_unprocessed(&error) {
                                Retry::SameTarget
                            } else {
                                retry
                            },
                        ));
                    }
                    Err(Unsent::Failed(failure)) => return Err((failure, Retry::No)),
                }
            }
        };
        let sent = Instant::now();
        match self.out.body {
            RequestBody::None | RequestBody::Held { .. } => recorder.add_overhead(sent - sending),
            // The agent was waited for.
            RequestBody::Streamed(_) | RequestBody::Form(_) => {}
        }
        recorder.marks.sent_us = recorder.us_until(sent);
        let response = race(upstream.response(), poll_fn(|cx| down.poll_gone(cx)));
        match alarm.within(timeouts.first_byte, response).await {
            Ok(Raced::First(Ok(head))) => {
                attempt.status = head.status;
                let counters = self.out.worker.counters.provider(provider.slot);
                counters.responded(head.status);
                let begun = Instant::now();
                recorder.marks.first_byte_us = recorder.us_until(begun);
                if let (UNAUTHORIZED, Some(credential)) = (head.status, &self.target.credential) {
                    credential.refused();
                }
                Ok(Answer {
                    upstream,
                    head,
                    sent,
                    begun,
                    hide_usage_chunk: self.out.edits.hide_usage_chunk,
                })
            }
            Ok(Raced::First(Err(failure))) => Err((failure, retry)),
            Ok(Raced::Second(())) => Err((Reason::ClientGone.into(), Retry::No)),
            Err(Elapsed) => Err((self.elapsed(alarm), Retry::No)),
        }
    }

    fn request(&self) -> UpstreamRequest<'_> {
        let body = match self.out.body {
            RequestBody::None => BodyFraming::Empty,
            RequestBody::Held { bytes, .. } => {
                BodyFraming::Length(spliced_len(bytes.len(), &self.out.edits.splices) as u64)
            }
            RequestBody::Streamed(framing) => BodyFraming::of(*framing),
            RequestBody::Form(form) => BodyFraming::of(form.framing()),
        };
        UpstreamRequest {
            method: &self.out.head.method,
            path: self.path,
            permit: self.out.permit,
            target: self.target,
            body,
            identity_in_body: self.out.edits.identity_in_body,
            takes_trailers: self.out.head.takes_trailers,
            signature: None,
            trace: self.trace,
        }
    }

    /// Signs the request as it goes out, where the target's keys do that.
    fn signature(&self) -> Result<Option<Signature>, Reason> {
        let held;
        let (body, splices): (&[&[u8]], &[_]) = match self.out.body {
            RequestBody::Held { bytes, .. } => {
                held = [bytes.data()];
                (&held, &self.out.edits.splices)
            }
            // Where a provider's requests are signed, `RequestBody::is_to_be_held` has said so.
            RequestBody::None | RequestBody::Streamed(_) => (&[], &[]),
            RequestBody::Form(_) if self.out.permit.provider().is_signed() => {
                return Err(Reason::DialectUnsupported);
            }
            RequestBody::Form(_) => (&[], &[]),
        };
        let headers = self.out.head.fields.iter();
        inject::signature(
            &self.request(),
            headers,
            pieces(body, splices),
            SystemTime::now(),
        )
    }

    fn elapsed(&self, alarm: &Alarm) -> Failure {
        if self.out.worker.is_cut() {
            Reason::Draining.into()
        } else if alarm.total_elapsed() {
            Reason::TotalTimeout.into()
        } else {
            Reason::FirstByteTimeout.into()
        }
    }
}
