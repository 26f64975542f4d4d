//! One response that an agent asks for on its socket: an exchange of its own, from the event that asks to the
//! record. Only the transport differs from [`crate::data_plane::exchange`].

mod follow;

use std::{rc::Rc, time::Instant};

use super::{
    bridge::{self, Bridge},
    dial::dial,
    gate::{Key, Place},
    identify,
    line::{Lane, Line},
    payload::Payload,
    session::Session,
};
use crate::{
    data_plane::{
        alarm::{Alarm, TICK, coarse_now},
        body::{self, RequestBody},
        buffer::Buffer,
        edit, exchange,
        failure::Failure,
        io::{self as rt, Raced},
        limits::{self, Wish},
        record::{Recorder, waited},
    },
    dialect::{Dialect, error_body, json::pieces, websocket::Api},
    handoff::{
        reason::Reason,
        record::{Attempt, Outcome},
        snapshot::Snapshot,
    },
    policy::{self, Permit},
};

/// Status of a provider's socket that was open already.
const SWITCHED: u16 = 101;

/// Starts a response that an agent asks for in a conversation.
pub(super) fn start(session: &Rc<Session>, lane: Option<Box<str>>, bytes: Buffer) {
    // Taken before the response's task runs: what was asked for first comes first.
    let place = session.gate.queue(Key::Lane(lane.clone()));
    spawn(session, lane, Ask::Create(bytes, place));
}

/// Answers an event that is none of this API's.
pub(super) fn start_refused(session: &Rc<Session>, lane: Option<Box<str>>, failure: Failure) {
    spawn(session, lane, Ask::Refused(failure));
}

/// Follows a response that a provider began by itself, as when the one before was steered.
pub(super) fn start_successor(session: &Rc<Session>, lane: Lane, model: Box<str>) {
    let place = session.gate.queue_next(Key::Lane(lane.name.clone()));
    spawn(
        session,
        lane.name.clone(),
        Ask::Successor(lane, model, place),
    );
}

enum Ask {
    Create(Buffer, Place),
    Refused(Failure),
    Successor(Lane, Box<str>, Place),
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
    let mut recorder = Recorder::start(worker, &session.peer, Some(&session.head), arrived);
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
        let (body, successor, place) = match ask {
            Ask::Refused(failure) => return Err(failure),
            Ask::Create(bytes, place) => {
                if !guard.hold(bytes.len()) {
                    return Err(Reason::Overloaded.into());
                }
                (body::whole(bytes, self.recorder)?, None, place)
            }
            Ask::Successor(lane, model, place) => {
                self.recorder.model = model.into();
                (RequestBody::None, Some(lane), place)
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
        self.recorder.routed(permit.route());
        let wish = Wish {
            ask,
            dialect: classified.dialect,
            operation: classified.operation,
            body: &body,
        };
        let permit = limits::reserve(worker, permit, wish, self.recorder).await?;
        self.recorder.marks.reserved_us = self.recorder.elapsed_us();
        self.recorder.keep_request(&permit, &body);
        if let Some(lane) = successor {
            return self.follow(&permit, lane, None).await;
        }
        // In one conversation there is one response at a time.
        let mut waited_us = 0;
        let turn = waited(&mut waited_us, place.turn());
        self.unless_gone(turn).await?;
        self.recorder.waited_us += waited_us;
        let total = provider.timeouts.total;
        self.alarm
            .bound_all(total.map(|total| coarse_now() + TICK + total));
        self.recorder.asks();
        let bound = self.recorder.output_bound();
        let edits = edit::edits(&permit, &body, &classified, bound);
        let RequestBody::Held { bytes, .. } = body else {
            return Err(Reason::MalformedJson.into());
        };
        if !provider.responses_websocket {
            let bytes = bridge::http_body(bytes)?;
            let Self {
                alarm, recorder, ..
            } = self;
            let bridge = Bridge::new(session, &permit, self.lane.as_deref())?;
            return bridge.run(bytes, guard, alarm, recorder).await;
        }
        let lane = self.join(&permit).await?;
        let message = match edits.splices.is_empty() {
            true => Payload::of_buffer(bytes),
            false => pieces(&[bytes.data()], &edits.splices)
                .collect::<Vec<_>>()
                .concat()
                .into(),
        };
        self.follow(&permit, lane, Some(message)).await
    }

    /// A conversation on a socket to the provider: the one that is open, or a new one.
    async fn join(&mut self, permit: &Permit<'s>) -> Result<Lane, Failure> {
        let session = self.session;
        // What two conversations share is not dialled twice.
        let place = session.gate.queue(Key::Dial);
        self.unless_gone(place.turn()).await?;
        let targets = &permit.provider().targets;
        let open = session.line(|line| targets.iter().any(|target| target.id == line.target));
        let line = match open {
            Some(line) => {
                let begun_us = self.recorder.elapsed_us();
                self.recorder.attempts.push(Attempt {
                    target_id: line.target.0,
                    begun_us,
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

    /// Waits, at most until the agent's socket is over.
    async fn unless_gone<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Failure> {
        match rt::race(waiting, self.session.outbox.closed()).await {
            Raced::First(done) => Ok(done),
            Raced::Second(()) => Err(Reason::ClientGone.into()),
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
            trace_id = recorder.trace.id().map(tracing::field::display),
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
            .last_words(write_idle, session.outbox.push(event.into()))
            .await;
    }
}
