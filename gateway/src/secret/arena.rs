//! The process-wide arena of locked pages. A slot is a power-of-two piece of a region; every region
//! serves one slot size, and is kept once it exists, so that the number of locked pages is bounded by
//! the most secrets that ever lived at once. Secrets larger than a region get one of their own.

use std::{
    fmt,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::errno::Errno;

use super::sys::{Pages, page_bytes};
use crate::alloc::wipe;

/// One region; with the few slot sizes in use this stays far below the usual 8 MiB `RLIMIT_MEMLOCK`.
const REGION_BYTES: usize = 64 * 1024;
/// Smallest slot.
const SLOT_BYTES_MIN: usize = 32;
/// Slot sizes: 32 B, 64 B … 64 KiB.
const SLOT_SIZES: usize = (REGION_BYTES / SLOT_BYTES_MIN).ilog2() as usize + 1;

static ARENA: Mutex<Arena> = Mutex::new(Arena::new());

/// How the weakest page of the arena is kept from swap and dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// memfd_secret(2): also absent from the kernel's direct map.
    SecretMemory,
    /// mlock(2) and left out of dumps.
    Locked,
    /// Left out of dumps, but the kernel may swap it.
    Unlocked(Errno),
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretMemory => f.write_str("secret memory (memfd_secret)"),
            Self::Locked => f.write_str("locked memory (mlock)"),
            Self::Unlocked(errno) => write!(
                f,
                "left out of dumps, and not locked ({errno}): raise the limit (LimitMEMLOCK= in the \
                 unit, or `ulimit -l`) or turn swap off"
            ),
        }
    }
}

/// What guards secrets in memory, for the start-up log. [`Protection::Unlocked`] has been warned of
/// when its pages were made.
pub fn protection() -> Protection {
    // A first slot makes the first region.
    drop(Slot::take(SLOT_BYTES_MIN));
    arena().protection
}

/// A piece of locked memory with one owner; wiped when dropped.
pub(super) struct Slot {
    start: NonNull<u8>,
    /// Bytes in use.
    len: usize,
    /// Bytes handed out; what is wiped.
    capacity: usize,
}

// SAFETY: a slot's bytes belong to it alone, and are written only through `&mut self` and in `drop`.
unsafe impl Send for Slot {}
// SAFETY: `&Slot` only reads.
unsafe impl Sync for Slot {}

impl Slot {
    /// A zeroed slot of `capacity` bytes.
    pub(super) fn take(capacity: usize) -> Self {
        Self {
            start: arena().take(capacity),
            len: capacity,
            capacity,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the slot holds `capacity >= len` bytes, always initialised: fresh pages are zero,
        // and freed slots are wiped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Keeps the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the slot holds `capacity` bytes and is given up here.
        unsafe { wipe(self.start.as_ptr(), self.capacity) };
        arena().give_back(self.start, self.capacity);
    }
}

struct Arena {
    /// Regions and free slots, by slot size.
    sizes: [SlotSize; SLOT_SIZES],
    /// One per secret above [`REGION_BYTES`].
    large: Vec<Pages>,
    protection: Protection,
}

struct SlotSize {
    regions: Vec<Pages>,
    free: Vec<Free>,
}

/// A free slot.
struct Free(NonNull<u8>);

// SAFETY: an address in a region that lives as long as the process.
unsafe impl Send for Free {}

impl Arena {
    const fn new() -> Self {
        Self {
            sizes: [const {
                SlotSize {
                    regions: Vec::new(),
                    free: Vec::new(),
                }
            }; SLOT_SIZES],
            large: Vec::new(),
            protection: Protection::SecretMemory,
        }
    }

    fn take(&mut self, capacity: usize) -> NonNull<u8> {
        let Some(index) = size_index(capacity) else {
            let pages = self.map(capacity.next_multiple_of(page_bytes()));
            let start = pages.start();
            self.large.push(pages);
            return start;
        };
        if let Some(Free(start)) = self.sizes[index].free.pop() {
            return start;
        }
        let pages = self.map(REGION_BYTES);
        let first = pages.start();
        let slot_bytes = SLOT_BYTES_MIN << index;
        let size = &mut self.sizes[index];
        // Lowest address on top; slot 0 is handed out now.
        for slot in (1..REGION_BYTES / slot_bytes).rev() {
            // SAFETY: the offset is inside the region of `REGION_BYTES`.
            size.free
                .push(Free(unsafe { first.add(slot * slot_bytes) }));
        }
        size.regions.push(pages);
        first
    }

    fn give_back(&mut self, start: NonNull<u8>, capacity: usize) {
        match size_index(capacity) {
            Some(index) => self.sizes[index].free.push(Free(start)),
            None => self.large.retain(|pages| pages.start() != start),
        }
    }

