//! A long message while it arrives: it counts against the worker's limit on held bytes.

use std::rc::Rc;

use crate::data_plane::worker::{ExchangeGuard, Worker};

/// A message that is longer counts.
const UNCOUNTED_BYTES: usize = 32 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Arriving(Option<ExchangeGuard>);

impl Arriving {
    /// Whether `received` bytes are so many more than `before` that they are to be counted.
    pub(super) fn has_grown(received: usize, before: usize) -> bool {
        received > before + UNCOUNTED_BYTES
    }

    /// Counts what has been received. False when the worker holds too much.
    pub(super) fn hold(&mut self, worker: &Rc<Worker>, received: usize) -> bool {
        if received <= UNCOUNTED_BYTES {
            return true;
        }
        if self.0.is_none() {
            self.0 = worker.admit_exchange();
        }
        self.0.as_mut().is_some_and(|guard| guard.hold(received))
    }
}
