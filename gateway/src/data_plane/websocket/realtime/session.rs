//! An open session: messages both ways, and what of them is recorded.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::ended::Ended;
use crate::{
    data_plane::{
        accept::Peer,
        alarm::{Alarm, Elapsed},
        body::RequestBody,
        failure::Failure,
        limits::{self, Reservation, Spending, Wish},
        message::RequestHead,
        record::Recorder,
        settle,
        websocket::{
            arriving::Arriving,
            messages::{CloseCode, Event},
            pulse::Pulse,
            socket::{Broken, WebSocket},
        },
        worker::Worker,
    },
    dialect::{
        Classified, error_body,
        meter::{Metered, RealtimeEvent, realtime_event},
        websocket::{keeps_model, refuses_credential},
    },
    handoff::{
        reason::{Reason, Source},
        record::{Outcome, Terms},
        snapshot::TargetId,
    },
    policy::{self, Ask, Permit, route},
};

/// Bytes on their way to one side beyond which the other is not read.
const QUEUED_BYTES_LIMIT: usize = 64 * 1024;
/// Responses under way that are remembered; vendors run one at a time, or a few out of band.
const RESPONSES_LIMIT: usize = 64;
/// How often a session looks whether it may go on.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Session<'r, 's> {
    worker: &'r Rc<Worker>,
    peer: &'r Peer,
    permit: Permit<'s>,
    head: &'s RequestHead,
    classified: Classified<'static>,
    model: String,
    target: TargetId,
    running: Vec<Running<'s>>,
    /// Spent in advance for the next response, so that none has to wait for a grant.
    next: Option<Reservation<'s>>,
    /// A response was recorded.
    is_used: bool,
    /// When the first content of the oldest response under way came.
    content_at: Option<Instant>,
    /// The model that transcribes what is said.
    transcriber: Option<Box<str>>,
}

/// A response under way.
struct Running<'s> {
    begun: Instant,
    reservation: Option<Reservation<'s>>,
}

impl<'r, 's> Session<'r, 's> {
    pub(super) fn new(
        worker: &'r Rc<Worker>,
        peer: &'r Peer,
        permit: Permit<'s>,
        head: &'s RequestHead,
        classified: Classified<'static>,
        model: String,
        target: TargetId,
    ) -> Self {
        Self {
            worker,
            peer,
            permit,
            head,
            classified,
            model,
            target,
            running: Vec::new(),
            next: None,
            is_used: false,
            content_at: None,
            transcriber: None,
        }
    }

    /// What is spent in advance for the first response.
    pub(super) fn begin_with(&mut self, next: Option<Reservation<'s>>) {
        self.next = next;
    }

    /// Whether a response was recorded.
    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    pub(super) async fn serve(
        &mut self,
        agent: &mut WebSocket,
        provider: &mut WebSocket,
        alarm: &Alarm,
    ) -> Ended {
        let timeouts = &self.worker.config.timeouts;
        let answer_idle = self.permit.provider().timeouts.idle;
        let (ping, write_idle) = (timeouts.websocket_ping, timeouts.response_write_idle);
        let look_interval = LOOK_INTERVAL.min(ping).min(answer_idle);
        let opened = Instant::now();
        let mut agent_pulse = Pulse::new(ping, write_idle, opened);
        let mut provider_pulse = Pulse::new(ping, write_idle, opened);
        let (mut last_message, mut last_answer, mut last_look) = (opened, opened, opened);
        let mut arriving = Arriving::default();
        loop {
            let now = Instant::now();
            let is_resting = self.running.is_empty();
            let is_old = now.duration_since(opened) >= timeouts.websocket_age_max;
            let is_idle = now.duration_since(last_message) >= timeouts.websocket_idle;
            if is_resting && (self.worker.is_draining() || is_old || is_idle) {
                return Ended::Node(CloseCode::GOING_AWAY, None);
            }
            if !is_resting && now.duration_since(last_answer) >= answer_idle {
                return Ended::Node(CloseCode::FAILED, Some(Reason::IdleTimeout));
            }
            if !agent_pulse.look(agent, now) {
                return Ended::Agent(Err(Broken::Gone));
            }
            if !provider_pulse.look(provider, now) {
                return Ended::Provider(Err(Broken::Gone));
            }
            if now.duration_since(last_look) >= look_interval {
                last_look = now;
                if is_resting && self.is_replaced() {
                    return Ended::Node(CloseCode::RESTART, None);
                }
            }
            let received = agent.messages.received();
            let step = poll_fn(|cx| poll_step(cx, agent, provider, received));
            let waited = match is_resting {
                true => alarm.within_idle(look_interval, step).await,
                false => alarm.within(look_interval, step).await,
            };
            match waited {
                Ok(Step::Agent(Ok(Event::Message { is_text }))) => {
                    last_message = Instant::now();
                    arriving = Arriving::default();
                    self.pass_to_provider(agent, provider, is_text);
                }
                Ok(Step::Provider(Ok(Event::Message { is_text }))) => {
                    last_message = Instant::now();
                    last_answer = last_message;
                    if let Err(reason) = self.pass_to_agent(agent, provider, is_text) {
                        return Ended::Node(close_code(reason), Some(reason));
                    }
                }
                Ok(Step::Agent(Ok(Event::Closed(code)))) => return Ended::Agent(Ok(code)),
                Ok(Step::Agent(Err(broken))) => return Ended::Agent(Err(broken)),
                Ok(Step::Provider(Ok(Event::Closed(code)))) => return Ended::Provider(Ok(code)),
                Ok(Step::Provider(Err(broken))) => return Ended::Provider(Err(broken)),
                Ok(Step::Look) => {
                    if !arriving.hold(self.worker, agent.messages.received()) {
                        return Ended::Node(CloseCode::TRY_AGAIN, Some(Reason::Overloaded));
                    }
                }
                Err(Elapsed) if alarm.ended().is_some() => {
                    return Ended::Node(CloseCode::GOING_AWAY, alarm.ended());
                }
                // All that changes with time is looked at above.
                Err(Elapsed) => {}
            }
        }
    }

