//! What `/peers` shows: peers of every source, with the source's word on each.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::IdentitySource,
    control_plane::{
        identity::{Denial, Identity, IdentitySources, Member, source_name},
        resource::PeerDoc,
    },
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Peer)]
pub(in crate::control_plane::api) struct PeerView {
    id: String,
    name: String,
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    public_key: Option<String>,
    #[schema(required)]
    user_id: Option<String>,
    #[schema(required)]
    user_email: Option<String>,
    groups: Vec<String>,
    blocked: bool,
    /// Peers of the store have these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    updated_at: Option<Timestamp>,
    /// As in `identity.source`.
    source: &'static str,
    /// When its source, outside the store, said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    read_at: Option<Timestamp>,
    let_in: bool,
    /// Code of why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    denial: Option<&'static str>,
    /// The same for people, and what is wrong with one that is let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// Every peer: those of the store in the order of their age, then the others.
pub(super) fn all(docs: &mut [PeerDoc], sources: &IdentitySources) -> Vec<PeerView> {
    docs.sort_by_key(|doc| doc.created_at);
    let read_at = read_at(sources);
    let identity = sources.current();
    let members = identity.members(docs);
    members
        .iter()
        .map(|member| view(member, &identity, &read_at))
        .collect()
}

/// One of the store, by itself: whether another peer has its address is not looked at.
pub(super) fn one(doc: &PeerDoc, sources: &IdentitySources) -> PeerView {
    let identity = sources.current();
    let member = identity.stored(doc);
    view(&member, &identity, &read_at(sources))
}

/// One of another source, by its id.
pub(super) fn foreign(id: &str, sources: &IdentitySources) -> Option<PeerView> {
    let identity = sources.current();
    let members = identity.members(&[]);
    let member = members.iter().find(|member| member.id == id)?;
    Some(view(member, &identity, &read_at(sources)))
}

type ReadAt = HashMap<&'static str, Option<Timestamp>>;

fn read_at(sources: &IdentitySources) -> ReadAt {
    let statuses = sources.statuses();
    statuses
        .map(|(source, status)| (source_name(source), status.read_at))
        .collect()
}

fn view(member: &Member<'_>, identity: &Identity, read_at: &ReadAt) -> PeerView {
    let source = source_name(member.source);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let doc = member.doc;
    PeerView {
        id: member.id.to_owned(),
        name: member.name.to_owned(),
        addresses: member.addresses.iter().map(ToString::to_string).collect(),
        public_key: doc.and_then(|doc| doc.public_key.clone()),
        user_id: owned(member.user_id),
        user_email: owned(member.user_email),
        groups: member.groups.to_vec(),
        blocked: doc.is_some_and(|doc| doc.blocked),
        created_at: doc.map(|doc| doc.created_at),
        updated_at: doc.map(|doc| doc.updated_at),
        source,
        read_at: read_at.get(source).copied().flatten(),
        let_in: member.denial.is_none(),
        denial: member.denial.map(Denial::code),
        reason: member
            .denial
            .map(|denial| denial.to_string())
            .or_else(|| flaw(member, identity)),
    }
}

/// What keeps a part of it out.
fn flaw(member: &Member<'_>, identity: &Identity) -> Option<String> {
    if let Some(address) = member.shared.first() {
        return Some(format!("{address} is another peer's too"));
    }
    let key = match member.source {
        IdentitySource::Wireguard => member.doc?.public_key.as_ref()?,
        IdentitySource::Static | IdentitySource::Netbird => return None,
    };
    let network = identity.wireguard.as_ref()?.networks(key).next()?;
    Some(format!("{network} is a network, which names nobody"))
}
