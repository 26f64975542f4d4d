//! Grants written down, and how full the limits of policies and budget rules are. No series per user or group.

use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::{gauge, plain_counter, plain_gauge};
use crate::{
    control_plane::ledger::{GrantCounts, fullest::fullest},
    handoff::snapshot::Snapshot,
};

const MICROS_PER_SECOND: f64 = 1e6;

pub(super) fn gather(grants: &GrantCounts, snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = vec![
        plain_counter(
            "keyway_limit_grants_total",
            "Amounts written to the store that workers may then spend of a limit.",
            grants.written.load(Relaxed) as f64,
        ),
        plain_counter(
            "keyway_limit_grant_failures_total",
            "Amounts that could not be written; requests that need them are refused.",
            grants.failed.load(Relaxed) as f64,
        ),
        plain_gauge(
            "keyway_limit_grant_write_seconds",
            "How long the last write of grants took.",
            grants.last_write_us.load(Relaxed) as f64 / MICROS_PER_SECOND,
        ),
        plain_gauge(
            "keyway_limit_buckets_unkept",
            "Counters of limits that a kill loses, so that all that was granted of them counts as spent.",
            grants.unkept.load(Relaxed) as f64,
        ),
    ];
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let fullest = fullest(snapshot, now);
    if !fullest.is_empty() {
        let samples = fullest.into_iter().map(|((kind, name), part)| {
            let labels = vec![("kind", kind.to_owned()), ("name", name.to_owned())];
            (labels, part)
        });
        families.push(gauge(
            "keyway_limit_fullest_ratio",
            "What is spent of the fullest limit of a policy or budget rule, among all users and groups; 1 is all.",
            samples.collect(),
        ));
    }
    families
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        handoff::{
            ledger::{Bucket, Unit},
            snapshot::{
                BudgetRule,
                access::{Buckets, Cap, LimitMode, Limits},
            },
        },
        policy::tests::{provider, snapshot},
    };

    #[test]
    fn a_rule_is_as_full_as_its_fullest_limit() {
        let cap = |most, spent| {
            let bucket = Bucket::volatile(Unit::InFlight, 0);
            bucket.spend(0, spent, most).expect("there is room");
            Cap {
                unit: Unit::InFlight,
                most,
                buckets: Buckets::One(Box::new(bucket)),
            }
        };
        let mut snapshot = snapshot(vec![provider("a", "")]);
        snapshot.budget_rules = vec![BudgetRule {
            id: "r".into(),
            name: "All".into(),
            groups: Box::default(),
            limits: Limits {
                mode: LimitMode::Soft,
                caps: [cap(10, 1), cap(4, 2)].into(),
            },
        }];
        // The policy has no limits.
        let expected = BTreeMap::from([(("budget_rule", "All"), 0.5)]);
        assert_eq!(fullest(&snapshot, 0), expected);
        let families = gather(&GrantCounts::default(), &snapshot);
        assert_eq!(families.len(), 5);
        assert_eq!(families[4].get_metric().len(), 1);
    }
}
