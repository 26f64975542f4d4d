//! `/v1/realtime`: a session with one model at one provider. Messages pass both ways as they are; each
//! response leaves a record when it is done, and a session without any leaves one of its own.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    dial::{Dialled, dial},
    handshake,
    socket::{Broken, CloseCode, Event, WebSocket},
};
use crate::{
    data_plane::{
        accept::Peer,
        alarm::{Alarm, Elapsed},
        failure::Failure,
        message::RequestHead,
        record::Recorder,
        settle,
        worker::Worker,
    },
    dialect::{
        Classified, error_body,
        meter::{Metered, RealtimeEvent, realtime_event},
        price,
        websocket::{NoModel, keeps_model, realtime},
    },
    handoff::{
        reason::Reason,
        record::{CostSource, Outcome, Terms},
        snapshot::{Principal, Snapshot, TargetId},
    },
    policy::{self, Ask, Permit},
};

/// What both vendors and SDKs call the protocol. Others that agents offer are credentials
/// (`openai-insecure-api-key.…`) and stay with the node.
const PROTOCOL: &str = "realtime";
/// Most that an agent may send at once; vendors take 15 MiB of audio.
pub(super) const MESSAGE_BYTES_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes on their way to one side beyond which the other is not read.
const QUEUED_BYTES_LIMIT: usize = 64 * 1024;
/// Responses under way that are remembered; vendors run one at a time, or a few out of band.
const RESPONSES_LIMIT: usize = 64;
/// How often a session looks whether it may go on.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Pings without any answer after which an agent is gone.
const PINGS_LIMIT: u32 = 3;

/// A session whose provider has been reached.
pub(super) struct Realtime<'s> {
    permit: Permit<'s>,
    head: &'s RequestHead,
    classified: Classified<'static>,
    model: String,
    protocol: Option<&'static str>,
    provider: Dialled,
}

/// Decides whether the session may be, and reaches its provider.
pub(super) async fn open<'s>(
    worker: &Rc<Worker>,
    snapshot: &'s Snapshot,
    principal: &'s Principal,
    head: &'s RequestHead,
    alarm: &Alarm,
    recorder: &mut Recorder<'s>,
) -> Result<Realtime<'s>, Failure> {
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    let (classified, model) = realtime(head.path(), query).map_err(|no| match no {
        NoModel::Missing => {
            let what = "a realtime session names its `model` in the query of its URL";
            Failure::new(Reason::ModelMissing, what)
        }
        NoModel::Doubled => Failure::new(Reason::DuplicateKey, "`model` is given twice"),
    })?;
    model.as_ref().clone_into(&mut recorder.model);
    recorder.stream = true;
    recorder.dialect = Some(classified.dialect);
    let ask = Ask {
        path: head.path(),
        model: Some(&model),
        keeper: None,
    };
    let permit = policy::permit(snapshot, principal, &classified, ask)?;
    recorder.provider = Some(permit.provider());
    recorder.policy = Some(permit.policy());
    let is_offered = handshake::protocols(head).any(|offered| offered == PROTOCOL);
    let protocol = is_offered.then_some(PROTOCOL);
    let dialect = classified.dialect;
    let provider = dial(worker, head, &permit, dialect, protocol, alarm, recorder).await?;
    Ok(Realtime {
        permit,
        head,
        classified,
        model: model.into_owned(),
        protocol,
        provider,
    })
}

impl<'s> Realtime<'s> {
    /// The subprotocol that the agent gets.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// Serves the session to its end. `opened` is the handshake's record.
    pub(super) async fn run(
        self: Box<Self>,
        worker: &Rc<Worker>,
        peer: &Peer,
        mut agent: WebSocket,
        alarm: Alarm,
        mut opened: Recorder<'s>,
    ) {
        let Self {
            permit,
            head,
            classified,
            model,
            provider,
            ..
        } = *self;
        let Dialled {
            socket: mut provider,
            target,
            _open,
        } = provider;
        let mut session = Session {
            worker,
            peer,
            permit,
            head,
            classified,
            model,
            target,
            running: Vec::new(),
            is_used: false,
            content_at: None,
            transcriber: None,
        };
        let ended = session.serve(&mut agent, &mut provider, &alarm).await;
        session.finish(&ended, &alarm);
        if session.is_used {
            opened.retract();
        } else {
            // It was opened, and closed: that is all there is to tell.
            opened.status = SWITCHED;
            match ended.reason(&alarm) {
                None => opened.answered(),
                Some(reason) => opened.failed(reason, SWITCHED),
            }
            drop(opened);
        }
        let (to_agent, to_provider) = ended.codes(&alarm);
        if let Some(code) = to_agent {
            agent.close(&alarm, code).await;
        }
        if let Some(code) = to_provider {
            provider.close(&alarm, code).await;
        }
    }
}

/// Status of a handshake that came through.
const SWITCHED: u16 = 101;

