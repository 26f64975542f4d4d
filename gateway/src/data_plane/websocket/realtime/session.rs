//! An open session: messages both ways, and what of them is recorded.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    ended::Ended,
    shares::{Filled, Shares},
};
use crate::{
    data_plane::{
        accept::Peer,
        alarm::{Alarm, Elapsed},
        body::RequestBody,
        failure::Failure,
        io::{self as rt, Raced},
        limits::{self, GRANT_LOOK, Reservation, Spending, Wish},
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
        meter::{
            Metered, RealtimeAnswer, RealtimeDelta, RealtimeEvent, realtime_delta, realtime_event,
        },
        openai,
        websocket::{RealtimeWish, keeps_model, realtime_wish, refuses_credential},
    },
    handoff::{
        reason::Reason,
        record::{Outcome, Terms},
        snapshot::TargetId,
    },
    policy::{
        self, Ask, Permit,
        bound::{Amounts, Unbounded},
    },
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
    shares: Shares<'s>,
    /// A response was recorded.
    is_used: bool,
    /// When the first content of the oldest response under way came.
    content_at: Option<Instant>,
    /// The model that transcribes what is said.
    transcriber: Option<Box<str>>,
}

/// A response under way.
struct Running<'s> {
    id: Option<Box<str>>,
    begun: Instant,
    reservation: Option<Reservation<'s>>,
    /// Read where a hard limit holds.
    answer: RealtimeAnswer,
}

impl<'r, 's> Session<'r, 's> {
    /// `first`: what is set aside for the first response.
    #[expect(clippy::too_many_arguments, reason = "what an open session is")]
    pub(super) fn new(
        worker: &'r Rc<Worker>,
        peer: &'r Peer,
        permit: Permit<'s>,
        head: &'s RequestHead,
        classified: Classified<'static>,
        model: String,
        target: TargetId,
        first: Option<Reservation<'s>>,
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
            shares: Shares::new(first),
            is_used: false,
            content_at: None,
            transcriber: None,
        }
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
        // The agent's message at hand asks for a response, whose share is waited for; it is text, or not.
        let mut held = None;
        loop {
            let now = Instant::now();
            let is_resting = self.running.is_empty();
            let is_old = now.duration_since(opened) >= timeouts.websocket_age_max;
            let is_idle = now.duration_since(last_message) >= timeouts.websocket_idle;
            if is_resting && (self.worker.is_draining() || is_old || is_idle) {
                return Ended::Node(CloseCode::GOING_AWAY, None);
            }
            if !is_resting && now.duration_since(last_answer) >= answer_idle {
                return Ended::by_node(Reason::IdleTimeout.into());
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
            let is_held = match self.fill_shares(agent, provider, &mut held, now) {
                Ok(is_held) => is_held,
                Err(failure) => return Ended::by_node(failure),
            };
            let received = agent.messages.received();
            let step = poll_fn(|cx| poll_step(cx, agent, provider, received, is_held));
            let waited = match (is_held, is_resting) {
                (true, _) => {
                    let step = rt::race(step, rt::sleep(GRANT_LOOK));
                    let waited = alarm.within(look_interval, step).await;
                    waited.map(|raced| match raced {
                        Raced::First(step) => step,
                        Raced::Second(()) => Step::Look,
                    })
                }
                (false, true) => alarm.within_idle(look_interval, step).await,
                (false, false) => alarm.within(look_interval, step).await,
            };
            match waited {
                Ok(Step::Agent(Ok(Event::Message { is_text }))) => {
                    last_message = Instant::now();
                    arriving = Arriving::default();
                    held = self.pass_to_provider(agent, provider, is_text);
                }
                Ok(Step::Provider(Ok(Event::Message { is_text }))) => {
                    last_message = Instant::now();
                    last_answer = last_message;
                    if let Err(failure) = self.pass_to_agent(agent, provider, is_text) {
                        return Ended::by_node(failure);
                    }
                }
                Ok(Step::Agent(Ok(Event::Closed(code)))) => return Ended::Agent(Ok(code)),
                Ok(Step::Agent(Err(broken))) => return Ended::Agent(Err(broken)),
                Ok(Step::Provider(Ok(Event::Closed(code)))) => return Ended::Provider(Ok(code)),
                Ok(Step::Provider(Err(broken))) => return Ended::Provider(Err(broken)),
                Ok(Step::Look) => {
                    if !arriving.hold(self.worker, agent.messages.received()) {
                        return Ended::by_node(Reason::Overloaded.into());
                    }
                }
                Err(Elapsed) if alarm.ended().is_some() => {
                    let ended = alarm.ended().map(Failure::from);
                    return Ended::Node(CloseCode::GOING_AWAY, ended);
                }
                // All that changes with time is looked at above.
                Err(Elapsed) => {}
            }
        }
    }

