//! Tables in huge pages. One that is looked into at random, and larger than the processor remembers pages of, costs a
//! walk through the page tables for each look.

use std::{ffi::c_void, ptr::NonNull};

use nix::sys::mman::{MmapAdvise, madvise};

/// Smaller tables have no whole huge page, or hardly more.
const TABLE_BYTES_MIN: usize = 4 * 1024 * 1024;
/// No processor has larger pages by default, and none needs more for the call.
const PAGE_BYTES: usize = 64 * 1024;

/// Moves a table to memory that the kernel is asked to have in huge pages, where it is large enough.
pub(super) fn table<T>(items: Vec<T>) -> Box<[T]> {
    if size_of::<T>() * items.len() < TABLE_BYTES_MIN {
        return items.into();
    }
    let mut table = Vec::with_capacity(items.len());
    advise(&table);
    table.extend(items);
    table.into()
}

/// Without effect where the kernel has none to give: the table is as good in small ones.
fn advise<T>(table: &Vec<T>) {
    let begin = table.as_ptr().cast::<c_void>().cast_mut();
    let bytes = size_of::<T>() * table.capacity();
    let before = begin.align_offset(PAGE_BYTES);
    let pages = bytes.saturating_sub(before) / PAGE_BYTES;
    if let Some(begin) = NonNull::new(begin.wrapping_byte_add(before)) {
        // SAFETY: whole pages of the table's own memory; the advice leaves what is in them as it is.
        let _ = unsafe { madvise(begin, pages * PAGE_BYTES, MmapAdvise::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_what_it_was_made_of() {
        for len in [0_u32, 3, 3_000_000] {
            let items: Vec<u32> = (0..len).collect();
            assert_eq!(*table(items.clone()), *items);
        }
    }
}
