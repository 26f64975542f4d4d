//! `ProviderTotals`: what one provider's name stands for at a scrape.

use crate::handoff::{counters::ProviderCounters, record::Outcome};

/// [`ProviderCounters`] of all workers together.
#[derive(Default)]
pub(super) struct ProviderTotals {
    pub(super) exchanges: [u64; Outcome::ALL.len()],
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation_input_tokens: u64,
    pub(super) cost_nano_usd: u64,
    pub(super) unpriced: u64,
    pub(super) connects: u64,
    pub(super) retries: u64,
}

impl ProviderTotals {
    pub(super) fn add(&mut self, counters: &ProviderCounters) {
        for (total, counter) in self.exchanges.iter_mut().zip(&counters.exchanges) {
            *total += counter.get();
        }
        for (total, counter) in [
            (&mut self.input_tokens, &counters.input_tokens),
            (&mut self.output_tokens, &counters.output_tokens),
            (
                &mut self.cache_read_input_tokens,
                &counters.cache_read_input_tokens,
            ),
            (
                &mut self.cache_creation_input_tokens,
                &counters.cache_creation_input_tokens,
            ),
            (&mut self.cost_nano_usd, &counters.cost_nano_usd),
            (&mut self.unpriced, &counters.unpriced),
            (&mut self.connects, &counters.connects),
            (&mut self.retries, &counters.retries),
        ] {
            // A provider chooses what it reports; the sum wraps like the counters themselves.
            *total = total.wrapping_add(counter.get());
        }
    }

    /// Disjoint kinds, unlike the counters: there, cached tokens are part of the input.
    pub(super) fn tokens(&self) -> [(&'static str, u64); 4] {
        let uncached = self
            .input_tokens
            .saturating_sub(self.cache_read_input_tokens)
            .saturating_sub(self.cache_creation_input_tokens);
        [
            ("uncached_input", uncached),
            ("cache_read_input", self.cache_read_input_tokens),
            ("cache_creation_input", self.cache_creation_input_tokens),
            ("output", self.output_tokens),
        ]
    }
}
