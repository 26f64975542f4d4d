//! The most that one request can use, before it is sent.

use crate::{
    config::Estimate,
    dialect::Operation,
    handoff::{
        ledger::Unit,
        record::{CostNanoUsd, Usage},
        snapshot::{NanoUsdPerMillion, Price, Rates, access::LimitMode},
    },
};

/// Tokens that vendors add to what they are sent: instructions for tools, marks around messages.
const ADDED_INPUT_TOKENS: u64 = 1024;
const TOKENS_PER_PRICE: u128 = 1_000_000;
const PER_MILLE: u16 = 1000;

/// What a request says about its size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    pub body_bytes: u64,
    /// All of its answers together.
    pub output_tokens_max: Option<u64>,
    /// How many answers it wants.
    pub answers: u64,
}

/// An amount of each unit: what a request may use, or has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub tokens: u64,
    pub nano_usd: u64,
}

impl Amounts {
    pub fn used(usage: &Usage, cost: &CostNanoUsd) -> Self {
        Self {
            tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            nano_usd: cost.total(),
        }
    }

    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::NanoUsd => self.nano_usd,
            Unit::Requests | Unit::InFlight => 1,
        }
    }
}

/// Why there is no upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbounded {
    /// The request should say how much it wants at most.
    Output,
    /// It refers to input of unknown size.
    Input,
    /// Nobody knows what the model costs.
    Price,
    /// Nothing here counts what such requests use.
    Operation,
}

/// What a request of this size uses at most; without a price that is no money.
///
/// # Errors
/// In hard mode, when there is no saying; whether all input is in the body is for the caller to know. In soft mode what nobody knows is taken to be nothing.
pub fn bound(
    mode: LimitMode,
    operation: Operation,
    size: Size,
    price: Option<&Price>,
    estimate: Estimate,
) -> Result<Amounts, Unbounded> {
    let Some(makes_output) = uses_tokens(operation) else {
        return match mode {
            LimitMode::Hard if operation == Operation::Unmetered => Err(Unbounded::Operation),
            LimitMode::Hard | LimitMode::Soft => Ok(Amounts::default()),
        };
    };
    match mode {
        LimitMode::Soft => {
            let input = size.body_bytes.div_ceil(estimate.bytes_per_token.max(1));
            let output = size.output_tokens_max.unwrap_or(estimate.output_tokens);
            let output = if makes_output { output } else { 0 };
            let rates = price.map(|price| usual(&price.standard.rates));
            Ok(amounts(input, output, rates, PER_MILLE))
        }
        LimitMode::Hard => {
            // No token is shorter than a byte.
            let input = size.body_bytes.saturating_add(ADDED_INPUT_TOKENS);
            let output = match (makes_output, size.output_tokens_max) {
                (false, _) => 0,
                (true, Some(most)) => most,
                (true, None) => return Err(Unbounded::Output),
            };
            let per_mille = price.and_then(|price| price.regional_per_mille);
            let per_mille = per_mille.unwrap_or(PER_MILLE).max(PER_MILLE);
            Ok(amounts(input, output, price.map(dearest), per_mille))
        }
    }
}

/// Whether answers of this kind have output that is counted; `None`: neither output nor input is.
pub fn uses_tokens(operation: Operation) -> Option<bool> {
    match operation {
        Operation::ChatCompletions
        | Operation::Completions
        | Operation::Responses
        | Operation::Realtime
        | Operation::Messages
        | Operation::Invoke
        | Operation::InvokeStream
        | Operation::Converse
        | Operation::ConverseStream
        | Operation::GenerateContent
        | Operation::StreamGenerateContent => Some(true),
        Operation::Embeddings | Operation::EmbedContent => Some(false),
        Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::CountTokens
        | Operation::CountContentTokens
        | Operation::ListModels
        | Operation::GetModel
        | Operation::Hello
        | Operation::Unmetered
        | Operation::Other => None,
    }
}

/// What a token costs at most.
type InOut = (NanoUsdPerMillion, NanoUsdPerMillion);

fn amounts(input: u64, output: u64, rates: Option<InOut>, per_mille: u16) -> Amounts {
    let cost = rates.map_or(0, |(of_input, of_output)| {
        let cost = u128::from(input) * u128::from(of_input.0)
            + u128::from(output) * u128::from(of_output.0);
        let cost = cost.saturating_mul(u128::from(per_mille));
        cost.div_ceil(TOKENS_PER_PRICE * u128::from(PER_MILLE))
    });
    Amounts {
        tokens: input.saturating_add(output),
        nano_usd: u64::try_from(cost).unwrap_or(u64::MAX),
    }
}

