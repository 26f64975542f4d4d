//! Reading: a page of what a filter leaves, one entry, and whether the chain is whole.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Entry, Head, append::read, entry_key, hash, key};
use crate::control_plane::store::{Store, StoreError};

/// Which entries are meant. What is not given does not restrict.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Id or name.
    pub actor: Option<String>,
    /// Whole, or a beginning that ends in `*`.
    pub event: Option<String>,
    /// Kind, id or name.
    pub target: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// What a walk along the chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub struct Verified {
    /// Every entry is there and as it was written.
    pub intact: bool,
    /// Where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    pub entries: u64,
    /// Ids of the oldest and the newest.
    pub first: u64,
    pub last: u64,
    /// Of the newest entry: compared with one that was noted elsewhere, it shows whether all was rewritten.
    pub hash: String,
}

impl AuditFilter {
    fn leaves(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, found: &[&str]| {
            wanted
                .as_ref()
                .is_none_or(|wanted| found.contains(&&**wanted))
        };
        let name = entry.actor.name.as_deref().unwrap_or_default();
        let target = &entry.target;
        let event = self
            .event
            .as_ref()
            .is_none_or(|event| match event.strip_suffix('*') {
                Some(beginning) => entry.event.starts_with(beginning),
                None => entry.event == *event,
            });
        event
            && is(&self.actor, &[&entry.actor.id, name])
            && is(&self.target, &[&target.kind, &target.id, &target.name])
            && self.from.is_none_or(|from| from <= entry.time)
            && self.to.is_none_or(|to| entry.time <= to)
    }
}

/// Up to `limit` of the entries that the filter leaves, the newest first, after `skipped` of them; and how many
/// there are.
///
/// # Errors
/// As the store's; entries that cannot be read are left out, [`verify`] finds them.
pub async fn page(
    store: &dyn Store,
    filter: &AuditFilter,
    skipped: usize,
    limit: usize,
) -> Result<(Vec<Entry>, u64), StoreError> {
    let range = store.range(key::ENTRIES).await?;
    let mut found = 0_u64;
    let mut shown = Vec::new();
    for stored in range.entries.iter().rev() {
        let Ok(entry) = serde_json::from_slice::<Entry>(&stored.value) else {
            continue;
        };
        if !filter.leaves(&entry) {
            continue;
        }
        if found >= skipped as u64 && shown.len() < limit {
            shown.push(entry);
        }
        found += 1;
    }
    Ok((shown, found))
}

/// The entry of this id, if it is kept.
///
/// # Errors
/// As the store's.
pub async fn entry(store: &dyn Store, id: u64) -> Result<Option<Entry>, StoreError> {
    let Some(stored) = read(store, &entry_key(id)).await? else {
        return Ok(None);
    };
    let entry = serde_json::from_slice(&stored.value);
    entry
        .map(Some)
        .map_err(|_| StoreError::Damaged { key: stored.key })
}

/// Walks along the chain, in which an entry has to have the hash `noted`.
///
/// # Errors
/// As the store's.
pub async fn verify(store: &dyn Store, noted: Option<&str>) -> Result<Verified, StoreError> {
    // Both at one revision.
    let range = store.range("audit/").await?;
    let head = range.entries.iter().find(|entry| entry.key == key::HEAD);
    let head = match head {
        None => Some(Head::default()),
        Some(stored) => serde_json::from_slice(&stored.value).ok(),
    };
    let entries: Vec<_> = range
        .entries
        .iter()
        .filter(|entry| entry.key.starts_with(key::ENTRIES))
        .collect();
    let Some(head) = head else {
        return Ok(Verified {
            intact: false,
            problem: Some("the head of the chain cannot be read".to_owned()),
            entries: entries.len() as u64,
            ..whole(&Head::default())
        });
    };
    let mut expected = head.anchor.clone();
    let mut problem = None;
    let mut is_found = noted.is_none_or(|noted| noted == expected);
    let mut id = head.first;
    for stored in &entries {
        let entry: Option<Entry> = serde_json::from_slice(&stored.value).ok();
        problem = match entry {
            _ if stored.key != entry_key(id) => Some(format!("entry {id} is missing")),
            None => Some(format!("entry {id} cannot be read")),
            Some(entry) if entry.id != id => Some(format!("entry {id} is another one's copy")),
            Some(entry) if entry.previous != expected => {
                Some(format!("entry {id} does not follow the one before it"))
            }
            Some(_) => None,
        };
        if problem.is_some() {
            break;
        }
        expected = hash(&stored.value);
        is_found |= noted == Some(&expected);
        id += 1;
    }
    if problem.is_none() && (id != head.last + 1 || expected != head.hash) {
        problem = Some(format!("the end does not lead to entry {}", head.last));
    }
    if problem.is_none() && !is_found {
        problem = Some("no entry that is kept has the hash that was noted".to_owned());
    }
    Ok(Verified {
        intact: problem.is_none(),
        problem,
        entries: entries.len() as u64,
        ..whole(&head)
    })
}

fn whole(head: &Head) -> Verified {
    Verified {
        intact: true,
        problem: None,
        entries: 0,
        first: head.first,
        last: head.last,
        hash: head.hash.clone(),
    }
}
