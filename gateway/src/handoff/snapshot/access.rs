//! Who may use what, and how much of it: policies, budget rules, and the limits they set.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use utoipa::ToSchema;

use super::{GroupIndex, Principal};
use crate::handoff::ledger::{Bucket, Unit};

/// An enabled policy. What decisions read comes first, as in [`Principal`].
#[derive(Debug, Default)]
#[repr(C)]
pub struct Policy {
    /// Models that its guardrails let through; `None`: all.
    pub models: Option<Box<[Pattern]>>,
    /// Paths, as agents send them; empty: all.
    pub paths: Box<[Pattern]>,
    /// The most that one request may ask for.
    pub output_tokens_max: Option<u64>,
    pub limits: Limits,
    /// Texts are kept.
    pub capture: Option<Capture>,
    /// Sorted.
    pub groups: Box<[GroupIndex]>,
    pub id: Box<str>,
    pub name: Box<str>,
}

/// How texts of requests and answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// Of a request's text, and of its answer's.
    pub text_bytes_max: usize,
    /// Keys and personal data are replaced.
    pub redact: bool,
}

/// A ceiling that holds beside policies: for some groups and users, or for everyone.
#[derive(Debug)]
pub struct BudgetRule {
    pub id: Box<str>,
    pub name: Box<str>,
    /// Sorted; whose limits a member counts into. Empty: everyone counts into one.
    pub groups: Box<[GroupIndex]>,
    pub limits: Limits,
}

/// See [`Cap`].
#[derive(Debug, Default)]
pub struct Limits {
    pub mode: LimitMode,
    pub caps: Caps,
}

/// As many as most policies have lie in the policy itself.
pub type Caps = SmallVec<[Cap; 2]>;

/// How sure a limit is to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitMode {
    /// Requests that name no bound on their output are taken to need a usual amount.
    #[default]
    Soft,
    /// Nothing is sent that could pass the limit.
    Hard,
}

/// At most so much in each window.
#[derive(Debug)]
pub struct Cap {
    pub unit: Unit,
    pub most: u64,
    pub buckets: Buckets,
}

/// Where a cap counts.
#[derive(Debug)]
pub enum Buckets {
    /// One for all.
    One(Box<Bucket>),
    /// One for each of the policy's or rule's groups: a meter of [`GroupBuckets`].
    Groups(u32),
    /// The caller's own: a place in [`Principal::buckets`].
    User(u32),
}

impl Cap {
    /// The bucket of this caller. `group` is the one that it is counted for; without one, caps of groups do not hold.
    pub fn bucket<'a>(
        &'a self,
        principal: &'a Principal,
        of_groups: &'a GroupBuckets,
        group: Option<GroupIndex>,
    ) -> Option<&'a Bucket> {
        match &self.buckets {
            Buckets::One(bucket) => Some(bucket),
            Buckets::Groups(meter) => of_groups.get(group?, *meter),
            Buckets::User(place) => principal.buckets.get(*place as usize),
        }
    }
}

/// The buckets of groups: one for each group and meter that a limit asks for, however many do.
#[derive(Debug, Default)]
pub struct GroupBuckets {
    meters: usize,
    /// Group by group, each with all meters.
    buckets: Box<[Option<Bucket>]>,
}

impl GroupBuckets {
    /// For so many groups and meters.
    pub fn new(
        groups: usize,
        meters: usize,
        buckets: impl IntoIterator<Item = ((GroupIndex, u32), Bucket)>,
    ) -> Self {
        let mut table = vec![None; groups * meters];
        for ((group, meter), bucket) in buckets {
            table[group.0 as usize * meters + meter as usize] = Some(bucket);
        }
        Self {
            meters,
            buckets: table.into(),
        }
    }

    /// `None` where no limit asks for it.
    pub fn get(&self, group: GroupIndex, meter: u32) -> Option<&Bucket> {
        let place = group.0 as usize * self.meters + meter as usize;
        self.buckets.get(place)?.as_ref()
    }
}

/// The group that a caller is counted for, of those that a policy or rule names: the one with the lowest id.
pub fn attribution(groups: &[GroupIndex], principal: &Principal) -> Option<GroupIndex> {
    // Groups are numbered in the order of their ids.
    let mut own = principal.groups.iter().copied();
    own.find(|group| groups.binary_search(group).is_ok())
}

