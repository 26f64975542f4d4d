//! What only one task at a time may do on a socket: run a response in a conversation, or dial. The others
//! wait, in the order in which they came.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// What is done by one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A response in the conversation with this `stream_id`.
    Lane(Option<Box<str>>),
    Dial,
}

/// See the module. As long as its users are bounded, so are its lists.
#[derive(Default)]
pub(super) struct Gate {
    busy: RefCell<Vec<Key>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Others may pass when it is dropped.
pub(super) struct Passed {
    gate: Rc<Gate>,
    key: Key,
}

impl Gate {
    /// Waits until nobody else does what `key` says.
    pub(super) async fn pass(self: &Rc<Self>, key: Key) -> Passed {
        poll_fn(|cx| {
            let mut busy = self.busy.borrow_mut();
            if busy.contains(&key) {
                self.waiting.borrow_mut().push(cx.waker().clone());
                return Poll::Pending;
            }
            busy.push(key.clone());
            Poll::Ready(())
        })
        .await;
        Passed {
            gate: Rc::clone(self),
            key,
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let mut busy = self.gate.busy.borrow_mut();
        busy.retain(|key| *key != self.key);
        drop(busy);
        let waiting = std::mem::take(&mut *self.gate.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    #[test]
    fn one_at_a_time_for_each_key() {
        let mut cx = Context::from_waker(Waker::noop());
        let gate = Rc::new(Gate::default());
        let lane = |name: &str| Key::Lane(Some(name.into()));
        let Poll::Ready(first) = std::pin::pin!(gate.pass(lane("a"))).poll(&mut cx) else {
            panic!("nobody is there");
        };
        assert!(
            std::pin::pin!(gate.pass(lane("b")))
                .poll(&mut cx)
                .is_ready()
        );
        let mut second = std::pin::pin!(gate.pass(lane("a")));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(second.as_mut().poll(&mut cx).is_ready());
    }
}
