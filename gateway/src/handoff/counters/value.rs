//! What is counted: numbers with a single writer, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        // One writer: a plain load and store is enough, and cheaper than a locked add.
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes both ways, with a single writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add_signed(n),
            Ordering::Relaxed,
        );
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whole numbers in buckets, with a single writer.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    /// Upper bounds, ascending, each part of its bucket.
    bounds: &'static [u64; N],
    buckets: [Counter; N],
    /// Of what is greater than the last bound.
    above: Counter,
    sum: Counter,
}

impl<const N: usize> Histogram<N> {
    pub fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            buckets: std::array::from_fn(|_| Counter::default()),
            above: Counter::default(),
            sum: Counter::default(),
        }
    }

    pub fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.buckets.get(place).unwrap_or(&self.above).add(1);
        self.sum.add(value);
    }

    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// One count per bound and one for what is above them; not cumulative.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        let buckets = self.buckets.iter().chain([&self.above]);
        buckets.map(Counter::get)
    }

    pub fn sum(&self) -> u64 {
        self.sum.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_part_of_its_bucket() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, u64::from(u32::MAX)] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts().collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(histogram.sum(), 62 + u64::from(u32::MAX));
    }
}
