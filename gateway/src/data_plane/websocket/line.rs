//! A provider's socket, shared by the conversations of one agent's. One task owns it and hands each event to
//! the response that it belongs to.

mod lanes;

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use self::lanes::{Lanes, Place};
use super::{
    dial::Dialled,
    mailbox::{Closed, Mailbox},
    messages::{CloseCode, Event},
    payload::Payload,
    session::Session,
    socket::{Broken, WebSocket},
    turn,
};
use crate::{
    data_plane::{
        alarm::{Alarm, Elapsed},
        io as rt,
    },
    dialect::websocket::{ServerEventKind, server_event},
    handoff::snapshot::TargetId,
};

/// How often a socket at rest looks whether its credential and address are still the provider's.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes on their way out beyond which no further event is taken.
const QUEUED_BYTES_LIMIT: usize = 64 * 1024;

/// A provider's socket as its users see it.
pub(super) struct Line {
    pub(super) target: TargetId,
    /// Events for the provider. Closing it ends the line.
    pub(super) outbox: Mailbox,
    lanes: Lanes,
}

/// A conversation while a response runs in it.
pub(super) struct Lane {
    line: Rc<Line>,
    pub(super) name: Option<Box<str>>,
    inbox: Rc<Mailbox>,
}

impl Line {
    /// Starts the task of a socket.
    pub(super) fn start(session: &Rc<Session>, dialled: Dialled) -> Rc<Self> {
        let line = Rc::new(Self {
            target: dialled.target,
            outbox: Mailbox::default(),
            lanes: Lanes::default(),
        });
        let task = run(Rc::clone(session), Rc::clone(&line), dialled);
        rt::spawn(task);
        line
    }

    /// A response begins in a conversation, of which there is none yet.
    pub(super) fn join(self: &Rc<Self>, name: Option<Box<str>>, model: &str) -> Lane {
        let inbox = self.lanes.begin(name.clone(), model);
        if self.outbox.is_closed() {
            inbox.close();
        }
        Lane {
            line: Rc::clone(self),
            name,
            inbox,
        }
    }

    /// Whether a conversation goes on here: the one of that name, or with that response.
    pub(super) fn has(&self, name: Option<&str>, response: Option<&str>) -> bool {
        self.lanes.has(name, response)
    }

    /// Nothing more will come: who waits shall know.
    fn end(&self) {
        self.outbox.close();
        self.lanes.end();
    }
}

impl Lane {
    /// Waits for the next event; `None`: the response is over, or the provider's socket closed.
    pub(super) async fn next(&self) -> Option<Payload> {
        poll_fn(|cx| self.inbox.poll_take(cx)).await
    }

    /// Sends to the provider.
    pub(super) async fn send(&self, message: Payload) -> Result<(), Closed> {
        self.line.outbox.push(message).await
    }

    /// The response's id, by which later events may name it.
    pub(super) fn note(&self, response: &str) {
        self.line.lanes.note(&self.inbox, response);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let ran = self.line.lanes.abandon(&self.inbox);
        // There is no event that ends a response early; the end of the socket does.
        if ran && !self.line.lanes.is_busy() {
            self.line.outbox.close();
        }
    }
}

async fn run(session: Rc<Session>, line: Rc<Line>, dialled: Dialled) {
    let Dialled {
        mut socket, _open, ..
    } = dialled;
    let alarm = (session.worker.alarms).alarm(session.peer.address, session.peer.slot);
    let ended = serve(&session, &line, &mut socket, &alarm).await;
    line.end();
    let (to_provider, from_provider) = match ended {
        Ended::ByUs => (Some(CloseCode::NORMAL), None),
        Ended::Replaced => (Some(CloseCode::NORMAL), Some(CloseCode::RESTART)),
        Ended::Closed(code) => (code, Some(code.unwrap_or(CloseCode::NORMAL))),
        Ended::Broken(Broken::Gone) => (None, Some(CloseCode::FAILED)),
        Ended::Broken(Broken::Violation(code)) => (Some(code), Some(CloseCode::FAILED)),
    };
    session.line_ended(&line, from_provider);
    socket.close(&alarm, to_provider).await;
}

