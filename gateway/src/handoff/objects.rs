//! `ObjectTable`: which provider keeps an object that a later request names by its id alone
//! (`GET /v1/responses/{id}`), and whether its usage was billed.
//!
//! All workers share one table of atomic words of fixed size: no lock, no growth, no allocation. It is a
//! cache. What it has forgotten, or never knew, is routed as if the id were not there.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use super::snapshot::ProviderSlot;

/// Objects that the table holds at most.
pub const OBJECTS_LIMIT: usize = BUCKETS * WAYS;

/// Longer ids are not kept; vendors' have 30 to 70 bytes.
pub const OBJECT_ID_BYTES_LIMIT: usize = 128;

/// A power of two.
const BUCKETS: usize = 16 * 1024;
/// Cells of a bucket: a cache line of them.
const WAYS: usize = 8;

const BILLING_BITS: u32 = 2;
const SLOT_BITS: u32 = 16;
const TAG_SHIFT: u32 = BILLING_BITS + SLOT_BITS;

/// Who has billed an object's usage. The answer that makes an object usually tells its usage too; that
/// of a background job, or of a stream that was cut, does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Billing {
    /// Nobody yet.
    Open = 0,
    /// The exchange that made it.
    ByMaker = 1,
    /// A later exchange that asked for it.
    Later = 2,
}

/// See the module.
#[derive(Debug)]
pub struct ObjectTable {
    buckets: Box<[Bucket]>,
    /// Keyed at random, so that nobody can choose ids that meet.
    hasher: RandomState,
}

/// Words of tag ‖ slot ‖ billing; zero is a free cell, as no object is kept for slot 0. Bucket and tag
/// are 60 bits of the hash of account and id: two of them meet once in 10¹³ look-ups, and all that can
/// follow is an answer by another provider that the caller may use.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

impl Default for ObjectTable {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl ObjectTable {
    /// `account` made `id` at a provider. When the bucket is full, an object that is billed makes room
    /// first.
    pub fn note(&self, account: &str, id: &str, provider: ProviderSlot) {
        self.put(account, id, provider, Billing::Open);
    }

    /// As [`Self::note`], for what an earlier process knew. What was billed stays billed.
    pub fn restore(&self, account: &str, id: &str, provider: ProviderSlot, billed: bool) {
        let (bucket, tag) = self.place(account, id);
        let known = find(bucket, tag).map(|(_, word)| billing_of(word));
        let billing = if billed || known.is_some_and(|known| known != Billing::Open) {
            Billing::ByMaker
        } else {
            Billing::Open
        };
        self.put(account, id, provider, billing);
    }

    /// Where an object is that `account` made.
    pub fn provider(&self, account: &str, id: &str) -> Option<ProviderSlot> {
        let (bucket, tag) = self.place(account, id);
        let (_, word) = find(bucket, tag)?;
        Some(ProviderSlot((word >> BILLING_BITS) as u16))
    }

    /// Whether the usage of an object that `account` made is billed; `None`: it is not known.
    pub fn is_billed(&self, account: &str, id: &str) -> Option<bool> {
        let (bucket, tag) = self.place(account, id);
        find(bucket, tag).map(|(_, word)| billing_of(word) != Billing::Open)
    }

    /// Whether the exchange that made the object shall bill the usage it saw: yes, unless a later one was
    /// faster.
    pub fn bill_as_maker(&self, account: &str, id: &str) -> bool {
        self.bill(account, id, Billing::ByMaker) != Some(Billing::Later)
    }

    /// Whether an exchange that asked for the object shall bill the usage it saw: only the first one that
    /// sees any, and only if the maker saw none.
    pub fn bill_later(&self, account: &str, id: &str) -> bool {
        self.bill(account, id, Billing::Later) == Some(Billing::Open)
    }

    /// Marks an open object as billed; returns what it was before, `None` for an unknown one.
    fn bill(&self, account: &str, id: &str, billing: Billing) -> Option<Billing> {
        let (bucket, tag) = self.place(account, id);
        loop {
            let (cell, word) = find(bucket, tag)?;
            let before = billing_of(word);
            if before != Billing::Open {
                return Some(before);
            }
            let billed = word | billing as u64;
            if cell
                .compare_exchange(word, billed, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return Some(before);
            }
        }
    }

    fn put(&self, account: &str, id: &str, provider: ProviderSlot, billing: Billing) {
        if provider.0 == 0 || id.is_empty() || id.len() > OBJECT_ID_BYTES_LIMIT {
            return;
        }
        let (bucket, tag) = self.place(account, id);
        let word = tag << TAG_SHIFT | u64::from(provider.0) << BILLING_BITS | billing as u64;
        let free = || bucket.0.iter().find(|cell| load(cell) == 0);
        let billed = || {
            let is_billed = |cell: &&AtomicU64| billing_of(load(cell)) != Billing::Open;
            in_turn(bucket, tag).find(is_billed)
        };
        let cell = find(bucket, tag)
            .map(|(cell, _)| cell)
            .or_else(free)
            .or_else(billed)
            .or_else(|| in_turn(bucket, tag).next());
        if let Some(cell) = cell {
            // Two that choose the same cell at once: the later one stays, the other is forgotten.
            cell.store(word, Ordering::Relaxed);
        }
    }

