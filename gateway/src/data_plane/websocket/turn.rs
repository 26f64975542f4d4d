//! One response that an agent asks for on its socket: an exchange of its own, from the event that asks to the
//! record. Only the transport differs from [`crate::data_plane::exchange`].

use std::{rc::Rc, time::Instant};

use super::{
    bridge::{self, Bridge},
    dial::dial,
    gate::Key,
    identify,
    line::{Lane, Line},
    mailbox::Closed,
    session::Session,
};
use crate::{
    data_plane::{
        alarm::{Alarm, Elapsed, TICK, coarse_now},
        body::{self, RequestBody},
        buffer::Buffer,
        edit, exchange,
        failure::Failure,
        io::{self as rt, Raced},
        limits::{self, Spending, Wish},
        record::Recorder,
        settle,
    },
    dialect::{
        Dialect, error_body,
        json::pieces,
        meter::ResponsesMessages,
        websocket::{Api, ServerEventKind, server_event},
    },
    handoff::{
        reason::Reason,
        record::{Attempt, Outcome},
        snapshot::Snapshot,
    },
    policy::{self, Permit},
};

/// Status of a provider's socket that was open already.
const SWITCHED: u16 = 101;
/// Status of an error event that names none.
const UNSTATED_ERROR: u16 = 500;

/// Starts a response that an agent asks for in a conversation.
pub(super) fn start(session: &Rc<Session>, lane: Option<Box<str>>, message: &[u8]) {
    let mut bytes = Buffer::default();
    bytes.extend(message);
    spawn(session, lane, Ask::Create(bytes));
}

/// Answers an event that is none of this API's.
pub(super) fn start_refused(session: &Rc<Session>, lane: Option<Box<str>>, failure: Failure) {
    spawn(session, lane, Ask::Refused(failure));
}

/// Follows a response that a provider began by itself, as when the one before was steered.
pub(super) fn start_successor(session: &Rc<Session>, lane: Lane, model: Box<str>) {
    spawn(session, lane.name.clone(), Ask::Successor(lane, model));
}

enum Ask {
    Create(Buffer),
    Refused(Failure),
    Successor(Lane, Box<str>),
}

fn spawn(session: &Rc<Session>, lane: Option<Box<str>>, ask: Ask) {
    let (task, room) = session.begin();
    let session = Rc::clone(session);
    let ask = match room {
        Ok(()) => ask,
        Err(reason) => Ask::Refused(reason.into()),
    };
    rt::spawn(async move {
        run(&session, lane, ask).await;
        drop(task);
    });
}

async fn run(session: &Rc<Session>, lane: Option<Box<str>>, ask: Ask) {
    let arrived = Instant::now();
    let worker = &session.worker;
    let mut alarm = worker.alarms.alarm(session.peer.address, session.peer.slot);
    let snapshot = worker.snapshot();
    let mut recorder = Recorder::start(worker, session.peer.address, Some(&session.head), arrived);
    let mut turn = Turn {
        session,
        snapshot: &snapshot,
        lane,
        alarm: &mut alarm,
        recorder: &mut recorder,
    };
    if let Err(failure) = turn.serve(ask).await {
        turn.tell(failure).await;
    }
}

struct Turn<'t, 's> {
    session: &'s Rc<Session>,
    snapshot: &'s Snapshot,
    /// The conversation.
    lane: Option<Box<str>>,
    alarm: &'t mut Alarm,
    recorder: &'t mut Recorder<'s>,
}

