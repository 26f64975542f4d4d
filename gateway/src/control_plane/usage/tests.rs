//! Whole runs: from records to answers, compared with sums computed the plain way; and what happens
//! when the disk refuses or the process is killed.
#![allow(clippy::unwrap_used)]

mod crash;
mod disk;
mod fleet;
mod measure;
pub(super) mod place;
mod plans;
mod queries;
mod retention;
mod year;

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::*;
use place::{Place, on_both};

use crate::handoff::{
    queue::{RecordSender, record_queue},
    record::{CostNanoUsd, ExchangeRecord, Outcome, Usage, tests::sample},
};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// Fails the test when `condition` does not come true.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn wait_indexed(log: &UsageLog, records: u64) {
    let status = log.status();
    wait_for("the index", || {
        status.records_indexed.load(Ordering::Relaxed) == records
    });
}

/// A small generator of test data; the seed is printed, so that a failure can be repeated.
struct Lcg(u64);

impl Lcg {
    #[allow(clippy::print_stdout)]
    fn from_clock() -> Self {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        println!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
