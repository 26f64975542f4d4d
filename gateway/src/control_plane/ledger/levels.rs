//! How full the buckets are that a snapshot's limits count into.

use std::collections::HashMap;

use crate::handoff::{
    ledger::{Bucket, Line},
    snapshot::{
        BudgetRule, Group, GroupIndex, Policy, Principal, Provider, Snapshot,
        access::{Buckets, Cap, LimitMode, Limits},
    },
};

/// A bucket, and the limits that look at it.
#[derive(Debug)]
pub struct Level<'s> {
    pub counted: Counted<'s>,
    pub bucket: &'s Bucket,
    /// In its present window, requests in flight included.
    pub spent: u64,
    /// The least first.
    pub caps: Vec<Held<'s>>,
}

/// Whose spending a bucket counts.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'s> {
    /// Or a machine without an owner.
    User(&'s Principal),
    Group(&'s Group),
    Provider(&'s Provider),
    /// Everyone whom a budget rule without groups holds for.
    Rule(&'s BudgetRule),
}

/// A limit on a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Held<'s> {
    pub by: Setter<'s>,
    pub most: u64,
    pub mode: LimitMode,
}

/// Who set a limit.
#[derive(Debug, Clone, Copy)]
pub enum Setter<'s> {
    Policy(&'s Policy),
    Rule(&'s BudgetRule),
    Provider(&'s Provider),
}

/// Which levels are wanted; each field by id or name, all of them have to fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'f> {
    pub policy: Option<&'f str>,
    pub rule: Option<&'f str>,
    pub user: Option<&'f str>,
    pub group: Option<&'f str>,
}

impl Level<'_> {
    /// Of the least cap.
    pub fn part_spent(&self) -> f64 {
        let most = self.caps.first().map_or(0, |cap| cap.most);
        self.spent as f64 / most.max(1) as f64
    }
}

impl Counted<'_> {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Provider(_) => "provider",
            Self::Rule(_) => "rule",
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::User(user) => &user.id,
            Self::Group(group) => &group.id,
            Self::Provider(provider) => &provider.id,
            Self::Rule(rule) => &rule.id,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.display_name,
            Self::Group(group) => &group.name,
            Self::Provider(provider) => &provider.name,
            Self::Rule(rule) => &rule.name,
        }
    }
}

impl Setter<'_> {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy",
            Self::Rule(_) => "budget_rule",
            Self::Provider(_) => "provider",
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::Policy(policy) => &policy.id,
            Self::Rule(rule) => &rule.id,
            Self::Provider(provider) => &provider.id,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Policy(policy) => &policy.name,
            Self::Rule(rule) => &rule.name,
            Self::Provider(provider) => &provider.name,
        }
    }
}

impl Filter<'_> {
    fn takes_setter(&self, by: &Setter<'_>) -> bool {
        let fits = |wanted: Option<&str>, kind| {
            wanted.is_none_or(|wanted| by.kind() == kind && is(wanted, by.id(), by.name()))
        };
        fits(self.policy, "policy") && fits(self.rule, "budget_rule")
    }

    fn takes(&self, counted: &Counted<'_>) -> bool {
        let fits = |wanted: Option<&str>, kind| {
            wanted.is_none_or(|wanted| {
                counted.kind() == kind && is(wanted, counted.id(), counted.name())
            })
        };
        fits(self.user, "user") && fits(self.group, "group")
    }
}

fn is(wanted: &str, id: &str, name: &str) -> bool {
    wanted == id || wanted.eq_ignore_ascii_case(name)
}

/// The levels at `now`, in seconds since the epoch, the fullest first. Users who have spent nothing are left out,
/// unless one is asked for.
pub fn levels<'s>(snapshot: &'s Snapshot, now: u64, filter: Filter<'_>) -> Vec<Level<'s>> {
    let mut found = Found {
        now,
        filter,
        places: HashMap::new(),
        levels: Vec::new(),
    };
    for policy in &snapshot.policies {
        found.shared(snapshot, Setter::Policy(policy));
    }
    for rule in &snapshot.budget_rules {
        found.shared(snapshot, Setter::Rule(rule));
    }
    for provider in &snapshot.providers {
        found.shared(snapshot, Setter::Provider(provider));
    }
    found.of_users(snapshot);
    let mut levels = found.levels;
    levels.retain(|level| {
        let mut caps = level.caps.iter();
        filter.policy.is_none() && filter.rule.is_none()
            || caps.any(|cap| filter.takes_setter(&cap.by))
    });
    for level in &mut levels {
        level.caps.sort_by_key(|cap| cap.most);
    }
    levels.sort_by(|a, b| {
        let fullest = b.part_spent().total_cmp(&a.part_spent());
        fullest.then_with(|| {
            (a.counted.kind(), a.counted.id()).cmp(&(b.counted.kind(), b.counted.id()))
        })
    });
    levels
}

