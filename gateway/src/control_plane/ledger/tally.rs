//! What limits count, in a file in memory that outlives the process: which bucket has which line of it.
//!
//! The file only ever says more than the store does. A bucket that has no line, for whatever reason, counts on the
//! heap, and after a kill what it was granted counts as spent. The store names the one file that was in use last, so
//! that none is believed that an unobserved run would make stale.

mod file;

use std::{collections::HashMap, fmt::Display, fs, path::Path};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use portable_atomic::AtomicU128;
use tracing::{debug, warn};

use crate::{
    control_plane::{
        resource::key::TALLY,
        store::{Operation, Store, StoreError, Transaction},
    },
    handoff::ledger::Words,
};
use file::{Seal, TallyFile, Unusable};

/// Lines of buckets; by default there is no file, and all are on the heap.
#[derive(Default)]
pub struct Tally {
    file: Option<TallyFile>,
    /// The file's, which the store has too.
    id: Option<u128>,
    /// By the digest of the bucket's name.
    places: HashMap<u128, Place>,
    /// What no bucket uses now; some may have come back since.
    unused: Vec<u128>,
    free: Vec<usize>,
    /// It could not grow; it is tried again when lines are reclaimed.
    is_full: bool,
}

struct Place {
    line: usize,
    is_used: bool,
}

/// The words of a bucket.
pub(super) struct Claimed {
    pub(super) words: Words,
    /// They say all that was spent in their window.
    pub(super) is_known: bool,
}

