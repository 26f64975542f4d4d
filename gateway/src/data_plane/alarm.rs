//! Time limits without a timer per wait: a task holds one alarm, setting it writes a number, and the
//! worker's tick wakes the tasks whose time is up. Limits are therefore late by up to [`TICK`]. A drain
//! ends waits the same way: first the idle ones, at its deadline all. So does the removal of a peer. What
//! ended so waits for nothing more but its last words.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use crate::handoff::reason::Reason;

/// How often time limits, commands and batches are looked at.
pub const TICK: Duration = Duration::from_millis(50);

thread_local! {
    static COARSE_NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time of the worker's last tick: good enough for limits and ages, and read without a clock.
pub fn coarse_now() -> Instant {
    COARSE_NOW.get().unwrap_or_else(|| {
        let now = Instant::now();
        COARSE_NOW.set(Some(now));
        now
    })
}

/// All alarms of a worker.
#[derive(Default)]
pub struct Alarms {
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Rc<Slot>>,
}

struct Slot {
    /// The peer that is waited for: its address, and its number in the snapshot.
    address: IpAddr,
    peer_slot: u32,
    /// Why nothing is waited for any more.
    ended: Cell<Option<Reason>>,
    deadline: Cell<Option<Instant>>,
    /// The tick found the deadline passed, or a drain ended the wait.
    fired: Cell<bool>,
    /// The wait under way is for work that has not begun.
    idle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Alarms {
    /// An alarm for what is done on behalf of the peer with this address and number.
    pub fn alarm(&self, address: IpAddr, peer_slot: u32) -> Alarm {
        let slot = Rc::new(Slot {
            address,
            peer_slot,
            ended: Cell::new(None),
            deadline: Cell::new(None),
            fired: Cell::new(false),
            idle: Cell::new(false),
            waker: RefCell::new(None),
        });
        self.slots.borrow_mut().entries.push(Rc::clone(&slot));
        Alarm { slot, total: None }
    }

    /// Wakes what is overdue and forgets alarms that were dropped.
    pub fn tick(&self, now: Instant) {
        COARSE_NOW.set(Some(now));
        let mut overdue = Vec::new();
        self.slots.borrow_mut().entries.retain(|slot| {
            if slot.deadline.get().is_some_and(|deadline| deadline <= now) {
                overdue.extend(slot.fire());
            }
            Rc::strong_count(slot) > 1
        });
        overdue.into_iter().for_each(Waker::wake);
    }

    /// Ends every wait for work that has not begun.
    pub fn end_idle(&self) {
        self.end(|slot| slot.idle.get());
    }

    /// Ends every wait, and what would be waited for next.
    pub fn end_all(&self) {
        self.end_for(Reason::Draining, |_| true);
    }

    /// The same on behalf of who is no peer any more.
    pub fn revoke(&self, is_peer: impl Fn(IpAddr, u32) -> bool) {
        self.end_for(Reason::PeerRevoked, |slot| {
            !is_peer(slot.address, slot.peer_slot)
        });
    }

    fn end_for(&self, reason: Reason, which: impl Fn(&Slot) -> bool) {
        for slot in &self.slots.borrow().entries {
            if which(slot) {
                slot.ended.set(Some(reason));
            }
        }
        self.end(|slot| slot.ended.get().is_some());
    }

    fn end(&self, which: impl Fn(&Slot) -> bool) {
        let ended: Vec<Waker> = (self.slots.borrow().entries.iter())
            .filter(|slot| slot.deadline.get().is_some() && which(slot))
            .filter_map(|slot| slot.fire())
            .collect();
        ended.into_iter().for_each(Waker::wake);
    }
}

impl Slot {
    fn fire(&self) -> Option<Waker> {
        self.deadline.set(None);
        self.fired.set(true);
        self.waker.borrow_mut().take()
    }
}

/// One task's alarm; guards one wait at a time.
pub struct Alarm {
    slot: Rc<Slot>,
    /// Bounds every wait until it is lifted.
    total: Option<Instant>,
}

/// The time was up before the wait was over.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Alarm {
    /// Every wait ends at `deadline` at the latest, until the next call.
    pub fn bound_all(&mut self, deadline: Option<Instant>) {
        self.total = deadline;
    }

    /// Whether the bound of [`Self::bound_all`] has passed.
    pub fn total_elapsed(&self) -> bool {
        self.total.is_some_and(|total| total <= Instant::now())
    }

    /// Why every wait was ended, for good.
    pub fn ended(&self) -> Option<Reason> {
        self.slot.ended.get()
    }

    /// As [`Self::within`], for a wait that a drain may end at once.
    pub async fn within_idle<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        self.slot.idle.set(true);
        let result = self.within(limit, future).await;
        self.slot.idle.set(false);
        result
    }

    /// Waits for `future`, at most for `limit`. An elapsed future is dropped.
    pub fn within<F: Future>(&self, limit: Duration, future: F) -> Within<'_, F> {
        self.wait(limit, future, true)
    }

    /// As [`Self::within`], for what is said at the end: also when all waits were ended, until a tick.
    pub fn last_words<F: Future>(&self, limit: Duration, future: F) -> Within<'_, F> {
        let limit = self.ended().map_or(limit, |_| Duration::ZERO);
        self.wait(limit, future, false)
    }

    fn wait<F: Future>(&self, limit: Duration, future: F, minds_end: bool) -> Within<'_, F> {
        Within {
            future,
            alarm: self,
            limit,
            minds_end,
            armed: Armed {
                slot: &self.slot,
                set: false,
            },
        }
    }
}