struct Session<'r, 's> {
    worker: &'r Rc<Worker>,
    peer: &'r Peer,
    permit: Permit<'s>,
    head: &'s RequestHead,
    classified: Classified<'static>,
    model: String,
    target: TargetId,
    /// When each response under way began.
    running: Vec<Instant>,
    /// A response was recorded.
    is_used: bool,
    /// When the first content of the oldest response under way came.
    content_at: Option<Instant>,
    /// The model that transcribes what is said.
    transcriber: Option<Box<str>>,
}

/// How a session ends.
enum Ended {
    /// The agent is gone, or closes.
    Agent(Result<Option<CloseCode>, Broken>),
    Provider(Result<Option<CloseCode>, Broken>),
    /// The node ends it.
    Node(CloseCode, Option<Reason>),
}

impl Ended {
    /// Why it did not end well.
    fn reason(&self, alarm: &Alarm) -> Option<Reason> {
        match self {
            _ if alarm.ended().is_some() => alarm.ended(),
            Self::Agent(Ok(_)) | Self::Provider(Ok(_)) => None,
            Self::Agent(Err(Broken::Gone)) => Some(Reason::ClientGone),
            Self::Agent(Err(Broken::Violation(_))) => Some(Reason::MalformedRequest),
            Self::Provider(Err(Broken::Gone)) => Some(Reason::ProviderCut),
            Self::Provider(Err(Broken::Violation(_))) => Some(Reason::ProviderProtocol),
            Self::Node(_, reason) => *reason,
        }
    }

    /// What the agent and the provider are told; `None`: nothing, as it is gone.
    fn codes(&self, alarm: &Alarm) -> (Option<Option<CloseCode>>, Option<Option<CloseCode>>) {
        let going = Some(Some(CloseCode::GOING_AWAY));
        match (self, alarm.ended()) {
            (_, Some(Reason::PeerRevoked)) => (Some(Some(CloseCode::POLICY)), going),
            (_, Some(_)) => (going, going),
            (Self::Agent(Ok(code)), None) => (Some(*code), Some(*code)),
            (Self::Agent(Err(Broken::Gone)), None) => (None, going),
            (Self::Agent(Err(Broken::Violation(code))), None) => (Some(Some(*code)), going),
            (Self::Provider(Ok(code)), None) => (Some(*code), Some(*code)),
            (Self::Provider(Err(Broken::Gone)), None) => (Some(Some(CloseCode::FAILED)), None),
            (Self::Provider(Err(Broken::Violation(code))), None) => {
                (Some(Some(CloseCode::FAILED)), Some(Some(*code)))
            }
            (Self::Node(code, _), None) => (Some(Some(*code)), going),
        }
    }
}