impl Tally {
    /// Opens or makes the file, for whoever has the store open. Where there can be none, a warning says so.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(path: &Path, store: &dyn Store) -> Result<Self, StoreError> {
        let entries = store.range(TALLY).await?.entries;
        let noted = entries.first().and_then(|entry| {
            let id = entry.value.as_slice().try_into().ok()?;
            Some(u128::from_le_bytes(id))
        });
        let boot = file::boot(path);
        let tally = match boot {
            Ok(boot) if AtomicU128::is_lock_free() => Self::open_in(boot, path, noted),
            // A kill in the middle of an addition could leave half of it.
            Ok(_) => Self::without(path, &"this processor has no atomic words of 128 bits"),
            Err(error) => Self::without(path, &error),
        };
        match note(store, noted, tally.id).await {
            Ok(()) => Ok(tally),
            Err(error) => Ok(Self::without(path, &error)),
        }
    }

    /// `noted` is the id of the file that was in use last.
    fn open_in(boot: u128, path: &Path, noted: Option<u128>) -> Self {
        let opened = match noted {
            Some(id) => TallyFile::open(path, Seal { boot, id }).and_then(|file| {
                let tally = Self::with(file, id);
                tally.ok_or(Unusable::Damaged("two lines are one bucket's"))
            }),
            None => Err(Unusable::Foreign),
        };
        match opened {
            Ok(tally) => return tally,
            Err(Unusable::Absent | Unusable::Foreign) => {
                debug!(path = %path.display(), "limits: no counters of an earlier run");
            }
            Err(Unusable::Damaged(reason)) => {
                let aside = path.with_added_extension("damaged");
                let moved = fs::rename(path, &aside);
                warn!(
                    reason,
                    set_aside = moved.is_ok().then(|| aside.display().to_string()),
                    "limits: the last run's counters are damaged; what was granted counts as spent"
                );
            }
            Err(Unusable::Io(error)) => return Self::without(path, &error),
        }
        let id = random_id();
        let created = TallyFile::create(path, Seal { boot, id });
        match created.map(|file| Self::with(file, id)) {
            Ok(tally) => tally.unwrap_or_default(),
            Err(error) => Self::without(path, &error),
        }
    }

    fn without(path: &Path, reason: &dyn Display) -> Self {
        warn!(
            %reason,
            path = %path.display(),
            "limits: counters are not kept for the case of a kill; what is granted would count as spent then"
        );
        // It would only take room: the store names another, or none.
        let _ = fs::remove_file(path);
        Self::default()
    }

    /// `None` where two lines are one bucket's.
    fn with(file: TallyFile, id: u128) -> Option<Self> {
        let mut tally = Self {
            id: Some(id),
            ..Self::default()
        };
        for (index, line) in file.lines().enumerate().skip(file::HEADER_LINES) {
            match line.digest() {
                0 => tally.free.push(index),
                digest => {
                    let place = Place {
                        line: index,
                        is_used: false,
                    };
                    if tally.places.insert(digest, place).is_some() {
                        return None;
                    }
                    tally.unused.push(digest);
                }
            }
        }
        // The first one is taken first.
        tally.free.reverse();
        tally.file = Some(file);
        Some(tally)
    }

    /// The words of the bucket of this name, which no other bucket has.
    pub(super) fn claim(&mut self, name: &str, window_seconds: u32) -> Claimed {
        let digest = digest_of(name);
        if let Some(place) = self.places.get_mut(&digest) {
            let words = self.file.as_ref().and_then(|file| file.words(place.line));
            if let Some(words) = words {
                place.is_used = true;
                return Claimed {
                    words,
                    is_known: true,
                };
            }
        }
        Claimed {
            words: self.take(digest, window_seconds).unwrap_or_default(),
            is_known: false,
        }
    }

    /// A line for a bucket that has none.
    fn take(&mut self, digest: u128, window_seconds: u32) -> Option<Words> {
        if self.free.is_empty() {
            self.grow();
        }
        let line = self.free.pop()?;
        let words = self.file.as_ref()?.words(line)?;
        words.assign(digest, window_seconds);
        let place = Place {
            line,
            is_used: true,
        };
        self.places.insert(digest, place);
        Some(words)
    }

    fn grow(&mut self) {
        let Some(file) = &mut self.file else { return };
        if self.is_full {
            return;
        }
        match file.grow() {
            Ok(lines) => self.free.extend(lines.rev()),
            Err(error) => {
                self.is_full = true;
                warn!(
                    %error,
                    "limits: no room for more counters that outlive a kill; what is granted of others would count as \
                     spent then"
                );
            }
        }
    }

    /// Nothing uses the bucket with this digest any more. Its line stays for as long as its window does.
    pub(super) fn release(&mut self, digest: u128) {
        if let Some(place) = self.places.get_mut(&digest) {
            place.is_used = false;
            self.unused.push(digest);
        }
    }

    /// Takes back lines that nobody uses, once their windows are over.
    pub(super) fn reclaim(&mut self, now: u64) {
        let Self {
            file: Some(file),
            places,
            unused,
            free,
            is_full,
            ..
        } = self
        else {
            return;
        };
        unused.retain(|digest| {
            let Some(place) = places.get(digest).filter(|place| !place.is_used) else {
                return false;
            };
            let Some(line) = file.line(place.line).filter(|line| line.is_over(now)) else {
                return true;
            };
            line.assign(0, 0);
            free.push(place.line);
            places.remove(digest);
            false
        });
        *is_full = false;
    }
}

/// Writes down which file is in use from here on.
async fn note(
    store: &dyn Store,
    noted: Option<u128>,
    used: Option<u128>,
) -> Result<(), StoreError> {
    let key = TALLY.to_owned();
    let operation = match used {
        _ if used == noted => return Ok(()),
        Some(id) => Operation::Put {
            key,
            value: id.to_le_bytes().to_vec(),
        },
        None => Operation::Delete { key },
    };
    let transaction = Transaction {
        compares: Vec::new(),
        operations: vec![operation],
    };
    store.transact(transaction).await.map(drop)
}

fn random_id() -> u128 {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has random numbers");
    u128::from_le_bytes(bytes)
}

/// So many names do not share one of 128 bits, even where somebody chooses them.
fn digest_of(name: &str) -> u128 {
    let digest = digest(&SHA256, name.as_bytes());
    let first = digest.as_ref().first_chunk();
    u128::from_le_bytes(*first.expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests;
