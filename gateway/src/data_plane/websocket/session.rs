//! An agent's Responses socket: takes its events in, sends out what responses and providers have for it.
//! What an agent asks for runs beside it, in tasks of their own.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use super::{
    arriving::Arriving,
    gate::Gate,
    line::Line,
    mailbox::Mailbox,
    messages::{CloseCode, Event},
    payload::Payload,
    pulse::Pulse,
    socket::{Broken, WebSocket},
    turn,
};
use crate::{
    data_plane::{
        accept::Peer,
        alarm::{Alarm, Elapsed, TICK},
        failure::Failure,
        io as rt,
        message::RequestHead,
        worker::Worker,
    },
    dialect::websocket::{ClientEvent, client_event},
    handoff::reason::Reason,
};

/// Responses under way on one socket; more are refused.
pub(super) const TURNS_LIMIT: usize = 32;
/// Refusals among them on their way out; an agent that does not read them is not read either.
const TASKS_LIMIT: usize = 2 * TURNS_LIMIT;
/// Bytes gathered before they are sent, when that many are there at once.
const GATHER_BYTES: usize = 64 * 1024;

/// What the tasks of one agent's socket share.
pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    /// Of the handshake.
    pub(super) head: RequestHead,
    /// Events for the agent.
    pub(super) outbox: Mailbox,
    pub(super) gate: Rc<Gate>,
    lines: RefCell<Vec<Rc<Line>>>,
    tasks: Cell<usize>,
    /// The last line ended, and nobody has told the agent: its own socket shall end with this code.
    lost: Cell<Option<CloseCode>>,
}

/// Counts a response's task while it lives.
pub(super) struct TaskGuard(Rc<Session>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
        self.0.outbox.wake_taker();
    }
}

impl Session {
    /// Counts one more task in. `Err`: it shall only refuse.
    pub(super) fn begin(self: &Rc<Self>) -> (TaskGuard, Result<(), Reason>) {
        let before = self.tasks.get();
        self.tasks.set(before + 1);
        let room = match before < TURNS_LIMIT {
            true => Ok(()),
            false => Err(Reason::Overloaded),
        };
        (TaskGuard(Rc::clone(self)), room)
    }

    /// The agent's socket is over.
    pub(super) fn is_over(&self) -> bool {
        self.outbox.is_closed()
    }

    /// A line that is open and wanted.
    pub(super) fn line(&self, wanted: impl Fn(&Line) -> bool) -> Option<Rc<Line>> {
        let lines = self.lines.borrow();
        let open = |line: &&Rc<Line>| !line.outbox.is_closed() && wanted(line);
        lines.iter().find(open).map(Rc::clone)
    }

    pub(super) fn add_line(&self, line: &Rc<Line>) {
        self.lost.set(None);
        self.lines.borrow_mut().push(Rc::clone(line));
    }

    /// A line is over. What the agent's conversations had in it is lost: when nothing else goes on, the agent
    /// is told in the way in which the node was.
    pub(super) fn line_ended(&self, line: &Rc<Line>, code: Option<CloseCode>) {
        let mut lines = self.lines.borrow_mut();
        lines.retain(|other| !Rc::ptr_eq(other, line));
        if lines.is_empty() {
            self.lost.set(code);
            self.outbox.wake_taker();
        }
    }

    /// An agent was told by an error event that its line is over.
    pub(super) fn loss_is_told(&self) {
        self.lost.set(None);
    }

    /// The code of a loss that shall end the agent's socket.
    fn loss(&self) -> Option<CloseCode> {
        self.lost.get().filter(|_| self.tasks.get() == 0)
    }

    /// Ends what still runs for the agent.
    fn end(&self) {
        self.outbox.close();
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        lines.iter().for_each(|line| line.outbox.close());
    }
}

/// Serves the socket to its end.
pub(super) async fn run(
    worker: Rc<Worker>,
    peer: Peer,
    head: RequestHead,
    mut socket: WebSocket,
    alarm: Alarm,
) {
    let session = Rc::new(Session {
        worker,
        peer,
        head,
        outbox: Mailbox::default(),
        gate: Rc::default(),
        lines: RefCell::default(),
        tasks: Cell::new(0),
        lost: Cell::new(None),
    });
    let ended = serve(&session, &mut socket, &alarm).await;
    if alarm.ended().is_some() {
        // Its responses were woken too: a moment for what they say at the end.
        let farewell = poll_fn(|cx| match poll_send(cx, &session, &mut socket) {
            Poll::Ready(Ok(())) if session.tasks.get() > 0 => Poll::Pending,
            sent @ (Poll::Ready(_) | Poll::Pending) => sent.map(drop),
        });
        rt::race(farewell, rt::sleep(TICK)).await;
    }
    session.end();
    match ended {
        Ended::Gone => {}
        Ended::Closed(code) => socket.close(&alarm, code).await,
        Ended::Close(code) => socket.close(&alarm, Some(code)).await,
    }
}

/// How an agent's socket ends.
enum Ended {
    Gone,
    /// By the agent.
    Closed(Option<CloseCode>),
    /// By the node.
    Close(CloseCode),
}

