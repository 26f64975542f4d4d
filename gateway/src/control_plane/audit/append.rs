//! Writing: a transaction and its entries become one.

use jiff::{SignedDuration, Timestamp};

use super::{
    Author, Entry, Head, Retention, entry_key, hash, key,
    subject::{self, Subject},
};
use crate::control_plane::store::{
    self, Compare, Operation, Store, StoreError, Transaction, TransactionOutcome,
};

/// How often a write is tried again because somebody else's entry came first.
const TRIES: usize = 16;
/// Entries beyond the retention that go with one write; more go with the next.
const DROPPED_MAX: u64 = 8;
const HOURS_PER_DAY: i64 = 24;

/// Commits `transaction` with an entry for each thing it changes; `false` when one of its own compares did not
/// hold.
///
/// # Errors
/// As the store's.
pub async fn commit(
    store: &dyn Store,
    retention: Retention,
    author: &Author,
    transaction: Transaction,
) -> Result<bool, StoreError> {
    for _ in 0..TRIES {
        let prepared = prepare(store, retention, author, &transaction).await?;
        match store.transact(prepared.whole).await? {
            TransactionOutcome::Committed { .. } => {
                for (event, target, hash) in &prepared.written {
                    tracing::info!(actor = author.id, event, target, hash, "audit");
                }
                return Ok(true);
            }
            TransactionOutcome::Conflict { .. } => {
                if all_hold(store, &prepared.own).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(false)
}

struct Prepared {
    whole: Transaction,
    /// What was added to the caller's compares.
    own: Vec<Compare>,
    /// Event, id of the target and hash of each new entry.
    written: Vec<(String, String, String)>,
}

async fn prepare(
    store: &dyn Store,
    retention: Retention,
    author: &Author,
    transaction: &Transaction,
) -> Result<Prepared, StoreError> {
    let now = Timestamp::now();
    let mut whole = transaction.clone();
    let mut own = Vec::new();
    let mut written = Vec::new();
    let (mut head, compare) = read_head(store).await?;
    own.push(compare);
    for operation in &transaction.operations {
        let (key, after) = match operation {
            Operation::Put { key, value } => (key, Some(value.as_slice())),
            Operation::Delete { key } => (key, None),
        };
        let Some(subject) = Subject::of(key) else {
            continue;
        };
        let before = read(store, key).await?;
        own.push(compare_with(key, before.as_ref()));
        let before = before.map(|entry| entry.value);
        let Some(change) = subject::change(&subject, before.as_deref(), after) else {
            continue;
        };
        let entry = Entry {
            id: head.last + 1,
            time: now,
            event: change.event,
            actor: author.clone(),
            target: change.target,
            before: change.before,
            after: change.after,
            previous: head.hash,
        };
        let value = serde_json::to_vec(&entry).expect("string keys only");
        head.hash = hash(&value);
        head.last = entry.id;
        written.push((entry.event, entry.target.id, head.hash.clone()));
        whole.operations.push(Operation::Put {
            key: entry_key(entry.id),
            value,
        });
    }
    if !written.is_empty() {
        drop_old(store, retention, now, &mut head, &mut whole).await?;
        whole.operations.push(Operation::Put {
            key: key::HEAD.to_owned(),
            value: serde_json::to_vec(&head).expect("string keys only"),
        });
    }
    whole.compares.extend(own.iter().cloned());
    Ok(Prepared {
        whole,
        own,
        written,
    })
}

/// Takes out what is beyond the retention, the oldest first, as far as it fits into the transaction.
async fn drop_old(
    store: &dyn Store,
    retention: Retention,
    now: Timestamp,
    head: &mut Head,
    whole: &mut Transaction,
) -> Result<(), StoreError> {
    let days = i64::try_from(retention.days).unwrap_or(i64::MAX);
    let age = SignedDuration::from_hours(days.saturating_mul(HOURS_PER_DAY));
    for _ in 0..DROPPED_MAX {
        // The head is yet to come.
        let is_full = whole.operations.len() + 2 > store::OPERATIONS_MAX;
        let Some(oldest) = read(store, &entry_key(head.first)).await? else {
            return Ok(());
        };
        let is_beyond = head.last + 1 - head.first > retention.entries as u64;
        let is_old = || {
            let entry: Option<Entry> = serde_json::from_slice(&oldest.value).ok();
            entry.is_none_or(|entry| now.duration_since(entry.time) >= age)
        };
        if is_full || !(is_beyond || is_old()) {
            return Ok(());
        }
        head.anchor = hash(&oldest.value);
        head.first += 1;
        whole.operations.push(Operation::Delete { key: oldest.key });
    }
    Ok(())
}

/// The head, and what holds as long as it is the head.
async fn read_head(store: &dyn Store) -> Result<(Head, Compare), StoreError> {
    let found = read(store, key::HEAD).await?;
    let compare = compare_with(key::HEAD, found.as_ref());
    let head = match found {
        None => Head::default(),
        Some(entry) => serde_json::from_slice(&entry.value)
            .map_err(|_| StoreError::Damaged { key: entry.key })?,
    };
    Ok((head, compare))
}

fn compare_with(key: &str, found: Option<&store::Entry>) -> Compare {
    match found {
        Some(entry) => Compare::ModRevision {
            key: key.to_owned(),
            revision: entry.mod_revision,
        },
        None => Compare::Absent {
            key: key.to_owned(),
        },
    }
}

async fn all_hold(store: &dyn Store, compares: &[Compare]) -> Result<bool, StoreError> {
    for compare in compares {
        let (Compare::Absent { key } | Compare::ModRevision { key, .. }) = compare;
        let found = read(store, key).await?;
        let holds = match compare {
            Compare::Absent { .. } => found.is_none(),
            Compare::ModRevision { revision, .. } => {
                found.is_some_and(|entry| entry.mod_revision == *revision)
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The entry at just this key.
pub(super) async fn read(store: &dyn Store, key: &str) -> Result<Option<store::Entry>, StoreError> {
    let range = store.range(key).await?;
    Ok(range.entries.into_iter().find(|entry| entry.key == key))
}
