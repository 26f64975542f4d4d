//! Ids of spans and traces. Random, since other systems sample by their bits; drawn many at a time.

use std::cell::RefCell;

/// Ids per draw.
const DRAWN: usize = 64;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { ids: [0; DRAWN], left: 0 }) };
}

/// An id that is not zero.
pub(super) fn id() -> u64 {
    POOL.with_borrow_mut(|pool| {
        loop {
            match pool.next() {
                0 => {}
                id => return id,
            }
        }
    })
}

struct Pool {
    ids: [u64; DRAWN],
    left: usize,
}

impl Pool {
    fn next(&mut self) -> u64 {
        if self.left == 0 {
            let mut bytes = [0; DRAWN * size_of::<u64>()];
            aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
            for (id, bytes) in self.ids.iter_mut().zip(bytes.as_chunks().0) {
                *id = u64::from_ne_bytes(*bytes);
            }
            self.left = DRAWN;
        }
        self.left -= 1;
        self.ids[self.left]
    }
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
