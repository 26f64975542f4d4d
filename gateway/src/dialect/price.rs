//! Cost of usage at a price, in integers.

use crate::handoff::{
    record::{CostNanoUsd, Usage},
    snapshot::{NanoUsdPerMillion, Price},
};

/// Prices are per this many tokens.
const TOKENS_PER_PRICE: u128 = 1_000_000;
/// Where a component saturates, at two thousand million dollars: four of them add up within what signed
/// columns hold.
const COMPONENT_NANO_USD_MAX: u64 = i64::MAX as u64 / 4;

/// Cost of `usage` at `price`; each component is rounded half up to a nano-dollar, once.
///
/// A long-context price replaces the whole price when all input, cached input included, is above its
/// bound; its own `long_context` is not looked at. A missing cache rate is the input rate, a missing rate
/// for long-lived writes the one for short-lived writes.
pub fn cost(usage: &Usage, price: &Price) -> CostNanoUsd {
    let price = match &price.long_context {
        Some(long) if usage.input_tokens > long.above_input_tokens => &long.rates,
        Some(_) | None => price,
    };
    let cache_write = price.cache_write.unwrap_or(price.input);
    let cache_write_long = price.cache_write_long.unwrap_or(cache_write);
    CostNanoUsd {
        input: component(&[(usage.uncached_input_tokens(), price.input)]),
        cache_read: component(&[(
            usage.cache_read_input_tokens,
            price.cache_read.unwrap_or(price.input),
        )]),
        cache_creation: component(&[
            (usage.cache_creation_input_tokens, cache_write),
            (usage.cache_creation_long_input_tokens, cache_write_long),
        ]),
        output: component(&[(usage.output_tokens, price.output)]),
    }
}

/// Sum of tokens × rate, rounded half up once; saturates at [`COMPONENT_NANO_USD_MAX`].
fn component(parts: &[(u64, NanoUsdPerMillion)]) -> u64 {
    let sum: u128 = parts
        .iter()
        .map(|(tokens, rate)| u128::from(*tokens) * u128::from(rate.0))
        .fold(0, u128::saturating_add);
    let rounded = sum.saturating_add(TOKENS_PER_PRICE / 2) / TOKENS_PER_PRICE;
    u64::try_from(rounded).map_or(COMPONENT_NANO_USD_MAX, |cost| {
        cost.min(COMPONENT_NANO_USD_MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::snapshot::LongContextPrice;

    fn usd(dollars_per_million: f64) -> NanoUsdPerMillion {
        NanoUsdPerMillion((dollars_per_million * 1e9).round() as u64)
    }

    fn sonnet() -> Price {
        Price {
            input: usd(3.0),
            output: usd(15.0),
            cache_read: Some(usd(0.3)),
            cache_write: Some(usd(3.75)),
            cache_write_long: Some(usd(6.0)),
            long_context: None,
        }
    }

    #[test]
    fn every_component_has_its_rate() {
        let usage = Usage {
            input_tokens: 10_000,
            output_tokens: 1_000,
            cache_read_input_tokens: 6_000,
            cache_creation_input_tokens: 1_000,
            cache_creation_long_input_tokens: 2_000,
            reasoning_tokens: 400,
        };
        let cost = cost(&usage, &sonnet());
        assert_eq!(
            cost,
            CostNanoUsd {
                input: 3_000_000,           // 1,000 × $3
                cache_read: 1_800_000,      // 6,000 × $0.30
                cache_creation: 15_750_000, // 1,000 × $3.75 + 2,000 × $6
                output: 15_000_000,         // 1,000 × $15
            }
        );
        assert_eq!(cost.total(), 35_550_000);
    }

    #[test]
    fn missing_cache_rates_fall_back() {
        let usage = Usage {
            input_tokens: 3_000,
            cache_read_input_tokens: 1_000,
            cache_creation_input_tokens: 1_000,
            cache_creation_long_input_tokens: 1_000,
            ..Usage::default()
        };
        let mut price = Price {
            input: usd(2.0),
            output: usd(10.0),
            ..Price::default()
        };
        let plain = cost(&usage, &price);
        assert_eq!(
            (plain.input, plain.cache_read, plain.cache_creation),
            (0, 2_000_000, 4_000_000)
        );
        price.cache_write = Some(usd(2.5));
        assert_eq!(cost(&usage, &price).cache_creation, 5_000_000);
    }

    #[test]
    fn the_long_context_tier_goes_by_all_input_and_takes_the_whole_request() {
        let price = Price {
            input: usd(5.0),
            output: usd(30.0),
            cache_read: Some(usd(0.5)),
            long_context: Some(Box::new(LongContextPrice {
                above_input_tokens: 272_000,
                rates: Price {
                    input: usd(10.0),
                    output: usd(45.0),
                    ..Price::default()
                },
            })),
            ..Price::default()
        };
        let mut usage = Usage {
            input_tokens: 272_000,
            output_tokens: 100,
            cache_read_input_tokens: 271_000,
            ..Usage::default()
        };
        let below = cost(&usage, &price);
        assert_eq!(
            (below.input, below.cache_read, below.output),
            (5_000_000, 135_500_000, 3_000_000)
        );
        usage.input_tokens = 272_001;
        let above = cost(&usage, &price);
        assert_eq!(
            (above.input, above.cache_read, above.output),
            (10_010_000, 2_710_000_000, 4_500_000)
        );
    }

    #[test]
    fn half_a_nano_dollar_rounds_up_and_once_per_component() {
        for (tokens, rate, expected) in [
            (1, 499_999, 0),
            (1, 500_000, 1),
            (3, 500_000, 2),
            (1, 1_499_999, 1),
            (u64::MAX, u64::MAX, COMPONENT_NANO_USD_MAX),
            (0, u64::MAX, 0),
        ] {
            let usage = Usage {
                output_tokens: tokens,
                ..Usage::default()
            };
            let price = Price {
                output: NanoUsdPerMillion(rate),
                ..Price::default()
            };
            assert_eq!(cost(&usage, &price).output, expected, "{tokens} × {rate}");
        }
        // Two lifetimes of 0.3 each are 0.6 together: one, not none.
        let usage = Usage {
            input_tokens: 2,
            cache_creation_input_tokens: 1,
            cache_creation_long_input_tokens: 1,
            ..Usage::default()
        };
        let price = Price {
            cache_write: Some(NanoUsdPerMillion(300_000)),
            ..Price::default()
        };
        assert_eq!(cost(&usage, &price).cache_creation, 1);
    }
}
