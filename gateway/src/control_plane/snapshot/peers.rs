//! Peers to principals, group names to indices.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
};

use foldhash::HashMapExt as _;

use super::{Documents, SkippedDocument, access::Access, kept::Kept};
use crate::{
    control_plane::{
        identity::{Identity, Member},
        ledger::{Ledger, Scope},
        resource::key::{PEERS, POLICIES},
    },
    handoff::snapshot::{Group, GroupIndex, GroupIndexes, OwnBuckets, Peers, Principal},
};

/// Every group that a peer or a policy names, numbered in the order of their ids.
pub(super) struct Groups(Arc<[Group]>);

impl Groups {
    pub(super) fn intern(
        documents: &Documents,
        identity: &Identity,
        members: &[Member<'_>],
    ) -> Self {
        let names: HashMap<_, _> = identity
            .groups(&documents.groups)
            .map(|group| (group.id.as_str(), group.name.as_str()))
            .collect();
        let of_peers = members.iter().flat_map(|member| member.groups);
        let of_policies = documents
            .policies
            .iter()
            .flat_map(|policy| &policy.source_groups);
        let of_rules = documents
            .budgets
            .iter()
            .flat_map(|rule| &rule.target_groups);
        let ids: BTreeSet<&str> = of_peers
            .chain(of_policies)
            .chain(of_rules)
            .map(String::as_str)
            .chain(names.keys().copied())
            .collect();
        let groups = (0..).zip(ids).map(|(index, id)| Group {
            index: GroupIndex(index),
            id: id.into(),
            name: (*names.get(id).unwrap_or(&id)).into(),
        });
        Self(groups.collect())
    }

    /// Sorted, without duplicates.
    pub(super) fn of(&self, ids: &[String]) -> GroupIndexes {
        let known = ids.iter().filter_map(|id| {
            let place = self.0.binary_search_by(|group| (*group.id).cmp(id)).ok()?;
            Some(self.0[place].index)
        });
        let mut groups: GroupIndexes = known.collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    pub(super) fn id(&self, index: GroupIndex) -> &str {
        &self.0[index.0 as usize].id
    }

    /// In the order of their indexes.
    pub(super) fn all(&self) -> &Arc<[Group]> {
        &self.0
    }
}

/// Remembers the slots of peers.
#[derive(Default)]
pub(super) struct PeerCompiler {
    slots: Kept<String, u32>,
    next_slot: u32,
}

impl PeerCompiler {
    /// Peers that are denied are left out: to a worker they are no peers.
    pub(super) fn compile(
        &mut self,
        members: &[Member<'_>],
        groups: &Groups,
        access: &Access<'_>,
        ledger: &Ledger,
        skipped: &mut Vec<SkippedDocument>,
    ) -> Peers {
        self.slots.begin();
        let mut principals = Vec::with_capacity(members.len());
        let mut places = foldhash::HashMap::with_capacity(members.len());
        let mut buckets = UserBuckets::default();
        for member in members {
            let slot = self.slot(member.id);
            skipped.extend(member.shared.iter().map(|address| SkippedDocument {
                key: format!("{PEERS}{}", member.id),
                reason: format!("{address} is another peer's too; neither is let in from there"),
            }));
            if member.denial.is_some() {
                continue;
            }
            let principal = principal(member, groups, slot, |id| buckets.of(id, access, ledger));
            let place = u32::try_from(principals.len()).expect("there are fewer addresses");
            let addresses = member.addresses.iter();
            let own = addresses.filter(|address| !member.shared.contains(address));
            let before = places.len();
            places.extend(own.map(|address| (*address, place)));
            if places.len() > before {
                principals.push(Principal {
                    budget_rules: access.rules_of(&principal.id, &principal.groups),
                    ..principal
                });
            }
        }
        self.slots.end();
        Peers::new(principals, places)
    }

    fn slot(&mut self, peer_id: &str) -> u32 {
        let next = &mut self.next_slot;
        let made: Result<u32, Infallible> = self.slots.get_or_make(peer_id.to_owned(), || {
            *next += 1;
            Ok(*next)
        });
        match made {
            Ok(slot) => slot,
        }
    }
}

/// Shared by all peers of a user.
#[derive(Default)]
struct UserBuckets(HashMap<String, OwnBuckets>);

impl UserBuckets {
    fn of(&mut self, id: &str, access: &Access<'_>, ledger: &Ledger) -> OwnBuckets {
        if access.meters.is_empty() {
            return OwnBuckets::new();
        }
        let made = self.0.entry(id.to_owned()).or_insert_with(|| {
            let meters = access.meters.iter();
            meters
                .map(|meter| meter.bucket(Scope::User(id.to_owned()), ledger))
                .collect()
        });
        made.clone()
    }
}

fn principal(
    member: &Member<'_>,
    groups: &Groups,
    slot: u32,
    buckets: impl FnOnce(&str) -> OwnBuckets,
) -> Principal {
    let id = member.user_id.unwrap_or(member.id);
    let email = member.user_email.filter(|_| member.user_id.is_some());
    Principal {
        groups: groups.of(member.groups),
        buckets: buckets(id),
        budget_rules: Box::default(),
        all_groups: Arc::clone(groups.all()),
        id: id.into(),
        display_name: email.unwrap_or(member.name).into(),
        peer_id: member.id.into(),
        slot,
    }
}

/// Policies that point nowhere grant nothing; the operator should hear of it.
pub(super) fn report_dangling(documents: &Documents, skipped: &mut Vec<SkippedDocument>) {
    let known: HashSet<_> = documents
        .providers
        .iter()
        .map(|provider| &provider.id)
        .collect();
    for policy in documents.policies.iter().filter(|policy| policy.enabled) {
        for id in &policy.destination_provider_ids {
            if !known.contains(id) {
                skipped.push(SkippedDocument {
                    key: format!("{POLICIES}{}", policy.id),
                    reason: format!("there is no provider {id}"),
                });
            }
        }
    }
}