    /// Passes an agent's message on, unless it would change the model.
    fn pass_to_provider(&self, agent: &mut WebSocket, provider: &mut WebSocket, is_text: bool) {
        if keeps_model(agent.messages.data(), &self.model) {
            return agent.messages.pass_to(&mut provider.messages, is_text);
        }
        agent.messages.consume();
        let what = "the model of a session is the one of its URL";
        let event = error_body::render_message(Reason::ModelNotRoutable, what, "", None);
        agent.messages.push(true, &event);
    }

    /// Passes a provider's message on, and notes what it means.
    fn pass_to_agent(
        &mut self,
        agent: &mut WebSocket,
        provider: &mut WebSocket,
        is_text: bool,
    ) -> Result<(), Reason> {
        if refuses_credential(provider.messages.data()) {
            return Err(Reason::UpstreamAuthFailed);
        }
        let event = realtime_event(provider.messages.data());
        (provider.messages).pass_to(&mut agent.messages, is_text);
        self.note(event)
    }

    /// What a provider's event means for the records, and whether the session may go on.
    fn note(&mut self, event: RealtimeEvent) -> Result<(), Reason> {
        match event {
            RealtimeEvent::Created => {
                let (reservation, may_go_on) = match self.admit() {
                    Ok(reservation) => (Some(reservation), Ok(())),
                    Err(reason) => (None, Err(reason)),
                };
                // One that may not be is recorded too.
                if self.running.len() < RESPONSES_LIMIT {
                    self.running.push(Running {
                        begun: Instant::now(),
                        reservation,
                    });
                }
                return may_go_on;
            }
            RealtimeEvent::Content => {
                self.content_at.get_or_insert_with(Instant::now);
            }
            RealtimeEvent::Done(metered) => {
                let mut recorder = self.recorder();
                settle::settle(self.worker, &self.permit, None, &metered, &mut recorder);
                recorder.answered();
                drop(recorder);
                // Where there is no room now, there may be when the next one begins.
                self.next = self.next.take().or_else(|| self.reserve().ok().flatten());
            }
            RealtimeEvent::SetUp(transcriber) => self.transcriber = transcriber,
            RealtimeEvent::Transcribed(metered) => self.transcribed(&metered),
            RealtimeEvent::Other => {}
        }
        Ok(())
    }