/// Why a line is over.
enum Ended {
    /// Nobody needs it.
    ByUs,
    /// Its credential or address is the provider's no more.
    Replaced,
    Closed(Option<CloseCode>),
    Broken(Broken),
}

async fn serve(
    session: &Rc<Session>,
    line: &Rc<Line>,
    socket: &mut WebSocket,
    alarm: &Alarm,
) -> Ended {
    loop {
        let step = poll_fn(|cx| poll_step(cx, line, socket));
        match alarm.within(LOOK_INTERVAL, step).await {
            Ok(None) => return Ended::ByUs,
            Ok(Some(Err(broken))) => return Ended::Broken(broken),
            Ok(Some(Ok(Event::Closed(code)))) => return Ended::Closed(code),
            // No event of this API is binary.
            Ok(Some(Ok(Event::Message { is_text: false }))) => {
                return Ended::Broken(Broken::Violation(CloseCode::UNSUPPORTED));
            }
            Ok(Some(Ok(Event::Message { is_text: true }))) => {
                let message = socket.messages.take();
                if deliver(session, line, message).await == Err(Closed) {
                    return Ended::ByUs;
                }
            }
            Err(Elapsed) if alarm.ended().is_some() => return Ended::ByUs,
            Err(Elapsed) => {
                let snapshot = session.worker.snapshot();
                let mut targets = snapshot.providers.iter().flat_map(|p| &p.targets);
                if !line.lanes.is_busy() && !targets.any(|target| target.id == line.target) {
                    return Ended::Replaced;
                }
            }
        }
    }
}

/// `None`: nobody needs the line any more.
fn poll_step(
    cx: &mut Context<'_>,
    line: &Line,
    socket: &mut WebSocket,
) -> Poll<Option<Result<Event, Broken>>> {
    let gone = Poll::Ready(Some(Err(Broken::Gone)));
    let mut is_left = true;
    loop {
        if let Poll::Ready(Err(_)) = socket.poll_flush(cx) {
            return gone;
        }
        if socket.messages.queued() >= QUEUED_BYTES_LIMIT {
            break;
        }
        match line.outbox.poll_take(cx) {
            Poll::Ready(Some(message)) => socket.messages.push_payload(true, message),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                is_left = false;
                break;
            }
        }
    }
    if let Poll::Ready(event) = socket.poll_event(cx) {
        return Poll::Ready(Some(event));
    }
    // Answers to pings, and what the provider did not take at once.
    if let Poll::Ready(Err(_)) = socket.poll_flush(cx) {
        return gone;
    }
    if is_left && socket.messages.queued() < QUEUED_BYTES_LIMIT {
        // It took it meanwhile, and the outbox was not asked.
        cx.waker().wake_by_ref();
    }
    Poll::Pending
}

/// Waits until who an event is for takes it, and thereby the provider too.
async fn deliver(session: &Rc<Session>, line: &Rc<Line>, message: Payload) -> Result<(), Closed> {
    let event = server_event(&message);
    match line.lanes.place(&event) {
        Place::Turn(inbox) => {
            // Who gave up in the meantime needs no events; the line goes on for the others.
            let _ = inbox.push(message).await;
            match event.kind {
                ServerEventKind::Over | ServerEventKind::Error(_) => line.lanes.rest(&inbox),
                ServerEventKind::Created | ServerEventKind::Other => {}
            }
        }
        Place::Successor { name, model } => {
            let lane = line.join(name, &model);
            // Empty, so it takes this one at once.
            lane.inbox.push(message).await?;
            turn::start_successor(session, lane, model);
        }
        Place::Agent if event.kind == ServerEventKind::Error(Some(401)) => {}
        Place::Agent => session.outbox.push(message).await?,
        Place::Nowhere => {}
    }
    Ok(())
}
