//! Exactly one record per exchange: made at its beginning, written when it is dropped, whatever
//! happened in between.

mod capture;

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::Method;

use super::{
    accept::Peer,
    limits::{Reservation, Spending},
    message::RequestHead,
    trace::{self, Told},
    worker::Worker,
};
use crate::{
    dialect::{
        Dialect, Object, Operation,
        output::OutputBound,
        session::{AgentIds, session_id},
    },
    handoff::{
        counters::{
            Ended,
            http::RequestSlot,
            model::{Asked, ModelSlot},
        },
        objects::OBJECT_ID_BYTES_LIMIT,
        reason::Reason,
        record::{
            Attempt, CaptureState, CostNanoUsd, CostSource, ExchangeRecord, LeftOut,
            MODEL_BYTES_LIMIT, Marks, Outcome, PATH_BYTES_LIMIT, SESSION_BYTES_LIMIT, Terms, Usage,
        },
        snapshot::{Policy, Principal, Provider},
        trace::Trace,
    },
    policy::bound::Amounts,
};
use capture::Keeping;

/// What is known of an exchange so far. Borrows from the request's head, and from the snapshot that the
/// exchange is served from, so that no count shared between workers is touched.
pub struct Recorder<'s> {
    worker: Rc<Worker>,
    pub id: u128,
    arrived: Instant,
    started_at_us: i64,
    request: RequestSlot,
    source_ip: IpAddr,
    method: Method,
    host: &'s str,
    path: &'s str,
    http_version: u8,
    pub principal: Option<&'s Principal>,
    pub dialect: Option<Dialect>,
    pub operation: Option<Operation>,
    pub model: String,
    /// What the answer calls the model.
    response_model: String,
    pub session_id: String,
    agent_ids: AgentIds<'s>,
    /// What the request has to do with an object at the provider.
    pub object: Object<'s>,
    /// See [`ExchangeRecord::object_id`].
    pub object_id: String,
    pub provider: Option<&'s Provider>,
    pub policy: Option<&'s Policy>,
    pub stream: bool,
    /// The stream is one JSON array.
    pub is_array: bool,
    pub status: u16,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub usage: Usage,
    pub cost: CostNanoUsd,
    pub unpriced: bool,
    pub left_out: LeftOut,
    pub cost_source: CostSource,
    pub terms: Terms,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub attempts: Vec<Attempt>,
    pub marks: Marks,
    pub trace: Trace,
    pub time_to_first_token_us: u64,
    overhead_us: u64,
    /// How long the agent was waited for before a provider was asked.
    pub waited_us: u64,
    /// When the request was ready to go to a provider, since its first byte.
    asked_us: Option<u64>,
    /// What the exchange has spent in advance, and what is known of what it used.
    pub reservation: Option<Reservation<'s>>,
    pub spending: Spending,
    /// `None`: texts are not kept.
    keeping: Option<Box<Keeping>>,
    is_retracted: bool,
}