    fn map(&mut self, len: usize) -> Pages {
        // As with any allocation, there is no way on without memory.
        let Some((pages, protection)) = Pages::map(len) else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; REGION_BYTES]>())
        };
        let before = self.protection;
        self.protection = weaker(before, protection);
        if matches!(
            (before, protection),
            (
                Protection::SecretMemory | Protection::Locked,
                Protection::Unlocked(_)
            )
        ) {
            // Not only at the start: a limit may hold for the first pages and not for the next.
            tracing::warn!(protection = %protection, "keys are in memory that may be swapped");
        }
        pages
    }
}

/// `None` for what does not fit a region.
fn size_index(capacity: usize) -> Option<usize> {
    let slot_bytes = capacity.max(SLOT_BYTES_MIN).checked_next_power_of_two()?;
    let index = (slot_bytes / SLOT_BYTES_MIN).ilog2() as usize;
    (index < SLOT_SIZES).then_some(index)
}

fn weaker(left: Protection, right: Protection) -> Protection {
    match (left, right) {
        (unlocked @ Protection::Unlocked(_), _) | (_, unlocked @ Protection::Unlocked(_)) => {
            unlocked
        }
        (Protection::Locked, _) | (_, Protection::Locked) => Protection::Locked,
        (Protection::SecretMemory, Protection::SecretMemory) => Protection::SecretMemory,
    }
}

/// The lists stay consistent whatever panics elsewhere, so a poisoned lock is taken as it is.
fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        let cases = [
            (0, Some(0)),
            (1, Some(0)),
            (32, Some(0)),
            (33, Some(1)),
            (16 * 1024, Some(9)),
            (REGION_BYTES, Some(SLOT_SIZES - 1)),
            (REGION_BYTES + 1, None),
            (usize::MAX, None),
        ];
        for (capacity, index) in cases {
            assert_eq!(size_index(capacity), index, "{capacity}");
        }
    }

    /// A private arena, so that tests in other threads do not take its slots.
    #[test]
    fn slots_do_not_overlap_and_are_used_again() {
        let mut arena = Arena::new();
        let mut taken = Vec::new();
        for capacity in [1, 31, 32, 33, 100, 5000, 40_000, 70_000] {
            for _ in 0..20 {
                taken.push((arena.take(capacity), capacity));
            }
        }
        let mut ranges: Vec<_> = taken
            .iter()
            .map(|(start, capacity)| (start.addr().get(), start.addr().get() + capacity))
            .collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));

        let regions =
            |arena: &Arena| -> usize { arena.sizes.iter().map(|size| size.regions.len()).sum() };
        let before = regions(&arena);
        assert_eq!(arena.large.len(), 20);
        for (start, capacity) in &taken {
            arena.give_back(*start, *capacity);
        }
        assert!(arena.large.is_empty());
        for (_, capacity) in taken
            .iter()
            .filter(|(_, capacity)| *capacity <= REGION_BYTES)
        {
            arena.take(*capacity);
        }
        assert_eq!(regions(&arena), before, "nothing new was mapped");
    }

    #[test]
    fn a_dropped_slot_is_zero() {
        let mut arena = Arena::new();
        let start = arena.take(64);
        // SAFETY: the slot is taken, 64 bytes long and nobody else's.
        unsafe { start.write_bytes(0x77, 64) };
        // SAFETY: same bytes; what `Slot::drop` does.
        unsafe { wipe(start.as_ptr(), 64) };
        arena.give_back(start, 64);
        let again = arena.take(64);
        assert_eq!(again, start);
        // SAFETY: the slot is taken and initialised.
        let bytes = unsafe { std::slice::from_raw_parts(again.as_ptr(), 64) };
        assert_eq!(bytes, [0; 64]);
    }

    #[test]
    fn threads_share_it() {
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..200_usize {
                        let mut slot = Slot::take(round * 7 % 300);
                        assert!(slot.bytes().iter().all(|byte| *byte == 0));
                        slot.bytes_mut().fill(thread);
                        held.push(slot);
                        if round % 3 == 0 {
                            held.swap_remove(round % held.len());
                        }
                    }
                    assert!(
                        held.iter()
                            .all(|slot| slot.bytes().iter().all(|byte| *byte == thread))
                    );
                });
            }
        });
    }

    #[test]
    fn the_weakest_page_counts() {
        let unlocked = Protection::Unlocked(Errno::ENOMEM);
        assert_eq!(
            weaker(Protection::SecretMemory, Protection::Locked),
            Protection::Locked
        );
        assert_eq!(weaker(unlocked, Protection::SecretMemory), unlocked);
        assert_eq!(weaker(Protection::Locked, unlocked), unlocked);
        assert!(unlocked.to_string().contains("LimitMEMLOCK"));
        assert_ne!(protection(), Protection::Unlocked(Errno::UnknownErrno));
    }
}
