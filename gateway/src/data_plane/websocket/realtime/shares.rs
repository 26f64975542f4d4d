//! What is set aside for responses that have not begun. Providers begin them by themselves, too, when somebody stops to
//! speak, so that one share is kept ready.

use std::time::Instant;

use crate::{
    data_plane::{
        failure::Failure,
        limits::{GRANT_WAIT, Reservation},
    },
    handoff::reason::Reason,
};

/// Responses that were asked for and have not begun; vendors run one at a time, or a few out of band.
const ASKED_LIMIT: usize = 64;

/// See the module.
pub(super) struct Shares<'s> {
    /// A hard limit of tokens or money holds: nothing may begin without a share.
    is_hard: bool,
    ready: Vec<Reservation<'s>>,
    /// How many responses the provider was asked for that have not begun.
    asked: usize,
    /// A response that the agent asks for waits for its share.
    is_wanted: bool,
    /// Since when a grant is waited for.
    since: Option<Instant>,
}

/// What [`Shares::fill`] came to.
pub(super) enum Filled {
    /// Nothing is waited for. True: the provider may now be asked for the response that waited.
    Done { may_ask: bool },
    /// A grant is on its way.
    Waiting,
    /// The response that the agent asks for may not be.
    Refused(Failure),
}

impl<'s> Shares<'s> {
    pub(super) fn new(first: Option<Reservation<'s>>) -> Self {
        Self {
            is_hard: first.as_ref().is_some_and(Reservation::is_hard),
            ready: first.into_iter().collect(),
            asked: 0,
            is_wanted: false,
            since: None,
        }
    }

    pub(super) fn is_hard(&self) -> bool {
        self.is_hard
    }

    /// The agent asks for a response.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Sets aside what is missing. `is_resting`: no response is under way.
    ///
    /// # Errors
    /// When nothing may begin any more.
    pub(super) fn fill(
        &mut self,
        is_resting: bool,
        now: Instant,
        reserve: impl Fn() -> Result<Option<Reservation<'s>>, Failure>,
    ) -> Result<Filled, Failure> {
        loop {
            if self.is_wanted && self.ready.len() > self.asked {
                self.is_wanted = false;
                self.asked += 1;
                return Ok(Filled::Done { may_ask: true });
            }
            let is_bare = self.is_hard && is_resting && self.ready.is_empty();
            if !self.is_wanted && !is_bare {
                self.since = None;
                return Ok(Filled::Done { may_ask: false });
            }
            let refused = match reserve() {
                Ok(Some(share)) if self.asked < ASKED_LIMIT => {
                    self.ready.push(share);
                    self.since = None;
                    continue;
                }
                Ok(Some(_)) => Reason::Overloaded.into(),
                Ok(None) => {
                    let since = *self.since.get_or_insert(now);
                    if now.duration_since(since) < GRANT_WAIT {
                        return Ok(Filled::Waiting);
                    }
                    Reason::LedgerBehind.into()
                }
                Err(failure) => failure,
            };
            self.since = None;
            return match std::mem::take(&mut self.is_wanted) {
                true => Ok(Filled::Refused(refused)),
                false => Err(refused),
            };
        }
    }

    /// A response begins: its share, if one is there.
    pub(super) fn take(&mut self) -> Option<Reservation<'s>> {
        self.asked = self.asked.saturating_sub(1);
        self.ready.pop()
    }

    /// The provider has something against an event of the agent's: perhaps a response that was asked for.
    pub(super) fn is_refused(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// Gives back what nobody waits for, now that no response is under way.
    pub(super) fn trim(&mut self) {
        self.ready.truncate(self.asked.max(1));
    }

    /// Keeps one ready, where there is room.
    pub(super) fn refill(
        &mut self,
        reserve: impl Fn() -> Result<Option<Reservation<'s>>, Failure>,
    ) {
        if self.ready.len() <= self.asked
            && let Ok(Some(share)) = reserve()
        {
            self.ready.push(share);
        }
    }
}
