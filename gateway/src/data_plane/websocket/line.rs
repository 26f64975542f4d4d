//! A provider's socket, shared by the conversations of one agent's. One task owns it and hands each event to
//! the response that it belongs to.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    dial::Dialled,
    mailbox::{Closed, Mailbox},
    session::Session,
    socket::{Broken, CloseCode, Event, WebSocket},
    turn,
};
use crate::{
    data_plane::{
        alarm::{Alarm, Elapsed},
        io as rt,
    },
    dialect::websocket::{ServerEvent, ServerEventKind, server_event},
    handoff::snapshot::TargetId,
};

/// How often a socket at rest looks whether its credential and address are still the provider's.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Conversations remembered on one socket; the oldest that rest are forgotten.
const LANES_LIMIT: usize = 256;
/// Bytes on their way out beyond which no further event is taken.
const QUEUED_BYTES_LIMIT: usize = 64 * 1024;

/// A provider's socket as its users see it.
pub(super) struct Line {
    pub(super) target: TargetId,
    /// Events for the provider. Closing it ends the line.
    pub(super) outbox: Mailbox,
    lanes: RefCell<Vec<LaneState>>,
}

/// One conversation. Its events go into `inbox` while a response runs.
struct LaneState {
    name: Option<Box<str>>,
    /// The model last asked for.
    model: Box<str>,
    /// The response that ran last.
    response: Option<Box<str>>,
    mode: Mode,
}

enum Mode {
    Busy(Rc<Mailbox>),
    Resting,
    /// Who waited for the response is gone; what still comes of it is for nobody.
    Abandoned,
}

/// A conversation while a response runs in it.
pub(super) struct Lane {
    line: Rc<Line>,
    pub(super) name: Option<Box<str>>,
    inbox: Rc<Mailbox>,
    is_over: bool,
}

impl Line {
    /// Starts the task of a socket.
    pub(super) fn start(session: &Rc<Session>, dialled: Dialled) -> Rc<Self> {
        let line = Rc::new(Self {
            target: dialled.target,
            outbox: Mailbox::default(),
            lanes: RefCell::default(),
        });
        let task = run(Rc::clone(session), Rc::clone(&line), dialled);
        rt::spawn(task);
        line
    }

    /// A response begins in a conversation, of which there is none yet.
    pub(super) fn join(self: &Rc<Self>, name: Option<Box<str>>, model: &str) -> Lane {
        let inbox = Rc::new(Mailbox::default());
        if self.outbox.is_closed() {
            inbox.close();
        }
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|lane| lane.name != name);
        if lanes.len() >= LANES_LIMIT
            && let Some(oldest) = lanes
                .iter()
                .position(|lane| matches!(lane.mode, Mode::Resting))
        {
            lanes.remove(oldest);
        }
        lanes.push(LaneState {
            name: name.clone(),
            model: model.into(),
            response: None,
            mode: Mode::Busy(Rc::clone(&inbox)),
        });
        drop(lanes);
        Lane {
            line: Rc::clone(self),
            name,
            inbox,
            is_over: false,
        }
    }

    /// Whether a conversation goes on here: the one of that name, or with that response.
    pub(super) fn has(&self, name: Option<&str>, response: Option<&str>) -> bool {
        (self.lanes.borrow().iter()).any(|lane| {
            name.is_some() && lane.name.as_deref() == name
                || response.is_some() && lane.response.as_deref() == response
        })
    }

    fn is_busy(&self) -> bool {
        (self.lanes.borrow().iter()).any(|lane| matches!(lane.mode, Mode::Busy(_)))
    }

    /// Nothing more will come: who waits shall know.
    fn end(&self) {
        self.outbox.close();
        for lane in self.lanes.borrow().iter() {
            match &lane.mode {
                Mode::Busy(inbox) => inbox.close(),
                Mode::Resting | Mode::Abandoned => {}
            }
        }
    }

    /// Where an event belongs.
    fn place(&self, event: &ServerEvent) -> Place {
        let lanes = self.lanes.borrow();
        let of = |lane: &LaneState| match &lane.mode {
            Mode::Busy(inbox) => Place::Turn(Rc::clone(inbox)),
            Mode::Abandoned => Place::Nowhere,
            Mode::Resting if event.kind == ServerEventKind::Created => Place::Successor {
                name: lane.name.clone(),
                model: lane.model.clone(),
            },
            Mode::Resting => Place::Agent,
        };
        let mut named = lanes.iter().filter(|lane| lane.name == event.lane);
        let place = named.next().map_or(Place::Agent, of);
        let is_lost = match (&place, event.kind) {
            (Place::Agent, ServerEventKind::Error(_)) => event.lane.is_none(),
            _ => false,
        };
        let mut busy = lanes
            .iter()
            .filter(|lane| matches!(lane.mode, Mode::Busy(_)));
        match (busy.next(), busy.next()) {
            // An error that names no conversation can only mean this one.
            (Some(only), None) if is_lost => of(only),
            _ => place,
        }
    }

    fn change(&self, name: Option<&str>, change: impl FnOnce(&mut LaneState)) {
        let mut lanes = self.lanes.borrow_mut();
        let lane = lanes.iter_mut().find(|lane| lane.name.as_deref() == name);
        if let Some(lane) = lane {
            change(lane);
        }
    }
}

