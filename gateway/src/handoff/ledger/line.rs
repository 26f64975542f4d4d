//! Where the words of a bucket lie: on the heap, or in memory that outlives the process.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::{
    fs::File, io, mem::size_of, ops::Deref, ptr::NonNull, sync::Arc, sync::atomic::AtomicU32,
};

use memmap2::{MmapOptions, MmapRaw};
use portable_atomic::{
    AtomicU128,
    Ordering::{Relaxed, Release},
};

/// What a bucket counts: one line of the cache. Zeros count nothing.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Line {
    /// Window and amount.
    pub(super) spent: AtomicU128,
    /// Window and amount; see [`super::Grant`].
    pub(super) granted: AtomicU128,
    /// Of the bucket's name; 0: the line is nobody's.
    digest: AtomicU128,
    window_seconds: AtomicU32,
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    /// Whose line it is.
    pub fn digest(&self) -> u128 {
        self.digest.load(Relaxed)
    }

    /// Gives the line, which nobody uses, to a bucket that has spent nothing. A process that is killed halfway leaves
    /// a line that is nobody's.
    pub fn assign(&self, digest: u128, window_seconds: u32) {
        self.digest.store(0, Release);
        self.spent.store(0, Release);
        self.granted.store(0, Release);
        self.window_seconds.store(window_seconds, Release);
        self.digest.store(digest, Release);
    }

    /// What was spent is of a window that `now`, in seconds since the epoch, is past.
    pub fn is_over(&self, now: u64) -> bool {
        let (begun, _) = super::split(self.spent.load(Relaxed));
        let window_seconds = u64::from(self.window_seconds.load(Relaxed));
        now.checked_div(window_seconds)
            .is_some_and(|window| window > begun)
    }
}

/// Asks the processor for a line, and does not wait for it.
#[inline]
pub(super) fn prefetch(line: &Line) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it reads nothing that the program can see.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Lines in a file in memory: a process that is killed leaves them as they were.
#[derive(Debug)]
pub struct Segment(MmapRaw);

impl Segment {
    /// Maps so many lines, at a multiple of the page size. All of them must have their place in the file system
    /// already, and keep it: where there is none a store to a line would end the process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn map(file: &File, offset: u64, lines: usize) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(offset).len(lines * size_of::<Line>());
        let map = options.map_raw(file)?;
        if !map.as_mut_ptr().cast::<Line>().is_aligned() {
            return Err(io::Error::other("the map is not aligned"));
        }
        Ok(Self(map))
    }

    /// `None` beyond the end.
    pub fn line(&self, index: usize) -> Option<&Line> {
        if index >= self.0.len() / size_of::<Line>() {
            return None;
        }
        let line = self.0.as_mut_ptr().cast::<Line>().wrapping_add(index);
        // SAFETY: `map` checked the alignment, and the line lies in the map, which lives as long as `self`. All of a
        // line is atomic, and any bytes are a valid one.
        Some(unsafe { &*line })
    }
}

/// The words of one bucket: its line, and what keeps the memory that this lies in.
#[derive(Debug)]
pub struct Words {
    line: NonNull<Line>,
    /// `None`: the line is on the heap, and goes with the words.
    segment: Option<Arc<Segment>>,
}

impl Words {
    /// `None` beyond the segment's end.
    pub fn shared(segment: &Arc<Segment>, index: usize) -> Option<Self> {
        Some(Self {
            line: segment.line(index)?.into(),
            segment: Some(Arc::clone(segment)),
        })
    }
}

impl Default for Words {
    /// On the heap.
    fn default() -> Self {
        Self {
            line: NonNull::from(Box::leak(Box::<Line>::default())),
            segment: None,
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if self.segment.is_none() {
            // SAFETY: `default` took it out of a box, and whoever has a reference to it borrows these words.
            drop(unsafe { Box::from_raw(self.line.as_ptr()) });
        }
    }
}

// SAFETY: a line is nothing but atomics, and a segment may be kept by any thread.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Deref for Words {
    type Target = Line;

    fn deref(&self) -> &Line {
        // SAFETY: the line stays in its place for as long as `self` owns it, or keeps its segment.
        unsafe { self.line.as_ref() }
    }
}

/// Words that several hold, with what else there is to know of them. The line is reached without a look at it.
#[derive(Debug)]
pub(super) struct SharedWords<T> {
    line: NonNull<Line>,
    shared: Arc<(Words, T)>,
}

impl<T> SharedWords<T> {
    pub(super) fn new(words: Words, beside: T) -> Self {
        Self {
            line: words.line,
            shared: Arc::new((words, beside)),
        }
    }

    pub(super) fn beside(&self) -> &T {
        &self.shared.1
    }

    /// Somebody else holds them, too.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }
}

impl<T> Clone for SharedWords<T> {
    fn clone(&self) -> Self {
        Self {
            line: self.line,
            shared: Arc::clone(&self.shared),
        }
    }
}

// SAFETY: a line is nothing but atomics; the rest is an `Arc`.
unsafe impl<T: Send + Sync> Send for SharedWords<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for SharedWords<T> {}

impl<T> Deref for SharedWords<T> {
    type Target = Line;

    fn deref(&self) -> &Line {
        // SAFETY: it is the line of `shared.0`, which stays in its place for as long as these words are held.
        unsafe { self.line.as_ref() }
    }
}
