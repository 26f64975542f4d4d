//! Who may use what, and how much of it: policies, budget rules, and the limits they set.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GroupIndex, Principal};
use crate::handoff::ledger::{Bucket, Unit};

/// An enabled policy.
#[derive(Debug, Default)]
pub struct Policy {
    pub id: Box<str>,
    pub name: Box<str>,
    /// Sorted.
    pub groups: Box<[GroupIndex]>,
    /// Models that its guardrails let through; `None`: all.
    pub models: Option<Box<[Pattern]>>,
    /// Paths, as agents send them; empty: all.
    pub paths: Box<[Pattern]>,
    /// The most that one request may ask for.
    pub output_tokens_max: Option<u64>,
    /// Texts are kept.
    pub capture: Option<Capture>,
    pub limits: Limits,
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
    pub caps: Box<[Cap]>,
}

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
    One(Arc<Bucket>),
    /// One for each of the policy's or rule's groups, in their order.
    Groups(Box<[Arc<Bucket>]>),
    /// The caller's own: a place in [`Principal::buckets`].
    User(usize),
}

impl Cap {
    /// The bucket of this caller. `group` is the place of the group that it is counted for; without one, caps of
    /// groups do not hold.
    pub fn bucket<'a>(
        &'a self,
        principal: &'a Principal,
        group: Option<usize>,
    ) -> Option<&'a Arc<Bucket>> {
        match &self.buckets {
            Buckets::One(bucket) => Some(bucket),
            Buckets::Groups(buckets) => buckets.get(group?),
            Buckets::User(place) => principal.buckets.get(*place),
        }
    }
}

/// The group that a caller is counted for, of those that a policy or rule names: the one with the lowest id, as its
/// place among them.
pub fn attribution(groups: &[GroupIndex], principal: &Principal) -> Option<usize> {
    // Groups are numbered in the order of their ids.
    let mut own = principal.groups.iter();
    own.find_map(|group| groups.binary_search(group).ok())
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
    /// The caller's group that it counts for, as [`attribution`] says: its place among the policy's.
    pub group: u32,
}

impl Grants {
    /// `policies` are those that name the provider, each with its place in [`super::Snapshot::policies`].
    pub fn new<'a>(policies: impl IntoIterator<Item = (usize, &'a Policy)>) -> Self {
        let mut all = Vec::new();
        for (place, policy) in policies {
            let policy_place = place as u32;
            for (group_place, index) in (0..).zip(&policy.groups) {
                let granted = Granted {
                    policy: policy_place,
                    group: group_place,
                };
                all.push((*index, granted));
            }
        }
        all.sort_unstable();
        let end = all.last().map_or(0, |(last, _)| last.0 + 1);
        let begin = |index| all.partition_point(|(of, _)| of.0 < index) as u32;
        Self {
            begins: (0..=end).map(begin).collect(),
            granted: all.into_iter().map(|(_, granted)| granted).collect(),
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
            held.map(|held| (held.policy, held.group))
                .collect::<Vec<_>>()
        };
        assert_eq!(held(&[1, 2], 0), [(0, 0), (2, 0), (3, 0)]);
        assert_eq!(held(&[1, 2], 1), [(2, 0), (3, 0)]);
        assert_eq!(held(&[2, 3], 0), [(0, 1), (1, 0), (2, 0)]);
        assert!(held(&[0], 0).is_empty());
        assert!(held(&[4, 99], 0).is_empty());
        assert!(held(&[], 0).is_empty());
    }
}