enum Place {
    Turn(Rc<Mailbox>),
    /// A response that nobody asked for: what was steered goes on as another one.
    Successor {
        name: Option<Box<str>>,
        model: Box<str>,
    },
    /// Of no response.
    Agent,
    Nowhere,
}

impl Lane {
    /// Waits for the next event; `None`: the provider's socket is closed.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        poll_fn(|cx| self.inbox.poll_take(cx)).await
    }

    /// Sends to the provider.
    pub(super) async fn send(&self, message: Vec<u8>) -> Result<(), Closed> {
        self.line.outbox.push(message).await
    }

    /// The response's id, by which later events may name it.
    pub(super) fn note(&self, response: &str) {
        self.line.change(self.name.as_deref(), |lane| {
            lane.response = Some(response.into());
        });
    }

    /// The response came to its end.
    pub(super) fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mode = match self.is_over {
            true => Mode::Resting,
            false => Mode::Abandoned,
        };
        self.line
            .change(self.name.as_deref(), |lane| lane.mode = mode);
        // There is no event that ends a response early; the end of the socket does.
        if !self.is_over && !self.line.is_busy() {
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
                let message = socket.data().to_vec();
                socket.consume();
                if deliver(session, line, message).await == Err(Closed) {
                    return Ended::ByUs;
                }
            }
            Err(Elapsed) if alarm.ended().is_some() => return Ended::ByUs,
            Err(Elapsed) => {
                let snapshot = session.worker.snapshot();
                let mut targets = snapshot.providers.iter().flat_map(|p| &p.targets);
                if !line.is_busy() && !targets.any(|target| target.id == line.target) {
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
    while socket.queued() < QUEUED_BYTES_LIMIT {
        match line.outbox.poll_take(cx) {
            Poll::Ready(Some(message)) => socket.push(true, std::iter::once(&message[..])),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => break,
        }
        if let Poll::Ready(Err(_)) = socket.poll_flush(cx) {
            return Poll::Ready(Some(Err(Broken::Gone)));
        }
    }
    if let Poll::Ready(event) = socket.poll_event(cx) {
        return Poll::Ready(Some(event));
    }
    // Answers to pings, and what the provider did not take at once.
    match socket.poll_flush(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(Some(Err(Broken::Gone))),
        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
    }
}

/// Waits until who an event is for takes it, and thereby the provider too.
async fn deliver(session: &Rc<Session>, line: &Rc<Line>, message: Vec<u8>) -> Result<(), Closed> {
    let event = server_event(&message);
    match line.place(&event) {
        // Who gave up in the meantime needs no events; the line goes on for the others.
        Place::Turn(inbox) => drop(inbox.push(message).await),
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