    /// Passes an agent's message on, unless it would change the model or what a response may use. One that asks for
    /// a response stays at hand.
    fn pass_to_provider(
        &mut self,
        agent: &mut WebSocket,
        provider: &mut WebSocket,
        is_text: bool,
    ) -> Option<bool> {
        let json = agent.messages.data();
        if !keeps_model(json, &self.model) {
            let what = "the model of a session is the one of its URL";
            refuse(agent, &Failure::new(Reason::ModelNotRoutable, what));
            return None;
        }
        let (wish, endless) = realtime_wish(json);
        if let Some(why) = endless.filter(|_| self.shares.is_hard()) {
            refuse(agent, &limits::unbounded(Unbounded::Input(why)));
            return None;
        }
        match wish {
            RealtimeWish::Response => {
                self.shares.want();
                Some(is_text)
            }
            RealtimeWish::Other => {
                agent.messages.pass_to(&mut provider.messages, is_text);
                None
            }
        }
    }

    /// Sets aside what is missing, and passes on the message that was `held` for it. True: a grant is waited for, and
    /// the agent is not read.
    fn fill_shares(
        &mut self,
        agent: &mut WebSocket,
        provider: &mut WebSocket,
        held: &mut Option<bool>,
        now: Instant,
    ) -> Result<bool, Failure> {
        loop {
            let reserve = || {
                reserve(
                    self.worker,
                    &self.permit,
                    &self.classified,
                    self.head,
                    &self.model,
                )
            };
            let is_resting = self.running.is_empty();
            match self.shares.fill(is_resting, now, reserve)? {
                Filled::Waiting => return Ok(true),
                Filled::Refused(failure) => {
                    *held = None;
                    refuse(agent, &failure);
                }
                Filled::Done { may_ask: false } => return Ok(false),
                Filled::Done { may_ask: true } => {
                    if let Some(is_text) = held.take() {
                        agent.messages.pass_to(&mut provider.messages, is_text);
                    }
                }
            }
        }
    }

    /// Passes a provider's message on, and notes what it means.
    fn pass_to_agent(
        &mut self,
        agent: &mut WebSocket,
        provider: &mut WebSocket,
        is_text: bool,
    ) -> Result<(), Failure> {
        let json = provider.messages.data();
        if refuses_credential(json) {
            return Err(Reason::UpstreamAuthFailed.into());
        }
        let event = realtime_event(json);
        let is_passed = event == RealtimeEvent::Content
            && self.shares.is_hard()
            && realtime_delta(json).is_some_and(|piece| self.is_passed_by(&piece));
        (provider.messages).pass_to(&mut agent.messages, is_text);
        if is_passed {
            return Err(Reason::LimitPassed.into());
        }
        self.note(event)
    }