impl<'s> Turn<'_, 's> {
    async fn serve(&mut self, ask: Ask) -> Result<(), Failure> {
        let Self { session, .. } = *self;
        let (worker, snapshot) = (&session.worker, self.snapshot);
        let principal = identify(
            snapshot,
            &session.peer,
            &session.head,
            Api::Responses,
            self.recorder,
        )?;
        self.recorder.stream = true;
        let mut guard = exchange::admit(worker, self.alarm).await?;
        let (body, successor) = match ask {
            Ask::Refused(failure) => return Err(failure),
            Ask::Create(bytes) => {
                if !guard.hold(bytes.len()) {
                    return Err(Reason::Overloaded.into());
                }
                (body::whole(bytes, self.recorder)?, None)
            }
            Ask::Successor(lane, model) => {
                self.recorder.model = model.into();
                (RequestBody::None, Some(lane))
            }
        };
        let classified = Api::Responses.classified();
        let model = self.recorder.model.clone();
        let ask = policy::Ask {
            path: session.head.path(),
            model: Some(&model),
            keeper: None,
        };
        let permit = policy::permit(snapshot, principal, &classified, ask)?;
        let provider = permit.provider();
        self.recorder.provider = Some(provider);
        let wish = Wish {
            ask,
            operation: classified.operation,
            body: &body,
        };
        let permit = limits::reserve(worker, permit, wish, self.alarm, self.recorder).await?;
        if let Some(lane) = successor {
            return self.follow(&permit, lane, None).await;
        }
        // In one conversation there is one response at a time.
        let passing = session.gate.pass(Key::Lane(self.lane.clone()));
        let _passed = self.unless_gone(passing).await?;
        let total = provider.timeouts.total;
        self.alarm
            .bound_all(total.map(|total| coarse_now() + TICK + total));
        self.recorder.overhead_us = u32::try_from(self.recorder.elapsed_us()).unwrap_or(u32::MAX);
        let RequestBody::Held { bytes, .. } = &body else {
            return Err(Reason::MalformedJson.into());
        };
        if !provider.responses_websocket {
            let bytes = bridge::http_body(bytes)?;
            drop(body);
            let Self {
                alarm, recorder, ..
            } = self;
            let bridge = Bridge::new(session, &permit, self.lane.as_deref())?;
            return bridge.run(bytes, guard, alarm, recorder).await;
        }
        let bound = self.recorder.output_bound();
        let edits = edit::edits(
            &permit,
            &body,
            classified.dialect,
            classified.operation,
            bound,
        );
        let lane = self.join(&permit).await?;
        let message = pieces(&[bytes.data()], &edits.splices)
            .collect::<Vec<_>>()
            .concat();
        drop(body);
        self.follow(&permit, lane, Some(message)).await
    }

    /// A conversation on a socket to the provider: the one that is open, or a new one.
    async fn join(&mut self, permit: &Permit<'s>) -> Result<Lane, Failure> {
        let session = self.session;
        // What two conversations share is not dialled twice.
        let passing = session.gate.pass(Key::Dial);
        let _passed = self.unless_gone(passing).await?;
        let targets = &permit.provider().targets;
        let open = session.line(|line| targets.iter().any(|target| target.id == line.target));
        let line = match open {
            Some(line) => {
                self.recorder.attempts.push(Attempt {
                    target_id: line.target.0,
                    connect_us: 0,
                    status: SWITCHED,
                });
                line
            }
            None => {
                let (alarm, recorder) = (&*self.alarm, &mut *self.recorder);
                let (worker, head) = (&session.worker, &session.head);
                let dialling = dial(worker, head, permit, Dialect::OpenAi, None, alarm, recorder);
                let dialled = match rt::race(dialling, session.outbox.closed()).await {
                    Raced::First(dialled) => dialled?,
                    Raced::Second(()) => return Err(Reason::ClientGone.into()),
                };
                // Both may have come at once, and nobody would close the line then.
                if session.is_over() {
                    return Err(Reason::ClientGone.into());
                }
                let line = Line::start(session, dialled);
                session.add_line(&line);
                line
            }
        };
        Ok(line.join(self.lane.clone(), &self.recorder.model))
    }

    /// Passes the response on to its end and notes what it used.
    async fn follow(
        &mut self,
        permit: &Permit<'s>,
        lane: Lane,
        message: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        let mut meter = ResponsesMessages::default();
        let mut result = self.relay(permit, &lane, message, &mut meter).await;
        settle::settle(
            &self.session.worker,
            permit,
            None,
            meter.metered(),
            self.recorder,
        );
        if meter.is_over() {
            lane.over();
            // Who leaves right after the last event has its whole answer.
            if matches!(&result, Err(failure) if failure.reason == Reason::ClientGone) {
                result = Ok(());
            }
        }
        result.inspect(|()| self.recorder.answered())
    }

    async fn relay(
        &mut self,
        permit: &Permit<'s>,
        lane: &Lane,
        message: Option<Vec<u8>>,
        meter: &mut ResponsesMessages,
    ) -> Result<(), Failure> {
        let session = self.session;
        let timeouts = &permit.provider().timeouts;
        let mut limit = timeouts.first_byte;
        self.recorder.spending = Spending::Unknown;
        if let Some(message) = message {
            match self.alarm.within(limit, lane.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(Closed)) => return Err(self.lost()),
                Err(Elapsed) => return Err(self.elapsed(Reason::FirstByteTimeout)),
            }
        }
        let sent = Instant::now();
        let mut late = Reason::FirstByteTimeout;
        while !meter.is_over() {
            let event = match self.alarm.within(limit, lane.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return Err(self.lost()),
                Err(Elapsed) => return Err(self.elapsed(late)),
            };
            (limit, late) = (timeouts.idle, Reason::IdleTimeout);
            let recorder = &mut *self.recorder;
            if recorder.status == 0 {
                recorder.status = match server_event(&event).kind {
                    // Vendors show parts of a refused key in it.
                    ServerEventKind::Error(Some(401)) => {
                        recorder.spending = Spending::None;
                        return Err(Failure::provider(Reason::UpstreamAuthFailed, "error 401"));
                    }
                    ServerEventKind::Error(status) => {
                        recorder.spending = Spending::None;
                        status.unwrap_or(UNSTATED_ERROR)
                    }
                    ServerEventKind::Created | ServerEventKind::Other => 200,
                };
            }
            meter.read(&event);
            if recorder.object_id.is_empty()
                && let Some(id) = &meter.metered().object
            {
                settle::note_id(&session.worker, permit, Some(id), recorder);
                lane.note(id);
            }
            if recorder.time_to_first_token_us == 0 && meter.metered().content_started {
                recorder.time_to_first_token_us = (sent.elapsed().as_micros() as u64).max(1);
            }
            recorder.response_bytes += event.len() as u64;
            let write_idle = session.worker.config.timeouts.response_write_idle;
            match self
                .alarm
                .within(write_idle, session.outbox.push(event))
                .await
            {
                Ok(Ok(())) => {}
                Ok(Err(Closed)) | Err(Elapsed) => return Err(Reason::ClientGone.into()),
            }
        }
        Ok(())
    }

    /// Waits, at most until the agent's socket is over.
    async fn unless_gone<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Failure> {
        match rt::race(waiting, self.session.outbox.closed()).await {
            Raced::First(done) => Ok(done),
            Raced::Second(()) => Err(Reason::ClientGone.into()),
        }
    }

    /// Why the provider's socket is closed.
    fn lost(&self) -> Failure {
        match self.session.is_over() {
            true => Reason::ClientGone.into(),
            false => Failure::provider(
                Reason::ProviderCut,
                "the WebSocket closed inside the response",
            ),
        }
    }

    fn elapsed(&self, late: Reason) -> Failure {
        match self.alarm.total_elapsed() {
            true => Reason::TotalTimeout.into(),
            false => late.into(),
        }
    }

    /// Tells the agent, by the error event of this API, why there is no response, or no more of it.
    async fn tell(&mut self, mut failure: Failure) {
        let (session, recorder) = (self.session, &mut *self.recorder);
        self.alarm.bound_all(None);
        if let Some(reason) = self.alarm.ended() {
            // Whichever wait it was.
            failure = reason.into();
        }
        let reason = failure.reason;
        tracing::debug!(
            request = recorder.request_id().as_str(),
            reason = reason.code(),
            detail = failure.detail.as_deref().unwrap_or(""),
            "response failed"
        );
        let begun = recorder.status != 0;
        let status = match (begun, reason) {
            (true, _) | (false, Reason::ClientGone) => recorder.status,
            (false, _) => reason.status(),
        };
        recorder.failed(reason, status);
        if reason == Reason::ClientGone {
            return;
        }
        if begun && matches!(recorder.outcome, Outcome::ProviderError | Outcome::Denied) {
            recorder.outcome = Outcome::Cut;
        }
        if reason == Reason::ProviderCut {
            session.loss_is_told();
        }
        let id = recorder.request_id();
        let lane = self.lane.as_deref();
        let event = error_body::render_message(reason, &failure.message, id.as_str(), lane);
        let write_idle = session.worker.config.timeouts.response_write_idle;
        // Whoever does not read it is gone, as its socket's own task finds.
        let _ = self
            .alarm
            .last_words(write_idle, session.outbox.push(event))
            .await;
    }
}
