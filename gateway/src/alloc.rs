//! `WipingAllocator`: the process allocator. Every block is overwritten with zeros before it goes back
//! to mimalloc, so that a secret does not survive in freed memory.
//!
//! Covered: every heap block that Rust code frees or grows, in this crate and in every dependency
//! (HTTP heads, JSON trees, base64 scratch space, `Vec` and `String` growth included).
//!
//! Not covered: blocks that are still alive (their owner must drop them), stacks and registers, memory
//! that C code takes from its own allocator (AWS-LC wipes its own on free; SQLite sees no secrets),
//! and memory mapped directly ([`crate::secret`] wipes its arena by itself). Kernel socket buffers are
//! out of reach.

use std::{
    alloc::{GlobalAlloc, Layout},
    arch::asm,
};

use mimalloc::MiMalloc;

/// An allocator that wipes blocks before it gives them back to `A`.
pub struct WipingAllocator<A = MiMalloc>(pub A);

impl WipingAllocator {
    /// For `#[global_allocator]`.
    pub const fn new() -> Self {
        Self(MiMalloc)
    }
}

impl Default for WipingAllocator {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks come from `A` and go back to it with the layout they were asked for; wiping writes
// only inside a block that the caller has given up.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are those of `A::alloc`.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's obligations are those of `A::alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a live block of `layout.size()` bytes.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: `block` came from `self.0` with this layout.
        unsafe { self.0.dealloc(block, layout) }
    }

    /// Always moves. mimalloc's own `realloc` frees the old block unwiped when it moves, and does not
    /// say whether it will; growth by doubling leaves the size class anyway.
    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `new_size`, rounded up to the alignment, within `isize`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller promises that `new_size` is not zero.
        let new_block = unsafe { self.0.alloc(new_layout) };
        if !new_block.is_null() {
            // SAFETY: both blocks are live, do not overlap, and hold at least this many bytes.
            unsafe { block.copy_to_nonoverlapping(new_block, layout.size().min(new_size)) };
            // SAFETY: `block` is live with `layout`, and given up here.
            unsafe { self.dealloc(block, layout) };
        }
        new_block
    }
}

/// Overwrites `len` bytes with zeros in a way the optimiser must keep.
///
/// # Safety
/// `start` points to `len` writable bytes that nobody reads any more.
#[inline]
pub(crate) unsafe fn wipe(start: *mut u8, len: usize) {
    // SAFETY: the caller owns these bytes.
    unsafe { start.write_bytes(0, len) };
    // SAFETY: no instruction is emitted. An asm block without `nomem` may read any memory whose address
    // it was given, so the zeros must have been written before it.
    unsafe { asm!("/* {0} */", in(reg) start, options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use std::{
        alloc::System,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Counts the bytes that come back, and those of them that are not zero.
    #[derive(Default)]
    struct Inspector {
        freed_bytes: AtomicUsize,
        dirty_bytes: AtomicUsize,
    }

    // SAFETY: passes through to the system's allocator; looks at a block only while it is live.
    unsafe impl GlobalAlloc for Inspector {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: same contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the tests fill every block whole before they free it.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.freed_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
            let dirty = bytes.iter().filter(|byte| **byte != 0).count();
            self.dirty_bytes.fetch_add(dirty, Ordering::Relaxed);
            // SAFETY: same contract.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn freed_and_moved_blocks_are_zero() {
        for size in [1, 7, 64, 1024, 16 * 1024, 1 << 20] {
            for new_size in [1, size / 2 + 1, size, size + 1, size * 3] {
                let allocator = WipingAllocator(Inspector::default());
                let layout = Layout::from_size_align(size, 8).expect("a valid layout");
                // SAFETY: `size` is not zero.
                let block = unsafe { allocator.alloc(layout) };
                // SAFETY: the block has `size` bytes.
                unsafe { block.write_bytes(0xa5, size) };
                // SAFETY: the block is live, and `new_size` is not zero.
                let block = unsafe { allocator.realloc(block, layout, new_size) };
                let new_layout = Layout::from_size_align(new_size, 8).expect("a valid layout");
                let kept = size.min(new_size);
                // SAFETY: `kept` bytes were copied.
                let bytes = unsafe { std::slice::from_raw_parts(block, kept) };
                assert!(
                    bytes.iter().all(|byte| *byte == 0xa5),
                    "{size} → {new_size}"
                );
                // SAFETY: the block has `new_size` bytes.
                unsafe { block.write_bytes(0x5a, new_size) };
                // SAFETY: the block is live.
                unsafe { allocator.dealloc(block, new_layout) };
                let inspector = &allocator.0;
                assert_eq!(
                    inspector.freed_bytes.load(Ordering::Relaxed),
                    size + new_size
                );
                assert_eq!(
                    inspector.dirty_bytes.load(Ordering::Relaxed),
                    0,
                    "{size} → {new_size}"
                );
            }
        }
    }

    #[test]
    fn alignment_is_kept_over_mimalloc() {
        let allocator = WipingAllocator::new();
        for align in [1, 16, 64, 4096] {
            let layout = Layout::from_size_align(100, align).expect("a valid layout");
            // SAFETY: the size is not zero.
            let block = unsafe { allocator.alloc_zeroed(layout) };
            // SAFETY: the block is live; 5000 is not zero.
            let block = unsafe { allocator.realloc(block, layout, 5000) };
            assert_eq!(block.addr() % align, 0);
            let layout = Layout::from_size_align(5000, align).expect("a valid layout");
            // SAFETY: the block is live.
            unsafe { allocator.dealloc(block, layout) };
        }
    }

    /// Prints what wiping costs; run with `--release --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    #[expect(clippy::print_stdout, reason = "prints its measurement")]
    fn cost() {
        const ROUNDS: u32 = 1_000_000;
        fn nanoseconds(allocator: &impl GlobalAlloc, size: usize) -> f64 {
            let layout = Layout::from_size_align(size, 8).expect("a valid layout");
            let mut best = f64::MAX;
            for _ in 0..7 {
                let start = std::time::Instant::now();
                for _ in 0..ROUNDS {
                    // SAFETY: the size is not zero.
                    let block = std::hint::black_box(unsafe { allocator.alloc(layout) });
                    // SAFETY: the block is live.
                    unsafe { allocator.dealloc(block, layout) };
                }
                best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
            }
            best
        }
        for size in [64, 1024, 16 * 1024] {
            let plain = nanoseconds(&MiMalloc, size);
            let wiping = nanoseconds(&WipingAllocator::new(), size);
            println!("{size:>6} B: plain {plain:.1} ns, wiping {wiping:.1} ns per alloc and free");
        }
    }
}
