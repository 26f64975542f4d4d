//! Buckets: how much of a limit is spent, as atomic words that all workers share and that outlive snapshots. A request
//! spends its upper bound before it is sent and settles afterwards, so that what is in flight counts.

mod grants;
mod line;

use portable_atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

pub use grants::GrantQueue;
use line::SharedWords;
pub use line::{Line, Segment, Words};

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Input, cached input included, and output.
    Tokens,
    NanoUsd,
    Requests,
    /// Requests that have not ended.
    InFlight,
}

impl Unit {
    /// Its name for operators.
    pub fn code(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::NanoUsd => "usd",
            Self::Requests => "requests",
            Self::InFlight => "in_flight",
        }
    }
}

/// How much somebody has spent in the present window. Windows are aligned with the epoch.
///
/// No lock, and no wait but for a competing addition: window and amount are one word of 128 bits, so that whoever
/// comes first in a new window begins it, and what ends after its window is not counted into the next.
///
/// This is a handle, and clones of it are the same bucket. What spending needs is in it or in the line.
#[derive(Debug, Clone)]
pub struct Bucket {
    unit: Unit,
    /// Is spent only as far as it is granted; see [`Grant`].
    is_durable: bool,
    /// 0: no windows, for what is in flight.
    window_seconds: u32,
    words: SharedWords<Known>,
}

/// What spending does not need to know of a bucket.
#[derive(Debug)]
struct Known {
    /// In the store; empty where nothing is kept there.
    name: Box<str>,
    /// The most that was asked to be granted, and is not yet.
    asked: AtomicU64,
}

/// What the store says may be spent of a bucket in a window. All of it counts as spent where what was spent is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grant {
    /// Number of the window since the epoch.
    pub window: u64,
    pub amount: u64,
}

/// Why nothing was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The limit would be passed; this much is left of it.
    Cap { left: u64 },
    /// The control plane has to grant more first; this is the amount to ask for.
    Grant(Grant),
}

impl Bucket {
    /// Of which the control plane grants what may be spent.
    pub fn durable(unit: Unit, window_seconds: u32, name: &str, words: Words) -> Self {
        Self {
            unit,
            is_durable: true,
            window_seconds,
            words: SharedWords::new(words, Known::new(name)),
        }
    }

    /// Which is forgotten when the node stops: rates, and what is in flight.
    pub fn volatile(unit: Unit, window_seconds: u32) -> Self {
        Self {
            unit,
            is_durable: false,
            window_seconds,
            words: SharedWords::new(Words::default(), Known::new("")),
        }
    }

    /// Both handles are of one bucket.
    pub fn is(&self, other: &Self) -> bool {
        self.line() == other.line()
    }

    /// Tells it from all others that there are at the same time.
    pub fn line(&self) -> *const Line {
        &*self.words
    }

    /// There is another handle of it.
    pub fn is_shared(&self) -> bool {
        self.words.is_shared()
    }

    /// To be called for a bucket that is about to be spent from, as far ahead as can be: its line is on the way to the
    /// cache meanwhile.
    #[inline]
    pub fn prefetch(&self) {
        line::prefetch(&self.words);
    }

    pub fn unit(&self) -> Unit {
        self.unit
    }

    pub fn name(&self) -> &str {
        &self.words.beside().name
    }

    pub fn window_seconds(&self) -> u32 {
        self.window_seconds
    }

    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// The number of the window that `now`, in seconds since the epoch, lies in.
    pub fn window_at(&self, now: u64) -> u64 {
        now.checked_div(u64::from(self.window_seconds)).unwrap_or(0)
    }

    /// As [`Self::window_at`], but no window that is over: a clock that was set back opens none again.
    pub fn window(&self, now: u64) -> u64 {
        let (begun, _) = split(self.words.spent.load(Acquire));
        self.window_at(now).max(begun)
    }

    /// Seconds from `now` to the next window, 0 where there is none.
    pub fn seconds_left(&self, now: u64) -> u64 {
        let window = u64::from(self.window_seconds);
        now.checked_rem(window).map_or(0, |into| window - into)
    }

