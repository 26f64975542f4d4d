//! `Amounts`: tokens and what they cost, of one exchange or of many.

use serde::Serialize;
use utoipa::ToSchema;

use super::{UsageError, database::Row, index::clamp, money::NanoUsd};
use crate::handoff::record::{CostNanoUsd, Usage};

/// Part of every answer about usage, in NetBird's names.
///
/// Token counts follow OpenTelemetry for every provider: `input_tokens` includes the cached ones
/// (NetBird excludes them for Anthropic-shaped providers), so `cached_input_tokens` and
/// `cache_creation_tokens` are parts of it and `total_tokens` is input plus output.
/// `input_cost_usd` is the cost of the uncached part; the five parts add up to `cost_usd`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Amounts {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub cached_input_tokens: u64,
    pub cache_creation_tokens: u64,
    pub input_cost_usd: NanoUsd,
    pub cached_input_cost_usd: NanoUsd,
    pub cache_creation_cost_usd: NanoUsd,
    pub output_cost_usd: NanoUsd,
    /// Tools by the call, audio by the second, and what a provider reports as one sum.
    pub other_cost_usd: NanoUsd,
    pub cost_usd: NanoUsd,
    pub cache_cost_usd: NanoUsd,
}

impl Amounts {
    /// Reads nine columns from `at` on: tokens of input, output, cache read and cache creation, then
    /// what each of input, cache read, cache creation, output and the rest cost.
    pub(super) fn read(row: &Row<'_>, at: usize) -> Result<Self, UsageError> {
        let tokens = [
            row.get(at)?,
            row.get(at + 1)?,
            row.get(at + 2)?,
            row.get(at + 3)?,
        ];
        let costs = [
            row.get(at + 4)?,
            row.get(at + 5)?,
            row.get(at + 6)?,
            row.get(at + 7)?,
            row.get(at + 8)?,
        ];
        Ok(Self::new(tokens, costs))
    }

    /// As the index would have them.
    pub(super) fn of(usage: &Usage, cost: &CostNanoUsd) -> Self {
        let tokens = [
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_creation_tokens(),
        ];
        let costs = [
            cost.input,
            cost.cache_read,
            cost.cache_creation,
            cost.output,
            cost.other,
        ];
        Self::new(tokens.map(|tokens| clamp(tokens) as u64), costs.map(clamp))
    }

    fn new(tokens: [u64; 4], costs: [i64; 5]) -> Self {
        let [
            input_tokens,
            output_tokens,
            cached_input_tokens,
            cache_creation_tokens,
        ] = tokens;
        let [input, cache_read, cache_creation, output, other] = costs;
        Self {
            input_tokens,
            output_tokens,
            total_tokens: input_tokens + output_tokens,
            cached_input_tokens,
            cache_creation_tokens,
            input_cost_usd: NanoUsd(input),
            cached_input_cost_usd: NanoUsd(cache_read),
            cache_creation_cost_usd: NanoUsd(cache_creation),
            output_cost_usd: NanoUsd(output),
            other_cost_usd: NanoUsd(other),
            cost_usd: NanoUsd(input + cache_read + cache_creation + output + other),
            cache_cost_usd: NanoUsd(cache_read + cache_creation),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.total_tokens += other.total_tokens;
        self.cached_input_tokens += other.cached_input_tokens;
        self.cache_creation_tokens += other.cache_creation_tokens;
        self.input_cost_usd.0 += other.input_cost_usd.0;
        self.cached_input_cost_usd.0 += other.cached_input_cost_usd.0;
        self.cache_creation_cost_usd.0 += other.cache_creation_cost_usd.0;
        self.output_cost_usd.0 += other.output_cost_usd.0;
        self.other_cost_usd.0 += other.other_cost_usd.0;
        self.cost_usd.0 += other.cost_usd.0;
        self.cache_cost_usd.0 += other.cache_cost_usd.0;
    }
}
