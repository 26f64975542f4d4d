//! Who may use what, and how much of it: policies, budget rules, and the limits they set.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Group, GroupIndex, Principal};
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// The group that a caller is counted for, of those that a policy or rule names: the one with the lowest id, and its
/// place among them.
pub fn attribution<'a>(
    groups: &[GroupIndex],
    principal: &'a Principal,
) -> Option<(usize, &'a Group)> {
    // Groups are numbered in the order of their ids.
    principal.groups.iter().find_map(|group| {
        let place = groups.binary_search(&group.index).ok()?;
        Some((place, group))
    })
}

/// Which policies let which groups reach a provider.
#[derive(Debug, Default)]
pub struct Grants(foldhash::HashMap<GroupIndex, Vec<u32>>);

impl Grants {
    /// `policies` are those that name the provider, each with its place in [`super::Snapshot::policies`], in
    /// ascending order.
    pub fn new<'a>(policies: impl IntoIterator<Item = (usize, &'a Policy)>) -> Self {
        let mut by_group = foldhash::HashMap::<GroupIndex, Vec<u32>>::default();
        for (place, policy) in policies {
            for group in &policy.groups {
                by_group.entry(*group).or_default().push(place as u32);
            }
        }
        Self(by_group)
    }

    pub fn reach(&self, principal: &Principal) -> bool {
        principal.groups.iter().any(|group| self.reaches(group))
    }

    pub fn reaches(&self, group: &Group) -> bool {
        self.0.contains_key(&group.index)
    }

    /// Places of the policies that hold for the caller, in ascending order.
    pub fn places<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = usize> + 'a {
        let mut from = 0;
        std::iter::from_fn(move || {
            let lists = principal.groups.iter();
            let next = lists
                .filter_map(|group| {
                    let places = self.0.get(&group.index)?;
                    places.get(places.partition_point(|place| *place < from))
                })
                .min()?;
            from = next + 1;
            Some(*next as usize)
        })
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
    fn places_come_once_and_in_order() {
        let policy = |groups: &[u32]| Policy {
            groups: groups.iter().copied().map(GroupIndex).collect(),
            ..Policy::default()
        };
        let policies = [policy(&[1, 2]), policy(&[3]), policy(&[2]), policy(&[1])];
        let grants = Grants::new(policies.iter().enumerate());
        let places = |groups: &[u32]| {
            let principal = crate::policy::tests::principal(groups);
            grants.places(&principal).collect::<Vec<_>>()
        };
        assert_eq!(places(&[1, 2]), [0, 2, 3]);
        assert_eq!(places(&[2, 3]), [0, 1, 2]);
        assert!(places(&[4]).is_empty());
    }
}
