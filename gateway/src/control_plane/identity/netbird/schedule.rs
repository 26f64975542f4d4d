//! When NetBird is asked next, and until when its last answer holds. Pure: `now` and chance are
//! arguments.

use std::time::{Duration, Instant};

use crate::{config::NetbirdConfig, control_plane::backoff::Backoff};

const RETRY: Backoff = Backoff {
    shortest: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// A longer `Retry-After` is cut.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// By chance the pause between two readings is shorter by up to this part, so that nodes that began
/// together spread out.
const SPREAD: f64 = 0.1;

pub(super) struct Schedule {
    refresh: Duration,
    max_age: Duration,
    next: Instant,
    /// `None`: nothing is known that could end.
    usable_until: Option<Instant>,
    failures_in_a_row: u32,
}

impl Schedule {
    /// Begins at once; what is known already is this old.
    pub(super) fn new(config: &NetbirdConfig, now: Instant, known: Option<Duration>) -> Self {
        let left = known.and_then(|age| config.max_age.checked_sub(age));
        Self {
            refresh: config.refresh,
            max_age: config.max_age,
            next: now,
            usable_until: left.map(|left| now + left),
            failures_in_a_row: 0,
        }
    }

    /// When to ask.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// When what is known ends.
    pub(super) fn usable_until(&self) -> Option<Instant> {
        self.usable_until
    }

    /// What was asked for at `asked_at` came. `chance` is in 0..1.
    pub(super) fn succeeded(&mut self, asked_at: Instant, now: Instant, chance: f64) {
        self.failures_in_a_row = 0;
        self.usable_until = Some(asked_at + self.max_age);
        self.next = now + self.refresh.mul_f64(1.0 - SPREAD * chance);
    }

    /// It did not. `retry_after` is the server's wish.
    pub(super) fn failed(&mut self, now: Instant, retry_after: Option<Duration>, chance: f64) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let wait = RETRY.after(self.failures_in_a_row, chance);
        let wished = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.next = now + wait.max(wished);
    }

    /// Whether what is known has ended by now; true once.
    pub(super) fn ends(&mut self, now: Instant) -> bool {
        self.usable_until.take_if(|end| *end <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenSource;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> NetbirdConfig {
        NetbirdConfig {
            url: String::new(),
            token: TokenSource::Environment(String::new()),
            ca: None,
            refresh: 60 * SECOND,
            max_age: 600 * SECOND,
            timeout: SECOND,
        }
    }

    #[test]
    fn failures_back_off_and_a_wish_is_respected() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&config(), start, None);
        assert_eq!((schedule.next(), schedule.usable_until()), (start, None));
        for seconds in [1, 2, 4] {
            schedule.failed(start, None, 0.0);
            assert_eq!(schedule.next(), start + seconds * SECOND);
        }
        schedule.failed(start, Some(90 * SECOND), 0.0);
        assert_eq!(schedule.next(), start + 90 * SECOND);
        schedule.failed(start, Some(SECOND), 0.0);
        assert_eq!(schedule.next(), start + 16 * SECOND);
        schedule.failed(start, Some(Duration::MAX), 0.0);
        assert_eq!(schedule.next(), start + RETRY_AFTER_MAX);
        schedule.succeeded(start - SECOND, start, 0.5);
        assert_eq!(schedule.next(), start + 57 * SECOND);
        schedule.failed(start, None, 0.0);
        assert_eq!(schedule.next(), start + SECOND);
    }

    #[test]
    fn an_answer_ends_when_it_is_too_old_however_often_it_fails_meanwhile() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&config(), start, None);
        schedule.succeeded(start, start + SECOND, 0.0);
        for _ in 0..20 {
            schedule.failed(start + 599 * SECOND, None, 0.0);
        }
        assert!(!schedule.ends(start + 599 * SECOND));
        assert!(schedule.ends(start + 600 * SECOND));
        assert!(!schedule.ends(start + 601 * SECOND), "it ends once");
    }

    #[test]
    fn what_was_kept_has_its_age_already() {
        let start = Instant::now();
        for (age, left) in [(0, Some(600)), (599, Some(1)), (600, Some(0)), (601, None)] {
            let schedule = Schedule::new(&config(), start, Some(age * SECOND));
            let end = left.map(|left| start + left * SECOND);
            assert_eq!(schedule.usable_until(), end, "{age}");
        }
    }
}
