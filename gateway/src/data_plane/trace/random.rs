//! Ids of spans and traces. Random, since other systems sample by their bits; drawn many at a time.

use std::cell::Cell;

/// Ids per draw.
const DRAWN: usize = 64;

thread_local! {
    static POOL: Cell<([u64; DRAWN], usize)> = const { Cell::new(([0; DRAWN], 0)) };
}

/// An id that is not zero.
pub(super) fn id() -> u64 {
    POOL.with(|pool| {
        let (mut ids, mut left) = pool.get();
        loop {
            if left == 0 {
                let mut bytes = [0; DRAWN * 8];
                aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
                for (id, bytes) in ids.iter_mut().zip(bytes.as_chunks().0) {
                    *id = u64::from_ne_bytes(*bytes);
                }
                left = DRAWN;
            }
            left -= 1;
            if ids[left] != 0 {
                pool.set((ids, left));
                return ids[left];
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_do_not_come_twice() {
        let ids: HashSet<u64> = (0..3 * DRAWN).map(|_| id()).collect();
        assert_eq!(ids.len(), 3 * DRAWN);
        assert!(!ids.contains(&0));
    }
}
