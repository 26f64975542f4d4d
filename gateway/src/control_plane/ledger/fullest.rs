//! How full the fullest limit of each policy and budget rule is. The metrics ask often, so it takes one pass over the
//! peers, however many limits hold for each.

use std::collections::BTreeMap;

use crate::handoff::snapshot::{
    GroupIndex, Snapshot,
    access::{Buckets, Limits},
};

/// What is spent at `now`, in seconds since the epoch, in proportion to the cap: of policies with limits and of budget
/// rules, by kind and name. What has one name is one.
pub fn fullest(snapshot: &Snapshot, now: u64) -> BTreeMap<(&'static str, &str), f64> {
    let users = MostSpent::by_users(snapshot, now);
    let policies = snapshot.policies.iter();
    let policies = policies.filter(|policy| !policy.limits.caps.is_empty());
    let policies = policies.map(|policy| {
        let by_groups = |meter| most_of_groups(snapshot, &policy.groups, meter, now);
        let part = part_spent(&policy.limits, now, by_groups, |meter| {
            let groups = policy.groups.iter();
            groups.map(|group| users.of_group(*group, meter)).max()
        });
        (("policy", &*policy.name), part)
    });
    let rules = (0..).zip(&snapshot.budget_rules).map(|(place, rule)| {
        let by_groups = |meter| most_of_groups(snapshot, &rule.groups, meter, now);
        let by_user = |meter| Some(users.of_rule(place, meter));
        let part = part_spent(&rule.limits, now, by_groups, by_user);
        (("budget_rule", &*rule.name), part)
    });
    let mut fullest = BTreeMap::new();
    for (key, part) in policies.chain(rules) {
        let held = fullest.entry(key).or_insert(0.0);
        *held = part.max(*held);
    }
    fullest
}

/// The most that one of these groups has spent of a meter.
fn most_of_groups(snapshot: &Snapshot, groups: &[GroupIndex], meter: u32, now: u64) -> Option<u64> {
    let buckets = groups.iter();
    let buckets = buckets.filter_map(|group| snapshot.group_buckets.get(*group, meter));
    buckets.map(|bucket| bucket.spent(now)).max()
}

/// The functions say the most that a group or a user whom the limits hold for has spent of a meter.
fn part_spent(
    limits: &Limits,
    now: u64,
    by_a_group: impl Fn(u32) -> Option<u64>,
    by_a_user: impl Fn(usize) -> Option<u64>,
) -> f64 {
    let parts = limits.caps.iter().map(|cap| {
        let spent = match &cap.buckets {
            Buckets::One(bucket) => Some(bucket.spent(now)),
            Buckets::Groups(meter) => by_a_group(*meter),
            Buckets::User(meter) => by_a_user(*meter as usize),
        };
        spent.unwrap_or(0) as f64 / cap.most.max(1) as f64
    });
    parts.fold(0.0, f64::max)
}

/// The most that a user has spent: of each meter (a place in [`Principal::buckets`]), among the members of each group
/// and among those whom each budget rule holds for.
///
/// [`Principal::buckets`]: crate::handoff::snapshot::Principal::buckets
struct MostSpent {
    meters: usize,
    groups: Vec<u64>,
    rules: Vec<u64>,
}

impl MostSpent {
    fn by_users(snapshot: &Snapshot, now: u64) -> Self {
        let of_policies = snapshot.policies.iter().map(|policy| &policy.limits);
        let of_rules = snapshot.budget_rules.iter().map(|rule| &rule.limits);
        let caps = of_policies.chain(of_rules).flat_map(|limits| &limits.caps);
        let meters = caps.filter_map(|cap| match cap.buckets {
            Buckets::User(meter) => Some(meter as usize + 1),
            Buckets::One(_) | Buckets::Groups(_) => None,
        });
        let meters = meters.max().unwrap_or(0);
        let mut most = Self {
            meters,
            groups: vec![0; meters * snapshot.groups.len()],
            rules: vec![0; meters * snapshot.budget_rules.len()],
        };
        if meters > 0 {
            for principal in snapshot.peers.principals() {
                for (meter, bucket) in principal.buckets.iter().take(meters).enumerate() {
                    let spent = bucket.spent(now);
                    for group in &principal.groups {
                        let held = &mut most.groups[group.0 as usize * meters + meter];
                        *held = spent.max(*held);
                    }
                    for rule in &principal.budget_rules {
                        let held = &mut most.rules[*rule as usize * meters + meter];
                        *held = spent.max(*held);
                    }
                }
            }
        }
        most
    }

    fn of_group(&self, group: GroupIndex, meter: usize) -> u64 {
        self.groups[group.0 as usize * self.meters + meter]
    }

    fn of_rule(&self, place: usize, meter: usize) -> u64 {
        self.rules[place * self.meters + meter]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control_plane::{
            api::testing::compile,
            ledger::{
                Ledger,
                levels::{Filter, Setter, levels},
            },
            snapshot::Compiler,
        },
        handoff::ledger::Grant,
        policy::tests::worlds::Numbers,
    };

    const NOW: u64 = 1_700_000_000;
    const WORLDS: u64 = 10;

    #[test]
    fn it_is_what_the_levels_say() {
        let mut spent_from = 0;
        for world in 0..WORLDS {
            let mut numbers = Numbers(world);
            let documents = numbers.documents();
            let ledger = Ledger::default();
            let snapshot = compile(&mut Compiler::default(), &documents, &ledger);
            let shared = levels(&snapshot, NOW, Filter::default());
            let shared = shared.iter().map(|level| level.bucket);
            let own = snapshot.peers.principals().flat_map(|user| &user.buckets);
            for bucket in shared.chain(own) {
                let amount = numbers.below(4) as u64;
                let window = bucket.window_at(NOW);
                bucket.recover(Grant { window, amount });
            }
            let found = fullest(&snapshot, NOW);
            let with_limits = snapshot.policies.iter();
            let with_limits = with_limits.filter(|policy| !policy.limits.caps.is_empty());
            let count = with_limits.count() + snapshot.budget_rules.len();
            assert_eq!(found.len(), count, "world {world}");
            let mut expected: BTreeMap<_, f64> = found.keys().map(|key| (*key, 0.0)).collect();
            for level in levels(&snapshot, NOW, Filter::default()) {
                for cap in &level.caps {
                    let key = match cap.by {
                        Setter::Policy(policy) => ("policy", &*policy.name),
                        Setter::Rule(rule) => ("budget_rule", &*rule.name),
                        Setter::Provider(_) => continue,
                    };
                    let held = expected.get_mut(&key).expect("it has a limit");
                    *held = held.max(level.spent as f64 / cap.most as f64);
                    spent_from += usize::from(level.spent > 0);
                }
            }
            assert_eq!(found, expected, "world {world}");
        }
        assert!(spent_from > 0, "nothing was spent");
    }
}