struct Found<'s, 'f> {
    now: u64,
    filter: Filter<'f>,
    /// Of each bucket, by its line.
    places: HashMap<*const Line, usize>,
    levels: Vec<Level<'s>>,
}

impl<'s> Found<'s, '_> {
    /// Takes up the buckets that are not users'.
    fn shared(&mut self, snapshot: &'s Snapshot, by: Setter<'s>) {
        let (caps, mode, groups) = caps(by);
        for cap in caps {
            let held = Held {
                by,
                most: cap.most,
                mode,
            };
            match &cap.buckets {
                Buckets::One(bucket) => match by {
                    Setter::Rule(rule) => self.add(Counted::Rule(rule), bucket, held),
                    Setter::Provider(provider) => {
                        self.add(Counted::Provider(provider), bucket, held);
                    }
                    // Policies name groups.
                    Setter::Policy(_) => {}
                },
                Buckets::Groups(meter) => {
                    for index in groups {
                        if let Some(group) = snapshot.groups.get(index.0 as usize)
                            && let Some(bucket) = snapshot.group_buckets.get(*index, *meter)
                        {
                            self.add(Counted::Group(group), bucket, held);
                        }
                    }
                }
                Buckets::User(_) => {}
            }
        }
    }

    fn of_users(&mut self, snapshot: &'s Snapshot) {
        let mut by_group: HashMap<GroupIndex, Vec<&'s Policy>> = HashMap::new();
        for policy in &snapshot.policies {
            if policy.limits.caps.iter().any(is_of_users) {
                for group in &policy.groups {
                    by_group.entry(*group).or_default().push(policy);
                }
            }
        }
        for principal in snapshot.peers.principals() {
            let has_spent = |bucket: &Bucket| bucket.spent(self.now) > 0;
            if self.filter.user.is_none() && !principal.buckets.iter().any(has_spent) {
                continue;
            }
            let groups = principal.groups.iter();
            let policies = groups.filter_map(|group| by_group.get(group));
            for policy in policies.flatten() {
                self.of_user(principal, Setter::Policy(policy));
            }
            for place in &principal.budget_rules {
                let rule = &snapshot.budget_rules[*place as usize];
                self.of_user(principal, Setter::Rule(rule));
            }
        }
    }

    fn of_user(&mut self, principal: &'s Principal, by: Setter<'s>) {
        let (caps, mode, _) = caps(by);
        for cap in caps {
            if let Buckets::User(place) = cap.buckets
                && let Some(bucket) = principal.buckets.get(place as usize)
                && (self.filter.user.is_some() || bucket.spent(self.now) > 0)
            {
                let held = Held {
                    by,
                    most: cap.most,
                    mode,
                };
                // A user comes once for each of its peers, and a policy for each of its groups.
                let known = self.places.get(&bucket.line());
                let known = known.map_or(&[][..], |at| &self.levels[*at].caps);
                if !known.iter().any(|cap| cap.by.id() == by.id()) {
                    self.add(Counted::User(principal), bucket, held);
                }
            }
        }
    }

    fn add(&mut self, counted: Counted<'s>, bucket: &'s Bucket, held: Held<'s>) {
        if !self.filter.takes(&counted) {
            return;
        }
        let next = self.levels.len();
        let place = *self.places.entry(bucket.line()).or_insert(next);
        if place == next {
            self.levels.push(Level {
                counted,
                bucket,
                spent: bucket.spent(self.now),
                caps: Vec::new(),
            });
        }
        self.levels[place].caps.push(held);
    }
}

fn caps<'s>(by: Setter<'s>) -> (&'s [Cap], LimitMode, &'s [GroupIndex]) {
    let of = |limits: &'s Limits, groups: &'s [GroupIndex]| (&*limits.caps, limits.mode, groups);
    match by {
        Setter::Policy(policy) => of(&policy.limits, &policy.groups),
        Setter::Rule(rule) => of(&rule.limits, &rule.groups),
        Setter::Provider(provider) => (&provider.caps, LimitMode::Soft, &[]),
    }
}

fn is_of_users(cap: &Cap) -> bool {
    match cap.buckets {
        Buckets::User(_) => true,
        Buckets::One(_) | Buckets::Groups(_) => false,
    }
}
