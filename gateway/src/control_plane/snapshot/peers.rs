//! Peers to principals, group names to indices.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
};

use super::{Documents, SkippedDocument, access::Access, kept::Kept};
use crate::{
    control_plane::{
        ledger::{Ledger, Scope},
        resource::{
            PeerDoc,
            key::{PEERS, POLICIES},
        },
    },
    handoff::{
        ledger::Bucket,
        snapshot::{Group, GroupIndex, Principal},
    },
};

/// Every group that a peer or a policy names, numbered in the order of their ids.
pub(super) struct Groups(BTreeMap<String, Group>);

impl Groups {
    pub(super) fn intern(documents: &Documents) -> Self {
        let names: HashMap<_, _> = documents
            .groups
            .iter()
            .map(|group| (group.id.as_str(), group.name.as_str()))
            .collect();
        let of_peers = documents.peers.iter().flat_map(|peer| &peer.groups);
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
        let groups = (0..).zip(ids).map(|(index, id)| {
            let group = Group {
                index: GroupIndex(index),
                id: id.into(),
                name: (*names.get(id).unwrap_or(&id)).into(),
            };
            (id.to_owned(), group)
        });
        Self(groups.collect())
    }

    /// Sorted, without duplicates.
    pub(super) fn of(&self, ids: &[String]) -> Vec<Group> {
        let mut groups: Vec<_> = ids
            .iter()
            .filter_map(|id| self.0.get(id).cloned())
            .collect();
        groups.sort();
        groups.dedup();
        groups
    }
}

/// Remembers the slots of peers.
#[derive(Default)]
pub(super) struct PeerCompiler {
    slots: Kept<String, u32>,
    next_slot: u32,
}

impl PeerCompiler {
    /// Blocked peers are left out: to a worker they are no peers.
    pub(super) fn compile(
        &mut self,
        documents: &Documents,
        groups: &Groups,
        access: &Access<'_>,
        ledger: &Ledger,
        skipped: &mut Vec<SkippedDocument>,
    ) -> foldhash::HashMap<IpAddr, Arc<Principal>> {
        self.slots.begin();
        let mut peers: foldhash::HashMap<IpAddr, Arc<Principal>> = foldhash::HashMap::default();
        let mut ambiguous = HashSet::new();
        let mut buckets = UserBuckets::default();
        for doc in &documents.peers {
            let slot = self.slot(&doc.id);
            if doc.blocked {
                continue;
            }
            let principal = principal(doc, groups, slot, |id| buckets.of(id, access, ledger));
            let principal = Arc::new(Principal {
                budget_rules: access.rules_of(&principal.id, &principal.groups),
                ..principal
            });
            for address in doc.addresses.iter().map(IpAddr::to_canonical) {
                if let Some(other) = peers.insert(address, Arc::clone(&principal))
                    && other.peer_id != principal.peer_id
                {
                    ambiguous.insert(address);
                    skipped.push(SkippedDocument {
                        key: format!("{PEERS}{}", doc.id),
                        reason: format!(
                            "{address} belongs to peer {} too; neither is let in from there",
                            other.peer_id
                        ),
                    });
                }
            }
        }
        self.slots.end();
        // An address must name one peer; guessing could hand one peer's rights to another.
        peers.retain(|address, _| !ambiguous.contains(address));
        report_dangling(documents, skipped);
        peers
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
struct UserBuckets(HashMap<String, Arc<[Arc<Bucket>]>>);

impl UserBuckets {
    fn of(&mut self, id: &str, access: &Access<'_>, ledger: &Ledger) -> Arc<[Arc<Bucket>]> {
        if access.meters.is_empty() {
            return Arc::default();
        }
        let made = self.0.entry(id.to_owned()).or_insert_with(|| {
            let meters = access.meters.iter();
            meters
                .map(|meter| meter.bucket(Scope::User(id.to_owned()), ledger))
                .collect()
        });
        Arc::clone(made)
    }
}

fn principal(
    doc: &PeerDoc,
    groups: &Groups,
    slot: u32,
    buckets: impl FnOnce(&str) -> Arc<[Arc<Bucket>]>,
) -> Principal {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let id = given(&doc.user_id).unwrap_or_else(|| doc.id.clone());
    let email = given(&doc.user_email).filter(|_| given(&doc.user_id).is_some());
    Principal {
        buckets: buckets(&id),
        budget_rules: Box::default(),
        id: id.into(),
        display_name: email.unwrap_or_else(|| doc.name.clone()).into(),
        peer_id: doc.id.as_str().into(),
        groups: groups.of(&doc.groups).into(),
        slot,
    }
}

/// Policies that point nowhere grant nothing; the operator should hear of it.
fn report_dangling(documents: &Documents, skipped: &mut Vec<SkippedDocument>) {
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