/// As text in the standard class costs, written to a cache.
fn usual(rates: &Rates) -> InOut {
    let input = rates.input.max(rates.cache_write.unwrap_or_default());
    (input, rates.output)
}

/// Whatever class, length and kind it turns out to be of.
fn dearest(price: &Price) -> InOut {
    let tiers = price.tiers.iter().map(|(_, tier)| tier);
    let rates = [&price.standard].into_iter().chain(tiers);
    let rates = rates.flat_map(|tier| [Some(&tier.rates), tier.long_context.as_deref()]);
    rates.flatten().fold(InOut::default(), |most, rates| {
        let most_of = |most, kinds: &[Option<NanoUsdPerMillion>]| {
            kinds.iter().flatten().copied().fold(most, Ord::max)
        };
        let input = most_of(
            most.0.max(rates.input),
            &[
                rates.cache_read,
                rates.cache_write,
                rates.cache_write_long,
                rates.audio_input,
                rates.audio_cache_read,
                rates.image_input,
            ],
        );
        let output = most_of(
            most.1.max(rates.output),
            &[rates.audio_output, rates.image_output],
        );
        (input, output)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::{
        record::ServiceTier,
        snapshot::{TierPrice, access::LimitMode::*},
    };

    const ESTIMATE: Estimate = Estimate {
        output_tokens: 4096,
        bytes_per_token: 3,
    };

    fn usd(dollars_per_million: u64) -> NanoUsdPerMillion {
        NanoUsdPerMillion(dollars_per_million * 1_000_000_000)
    }

    fn price() -> Price {
        let tier = |input, output| TierPrice {
            rates: Rates {
                input: usd(input),
                output: usd(output),
                cache_write: Some(usd(2 * input)),
                ..Rates::default()
            },
            long_context: None,
        };
        Price {
            standard: tier(1, 5),
            tiers: [(ServiceTier::Priority, tier(2, 10))].into(),
            regional_per_mille: Some(1100),
            ..Price::default()
        }
    }

    fn of(
        mode: LimitMode,
        operation: Operation,
        output: Option<u64>,
        price: Option<&Price>,
    ) -> Result<Amounts, Unbounded> {
        let size = Size {
            body_bytes: 3000,
            output_tokens_max: output,
            answers: 1,
        };
        bound(mode, operation, size, price, ESTIMATE)
    }

    #[test]
    fn soft_limits_take_the_usual_where_nothing_is_said() {
        let price = price();
        let chat = |output, price| of(Soft, Operation::ChatCompletions, output, price).unwrap();
        let amounts = |tokens, nano_usd| Amounts { tokens, nano_usd };
        // 1000 × $2 + 100 × $5, per million.
        assert_eq!(chat(Some(100), Some(&price)), amounts(1100, 2_500_000));
        assert_eq!(chat(None, Some(&price)), amounts(5096, 22_480_000));
        assert_eq!(chat(Some(100), None), amounts(1100, 0));
        let embeddings = of(Soft, Operation::Embeddings, None, Some(&price));
        assert_eq!(embeddings, Ok(amounts(1000, 2_000_000)));
        for free in [
            Operation::CountTokens,
            Operation::Other,
            Operation::Unmetered,
        ] {
            assert_eq!(of(Soft, free, None, Some(&price)), Ok(Amounts::default()));
        }
    }

    #[test]
    fn hard_limits_take_the_worst() {
        let price = price();
        let found = of(Hard, Operation::Messages, Some(100), Some(&price)).unwrap();
        assert_eq!(found.tokens, 3000 + ADDED_INPUT_TOKENS + 100);
        // Priority's rates, written to a cache, in a region: (4024 × $4 + 100 × $10) × 1.1.
        assert_eq!(found.nano_usd, 18_805_600);
        let refused = [
            (Operation::Messages, None, Some(&price), Unbounded::Output),
            (
                Operation::Unmetered,
                Some(1),
                Some(&price),
                Unbounded::Operation,
            ),
        ];
        for (operation, output, price, expected) in refused {
            assert_eq!(of(Hard, operation, output, price), Err(expected));
        }
        assert_eq!(
            of(Hard, Operation::Other, None, None),
            Ok(Amounts::default())
        );
    }
}