    /// Whether a response uses more than was set aside for it, and more than its limits have.
    fn is_passed_by(&mut self, piece: &RealtimeDelta<'_>) -> bool {
        let place = self.place(piece.response_id.as_deref());
        let Some(running) = self.running.get_mut(place) else {
            return false;
        };
        running.answer.read(piece);
        match (&mut running.reservation, running.answer.so_far()) {
            (Some(reservation), Some(so_far)) => {
                reservation.outgrows(limits::least_amounts(&self.permit, &so_far))
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Where a response is among those under way; the oldest one, if nobody says which.
    fn place(&self, id: Option<&str>) -> usize {
        let mut running = self.running.iter();
        let place = running.position(|running| id.is_some() && running.id.as_deref() == id);
        place.unwrap_or(0)
    }

    /// What a provider's event means for the records, and whether the session may go on.
    fn note(&mut self, event: RealtimeEvent) -> Result<(), Failure> {
        match event {
            RealtimeEvent::Created(id) => {
                let (reservation, may_go_on) = match self.admit() {
                    Ok(reservation) => (Some(reservation), Ok(())),
                    Err(failure) => (None, Err(failure)),
                };
                // One that may not be is recorded too.
                if self.running.len() < RESPONSES_LIMIT {
                    let catalog_id = &self.permit.provider().catalog_id;
                    self.running.push(Running {
                        id,
                        begun: Instant::now(),
                        reservation,
                        answer: RealtimeAnswer::new(openai::is_first_party(catalog_id)),
                    });
                }
                return may_go_on;
            }
            RealtimeEvent::Content => {
                self.content_at.get_or_insert_with(Instant::now);
            }
            RealtimeEvent::Done(metered) => {
                let mut recorder = self.recorder(metered.object.as_deref());
                settle::settle(self.worker, &self.permit, None, &metered, &mut recorder);
                recorder.answered();
                let is_passed = passes(&mut recorder);
                drop(recorder);
                if self.running.is_empty() {
                    self.shares.trim();
                }
                if is_passed {
                    return Err(Reason::LimitPassed.into());
                }
                // Where there is no room now, there may be when the next one begins.
                let reserve = || {
                    reserve(
                        self.worker,
                        &self.permit,
                        &self.classified,
                        self.head,
                        &self.model,
                    )
                };
                self.shares.refill(reserve);
            }
            RealtimeEvent::SetUp(transcriber) => self.transcriber = transcriber,
            RealtimeEvent::Transcribed(metered) if self.transcribed(&metered) => {
                return Err(Reason::LimitPassed.into());
            }
            RealtimeEvent::Error => self.shares.is_refused(),
            RealtimeEvent::Transcribed(_) => {}
            RealtimeEvent::Other => {}
        }
        Ok(())
    }

    /// Lets one more response be, and spends what it may use.
    fn admit(&mut self) -> Result<Reservation<'s>, Failure> {
        let share = self.shares.take();
        self.may_go_on()?;
        if let Some(share) = share {
            return Ok(share);
        }
        let reserved = reserve(
            self.worker,
            &self.permit,
            &self.classified,
            self.head,
            &self.model,
        )?;
        reserved.ok_or_else(|| Reason::LedgerBehind.into())
    }

    /// Records a transcript, which is another model's work. True: it passes a hard limit.
    fn transcribed(&mut self, metered: &Metered) -> bool {
        let running = std::mem::take(&mut self.running);
        let mut recorder = self.recorder(None);
        self.running = running;
        let model = self.transcriber.as_deref().unwrap_or_default();
        model.clone_into(&mut recorder.model);
        recorder.usage = metered.usage.unwrap_or_default();
        recorder.terms = Terms {
            regional: self.permit.provider().is_regional,
            ..metered.terms
        };
        settle::note_cost(&mut recorder, self.permit.route().price_of(model), None);
        recorder.reservation = Some(limits::afterwards(self.worker, &self.permit));
        recorder.spending = Spending::Whole;
        recorder.answered();
        passes(&mut recorder)
    }

    /// The record of a response under way.
    fn recorder(&mut self, id: Option<&str>) -> Recorder<'s> {
        self.is_used = true;
        let place = self.place(id);
        let (begun, reservation) = match place < self.running.len() {
            true => {
                let running = self.running.remove(place);
                (running.begun, running.reservation)
            }
            false => (Instant::now(), None),
        };
        let mut recorder = Recorder::start(self.worker, self.peer, Some(self.head), begun);
        recorder.dialect = Some(self.classified.dialect);
        recorder.operation = Some(self.classified.operation);
        recorder.principal = Some(self.permit.principal());
        recorder.provider = Some(self.permit.provider());
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
    fn may_go_on(&self) -> Result<(), Failure> {
        if !self.worker.may_begin() {
            return Err(Reason::UsageLogBehind.into());
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
            false => Err(Reason::NoAuthorisedProvider.into()),
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

    /// Records what was under way. True: records of responses tell all there is to tell of the session.
    pub(super) fn finish(&mut self, ended: &Ended, alarm: &Alarm) -> bool {
        let is_resting = self.running.is_empty();
        while !self.running.is_empty() {
            let mut recorder = self.recorder(None);
            let reason = ended.reason(alarm).unwrap_or(match ended {
                Ended::Agent(_) | Ended::Node(..) => Reason::ClientGone,
                Ended::Provider(_) => Reason::ProviderCut,
            });
            recorder.failed(reason, recorder.status);
            if matches!(recorder.outcome, Outcome::ProviderError | Outcome::Denied) {
                recorder.outcome = Outcome::Cut;
            }
        }
        match ended {
            Ended::Node(_, Some(_)) => !is_resting,
            Ended::Node(_, None) | Ended::Agent(_) | Ended::Provider(_) => self.is_used,
        }
    }
}

/// What one more response may use, set aside for it; `None`: a grant is on its way.
fn reserve<'s>(
    worker: &Rc<Worker>,
    permit: &Permit<'s>,
    classified: &Classified<'_>,
    head: &RequestHead,
    model: &str,
) -> Result<Option<Reservation<'s>>, Failure> {
    let wish = Wish {
        ask: Ask {
            path: head.path(),
            model: Some(model),
            keeper: None,
        },
        dialect: classified.dialect,
        operation: classified.operation,
        body: &RequestBody::None,
    };
    limits::reserve_now(worker, permit, &wish)
}

/// Whether what a record tells is more than was set aside for it, and more than a hard limit has.
fn passes(recorder: &mut Recorder<'_>) -> bool {
    let used = Amounts::used(&recorder.usage, &recorder.cost);
    let reservation = recorder.reservation.as_mut();
    reservation.is_some_and(|reservation| reservation.outgrows(used))
}

/// Tells the agent that its message at hand is not passed on.
fn refuse(
    agent: &mut WebSocket,
    Failure {
        reason, message, ..
    }: &Failure,
) {
    agent.messages.consume();
    let event = error_body::render_message(*reason, message, "", None);
    agent.messages.push(true, &event);
}

enum Step {
    Agent(Result<Event, Broken>),
    Provider(Result<Event, Broken>),
    /// A long message of the agent's arrives, or a grant may have.
    Look,
}

/// Sends what is queued, and reads each side as far as the other takes it; the agent not while it `is_held`. `received`
/// is how much of the agent's message was there when this wait began.
fn poll_step(
    cx: &mut Context<'_>,
    agent: &mut WebSocket,
    provider: &mut WebSocket,
    received: usize,
    is_held: bool,
) -> Poll<Step> {
    if let Poll::Ready(gone) = poll_flush(cx, agent, provider) {
        return Poll::Ready(gone);
    }
    let has_room = |socket: &WebSocket| socket.messages.queued() < QUEUED_BYTES_LIMIT;
    let (agent_takes, provider_takes) = (has_room(agent), has_room(provider));
    if agent_takes && let Poll::Ready(event) = provider.poll_event(cx) {
        return Poll::Ready(Step::Provider(event));
    }
    if provider_takes
        && !is_held
        && let Poll::Ready(event) = agent.poll_event(cx)
    {
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
    match !is_held && Arriving::has_grown(agent.messages.received(), received) {
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
