//! The conversations on a provider's socket, and to which of them an event belongs.

use std::{cell::RefCell, rc::Rc};

use crate::{
    data_plane::websocket::mailbox::Mailbox,
    dialect::websocket::{ServerEvent, ServerEventKind},
};

/// Conversations remembered on one socket; the oldest that rest are forgotten.
const LANES_LIMIT: usize = 256;

/// See the module.
#[derive(Default)]
pub(super) struct Lanes(RefCell<Vec<LaneState>>);

struct LaneState {
    name: Option<Box<str>>,
    /// The model last asked for.
    model: Box<str>,
    /// The response that ran last.
    response: Option<Box<str>>,
    mode: Mode,
}

enum Mode {
    /// A response runs, whose events go here.
    Busy(Rc<Mailbox>),
    Resting,
    /// Who waited for the response is gone; what still comes of it is for nobody.
    Abandoned,
}

/// Where an event belongs.
pub(super) enum Place {
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

impl Lanes {
    /// A response begins in a conversation; whatever was there before is over.
    pub(super) fn begin(&self, name: Option<Box<str>>, model: &str) -> Rc<Mailbox> {
        let inbox = Rc::new(Mailbox::default());
        let mut lanes = self.0.borrow_mut();
        lanes.retain(|lane| {
            let is_same = lane.name == name;
            if is_same {
                lane.mode.end();
            }
            !is_same
        });
        if lanes.len() >= LANES_LIMIT
            && let Some(oldest) = lanes.iter().position(|lane| !lane.mode.is_busy())
        {
            lanes.remove(oldest);
        }
        lanes.push(LaneState {
            name,
            model: model.into(),
            response: None,
            mode: Mode::Busy(Rc::clone(&inbox)),
        });
        inbox
    }

    /// The id of the response that has this inbox, by which later events may name it.
    pub(super) fn note(&self, inbox: &Rc<Mailbox>, response: &str) {
        self.change(inbox, |lane| lane.response = Some(response.into()));
    }

    /// The last event of a response is in its inbox. What the provider sends next is another's, also when
    /// nobody has looked into the inbox yet.
    pub(super) fn rest(&self, inbox: &Rc<Mailbox>) {
        inbox.close();
        self.change(inbox, |lane| lane.mode = Mode::Resting);
    }

    /// Nobody waits for that response any more. True when it ran.
    pub(super) fn abandon(&self, inbox: &Rc<Mailbox>) -> bool {
        // Who fills it waits for nobody else.
        inbox.close();
        self.change(inbox, |lane| lane.mode = Mode::Abandoned)
    }

    /// Whether a conversation goes on here: the one of that name, or with that response.
    pub(super) fn has(&self, name: Option<&str>, response: Option<&str>) -> bool {
        (self.0.borrow().iter()).any(|lane| {
            name.is_some() && lane.name.as_deref() == name
                || response.is_some() && lane.response.as_deref() == response
        })
    }

    pub(super) fn is_busy(&self) -> bool {
        (self.0.borrow().iter()).any(|lane| lane.mode.is_busy())
    }

    /// Nothing more will come: who waits shall know.
    pub(super) fn end(&self) {
        self.0.borrow().iter().for_each(|lane| lane.mode.end());
    }

    /// Where an event belongs.
    pub(super) fn place(&self, event: &ServerEvent) -> Place {
        let lanes = self.0.borrow();
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
        let mut busy = lanes.iter().filter(|lane| lane.mode.is_busy());
        match (busy.next(), busy.next()) {
            // An error that names no conversation can only mean this one.
            (Some(only), None) if is_lost => of(only),
            _ => place,
        }
    }

    /// Changes the conversation whose response has this inbox, if it runs.
    fn change(&self, inbox: &Rc<Mailbox>, change: impl FnOnce(&mut LaneState)) -> bool {
        let mut lanes = self.0.borrow_mut();
        let lane = lanes.iter_mut().find(|lane| lane.mode.is_busy_with(inbox));
        lane.map(change).is_some()
    }
}

impl Mode {
    fn is_busy(&self) -> bool {
        match self {
            Self::Busy(_) => true,
            Self::Resting | Self::Abandoned => false,
        }
    }

    fn is_busy_with(&self, inbox: &Rc<Mailbox>) -> bool {
        match self {
            Self::Busy(own) => Rc::ptr_eq(own, inbox),
            Self::Resting | Self::Abandoned => false,
        }
    }

    fn end(&self) {
        match self {
            Self::Busy(inbox) => inbox.close(),
            Self::Resting | Self::Abandoned => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: ServerEventKind, lane: Option<&str>) -> ServerEvent {
        ServerEvent {
            kind,
            lane: lane.map(Into::into),
        }
    }

    fn is_for(place: &Place, inbox: &Rc<Mailbox>) -> bool {
        matches!(place, Place::Turn(found) if Rc::ptr_eq(found, inbox))
    }

    #[test]
    fn events_go_to_the_response_that_runs_in_their_conversation() {
        use ServerEventKind::{Created, Error, Other};
        let lanes = Lanes::default();
        let [main, side] = [None, Some("side")].map(|name| lanes.begin(name.map(Into::into), "m"));
        assert!(is_for(&lanes.place(&event(Other, None)), &main));
        assert!(is_for(&lanes.place(&event(Other, Some("side"))), &side));
        let unknown = lanes.place(&event(Other, Some("other")));
        assert!(matches!(unknown, Place::Agent));
        lanes.rest(&main);
        // Before anybody has read the last event.
        assert!(main.is_closed() && lanes.is_busy());
        let successor = lanes.place(&event(Created, None));
        assert!(matches!(successor, Place::Successor { name: None, model } if &*model == "m"));
        assert!(is_for(&lanes.place(&event(Error(None), None)), &side));
        assert!(lanes.abandon(&side) && side.is_closed() && !lanes.is_busy());
        assert!(matches!(
            lanes.place(&event(Other, Some("side"))),
            Place::Nowhere
        ));
    }

    #[test]
    fn a_response_that_is_over_changes_nothing_for_its_successor() {
        let lanes = Lanes::default();
        let first = lanes.begin(None, "m");
        lanes.note(&first, "r1");
        lanes.rest(&first);
        assert!(lanes.has(None, Some("r1")));
        let second = lanes.begin(None, "m");
        assert!(!lanes.abandon(&first));
        lanes.note(&first, "r1");
        assert!(!lanes.has(None, Some("r1")) && lanes.is_busy());
        // One that the provider never ended makes room all the same.
        let third = lanes.begin(None, "m");
        assert!(second.is_closed() && !third.is_closed());
    }

    #[test]
    fn conversations_that_rest_are_forgotten_beyond_the_limit() {
        let lanes = Lanes::default();
        let name = |number: usize| Some(number.to_string().into());
        let kept = lanes.begin(name(0), "m");
        for number in 1..=2 * LANES_LIMIT {
            let inbox = lanes.begin(name(number), "m");
            match number % 2 {
                0 => lanes.rest(&inbox),
                _ => assert!(lanes.abandon(&inbox)),
            }
        }
        assert_eq!(lanes.0.borrow().len(), LANES_LIMIT);
        assert!(lanes.has(Some("0"), None) && !kept.is_closed());
    }
}
