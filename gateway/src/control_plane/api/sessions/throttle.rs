//! Failed logins, counted per address and in all: after some of them one has to wait.

use std::{collections::HashMap, net::IpAddr};

use jiff::{SignedDuration, Timestamp};

/// Failures are counted in windows of this length.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// Of one address (a network of 64 bits with IPv6) in a window.
const FAILURES_OF_ONE: u32 = 10;
/// Of all addresses in a window.
const FAILURES_OF_ALL: u32 = 100;

/// See the module. As many addresses are known as there are failures in a window, at most.
#[derive(Default)]
pub(super) struct Throttle {
    begun: Option<Timestamp>,
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl Throttle {
    /// # Errors
    /// Seconds to wait.
    pub(super) fn may_try(&mut self, address: Option<IpAddr>, now: Timestamp) -> Result<(), u64> {
        let end = self.turn(now);
        let own = address.and_then(|address| self.by_address.get(&network(address)));
        if self.all < FAILURES_OF_ALL && own.is_none_or(|failures| *failures < FAILURES_OF_ONE) {
            return Ok(());
        }
        let left = end.duration_since(now).as_secs();
        Err(u64::try_from(left).unwrap_or(0) + 1)
    }

    pub(super) fn failed(&mut self, address: Option<IpAddr>, now: Timestamp) {
        self.turn(now);
        // No room is taken beyond what `may_try` lets happen.
        if self.all >= FAILURES_OF_ALL {
            return;
        }
        self.all += 1;
        if let Some(address) = address {
            *self.by_address.entry(network(address)).or_default() += 1;
        }
    }

    /// Begins a new window when it is time; when this one ends.
    fn turn(&mut self, now: Timestamp) -> Timestamp {
        let begun = match self.begun {
            // A clock that was set back must not keep everybody out.
            Some(begun) if begun <= now && now < begun + WINDOW => begun,
            Some(_) | None => {
                *self = Self {
                    begun: Some(now),
                    ..Self::default()
                };
                now
            }
        };
        begun + WINDOW
    }
}

/// What one party has of addresses, at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn one_address_waits_for_the_window_to_end() {
        let mut throttle = Throttle::default();
        let [one, near, other] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| Some(text.parse().unwrap()));
        for _ in 0..FAILURES_OF_ONE {
            assert_eq!(throttle.may_try(one, at(0)), Ok(()));
            throttle.failed(one, at(0));
        }
        assert_eq!(throttle.may_try(one, at(20)), Err(41));
        assert_eq!(throttle.may_try(near, at(20)), Err(41));
        assert_eq!(throttle.may_try(other, at(20)), Ok(()));
        assert_eq!(throttle.may_try(one, at(60)), Ok(()));
    }

    #[test]
    fn all_together_are_bounded_and_so_is_what_is_remembered() {
        let mut throttle = Throttle::default();
        for i in 0..10 * FAILURES_OF_ALL {
            throttle.failed(Some(IpAddr::from(i.to_be_bytes())), at(0));
        }
        assert_eq!(throttle.by_address.len(), FAILURES_OF_ALL as usize);
        assert_eq!(throttle.may_try(Some(IpAddr::from([9; 4])), at(1)), Err(60));
        assert_eq!(throttle.may_try(None, at(1)), Err(60));
        assert_eq!(throttle.may_try(None, at(61)), Ok(()));
    }
}
