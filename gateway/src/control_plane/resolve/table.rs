//! What is known about every host. Pure: `now` is an argument, lookups happen elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

/// How often a host is looked up again.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// How soon a host is looked up again that has no address at all.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Addresses kept per host; the resolver's first ones.
const ADDRESSES_LIMIT: usize = 8;

/// Hosts to answers; a host that is wanted and not in here was not looked up yet.
pub type Answers = BTreeMap<String, Answer>;

/// The newest that is known about one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// In the resolver's order; the last good ones when lookups fail. Not checked: see
    /// [`check`](super::check).
    pub addresses: Vec<IpAddr>,
    /// When these addresses were confirmed.
    pub confirmed: Option<Instant>,
    /// Why the newest lookup failed.
    pub failure: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    hosts: BTreeMap<String, Host>,
}

#[derive(Debug)]
struct Host {
    answer: Option<Answer>,
    due: Option<Instant>,
    in_flight: bool,
}

impl Table {
    /// Replaces the set of hosts; returns whether answers went away.
    pub(super) fn want(&mut self, hosts: &BTreeSet<String>) -> bool {
        let before = self.hosts.len();
        self.hosts.retain(|name, _| hosts.contains(name));
        let removed = self.hosts.len() != before;
        for name in hosts {
            self.hosts.entry(name.clone()).or_insert(Host {
                answer: None,
                due: None,
                in_flight: false,
            });
        }
        removed
    }

    /// At most `limit` hosts to look up; they count as being looked up from here on.
    pub(super) fn due(&mut self, now: Instant, limit: usize) -> Vec<String> {
        self.hosts
            .iter_mut()
            .filter(|(_, host)| !host.in_flight && host.due.is_none_or(|due| due <= now))
            .take(limit)
            .map(|(name, host)| {
                host.in_flight = true;
                name.clone()
            })
            .collect()
    }

    /// When to ask [`due`](Self::due) again.
    pub(super) fn next_due(&self, now: Instant) -> Instant {
        self.hosts
            .values()
            .filter(|host| !host.in_flight)
            .map(|host| host.due.unwrap_or(now))
            .min()
            .unwrap_or_else(|| now + REFRESH_INTERVAL)
    }

    /// Takes the result of a lookup; returns whether what is known changed.
    pub(super) fn finished(
        &mut self,
        name: &str,
        result: Result<Vec<IpAddr>, String>,
        now: Instant,
    ) -> bool {
        let Some(host) = self.hosts.get_mut(name) else {
            return false;
        };
        host.in_flight = false;
        let old = host.answer.take();
        let (addresses, confirmed, failure) = match result {
            Ok(found) if !found.is_empty() => (settle(old.as_ref(), found), Some(now), None),
            Ok(_) => kept(old.as_ref(), "the host has no addresses".to_owned()),
            Err(reason) => kept(old.as_ref(), reason),
        };
        let again = if addresses.is_empty() {
            RETRY_INTERVAL
        } else {
            REFRESH_INTERVAL
        };
        host.due = Some(now + again);
        let changed = old
            .as_ref()
            .is_none_or(|old| old.addresses != addresses || old.failure != failure);
        host.answer = Some(Answer {
            addresses,
            confirmed,
            failure,
        });
        changed
    }

    pub(super) fn answers(&self) -> Answers {
        self.hosts
            .iter()
            .filter_map(|(name, host)| Some((name.clone(), host.answer.clone()?)))
            .collect()
    }
}

/// The last good addresses, with the reason why there are no newer ones.
fn kept(old: Option<&Answer>, reason: String) -> (Vec<IpAddr>, Option<Instant>, Option<String>) {
    let (addresses, confirmed) = old.map_or_else(Default::default, |old| {
        (old.addresses.clone(), old.confirmed)
    });
    (addresses, confirmed, Some(reason))
}

/// New addresses without duplicates. Resolvers rotate their answers; the same set in another order is
/// no change, and the old order stays.
fn settle(old: Option<&Answer>, found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.into_iter().map(|address| address.to_canonical()) {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_LIMIT {
            addresses.push(address);
        }
    }
    match old {
        Some(old)
            if old.addresses.len() == addresses.len()
                && old
                    .addresses
                    .iter()
                    .all(|address| addresses.contains(address)) =>
        {
            old.addresses.clone()
        }
        Some(_) | None => addresses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "api.example.com";

    fn table() -> Table {
        let mut table = Table::default();
        table.want(&BTreeSet::from([HOST.to_owned()]));
        table
    }

    fn ip(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    #[test]
    fn a_failure_keeps_the_last_good_answer_and_its_age() {
        let mut table = table();
        let begun = Instant::now();
        assert_eq!(table.due(begun, 16), [HOST]);
        assert!(table.due(begun, 16).is_empty(), "it is being looked up");
        assert!(table.finished(HOST, Ok(vec![ip(1), ip(2)]), begun));

        let later = begun + REFRESH_INTERVAL;
        assert_eq!(table.due(later, 16), [HOST]);
        assert!(table.finished(HOST, Err("timed out".to_owned()), later));
        let answer = table.answers().remove(HOST).expect("it was looked up");
        assert_eq!(answer.addresses, [ip(1), ip(2)]);
        assert_eq!(answer.confirmed, Some(begun));
        assert_eq!(answer.failure.as_deref(), Some("timed out"));
    }

    #[test]
    fn another_order_is_no_change_another_set_is() {
        let mut table = table();
        let now = Instant::now();
        assert!(table.finished(HOST, Ok(vec![ip(1), ip(2)]), now));
        assert!(!table.finished(HOST, Ok(vec![ip(2), ip(1), ip(2)]), now));
        assert_eq!(table.answers()[HOST].addresses, [ip(1), ip(2)]);
        assert!(table.finished(HOST, Ok(vec![ip(2)]), now));
        assert_eq!(table.answers()[HOST].addresses, [ip(2)]);
    }

    #[test]
    fn a_host_without_addresses_is_retried_sooner() {
        let mut table = table();
        let now = Instant::now();
        table.due(now, 16);
        table.finished(HOST, Ok(Vec::new()), now);
        assert_eq!(table.next_due(now), now + RETRY_INTERVAL);
        assert!(table.answers()[HOST].failure.is_some());
    }

    #[test]
    fn only_wanted_hosts_are_kept_and_lookups_are_bounded() {
        let mut table = table();
        let now = Instant::now();
        table.finished(HOST, Ok(vec![ip(1)]), now);
        let many: BTreeSet<_> = (0..40).map(|i| format!("host-{i}")).collect();
        assert!(table.want(&many));
        assert!(table.answers().is_empty());
        assert_eq!(table.due(now, 16).len(), 16);
        assert!(
            !table.finished(HOST, Ok(vec![ip(1)]), now),
            "it is not wanted"
        );
        assert_eq!(table.next_due(now), now);
    }

    #[test]
    fn long_answers_are_cut() {
        let mut table = table();
        table.finished(HOST, Ok((0..200).map(ip).collect()), Instant::now());
        assert_eq!(table.answers()[HOST].addresses.len(), ADDRESSES_LIMIT);
    }
}
