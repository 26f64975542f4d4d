//! What only one task at a time may do on a socket: run a response in a conversation, or dial. The others
//! wait in a queue, in the order in which they were asked for.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// What is done by one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A response in the conversation with this `stream_id`.
    Lane(Option<Box<str>>),
    Dial,
}

/// See the module. As long as its users are bounded, so is its queue.
#[derive(Default)]
pub(super) struct Gate {
    queue: RefCell<Vec<Waiting>>,
    next: Cell<u64>,
}

struct Waiting {
    number: u64,
    key: Key,
    waker: Option<Waker>,
}

/// A place in the queue; the first of a key's has its turn. The next has it when this is dropped.
pub(super) struct Place {
    gate: Rc<Gate>,
    number: u64,
}

impl Gate {
    /// The last place in the queue of `key`.
    pub(super) fn queue(self: &Rc<Self>, key: Key) -> Place {
        let end = self.queue.borrow().len();
        self.place(end, key)
    }

    /// The place right behind the one that has its turn.
    pub(super) fn queue_next(self: &Rc<Self>, key: Key) -> Place {
        let first = (self.queue.borrow().iter()).position(|waiting| waiting.key == key);
        self.place(first.map_or(0, |first| first + 1), key)
    }

    fn place(self: &Rc<Self>, index: usize, key: Key) -> Place {
        let number = self.next.get();
        self.next.set(number + 1);
        let waiting = Waiting {
            number,
            key,
            waker: None,
        };
        self.queue.borrow_mut().insert(index, waiting);
        Place {
            gate: Rc::clone(self),
            number,
        }
    }
}

impl Place {
    /// Waits for the turn.
    pub(super) async fn turn(&self) {
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.gate.queue.borrow_mut();
        let own = (queue.iter()).position(|waiting| waiting.number == self.number);
        let own = own.expect("a place is in the queue until it is dropped");
        let (before, rest) = queue.split_at_mut(own);
        let own = &mut rest[0];
        if before.iter().all(|waiting| waiting.key != own.key) {
            return Poll::Ready(());
        }
        own.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.gate.queue.borrow_mut();
        let own = (queue.iter()).position(|waiting| waiting.number == self.number);
        let left = queue.remove(own.expect("a place is in the queue until it is dropped"));
        let next = (queue.iter_mut()).find(|waiting| waiting.key == left.key);
        let waker = next.and_then(|next| next.waker.take());
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str) -> Key {
        Key::Lane(Some(name.into()))
    }

    fn has_turn(place: &Place) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        place.poll_turn(&mut cx).is_ready()
    }

    #[test]
    fn one_at_a_time_for_each_key_in_the_order_asked_for() {
        let gate = Rc::new(Gate::default());
        let first = gate.queue(lane("a"));
        let other = gate.queue(lane("b"));
        let [second, third] = [gate.queue(lane("a")), gate.queue(lane("a"))];
        assert!(has_turn(&first) && has_turn(&other));
        assert!(!has_turn(&second) && !has_turn(&third));
        drop(first);
        // Whoever is polled first.
        assert!(!has_turn(&third) && has_turn(&second));
        let successor = gate.queue_next(lane("a"));
        drop(second);
        assert!(!has_turn(&third) && has_turn(&successor));
        drop(successor);
        assert!(has_turn(&third));
    }

    #[test]
    fn who_gives_up_keeps_nobody_waiting() {
        let gate = Rc::new(Gate::default());
        let [first, second, third] = [(); 3].map(|()| gate.queue(Key::Dial));
        assert!(!has_turn(&second) && !has_turn(&third));
        drop(second);
        assert!(!has_turn(&third));
        drop(first);
        assert!(has_turn(&third));
        drop(third);
        assert!(gate.queue.borrow().is_empty());
    }
}