impl<'s> Recorder<'s> {
    /// `head` is absent when the request could not be read.
    pub fn start(
        worker: &Rc<Worker>,
        peer: &Peer,
        head: Option<&'s RequestHead>,
        arrived: Instant,
    ) -> Self {
        let started_at_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            });
        let method = head.map_or(Method::GET, |head| head.method.clone());
        let request = RequestSlot::new(&method, peer.tls);
        worker.counters.http.begin(request);
        Self {
            worker: Rc::clone(worker),
            id: worker.next_record_id(started_at_us),
            arrived,
            started_at_us,
            request,
            source_ip: peer.address,
            method,
            host: "",
            path: head.map_or("", |head| cut(head.path(), PATH_BYTES_LIMIT)),
            http_version: head.map_or(11, |head| head.version.number()),
            principal: None,
            dialect: None,
            operation: None,
            model: String::new(),
            response_model: String::new(),
            session_id: String::new(),
            agent_ids: AgentIds::default(),
            object: Object::None,
            object_id: String::new(),
            provider: None,
            policy: None,
            stream: false,
            is_array: false,
            status: 0,
            // What an exchange is when its task is dropped half-way.
            outcome: Outcome::Cancelled,
            reason: Some(Reason::ClientGone),
            usage: Usage::default(),
            cost: CostNanoUsd::default(),
            unpriced: false,
            left_out: LeftOut::default(),
            cost_source: CostSource::None,
            terms: Terms::default(),
            request_bytes: 0,
            response_bytes: 0,
            attempts: Vec::new(),
            marks: Marks::default(),
            trace: trace::of(&worker.config.tracing, head),
            time_to_first_token_us: 0,
            overhead_us: 0,
            waited_us: 0,
            asked_us: None,
            reservation: None,
            spending: Spending::None,
            keeping: None,
            is_retracted: false,
        }
    }

    /// What began is no exchange by itself: a WebSocket was opened, whose responses leave their own records.
    pub fn retract(mut self) {
        self.is_retracted = true;
    }

    /// The host by which the node was addressed, once it is known to be one of its names.
    pub fn set_host(&mut self, host: &'s str) {
        self.host = host;
    }

    /// Keeps a model's id as far as it fits.
    pub fn set_model(&mut self, model: &str) {
        cut(model, MODEL_BYTES_LIMIT).clone_into(&mut self.model);
    }

    /// Keeps the answer's name for the model as far as it fits.
    pub fn set_response_model(&mut self, model: &str) {
        cut(model, MODEL_BYTES_LIMIT).clone_into(&mut self.response_model);
    }

    /// Whose errors the calling SDK reads; `None` as long as nothing is known of the request.
    pub fn error_dialect(&self) -> Option<Dialect> {
        let operation = self.operation.unwrap_or(Operation::Other);
        Some(self.dialect?.of_bodies(operation))
    }

    /// Keeps what the head tells of the session and its agents.
    pub fn note_session(&mut self, head: &'s RequestHead) {
        if let Some(session) = session_id(head.fields.iter()) {
            self.set_session(session);
        }
        self.agent_ids = AgentIds::of(head.fields.iter());
    }

    /// Keeps a session id as far as it fits.
    pub fn set_session(&mut self, session: &str) {
        cut(session, SESSION_BYTES_LIMIT).clone_into(&mut self.session_id);
    }

    /// Keeps the id of an object, unless it is longer than the control plane could use.
    pub fn set_object_id(&mut self, id: &str) {
        if id.len() <= OBJECT_ID_BYTES_LIMIT {
            id.clone_into(&mut self.object_id);
        }
    }

    /// The exchange failed; `status` is what the agent was told, 0 when nothing could be.
    pub fn failed(&mut self, reason: Reason, status: u16) {
        self.outcome = reason.outcome();
        self.reason = Some(reason);
        self.status = status;
    }

    /// The exchange ended well.
    pub fn answered(&mut self) {
        self.outcome = Outcome::Answered;
        self.reason = None;
    }

    /// A bound on its output that must be written into the request.
    pub fn output_bound(&self) -> Option<OutputBound> {
        self.reservation.as_ref()?.output_bound
    }

    /// The request is ready to go to a provider.
    pub fn asks(&mut self) {
        let elapsed = self.elapsed_us();
        self.asked_us = Some(elapsed);
        self.overhead_us += elapsed.saturating_sub(self.waited_us);
    }

    /// The provider was asked before this exchange was known to have begun.
    pub fn was_asked(&mut self) {
        self.asked_us = Some(0);
    }

    /// Something more that the node did by itself, and that the agent waited for.
    pub fn add_overhead(&mut self, spent: Duration) {
        self.overhead_us += spent.as_micros() as u64;
    }

    fn asked(&self, duration_us: u64) -> Option<Asked> {
        let asked_us = self.asked_us?;
        // An error has content, too, and no tokens.
        let first_token_us = match self.status {
            400.. => 0,
            0..400 => self.time_to_first_token_us,
        };
        Some(Asked {
            duration_us: duration_us.saturating_sub(asked_us),
            first_token_us,
            stream: self.stream,
            failed: self.outcome != Outcome::Answered || self.status >= 400,
        })
    }

    /// Time since the request's first byte.
    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.arrived.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What the next attempt tells its provider of the trace, if that one is to know.
    pub fn told(&self, provider: &Provider, head: &RequestHead) -> Option<Told> {
        let told = || Told::new(&self.trace, self.attempts.len(), &head.fields);
        provider.learns_trace.then(told).flatten()
    }

    /// As agents and operators see it.
    pub fn request_id(&self) -> RequestId {
        RequestId::new(self.id)
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(self.spending, Amounts::used(&self.usage, &self.cost));
        }
        self.worker.counters.http.end(self.request);
        if self.is_retracted {
            return;
        }
        let duration_us = self.elapsed_us();
        let overhead_us = u32::try_from(self.overhead_us).unwrap_or(u32::MAX);
        self.worker.counters.count(&Ended {
            request: self.request,
            status: self.status,
            duration_us,
            overhead_us,
            model: (self.provider).map_or(ModelSlot::NONE, |p| p.model_slot(&self.model)),
            operation: self.operation,
            peer: self.principal.map_or(0, |p| p.slot),
            outcome: self.outcome,
            reason: self.reason,
            usage: &self.usage,
            cost: &self.cost,
            unpriced: self.unpriced || !self.left_out.is_empty(),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            asked: self.asked(duration_us),
        });
        let keeping = self.keeping.take();
        let capture = keeping.map_or(CaptureState::Off, |keeping| {
            keeping.finish(&self.worker.captures)
        });
        let principal = self.principal;
        let record = ExchangeRecord {
            id: self.id,
            started_at_us: self.started_at_us,
            duration_us,
            time_to_first_token_us: self.time_to_first_token_us,
            overhead_us,
            principal_id: principal.map_or("", |p| &p.id),
            display_name: principal.map_or("", |p| &p.display_name),
            peer_id: principal.map_or("", |p| &p.peer_id),
            group_ids: principal
                .map_or_else(Vec::new, |p| p.named_groups().map(|g| &*g.id).collect()),
            source_ip: self.source_ip,
            method: self.method.as_str(),
            host: self.host,
            path: self.path,
            http_version: self.http_version,
            status: self.status,
            outcome: self.outcome,
            reason: self.reason.map_or("", Reason::code),
            dialect: self.dialect.map_or("", Dialect::code),
            operation: self.operation.map_or("", Operation::code),
            model: &self.model,
            session_id: &self.session_id,
            agent_id: self.agent_ids.agent,
            parent_agent_id: self.agent_ids.parent,
            provider_id: self.provider.map_or("", |p| &p.id),
            catalog_id: self.provider.map_or("", |p| &p.catalog_id),
            policy_id: self.policy.map_or("", |p| &p.id),
            stream: self.stream,
            usage: self.usage,
            cost: self.cost,
            unpriced: self.unpriced,
            left_out: self.left_out,
            cost_source: self.cost_source,
            terms: self.terms,
            object_id: &self.object_id,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            attempts: std::mem::take(&mut self.attempts),
            capture,
            marks: self.marks,
            trace: self.trace,
            response_model: &self.response_model,
        };
        self.worker.append_record(&record);
    }
}

/// Waits for the agent, and adds how long it took. No clock is read for what is ready at once.
pub async fn waited<F: Future>(waited_us: &mut u64, future: F) -> F::Output {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return output;
    }
    let began = Instant::now();
    let output = future.await;
    *waited_us += began.elapsed().as_micros() as u64;
    output
}

/// A record's id as text: `req_` and 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub struct RequestId([u8; 36]);

impl RequestId {
    fn new(id: u128) -> Self {
        let mut text = *b"req_00000000000000000000000000000000";
        for (pair, byte) in text[4..].chunks_exact_mut(2).zip(id.to_be_bytes()) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 0xf)];
        }
        Self(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// The longest prefix within `limit` bytes that does not break a character.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_padded_hexadecimal() {
        for id in [0, 0xfed_cba9, u128::MAX] {
            assert_eq!(RequestId::new(id).as_str(), format!("req_{id:032x}"));
        }
    }
}