pin_project! {
    /// See [`Alarm::within`]. By hand: an async function would keep `future` twice, as its argument and where
    /// it is pinned, and these are nested.
    pub struct Within<'a, F> {
        #[pin]
        future: F,
        alarm: &'a Alarm,
        limit: Duration,
        minds_end: bool,
        armed: Armed<'a>,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let Alarm { slot, total } = this.alarm;
        if slot.fired.get() || *this.minds_end && slot.ended.get().is_some() {
            return Poll::Ready(Err(Elapsed));
        }
        if !this.armed.set {
            // The tick may be as old as it is long; a limit is never cut short.
            let deadline = coarse_now() + TICK + *this.limit;
            slot.deadline
                .set(Some(total.map_or(deadline, |total| total.min(deadline))));
            this.armed.set = true;
        }
        let mut waker = slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Disarms the slot when the wait is over, also when it is dropped.
struct Armed<'a> {
    slot: &'a Slot,
    set: bool,
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        if self.set {
            self.slot.deadline.set(None);
            self.slot.fired.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 7));

    struct CountWakes(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn elapses_at_a_tick_and_forgets_dropped_alarms() {
        let wakes = Arc::new(CountWakes(0.into()));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let alarms = Alarms::default();
        let alarm = alarms.alarm(PEER, 0);
        {
            let mut wait =
                std::pin::pin!(alarm.within(Duration::ZERO, std::future::pending::<()>()));
            assert!(wait.as_mut().poll(&mut cx).is_pending());
            alarms.tick(Instant::now() + TICK);
            assert_eq!(wakes.0.load(std::sync::atomic::Ordering::Relaxed), 1);
            assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Err(Elapsed)));
        }
        drop(alarm);
        alarms.tick(Instant::now());
        assert!(alarms.slots.borrow().entries.is_empty());
    }

    #[test]
    fn a_wait_that_ends_at_once_arms_nothing() {
        let alarms = Alarms::default();
        let alarm = alarms.alarm(PEER, 0);
        let mut cx = Context::from_waker(Waker::noop());
        let mut wait = std::pin::pin!(alarm.within(Duration::ZERO, std::future::ready(7)));
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
        assert!(alarm.slot.deadline.get().is_none());
    }

    #[test]
    fn the_total_bound_wins() {
        let alarms = Alarms::default();
        let mut alarm = alarms.alarm(PEER, 0);
        alarm.bound_all(Some(Instant::now()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut wait =
            std::pin::pin!(alarm.within(Duration::from_secs(60), std::future::pending::<()>()));
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        alarms.tick(Instant::now());
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Err(Elapsed)));
    }

    #[test]
    fn a_removed_peers_waits_end_and_nobody_elses() {
        const LONG: Duration = Duration::from_secs(60);
        let mut cx = Context::from_waker(Waker::noop());
        let alarms = Alarms::default();
        let (removed, replaced, other) = (
            alarms.alarm(PEER, 0),
            alarms.alarm(Ipv4Addr::LOCALHOST.into(), 1),
            alarms.alarm(Ipv4Addr::LOCALHOST.into(), 2),
        );
        let mut waiting = Box::pin(removed.within(LONG, std::future::pending::<()>()));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        alarms.revoke(|address, slot| address == Ipv4Addr::LOCALHOST && slot == 2);
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Err(Elapsed)));
        drop(waiting);
        // Also one that did not wait just then, and one whose address is another peer's now.
        for alarm in [&removed, &replaced] {
            assert_eq!(alarm.ended(), Some(Reason::PeerRevoked));
            let mut next = Box::pin(alarm.within(LONG, std::future::pending::<()>()));
            assert_eq!(next.as_mut().poll(&mut cx), Poll::Ready(Err(Elapsed)));
            drop(next);
            let mut last = Box::pin(alarm.last_words(LONG, std::future::pending::<()>()));
            assert!(last.as_mut().poll(&mut cx).is_pending());
            alarms.tick(coarse_now() + TICK);
            assert_eq!(last.as_mut().poll(&mut cx), Poll::Ready(Err(Elapsed)));
        }
        assert_eq!(other.ended(), None);
        let mut going_on = Box::pin(other.within(LONG, std::future::pending::<()>()));
        assert!(going_on.as_mut().poll(&mut cx).is_pending());
        alarms.tick(coarse_now() + TICK);
        assert!(going_on.as_mut().poll(&mut cx).is_pending());
    }
}