/// Which policies let which groups reach a provider.
#[derive(Debug, Default)]
pub struct Grants {
    /// Where each group's part of `granted` begins; it ends where the next one's begins.
    begins: Box<[u32]>,
    granted: Box<[Granted]>,
}

/// That a policy holds for a caller, in the order in which policies pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Granted {
    /// Its place in [`super::Snapshot::policies`].
    pub policy: u32,
    /// The caller's group that it counts for, as [`attribution`] says.
    pub group: GroupIndex,
}

impl Grants {
    /// `policies` are those that name the provider, each with its place in [`super::Snapshot::policies`].
    pub fn new<'a>(policies: impl IntoIterator<Item = (usize, &'a Policy)>) -> Self {
        let mut all = Vec::new();
        for (place, Policy { groups, .. }) in policies {
            let policy = place as u32;
            let granted = |group: &GroupIndex| Granted {
                policy,
                group: *group,
            };
            all.extend(groups.iter().map(granted));
        }
        all.sort_unstable_by_key(|granted| (granted.group, granted.policy));
        let end = all.last().map_or(0, |last| last.group.0 + 1);
        let begin = |index| all.partition_point(|granted| granted.group.0 < index) as u32;
        Self {
            begins: (0..=end).map(begin).collect(),
            granted: all.into(),
        }
    }

    pub fn reach(&self, principal: &Principal) -> bool {
        principal.groups.iter().any(|group| self.reaches(*group))
    }

    pub fn reaches(&self, group: GroupIndex) -> bool {
        !self.of(group).is_empty()
    }

    /// The policies that hold for the caller, from a place on, in ascending order.
    pub fn hold_from<'a>(
        &'a self,
        principal: &'a Principal,
        mut from: u32,
    ) -> impl Iterator<Item = Granted> + 'a {
        std::iter::from_fn(move || {
            let lists = principal.groups.iter().map(|group| self.of(*group));
            // Of a policy that holds for several groups the first one comes, as it is the least in the policy too.
            let next = lists
                .filter_map(|list| list.get(list.partition_point(|held| held.policy < from)))
                .min()?;
            from = next.policy + 1;
            Some(*next)
        })
    }

    fn of(&self, group: GroupIndex) -> &[Granted] {
        let at = group.0 as usize;
        let Some(&[begin, end]) = self.begins.get(at..at + 2) else {
            return &[];
        };
        &self.granted[begin as usize..end as usize]
    }
}

/// Text where `*` stands for any number of any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<[Box<str>]>);

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self(text.split('*').map(Box::from).collect())
    }

    pub fn matches(&self, text: &str) -> bool {
        let [first, rest @ ..] = &*self.0 else {
            return false;
        };
        let Some(mut text) = text.strip_prefix(&**first) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return text.is_empty();
        };
        for piece in middle {
            // The first place leaves most for what follows.
            let Some(at) = text.find(&**piece) else {
                return false;
            };
            text = &text[at + piece.len()..];
        }
        text.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o*", "gpt-4o-mini", true),
            ("gpt-4o*", "gpt-4o", true),
            ("*mini", "gpt-4o-mini", true),
            ("*mini", "mini-1", false),
            ("claude-*-4*", "claude-sonnet-4-5", true),
            ("claude-*-4*", "claude-sonnet-5", false),
            ("*", "", true),
            ("**", "x", true),
            ("a*a", "a", false),
            ("a*b*b", "a-b", false),
            ("a*b*b", "a-b-b", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn policies_come_once_and_in_order() {
        let policy = |groups: &[u32]| Policy {
            groups: groups.iter().copied().map(GroupIndex).collect(),
            ..Policy::default()
        };
        let policies = [policy(&[1, 2]), policy(&[3]), policy(&[2]), policy(&[1])];
        let grants = Grants::new(policies.iter().enumerate());
        let held = |groups: &[u32], from| {
            let principal = crate::policy::tests::principal(groups);
            let held = grants.hold_from(&principal, from);
            held.map(|held| (held.policy, held.group.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(held(&[1, 2], 0), [(0, 1), (2, 2), (3, 1)]);
        assert_eq!(held(&[1, 2], 1), [(2, 2), (3, 1)]);
        assert_eq!(held(&[2, 3], 0), [(0, 2), (1, 3), (2, 2)]);
        assert!(held(&[0], 0).is_empty());
        assert!(held(&[4, 99], 0).is_empty());
        assert!(held(&[], 0).is_empty());
    }
}
