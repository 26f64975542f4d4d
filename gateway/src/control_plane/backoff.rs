//! How long to wait after failures, so that what is broken is not asked more and more.

use std::time::Duration;

/// Doubling waits between two bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    /// After the first failure in a row.
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

impl Backoff {
    /// The wait after this many failures in a row (at least one). `chance` is in 0..1 and makes it up to a
    /// quarter longer, so that those that failed together do not come back together.
    pub(super) fn after(self, failures_in_a_row: u32, chance: f64) -> Duration {
        let doublings = failures_in_a_row.saturating_sub(1).min(u32::BITS - 1);
        let wait = (self.shortest.saturating_mul(1 << doublings)).min(self.longest);
        wait + (wait / 4).mul_f64(chance)
    }
}

/// Evenly in 0..1.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        };
        for (failures, seconds) in [(1, 1), (2, 2), (4, 8), (7, 60), (40, 60), (u32::MAX, 60)] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(backoff.after(failures, 0.0), wait, "{failures}");
            assert!(backoff.after(failures, 0.999) < wait * 5 / 4, "{failures}");
        }
    }
}
