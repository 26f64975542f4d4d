//! A queue of messages between two tasks of one worker, bounded in bytes: who fills it waits for who
//! empties it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::payload::Payload;

/// Bytes queued beyond which nothing more is taken; one message may go over it.
const QUEUED_BYTES_LIMIT: usize = 64 * 1024;

/// See the module. Closing it ends the waits of both sides.
#[derive(Default)]
pub struct Mailbox {
    queue: RefCell<VecDeque<Payload>>,
    bytes: Cell<usize>,
    is_closed: Cell<bool>,
    taker: RefCell<Option<Waker>>,
    fillers: RefCell<Vec<Waker>>,
    /// Those who only wait for its end, by the number of their watch.
    watchers: RefCell<Vec<(u64, Waker)>>,
    watches: Cell<u64>,
}

/// Waits for a mailbox's end; see [`Mailbox::closed`].
pub struct Watch<'m> {
    mailbox: &'m Mailbox,
    number: u64,
}

/// Nobody takes messages any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

impl Mailbox {
    /// Waits until there is room.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.is_closed.get() {
            return Poll::Ready(Err(Closed));
        }
        if self.bytes.get() < QUEUED_BYTES_LIMIT {
            return Poll::Ready(Ok(()));
        }
        add(&self.fillers, cx);
        Poll::Pending
    }

    /// Adds a message once there is room.
    pub async fn push(&self, message: Payload) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.bytes.set(self.bytes.get() + message.len());
        self.queue.borrow_mut().push_back(message);
        self.wake_taker();
        Ok(())
    }

    /// Waits for the next message; `None` when the box is closed and empty.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Payload>> {
        let message = self.queue.borrow_mut().pop_front();
        if let Some(message) = message {
            self.bytes.set(self.bytes.get() - message.len());
            wake_all(&self.fillers);
            return Poll::Ready(Some(message));
        }
        if self.is_closed.get() {
            return Poll::Ready(None);
        }
        *self.taker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes no more messages; those in it can still be taken.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.wake_taker();
        wake_all(&self.fillers);
        let watchers = std::mem::take(&mut *self.watchers.borrow_mut());
        watchers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waits until it is closed.
    pub fn closed(&self) -> Watch<'_> {
        let number = self.watches.get();
        self.watches.set(number + 1);
        Watch {
            mailbox: self,
            number,
        }
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Lets the taker look again at what it waits for beside this box.
    pub fn wake_taker(&self) {
        let waker = self.taker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Watch<'_> {
    /// See [`Mailbox::closed`].
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.mailbox.is_closed.get() {
            return Poll::Ready(());
        }
        let mut watchers = self.mailbox.watchers.borrow_mut();
        match watchers
            .iter_mut()
            .find(|(number, _)| *number == self.number)
        {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => watchers.push((self.number, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Future for Watch<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_closed(cx)
    }
}

/// A waker keeps its task's memory; many tasks come and go while a box is open.
impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut watchers = self.mailbox.watchers.borrow_mut();
        watchers.retain(|(number, _)| *number != self.number);
    }
}

fn add(wakers: &RefCell<Vec<Waker>>, cx: &Context<'_>) {
    let mut wakers = wakers.borrow_mut();
    if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

fn wake_all(wakers: &RefCell<Vec<Waker>>) {
    let wakers = std::mem::take(&mut *wakers.borrow_mut());
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fills_waits_for_who_empties() {
        let mut cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::default();
        let mut push = |bytes: usize| {
            let mut pushing = std::pin::pin!(mailbox.push(vec![0; bytes].into()));
            pushing.as_mut().poll(&mut cx)
        };
        assert_eq!(push(QUEUED_BYTES_LIMIT - 1), Poll::Ready(Ok(())));
        assert_eq!(push(QUEUED_BYTES_LIMIT), Poll::Ready(Ok(())));
        assert_eq!(push(0), Poll::Pending);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(mailbox.poll_take(&mut cx).is_ready());
        assert!(mailbox.poll_room(&mut cx).is_pending());
        assert!(mailbox.poll_take(&mut cx).is_ready());
        assert_eq!(mailbox.poll_room(&mut cx), Poll::Ready(Ok(())));
        assert!(mailbox.poll_take(&mut cx).is_pending());
    }

    #[test]
    fn who_watches_no_more_is_forgotten() {
        let mut cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::default();
        let [first, second] = [mailbox.closed(), mailbox.closed()];
        for _ in 0..2 {
            assert!(first.poll_closed(&mut cx).is_pending());
            assert!(second.poll_closed(&mut cx).is_pending());
        }
        assert_eq!(mailbox.watchers.borrow().len(), 2);
        drop(first);
        assert_eq!(mailbox.watchers.borrow().len(), 1);
        mailbox.close();
        assert!(second.poll_closed(&mut cx).is_ready());
    }

    #[test]
    fn a_closed_box_is_emptied_and_not_filled() {
        let mut cx = Context::from_waker(Waker::noop());
        let mailbox = Mailbox::default();
        assert!(
            std::pin::pin!(mailbox.push(b"a".to_vec().into()))
                .poll(&mut cx)
                .is_ready()
        );
        mailbox.close();
        let mut late = std::pin::pin!(mailbox.push(b"b".to_vec().into()));
        assert_eq!(late.as_mut().poll(&mut cx), Poll::Ready(Err(Closed)));
        let mut take = || {
            mailbox
                .poll_take(&mut cx)
                .map(|taken| taken.map(|m| m.to_vec()))
        };
        assert_eq!(take(), Poll::Ready(Some(b"a".to_vec())));
        assert_eq!(take(), Poll::Ready(None));
    }
}
