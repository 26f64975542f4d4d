//! Exchanges of one model at one provider, by operation: outcomes, tokens, cost, and OpenTelemetry's `gen_ai` histograms.

use std::sync::OnceLock;

use super::{Counter, Histogram, PROVIDER_SLOTS};
use crate::{
    dialect::Operation,
    handoff::{
        record::{CostNanoUsd, Outcome, Usage},
        snapshot::ProviderSlot,
    },
};

/// Models counted apart, those of all providers together. Each provider has one more for the others.
pub const MODELS_LIMIT: usize = 384;
pub(super) const MODEL_SLOTS: usize = PROVIDER_SLOTS + MODELS_LIMIT;
/// Place of exchanges whose path named no operation; the others follow.
pub const NO_OPERATION: usize = 0;
const OPERATION_PLACES: usize = 1 + Operation::ALL.len();

/// The conventions' bounds, and what long answers of agents take.
pub const OPERATION_BOUNDS_US: [u64; 17] = [
    10_000,
    20_000,
    40_000,
    80_000,
    160_000,
    320_000,
    640_000,
    1_280_000,
    2_560_000,
    5_120_000,
    10_240_000,
    20_480_000,
    40_960_000,
    81_920_000,
    163_840_000,
    327_680_000,
    655_360_000,
];
/// The conventions' bounds, and those that reasoning models need.
pub const FIRST_TOKEN_BOUNDS_US: [u64; 20] = [
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 20_000_000, 30_000_000, 45_000_000,
    60_000_000,
];
pub const PER_TOKEN_BOUNDS_US: [u64; 13] = [
    10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 500_000, 750_000,
    1_000_000, 2_500_000,
];
pub const TOKEN_BOUNDS: [u64; 14] = [
    1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    67_108_864,
];

/// Index of a model's counters. Below [`PROVIDER_SLOTS`] it stands for all models of that provider without a slot of
/// their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelSlot(u16);

impl ModelSlot {
    /// Of exchanges that reached no provider.
    pub const NONE: Self = Self(0);

    /// Of a provider's models that have no slot of their own.
    pub fn other(provider: ProviderSlot) -> Self {
        Self(match usize::from(provider.0) < PROVIDER_SLOTS {
            true => provider.0,
            false => 0,
        })
    }

    /// The provider, where the slot stands for its other models.
    pub fn provider(self) -> Option<ProviderSlot> {
        (self.index() < PROVIDER_SLOTS).then_some(ProviderSlot(self.0))
    }

    /// The `place`-th model's own; `None` beyond [`MODELS_LIMIT`].
    pub fn own(place: usize) -> Option<Self> {
        (place < MODELS_LIMIT).then(|| Self((PROVIDER_SLOTS + place) as u16))
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..MODEL_SLOTS as u16).map(Self)
    }
}

/// What one model's exchanges added up to.
#[derive(Debug)]
pub struct ModelCounters {
    pub input_tokens: Counter,
    pub output_tokens: Counter,
    pub cache_read_input_tokens: Counter,
    pub cache_creation_input_tokens: Counter,
    pub cost_nano_usd: Counter,
    pub unpriced: Counter,
    operations: [OnceLock<Box<OperationCounters>>; OPERATION_PLACES],
}