    /// Spends `amount` if no more than `cap` is spent then. Returns the window it went into, for
    /// [`Self::settle`].
    ///
    /// # Errors
    /// Nothing is spent then; see [`Refusal`].
    pub fn spend(&self, now: u64, amount: u64, cap: u64) -> Result<u64, Refusal> {
        let line = &*self.words;
        let mut held = line.spent.load(Acquire);
        loop {
            let (begun, spent) = split(held);
            // As in `window`.
            let window = self.window_at(now).max(begun);
            let spent = if window == begun { spent } else { 0 };
            let after = match spent.checked_add(amount) {
                Some(after) if after <= cap => after,
                Some(_) | None => {
                    return Err(Refusal::Cap {
                        left: cap.saturating_sub(spent),
                    });
                }
            };
            if self.is_durable && !covers(line.granted.load(Acquire), window, after) {
                return Err(Refusal::Grant(Grant {
                    window,
                    amount: after,
                }));
            }
            let next = join(window, after);
            match line
                .spent
                .compare_exchange_weak(held, next, AcqRel, Acquire)
            {
                Ok(_) => return Ok(window),
                Err(newer) => held = newer,
            }
        }
    }

    /// Replaces what [`Self::spend`] took by what was really used; 0 gives all of it back. Nothing happens when the
    /// window is over.
    pub fn settle(&self, window: u64, taken: u64, used: u64) {
        let line = &*self.words;
        let mut held = line.spent.load(Acquire);
        loop {
            let (begun, spent) = split(held);
            if begun != window || taken == used {
                return;
            }
            let next = join(window, spent.saturating_sub(taken).saturating_add(used));
            match line
                .spent
                .compare_exchange_weak(held, next, AcqRel, Acquire)
            {
                Ok(_) => return,
                Err(newer) => held = newer,
            }
        }
    }

    /// The window of `now`, begun if need be, in which [`Self::settle`] adds what was used already.
    pub fn enter(&self, now: u64) -> u64 {
        let line = &*self.words;
        let mut held = line.spent.load(Acquire);
        loop {
            let (begun, _) = split(held);
            let window = self.window_at(now);
            if window <= begun {
                return begun;
            }
            match line
                .spent
                .compare_exchange_weak(held, join(window, 0), AcqRel, Acquire)
            {
                Ok(_) => return window,
                Err(newer) => held = newer,
            }
        }
    }

    /// What is spent in the window of `now`, requests in flight included.
    pub fn spent(&self, now: u64) -> u64 {
        let (begun, spent) = split(self.words.spent.load(Acquire));
        if self.window_at(now) <= begun {
            spent
        } else {
            0
        }
    }

    /// What is spent beyond the grant, as a request that used more than was foreseen makes it.
    pub fn ungranted(&self) -> Option<u64> {
        let (window, spent) = split(self.words.spent.load(Acquire));
        let granted = self.words.granted.load(Acquire);
        (self.is_durable && !covers(granted, window, spent)).then_some(spent)
    }

    /// Notes that a grant is wanted; true for whoever has to pass the wish on.
    pub fn ask(&self, amount: u64) -> bool {
        self.words.beside().asked.fetch_max(amount, Relaxed) == 0
    }

    /// What was asked for, for the control plane, which answers it.
    pub fn take_asked(&self) -> u64 {
        self.words.beside().asked.swap(0, Relaxed)
    }

    /// What is granted now.
    pub fn granted(&self) -> Option<Grant> {
        let (window, amount) = split(self.words.granted.load(Acquire));
        self.is_durable.then_some(Grant { window, amount })
    }

    /// Lets workers spend up to a grant that is durable. Only the control plane calls it, from one task.
    pub fn grant(&self, grant: Grant) {
        let granted = join(grant.window, grant.amount);
        self.words.granted.store(granted, Release);
    }

    /// Counts what an earlier run of the node was granted as spent. For a bucket that nobody uses yet.
    pub fn recover(&self, grant: Grant) {
        let spent = join(grant.window, grant.amount);
        self.words.spent.store(spent, Release);
        self.grant(grant);
    }

    /// The digest in its line; 0 where that is on the heap.
    pub fn digest(&self) -> u128 {
        self.words.digest()
    }
}

impl Known {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            asked: AtomicU64::new(0),
        }
    }
}

fn split(word: u128) -> (u64, u64) {
    ((word >> 64) as u64, word as u64)
}

fn join(window: u64, amount: u64) -> u128 {
    u128::from(window) << 64 | u128::from(amount)
}

fn covers(granted: u128, window: u64, amount: u64) -> bool {
    let (of, granted) = split(granted);
    of == window && amount <= granted
}

#[cfg(test)]
mod tests;