impl<'s> Session<'_, 's> {
    async fn serve(
        &mut self,
        agent: &mut WebSocket,
        provider: &mut WebSocket,
        alarm: &Alarm,
    ) -> Ended {
        let timeouts = &self.worker.config.timeouts;
        let opened = Instant::now();
        let (mut last_heard, mut last_message, mut pings) = (opened, opened, 0);
        loop {
            let is_resting = self.running.is_empty();
            let is_old = opened.elapsed() >= timeouts.websocket_age_max;
            let is_idle = last_message.elapsed() >= timeouts.websocket_idle;
            if is_resting && (self.worker.is_draining() || is_old || is_idle) {
                return Ended::Node(CloseCode::GOING_AWAY, None);
            }
            let step = poll_fn(|cx| poll_step(cx, agent, provider));
            let look = LOOK_INTERVAL.min(timeouts.websocket_ping);
            let waited = match is_resting {
                true => alarm.within_idle(look, step).await,
                false => alarm.within(look, step).await,
            };
            if agent.take_heard() {
                (last_heard, pings) = (Instant::now(), 0);
            }
            match waited {
                Ok(Step::Agent(Ok(Event::Message { is_text }))) => {
                    last_message = Instant::now();
                    self.to_provider(agent, provider, is_text);
                }
                Ok(Step::Provider(Ok(Event::Message { is_text }))) => {
                    last_message = Instant::now();
                    agent.push(is_text, std::iter::once(provider.data()));
                    let event = realtime_event(provider.data());
                    provider.consume();
                    if let Err(reason) = self.note(event) {
                        return Ended::Node(CloseCode::POLICY, Some(reason));
                    }
                }
                Ok(Step::Agent(Ok(Event::Closed(code)))) => return Ended::Agent(Ok(code)),
                Ok(Step::Agent(Err(broken))) => return Ended::Agent(Err(broken)),
                Ok(Step::Provider(Ok(Event::Closed(code)))) => return Ended::Provider(Ok(code)),
                Ok(Step::Provider(Err(broken))) => return Ended::Provider(Err(broken)),
                Err(Elapsed) if alarm.ended().is_some() => {
                    return Ended::Node(CloseCode::GOING_AWAY, alarm.ended());
                }
                Err(Elapsed) => {
                    if is_resting && self.is_replaced() {
                        return Ended::Node(CloseCode::RESTART, None);
                    }
                    if last_heard.elapsed() >= timeouts.websocket_ping * (pings + 1) {
                        if pings == PINGS_LIMIT {
                            return Ended::Agent(Err(Broken::Gone));
                        }
                        pings += 1;
                        agent.ping();
                    }
                }
            }
        }
    }

    /// Passes an agent's message on, unless it would change the model.
    fn to_provider(&self, agent: &mut WebSocket, provider: &mut WebSocket, is_text: bool) {
        if keeps_model(agent.data(), &self.model) {
            provider.push(is_text, std::iter::once(agent.data()));
            agent.consume();
            return;
        }
        agent.consume();
        let what = "the model of a session is the one of its URL";
        let event = error_body::render_message(Reason::ModelNotRoutable, what, "", None);
        agent.push(true, std::iter::once(&event[..]));
    }

    /// What a provider's event means for the records, and whether the session may go on.
    fn note(&mut self, event: RealtimeEvent) -> Result<(), Reason> {
        match event {
            RealtimeEvent::Created => {
                if self.running.len() < RESPONSES_LIMIT {
                    self.running.push(Instant::now());
                }
                return self.may_go_on();
            }
            RealtimeEvent::Content => {
                self.content_at.get_or_insert_with(Instant::now);
            }
            RealtimeEvent::Done(metered) => {
                let mut recorder = self.recorder();
                settle::settle(self.worker, &self.permit, None, &metered, &mut recorder);
                recorder.answered();
            }
            RealtimeEvent::SetUp(transcriber) => self.transcriber = transcriber,
            RealtimeEvent::Transcribed(metered) => self.transcribed(&metered),
            RealtimeEvent::Other => {}
        }
        Ok(())
    }

    /// Records a transcript, which is another model's work.
    fn transcribed(&mut self, metered: &Metered) {
        let running = std::mem::take(&mut self.running);
        let mut recorder = self.recorder();
        self.running = running;
        let model = self.transcriber.as_deref().unwrap_or_default();
        model.clone_into(&mut recorder.model);
        recorder.usage = metered.usage.unwrap_or_default();
        recorder.terms = Terms {
            regional: self.permit.provider().is_regional,
            ..metered.terms
        };
        match self.permit.route().price_of(model) {
            Some(price) => {
                let bill = price::bill(&recorder.usage, recorder.terms, price);
                recorder.cost = bill.cost;
                recorder.left_out = bill.left_out;
                recorder.cost_source = match price.is_own {
                    true => CostSource::Operator,
                    false => CostSource::Catalog,
                };
            }
            None => recorder.unpriced = true,
        }
        recorder.answered();
    }

    /// The record of the oldest response under way.
    fn recorder(&mut self) -> Recorder<'s> {
        self.is_used = true;
        let begun = match self.running.is_empty() {
            true => Instant::now(),
            false => self.running.remove(0),
        };
        let mut recorder = Recorder::start(self.worker, self.peer.address, Some(self.head), begun);
        recorder.dialect = Some(self.classified.dialect);
        recorder.operation = Some(self.classified.operation);
        recorder.principal = Some(self.permit.principal());
        recorder.provider = Some(self.permit.provider());
        recorder.policy = Some(self.permit.policy());
        recorder.model.clone_from(&self.model);
        recorder.stream = true;
        recorder.status = 200;
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
    fn finish(&mut self, ended: &Ended, alarm: &Alarm) {
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

enum Step {
    Agent(Result<Event, Broken>),
    Provider(Result<Event, Broken>),
}

/// Sends what is queued, and reads each side as far as the other takes it.
fn poll_step(cx: &mut Context<'_>, agent: &mut WebSocket, provider: &mut WebSocket) -> Poll<Step> {
    if let Poll::Ready(Err(_)) = agent.poll_flush(cx) {
        return Poll::Ready(Step::Agent(Err(Broken::Gone)));
    }
    if let Poll::Ready(Err(_)) = provider.poll_flush(cx) {
        return Poll::Ready(Step::Provider(Err(Broken::Gone)));
    }
    if agent.queued() < QUEUED_BYTES_LIMIT
        && let Poll::Ready(event) = provider.poll_event(cx)
    {
        return Poll::Ready(Step::Provider(event));
    }
    if provider.queued() < QUEUED_BYTES_LIMIT
        && let Poll::Ready(event) = agent.poll_event(cx)
    {
        return Poll::Ready(Step::Agent(event));
    }
    // Answers to pings.
    if let Poll::Ready(Err(_)) = agent.poll_flush(cx) {
        return Poll::Ready(Step::Agent(Err(Broken::Gone)));
    }
    if let Poll::Ready(Err(_)) = provider.poll_flush(cx) {
        return Poll::Ready(Step::Provider(Err(Broken::Gone)));
    }
    Poll::Pending
}