impl Default for ModelCounters {
    fn default() -> Self {
        Self {
            input_tokens: Counter::default(),
            output_tokens: Counter::default(),
            cache_read_input_tokens: Counter::default(),
            cache_creation_input_tokens: Counter::default(),
            cost_nano_usd: Counter::default(),
            unpriced: Counter::default(),
            operations: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl ModelCounters {
    pub(super) fn count(&self, usage: &Usage, cost: &CostNanoUsd, unpriced: bool) {
        self.input_tokens.add(usage.input_tokens);
        self.output_tokens.add(usage.output_tokens);
        self.cache_read_input_tokens
            .add(usage.cache_read_input_tokens);
        self.cache_creation_input_tokens
            .add(usage.cache_creation_tokens());
        self.cost_nano_usd.add(cost.total());
        self.unpriced.add(u64::from(unpriced));
    }

    pub(super) fn operation(&self, operation: Option<Operation>) -> &OperationCounters {
        let place = operation.map_or(NO_OPERATION, |operation| 1 + operation as usize);
        self.operations[place].get_or_init(Box::default)
    }

    /// Those that were asked for.
    pub fn operations(&self) -> impl Iterator<Item = (Option<Operation>, &OperationCounters)> {
        let places = [None].into_iter().chain(Operation::ALL.map(Some));
        let asked = places.zip(&self.operations);
        asked.filter_map(|(operation, counters)| Some((operation, &**counters.get()?)))
    }
}

/// What one operation's exchanges added up to.
#[derive(Debug)]
pub struct OperationCounters {
    /// Indexed by `Outcome as usize`.
    pub exchanges: [Counter; Outcome::ALL.len()],
    pub input_tokens: Histogram<{ TOKEN_BOUNDS.len() }>,
    pub output_tokens: Histogram<{ TOKEN_BOUNDS.len() }>,
    /// Since the provider was asked; of what went well, and of what did not.
    pub durations: [Histogram<{ OPERATION_BOUNDS_US.len() }>; 2],
    pub first_token: Histogram<{ FIRST_TOKEN_BOUNDS_US.len() }>,
    /// Between output tokens, on average of each stream.
    pub per_token: Histogram<{ PER_TOKEN_BOUNDS_US.len() }>,
}

impl Default for OperationCounters {
    fn default() -> Self {
        Self {
            exchanges: std::array::from_fn(|_| Counter::default()),
            input_tokens: Histogram::new(&TOKEN_BOUNDS),
            output_tokens: Histogram::new(&TOKEN_BOUNDS),
            durations: std::array::from_fn(|_| Histogram::new(&OPERATION_BOUNDS_US)),
            first_token: Histogram::new(&FIRST_TOKEN_BOUNDS_US),
            per_token: Histogram::new(&PER_TOKEN_BOUNDS_US),
        }
    }
}

impl OperationCounters {
    /// Provider time of an exchange that asked one.
    pub(super) fn observe(&self, usage: &Usage, asked: &Asked) {
        if !usage.is_zero() {
            self.input_tokens.observe(usage.input_tokens);
            self.output_tokens.observe(usage.output_tokens);
        }
        self.durations[usize::from(asked.failed)].observe(asked.duration_us);
        if asked.first_token_us == 0 {
            return;
        }
        self.first_token.observe(asked.first_token_us);
        if asked.stream && usage.output_tokens > 1 {
            let rest_us = asked.duration_us.saturating_sub(asked.first_token_us);
            self.per_token.observe(rest_us / (usage.output_tokens - 1));
        }
    }
}

/// What asking a provider took.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// From the moment the request was ready to go to the exchange's end.
    pub duration_us: u64,
    /// 0 where no content came.
    pub first_token_us: u64,
    pub stream: bool,
    pub failed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_place() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place, "{}", operation.code());
        }
        let model = ModelCounters::default();
        model.operation(None).exchanges[0].add(1);
        model.operation(Some(Operation::Other)).exchanges[0].add(1);
        let asked: Vec<_> = model.operations().map(|(operation, _)| operation).collect();
        assert_eq!(asked, [None, Some(Operation::Other)]);
    }

    #[test]
    fn the_time_per_token_leaves_out_the_first() {
        let counters = OperationCounters::default();
        let usage = Usage {
            output_tokens: 11,
            ..Usage::default()
        };
        let asked = Asked {
            duration_us: 1_200_000,
            first_token_us: 200_000,
            stream: true,
            failed: false,
        };
        counters.observe(&usage, &asked);
        assert_eq!(counters.per_token.sum(), 100_000);
        assert_eq!(counters.durations[0].sum(), 1_200_000);
        // Whole answers come at once.
        let whole = Asked {
            stream: false,
            ..asked
        };
        counters.observe(&usage, &whole);
        assert_eq!(counters.per_token.sum(), 100_000);
    }

    #[test]
    fn slots_end() {
        assert_eq!(
            ModelSlot::own(0).map(ModelSlot::index),
            Some(PROVIDER_SLOTS)
        );
        let last = ModelSlot::own(MODELS_LIMIT - 1).map(ModelSlot::index);
        assert_eq!(last, Some(MODEL_SLOTS - 1));
        assert_eq!(ModelSlot::own(MODELS_LIMIT), None);
        assert_eq!(ModelSlot::other(ProviderSlot(u16::MAX)).index(), 0);
    }
}