    /// Lets one more response be, and spends what it may use.
    fn admit(&mut self) -> Result<Reservation<'s>, Reason> {
        self.may_go_on()?;
        if let Some(reservation) = self.next.take() {
            return Ok(reservation);
        }
        let reserved = self.reserve().map_err(|failure| failure.reason)?;
        reserved.ok_or(Reason::LedgerBehind)
    }

    fn reserve(&self) -> Result<Option<Reservation<'s>>, Failure> {
        let wish = Wish {
            ask: Ask {
                path: self.head.path(),
                model: Some(&*self.model),
                keeper: None,
            },
            dialect: self.classified.dialect,
            operation: self.classified.operation,
            body: &RequestBody::None,
        };
        limits::reserve_now(self.worker, &self.permit, &wish)
    }

    /// Records a transcript, which is another model's work.
    fn transcribed(&mut self, metered: &Metered) {
        let running = std::mem::take(&mut self.running);
        let mut recorder = self.recorder();
        self.running = running;
        let model = self.transcriber.as_deref().unwrap_or_default();
        model.clone_into(&mut recorder.model);
        recorder.model_slot = route::slot_of(self.permit.provider(), model);
        recorder.usage = metered.usage.unwrap_or_default();
        recorder.terms = Terms {
            regional: self.permit.provider().is_regional,
            ..metered.terms
        };
        settle::note_cost(&mut recorder, self.permit.route().price_of(model), None);
        recorder.reservation = Some(limits::afterwards(self.worker, &self.permit));
        recorder.spending = Spending::Whole;
        recorder.answered();
    }

    /// The record of the oldest response under way.
    fn recorder(&mut self) -> Recorder<'s> {
        self.is_used = true;
        let Running { begun, reservation } = match self.running.is_empty() {
            true => Running {
                begun: Instant::now(),
                reservation: None,
            },
            false => self.running.remove(0),
        };
        let mut recorder = Recorder::start(self.worker, self.peer, Some(self.head), begun);
        recorder.dialect = Some(self.classified.dialect);
        recorder.operation = Some(self.classified.operation);
        recorder.principal = Some(self.permit.principal());
        recorder.routed(self.permit.route());
        recorder.policy = Some(self.permit.policy());
        recorder.model.clone_from(&self.model);
        recorder.stream = true;
        recorder.status = 200;
        recorder.was_asked();
        recorder.reservation = reservation;
        recorder.spending = Spending::Unknown;
        if let Some(content) = self.content_at.take() {
            let waited = content.saturating_duration_since(begun).as_micros() as u64;
            recorder.time_to_first_token_us = waited.max(1);
        }
        recorder
    }

    /// Policies may have changed since the handshake.
    fn may_go_on(&self) -> Result<(), Reason> {
        if !self.worker.may_begin() {
            return Err(Reason::UsageLogBehind);
        }
        let snapshot = self.worker.snapshot();
        let principal = snapshot
            .peers
            .get(&self.peer.address)
            .ok_or(Reason::PeerRevoked)?;
        let ask = Ask {
            path: self.head.path(),
            model: Some(&*self.model),
            keeper: None,
        };
        let permit = policy::permit(&snapshot, principal, &self.classified, ask)?;
        // Another provider may have the model too, but the session is at this one.
        match permit.provider().slot == self.permit.provider().slot {
            true => Ok(()),
            false => Err(Reason::NoAuthorisedProvider),
        }
    }

    /// The credential or address in use is the provider's no more.
    fn is_replaced(&self) -> bool {
        let snapshot = self.worker.snapshot();
        let mut targets = snapshot
            .providers
            .iter()
            .flat_map(|provider| &provider.targets);
        !targets.any(|target| target.id == self.target)
    }

    /// Records what was under way.
    pub(super) fn finish(&mut self, ended: &Ended, alarm: &Alarm) {
        while !self.running.is_empty() {
            let mut recorder = self.recorder();
            let reason = ended.reason(alarm).unwrap_or(match ended {
                Ended::Agent(_) | Ended::Node(..) => Reason::ClientGone,
                Ended::Provider(_) => Reason::ProviderCut,
            });
            recorder.failed(reason, recorder.status);
            if matches!(recorder.outcome, Outcome::ProviderError | Outcome::Denied) {
                recorder.outcome = Outcome::Cut;
            }
        }
    }
}

/// How the agent's socket ends for a reason that a provider's event brought up.
fn close_code(reason: Reason) -> CloseCode {
    match reason.source() {
        Source::Policy => CloseCode::POLICY,
        Source::Gateway => CloseCode::TRY_AGAIN,
        Source::Client | Source::Provider => CloseCode::FAILED,
    }
}

enum Step {
    Agent(Result<Event, Broken>),
    Provider(Result<Event, Broken>),
    /// A long message of the agent's arrives.
    Look,
}

/// Sends what is queued, and reads each side as far as the other takes it. `received` is how much of the agent's
/// message was there when this wait began.
fn poll_step(
    cx: &mut Context<'_>,
    agent: &mut WebSocket,
    provider: &mut WebSocket,
    received: usize,
) -> Poll<Step> {
    if let Poll::Ready(gone) = poll_flush(cx, agent, provider) {
        return Poll::Ready(gone);
    }
    let has_room = |socket: &WebSocket| socket.messages.queued() < QUEUED_BYTES_LIMIT;
    let (agent_takes, provider_takes) = (has_room(agent), has_room(provider));
    if agent_takes && let Poll::Ready(event) = provider.poll_event(cx) {
        return Poll::Ready(Step::Provider(event));
    }
    if provider_takes && let Poll::Ready(event) = agent.poll_event(cx) {
        return Poll::Ready(Step::Agent(event));
    }
    // Answers to pings.
    if let Poll::Ready(gone) = poll_flush(cx, agent, provider) {
        return Poll::Ready(gone);
    }
    if !agent_takes && has_room(agent) || !provider_takes && has_room(provider) {
        // It took something meanwhile, and the other was not read.
        cx.waker().wake_by_ref();
    }
    match Arriving::has_grown(agent.messages.received(), received) {
        true => Poll::Ready(Step::Look),
        false => Poll::Pending,
    }
}

/// Ready when a side is gone.
fn poll_flush(cx: &mut Context<'_>, agent: &mut WebSocket, provider: &mut WebSocket) -> Poll<Step> {
    if let Poll::Ready(Err(_)) = agent.poll_flush(cx) {
        return Poll::Ready(Step::Agent(Err(Broken::Gone)));
    }
    if let Poll::Ready(Err(_)) = provider.poll_flush(cx) {
        return Poll::Ready(Step::Provider(Err(Broken::Gone)));
    }
    Poll::Pending
}