async fn serve(session: &Rc<Session>, socket: &mut WebSocket, alarm: &Alarm) -> Ended {
    let worker = &session.worker;
    let timeouts = &worker.config.timeouts;
    let opened = Instant::now();
    let mut resting_since = opened;
    let (ping, write_idle) = (timeouts.websocket_ping, timeouts.response_write_idle);
    let mut pulse = Pulse::new(ping, write_idle, opened);
    let mut arriving = Arriving::default();
    loop {
        let is_resting = session.tasks.get() == 0;
        if !is_resting {
            resting_since = Instant::now();
        }
        let is_old = opened.elapsed() >= timeouts.websocket_age_max;
        if is_resting && (worker.is_draining() || is_old) {
            return Ended::Close(CloseCode::GOING_AWAY);
        }
        if let Some(code) = session.loss() {
            return Ended::Close(code);
        }
        let takes = !is_old && session.tasks.get() < TASKS_LIMIT;
        // Who is not read cannot answer.
        if takes && !pulse.look(socket, Instant::now()) {
            return Ended::Gone;
        }
        let seen = (session.tasks.get(), socket.messages.received());
        let step = poll_fn(|cx| poll_step(cx, session, socket, takes, seen));
        let waited = match is_resting {
            true => alarm.within_idle(ping, step).await,
            false => alarm.within(ping, step).await,
        };
        match waited {
            Ok(Step::Event(Ok(Event::Message { is_text: true }))) => {
                if !worker.may_begin() {
                    return Ended::Close(CloseCode::TRY_AGAIN);
                }
                take(session, socket);
                arriving = Arriving::default();
            }
            Ok(Step::Event(Ok(Event::Message { is_text: false }))) => {
                return Ended::Close(CloseCode::UNSUPPORTED);
            }
            Ok(Step::Event(Ok(Event::Closed(code)))) => return Ended::Closed(code),
            Ok(Step::Event(Err(Broken::Gone))) => return Ended::Gone,
            Ok(Step::Event(Err(Broken::Violation(code)))) => return Ended::Close(code),
            Ok(Step::Look) => {
                if !arriving.hold(worker, socket.messages.received()) {
                    return Ended::Close(CloseCode::TRY_AGAIN);
                }
            }
            Err(Elapsed) => match alarm.ended() {
                Some(Reason::PeerRevoked) => return Ended::Close(CloseCode::POLICY),
                Some(_) => return Ended::Close(CloseCode::GOING_AWAY),
                None if is_resting && resting_since.elapsed() >= timeouts.websocket_idle => {
                    return Ended::Close(CloseCode::GOING_AWAY);
                }
                // Drain, age and pulse are looked at above.
                None => {}
            },
        }
    }
}

enum Step {
    Event(Result<Event, Broken>),
    /// Something changed that the loop looks at.
    Look,
}

/// `seen`: how many tasks there were, and how much of a message, when this wait began.
fn poll_step(
    cx: &mut Context<'_>,
    session: &Session,
    socket: &mut WebSocket,
    takes: bool,
    seen: (usize, usize),
) -> Poll<Step> {
    let gone = Poll::Ready(Step::Event(Err(Broken::Gone)));
    if let Poll::Ready(Err(_)) = poll_send(cx, session, socket) {
        return gone;
    }
    if takes && let Poll::Ready(event) = socket.poll_event(cx) {
        return Poll::Ready(Step::Event(event));
    }
    // Answers to pings.
    if let Poll::Ready(Err(_)) = socket.poll_flush(cx) {
        return gone;
    }
    let has_grown = Arriving::has_grown(socket.messages.received(), seen.1);
    match has_grown || session.tasks.get() != seen.0 || session.loss().is_some() {
        true => Poll::Ready(Step::Look),
        false => Poll::Pending,
    }
}

/// Sends what is there for the agent; ready when all of it is sent.
fn poll_send(
    cx: &mut Context<'_>,
    session: &Session,
    socket: &mut WebSocket,
) -> Poll<io::Result<()>> {
    loop {
        let mut is_empty = false;
        while socket.messages.queued() < GATHER_BYTES && !is_empty {
            match session.outbox.poll_take(cx) {
                Poll::Ready(Some(message)) => socket.messages.push_payload(true, message),
                Poll::Ready(None) | Poll::Pending => is_empty = true,
            }
        }
        ready!(socket.poll_flush(cx))?;
        if is_empty {
            return Poll::Ready(Ok(()));
        }
    }
}

/// What an agent asks for, on its way.
fn take(session: &Rc<Session>, socket: &mut WebSocket) {
    match client_event(socket.messages.data()) {
        Ok(event) if event.is_create => {
            turn::start(session, event.lane, socket.messages.take_buffer())
        }
        Ok(event) => pass_on(session, &event, socket.messages.take()),
        Err(what) => {
            socket.messages.consume();
            let failure = Failure::new(Reason::MalformedJson, what);
            turn::start_refused(session, None, failure);
        }
    }
}

/// Sends an event to the provider that has the response it is about.
fn pass_on(session: &Rc<Session>, event: &ClientEvent, message: Payload) {
    let (lane, response) = (event.lane.as_deref(), event.response.as_deref());
    let line = session
        .line(|line| line.has(lane, response))
        .or_else(|| session.line(|_| true));
    let Some(line) = line else {
        let failure = Failure::new(
            Reason::MalformedRequest,
            "this event is about no response of this connection",
        );
        return turn::start_refused(session, event.lane.clone(), failure);
    };
    let (task, room) = session.begin();
    if room.is_ok() {
        rt::spawn(async move {
            let _task = task;
            // A line that ends meanwhile says so to whoever waits for its response.
            let _ = line.outbox.push(message).await;
        });
    }
}
