//! What was answered, how fast, and what went wrong.

use serde::Serialize;

/// Counts of one measured window.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// The first failure, as the client saw it.
    pub(super) first_failure: Option<String>,
    /// Events whose stamp was read.
    pub(super) events: u64,
    /// From request to whole answer, or from an event's stamp to its arrival.
    pub(super) latencies_ns: Vec<u64>,
}

/// Quantiles in microseconds; 0 when nothing was timed.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Tally {
    pub(super) fn answer(&mut self, latency_ns: u64) {
        self.answered += 1;
        self.latencies_ns.push(latency_ns);
    }

    pub(super) fn event(&mut self, latency_ns: u64) {
        self.events += 1;
        self.latencies_ns.push(latency_ns);
    }

    pub(super) fn fail(&mut self, what: impl FnOnce() -> String) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(what);
    }

    pub(super) fn latency(&mut self) -> Latency {
        self.latencies_ns.sort_unstable();
        Latency {
            p50_us: quantile_us(&self.latencies_ns, 0.50),
            p99_us: quantile_us(&self.latencies_ns, 0.99),
        }
    }
}

fn quantile_us(sorted_ns: &[u64], q: f64) -> f64 {
    let Some(last) = sorted_ns.len().checked_sub(1) else {
        return 0.0;
    };
    sorted_ns[(last as f64 * q) as usize] as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_from_sorted_times() {
        let mut tally = Tally::default();
        (1..=100).rev().for_each(|us| tally.answer(us * 1000));
        let latency = tally.latency();
        assert_eq!((latency.p50_us, latency.p99_us), (50.0, 99.0));
        assert_eq!(Tally::default().latency().p99_us, 0.0);
    }
}
