//! What the programs counted lately, in equal steps: enough for a chart of the last hour. Longer histories
//! are the metrics' business.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::status::InterfaceStatus;

/// Between two samples.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// One hour of them.
const SAMPLES_MAX: usize = 360;

/// `GET /api/agent-network/admission/history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdmissionHistory {
    pub interval_seconds: u64,
    /// Oldest first, since the node started; an hour of them at most. None without a program in front.
    pub samples: Vec<AdmissionSample>,
}

/// What was counted since the sample before, on all interfaces together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdmissionSample {
    pub at: Timestamp,
    /// Packets by reason, as `counters` of an interface name them; reasons without any are left out.
    pub packets: BTreeMap<String, u64>,
}

/// The newest samples.
#[derive(Default)]
pub(super) struct History {
    /// Sums so far; pinned counters are older than the node, so the first look is only what to count from.
    sums: Option<BTreeMap<String, u64>>,
    samples: VecDeque<AdmissionSample>,
}

impl History {
    /// Takes a sample from what the interfaces show at `at`.
    pub(super) fn note(&mut self, at: Timestamp, interfaces: &[InterfaceStatus]) {
        let mut sums = BTreeMap::new();
        for count in interfaces.iter().flat_map(|one| &one.counters) {
            *sums.entry(count.reason.clone()).or_default() += count.packets;
        }
        let Some(before) = self.sums.replace(sums.clone()) else {
            return;
        };
        // Counters that were set back have counted from zero again.
        let since = |reason: &str, sum: u64| match before.get(reason) {
            Some(before) if *before <= sum => sum - before,
            Some(_) | None => sum,
        };
        let packets = sums
            .into_iter()
            .map(|(reason, sum)| (since(&reason, sum), reason))
            .filter(|(packets, _)| *packets > 0)
            .map(|(packets, reason)| (reason, packets))
            .collect();
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(AdmissionSample { at, packets });
    }

    pub(super) fn shown(&self) -> AdmissionHistory {
        AdmissionHistory {
            interval_seconds: SAMPLE_INTERVAL.as_secs(),
            samples: self.samples.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_common::{Counter, Reason};
    use jiff::SignedDuration;

    use super::{
        super::{
            hook::HookMode,
            status::{ReasonCount, Role},
        },
        *,
    };

    fn interface(name: &str, counts: &[(Reason, u64)]) -> InterfaceStatus {
        InterfaceStatus {
            name: name.to_owned(),
            index: 1,
            role: Role::Outer,
            mode: HookMode::Tc,
            problem: None,
            counters: counts
                .iter()
                .map(|(reason, packets)| {
                    let counter = Counter {
                        packets: *packets,
                        bytes: 0,
                    };
                    ReasonCount::new(*reason, counter)
                })
                .collect(),
        }
    }

    fn at(step: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(10 * step)
    }

    #[test]
    fn samples_are_what_was_counted_since_the_one_before() {
        const PEER: Reason = Reason::FromPeer;
        const OUTER: Reason = Reason::NotOverlay;
        let mut history = History::default();
        let looks: [(&[_], &[(&str, u64)]); 4] = [
            // One interface more, and nothing new on the other one.
            (
                &[
                    interface("a", &[(PEER, 100), (OUTER, 7)]),
                    interface("b", &[(PEER, 5)]),
                ],
                &[("from_peer", 5)],
            ),
            (
                &[interface("a", &[(PEER, 110), (OUTER, 8)])],
                &[("from_peer", 5), ("not_overlay", 1)],
            ),
            // Set back.
            (
                &[interface("a", &[(PEER, 3), (OUTER, 8)])],
                &[("from_peer", 3)],
            ),
            (&[], &[]),
        ];
        history.note(at(0), &[interface("a", &[(PEER, 100), (OUTER, 7)])]);
        assert_eq!(history.shown().samples, [], "older than the node");
        for (step, (interfaces, expected)) in (1..).zip(looks) {
            history.note(at(step), interfaces);
            let sample = history.shown().samples.pop();
            let packets = expected
                .iter()
                .map(|(reason, packets)| ((*reason).to_owned(), *packets))
                .collect();
            assert_eq!(
                sample,
                Some(AdmissionSample {
                    at: at(step),
                    packets
                })
            );
        }
    }

    #[test]
    fn the_oldest_samples_make_room() {
        let mut history = History::default();
        for step in 0..1000 {
            history.note(at(step), &[]);
        }
        let samples = history.shown().samples;
        assert_eq!(samples.len(), SAMPLES_MAX);
        assert_eq!(samples.first().map(|sample| sample.at), Some(at(640)));
        assert_eq!(samples.last().map(|sample| sample.at), Some(at(999)));
    }
}
