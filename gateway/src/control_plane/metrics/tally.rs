//! `Tally`: one histogram of all workers together.

use crate::handoff::counters::Histogram;

#[derive(Clone)]
pub(super) struct Tally {
    pub(super) bounds: &'static [u64],
    /// One per bound and one above them; not cumulative.
    pub(super) counts: Vec<u64>,
    pub(super) sum: u64,
}

impl Tally {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0,
        }
    }

    pub(super) fn of<'a, const N: usize>(
        bounds: &'static [u64; N],
        histograms: impl IntoIterator<Item = &'a Histogram<N>>,
    ) -> Self {
        let mut tally = Self::new(bounds);
        histograms.into_iter().for_each(|one| tally.add(one));
        tally
    }

    /// `histogram` has the same bounds.
    pub(super) fn add<const N: usize>(&mut self, histogram: &Histogram<N>) {
        for (count, more) in self.counts.iter_mut().zip(histogram.counts()) {
            *count += more;
        }
        // A provider chooses what it reports; the sum wraps like the counters themselves.
        self.sum = self.sum.wrapping_add(histogram.sum());
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}