    fn place(&self, account: &str, id: &str) -> (&Bucket, u64) {
        let hash = self.hasher.hash_one((account, id));
        (&self.buckets[hash as usize % BUCKETS], hash >> TAG_SHIFT)
    }
}

fn find(bucket: &Bucket, tag: u64) -> Option<(&AtomicU64, u64)> {
    bucket
        .0
        .iter()
        .map(|cell| (cell, load(cell)))
        .find(|(_, word)| *word != 0 && word >> TAG_SHIFT == tag)
}

/// The cells from one on that the new tag chooses, so that not always the same one makes room.
fn in_turn(bucket: &Bucket, tag: u64) -> impl Iterator<Item = &AtomicU64> {
    bucket.0.iter().cycle().skip(tag as usize % WAYS).take(WAYS)
}

/// Nothing else is read on the strength of a word, so no order between words is needed.
fn load(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

fn billing_of(word: u64) -> Billing {
    match word & ((1 << BILLING_BITS) - 1) {
        0 => Billing::Open,
        1 => Billing::ByMaker,
        _ => Billing::Later,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    const ONE: ProviderSlot = ProviderSlot(1);
    const LAST: ProviderSlot = ProviderSlot(u16::MAX);

    #[test]
    fn an_object_is_known_to_the_account_that_made_it() {
        let table = ObjectTable::default();
        table.note("ada", "resp_1", ONE);
        table.note("ada", "file-1", LAST);
        assert_eq!(table.provider("ada", "resp_1"), Some(ONE));
        assert_eq!(table.provider("ada", "file-1"), Some(LAST));
        assert_eq!(table.provider("bob", "resp_1"), None);
        assert_eq!(table.provider("ada", "resp_2"), None);
        assert_eq!(table.provider("adar", "esp_1"), None);
        table.note("ada", "resp_1", LAST);
        assert_eq!(table.provider("ada", "resp_1"), Some(LAST));
    }

    #[test]
    fn what_cannot_be_kept_is_unknown() {
        let table = ObjectTable::default();
        let long = "x".repeat(OBJECT_ID_BYTES_LIMIT + 1);
        table.note("ada", &long, ONE);
        table.note("ada", "", ONE);
        table.note("ada", "resp_1", ProviderSlot(0));
        for id in [&long, "", "resp_1"] {
            assert_eq!(table.provider("ada", id), None);
        }
    }

    #[test]
    fn usage_is_billed_once() {
        let table = ObjectTable::default();
        // A usual answer: the maker bills, asking again is free.
        table.note("ada", "a", ONE);
        assert!(table.bill_as_maker("ada", "a"));
        assert!(!table.bill_later("ada", "a"));
        // A background job: the first one that sees usage bills.
        table.note("ada", "b", ONE);
        assert!(table.bill_later("ada", "b"));
        assert!(!table.bill_later("ada", "b"));
        assert!(!table.bill_as_maker("ada", "b"));
        assert_eq!(table.provider("ada", "b"), Some(ONE));
        // An unknown one may have been billed before.
        assert!(!table.bill_later("ada", "c"));
        assert!(table.bill_as_maker("ada", "c"));
        // Servers whose ids are all the same still have every answer billed.
        table.note("ada", "a", ONE);
        assert!(table.bill_as_maker("ada", "a"));
        assert!(table.bill_as_maker("ada", "a"));
        // What an earlier process billed stays billed.
        table.restore("ada", "d", ONE, true);
        table.restore("ada", "e", ONE, false);
        table.restore("ada", "d", LAST, false);
        assert_eq!(table.provider("ada", "d"), Some(LAST));
        assert!(!table.bill_later("ada", "d"));
        assert!(table.bill_later("ada", "e"));
    }

    #[test]
    fn of_many_who_ask_at_once_one_bills() {
        let table = Arc::new(ObjectTable::default());
        for round in 0..200 {
            let id = format!("resp_{round}");
            table.note("ada", &id, ONE);
            let asking: Vec<_> = (0..4)
                .map(|_| {
                    let (table, id) = (Arc::clone(&table), id.clone());
                    thread::spawn(move || table.bill_later("ada", &id))
                })
                .collect();
            let billed = asking.into_iter().filter_map(|asked| asked.join().ok());
            assert_eq!(billed.filter(|billed| *billed).count(), 1);
        }
    }

    #[test]
    fn a_full_table_forgets_what_is_billed_first() {
        let table = ObjectTable::default();
        for job in 0..OBJECTS_LIMIT / 16 {
            table.note("ada", &format!("job_{job}"), ONE);
        }
        for number in 0..2 * OBJECTS_LIMIT {
            let id = format!("resp_{number}");
            table.note("ada", &id, ONE);
            assert!(table.bill_as_maker("ada", &id));
            assert!(table.provider("ada", &id).is_some());
        }
        let open = (0..OBJECTS_LIMIT / 16)
            .filter(|job| table.bill_later("ada", &format!("job_{job}")))
            .count();
        assert_eq!(open, OBJECTS_LIMIT / 16);
    }
}
