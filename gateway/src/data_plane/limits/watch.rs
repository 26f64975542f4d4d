//! Ends an answer under way that would pass a hard limit: one that uses more than was set aside for it, where the limit
//! has no more.
//!
//! It goes by what is certain, and by nothing else ([`SoFar`]): the counts that a provider reports while it answers, and
//! the least that the text can be. The number of bytes or events would end answers that keep to their bound. So what
//! may pass a limit is what a provider sends against its bound, between one such sign and the next, or without any;
//! all that becomes known counts at once. Soft limits end nothing, since what they set aside is a guess.

use super::{GRANT_PART, Reservation, now};
use crate::{
    data_plane::{record::Recorder, settle},
    dialect::meter::{SoFar, tells_thoughts},
    policy::{Permit, bound::Amounts},
};

/// What may come of an event that has begun, before the answer is ended inside of it.
const LAST_EVENT_BYTES_LIMIT: u64 = 64 * 1024;

/// Over one answer.
pub struct Watch<'p> {
    permit: &'p Permit<'p>,
    /// How much had come when the limit was passed.
    passed_at: Option<u64>,
}

impl<'p> Watch<'p> {
    /// Where a hard limit of tokens or money holds for a stream.
    pub fn over(permit: &'p Permit<'p>, recorder: &Recorder<'_>) -> Option<Self> {
        let reservation = recorder.reservation.as_ref()?;
        if !recorder.stream || !reservation.is_hard() {
            return None;
        }
        Some(Self {
            permit,
            passed_at: None,
        })
    }

    /// See [`tells_thoughts`].
    pub fn tells_thoughts(&self) -> bool {
        tells_thoughts(&self.permit.provider().catalog_id)
    }

    /// Whether the answer is to be ended: at best where it `is_between_events`, as one of the node's own follows.
    pub fn is_passed(
        &mut self,
        so_far: &SoFar,
        is_between_events: bool,
        recorder: &mut Recorder<'_>,
    ) -> bool {
        let used = least_amounts(self.permit, so_far);
        let reservation = recorder.reservation.as_mut();
        if !reservation.is_some_and(|reservation| reservation.outgrows(used)) {
            return false;
        }
        let passed_at = *self.passed_at.get_or_insert(recorder.response_bytes);
        let late = recorder.response_bytes.saturating_sub(passed_at);
        is_between_events || late > LAST_EVENT_BYTES_LIMIT
    }
}

/// What an answer has used so far, at the least.
pub fn least_amounts(permit: &Permit<'_>, so_far: &SoFar) -> Amounts {
    Amounts {
        tokens: (so_far.usage.input_tokens).saturating_add(so_far.usage.output_tokens),
        nano_usd: settle::least_cost(permit, so_far),
    }
}

impl Reservation<'_> {
    /// A hard limit of tokens or money holds.
    pub fn is_hard(&self) -> bool {
        self.held.iter().any(|held| held.is_hard)
    }

    /// Counts what was used beyond what is set aside. True when that passes a hard limit.
    pub fn outgrows(&mut self, used: Amounts) -> bool {
        let mut is_passed = false;
        for held in self.held.iter_mut().filter(|held| held.is_hard) {
            let used = used.of(held.bucket.unit());
            if used > held.taken {
                held.bucket.settle(held.window, held.taken, used);
                held.taken = used;
                held.is_outgrown = true;
                if let Some(missing) = held.bucket.ungranted() {
                    // It goes on; not every step is to be written down.
                    let ahead = missing.saturating_add(held.most / GRANT_PART);
                    let wanted = ahead.min(held.most).max(missing);
                    self.worker.grants.ask(held.bucket, wanted);
                }
            }
            if held.is_outgrown {
                let now = now();
                // What ends after its window is not counted into the next.
                is_passed |=
                    held.bucket.window(now) == held.window && held.bucket.spent(now) > held.most;
            }
        }
        is_passed
    }
}
