//! What a bucket should say, kept as plainly as can be.

use super::*;
use crate::handoff::snapshot::{GroupIndex, access::Buckets};

/// By the bucket's name; those that do not last, by their address.
#[derive(Default)]
pub(super) struct Accounts(HashMap<String, Account>);

pub(super) struct Account {
    bucket: Bucket,
    /// The latest window that something was spent in, and what counts in it.
    window: u64,
    counted: u64,
    windows: HashMap<u64, Sums>,
}

#[derive(Default)]
struct Sums {
    /// The greatest cap that let something through.
    most: u64,
    /// By requests that are over.
    used: u64,
    /// More than was foreseen, or than was counted of what was cut short: the error of soft limits.
    unforeseen: u64,
}

impl Accounts {
    pub(super) fn of(&mut self, bucket: &Bucket) -> &mut Account {
        self.0.entry(id(bucket)).or_insert_with(|| Account {
            bucket: bucket.clone(),
            window: 0,
            counted: 0,
            windows: HashMap::new(),
        })
    }

    pub(super) fn check(&self, now: u64) {
        for account in self.0.values() {
            assert_eq!(
                account.bucket.spent(now),
                account.counted_at(now),
                "{account}"
            );
        }
    }

    /// What was used in a window is no more than its cap, and what soft limits had not foreseen.
    pub(super) fn check_sums(&self) {
        for account in self.0.values() {
            for (window, sums) in &account.windows {
                assert!(
                    sums.used <= sums.most.saturating_add(sums.unforeseen),
                    "{account}: {} of {} in window {window}",
                    sums.used,
                    sums.most
                );
            }
        }
    }

    /// The process is gone, and what it kept for itself.
    pub(super) fn restart(&mut self) {
        self.0.retain(|_, account| account.bucket.is_durable());
    }

    /// The machine is gone too: the store's word counts, which says no less, and after a clean stop no more.
    pub(super) fn recover(&mut self, snapshot: &Snapshot, now: u64, is_exact: bool) {
        for bucket in buckets(snapshot).filter(|bucket| bucket.is_durable()) {
            let account = self.of(bucket);
            let (window, counted) = (bucket.window(now), bucket.spent(now));
            if window == account.window {
                let before = account.counted;
                let unforeseen = account.windows.get(&window);
                let unforeseen = unforeseen.map_or(0, |sums| sums.unforeseen);
                match is_exact {
                    true => assert_eq!(counted, before, "{account}"),
                    // What soft limits had not foreseen is granted a moment later.
                    false => assert!(counted + unforeseen >= before, "{account}: {counted}"),
                }
            }
            (account.window, account.counted) = (window, counted);
        }
    }

    /// Goes on with the buckets of a new process.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        for bucket in buckets(snapshot).filter(|bucket| bucket.is_durable()) {
            self.of(bucket).bucket = bucket.clone();
        }
    }
}

impl Account {
    pub(super) fn spend(&mut self, now: u64, amount: u64, most: u64, found: &Result<u64, Refusal>) {
        let window = self.bucket.window_at(now).max(self.window);
        let counted = if window == self.window {
            self.counted
        } else {
            0
        };
        let has_room = counted.saturating_add(amount) <= most;
        match found {
            Ok(of) => {
                assert_eq!((*of, has_room), (window, true), "{self}");
                (self.window, self.counted) = (window, counted + amount);
                let sums = self.windows.entry(window).or_default();
                sums.most = sums.most.max(most);
            }
            Err(Refusal::Cap { left }) => {
                let expected = (most.saturating_sub(counted), false);
                assert_eq!((*left, has_room), expected, "{self}");
            }
            Err(Refusal::Grant(needed)) => {
                assert!(has_room && self.bucket.is_durable(), "{self}");
                let expected = (window, counted + amount);
                assert_eq!((needed.window, needed.amount), expected, "{self}");
            }
        }
    }

    pub(super) fn settle(&mut self, share: &Share, counted: u64, real: u64) {
        if self.window == share.window {
            self.counted = self.counted - share.taken + counted;
        }
        let sums = self.windows.entry(share.window).or_default();
        sums.used += real;
        sums.unforeseen += counted.saturating_sub(share.taken) + real.saturating_sub(counted);
    }

    /// What a share used is not known, and never will be.
    pub(super) fn forget(&mut self, share: &Share) {
        let sums = self.windows.entry(share.window).or_default();
        sums.used += share.taken;
    }

    fn counted_at(&self, now: u64) -> u64 {
        match self.bucket.window_at(now) <= self.window {
            true => self.counted,
            false => 0,
        }
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, window, counted) = (id(&self.bucket), self.window, self.counted);
        write!(f, "{name} with {counted} in window {window}")
    }
}

fn id(bucket: &Bucket) -> String {
    match bucket.is_durable() {
        true => bucket.name().to_owned(),
        false => format!("{:p}", bucket.line()),
    }
}

/// Some come more than once.
fn buckets(snapshot: &Snapshot) -> impl Iterator<Item = &Bucket> {
    let policies = snapshot.policies.iter();
    let of_policies = policies.map(|policy| (&policy.limits, &policy.groups));
    let of_rules = snapshot.budget_rules.iter();
    let of_rules = of_rules.map(|rule| (&rule.limits, &rule.groups));
    let shared = of_policies.chain(of_rules).flat_map(|(limits, groups)| {
        let caps = limits.caps.iter();
        caps.flat_map(|cap| match &cap.buckets {
            Buckets::One(bucket) => vec![&**bucket],
            Buckets::Groups(meter) => {
                let buckets = groups.iter();
                let of = |group: &GroupIndex| snapshot.group_buckets.get(*group, *meter);
                buckets.filter_map(of).collect()
            }
            Buckets::User(_) => Vec::new(),
        })
    });
    let of_users = snapshot
        .peers
        .principals()
        .flat_map(|peer| peer.buckets.iter());
    shared.chain(of_users)
}
