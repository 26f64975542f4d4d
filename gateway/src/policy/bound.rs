//! The most that one request can use, before it is sent.

use crate::{
    config::Estimate,
    dialect::{
        Operation,
        elsewhere::{Elsewhere, Endless},
    },
    handoff::{
        ledger::Unit,
        record::{CostNanoUsd, ToolCalls, Usage},
        snapshot::{NanoUsd, NanoUsdPerMillion, Price, Rates, ToolPrice, access::LimitMode},
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
    /// There is no end to what it makes the model read.
    Input(Endless),
    /// It fills the model's context window, and nobody knows how large that is.
    Window,
    /// Nobody knows what the model costs.
    Price,
    /// Nobody knows what the provider's own tools cost.
    ToolPrice,
    /// Nothing here counts what such requests use.
    Operation,
}

/// What a request of this size uses at most; without a price that is no money.
///
/// # Errors
/// In hard mode, when there is no saying. In soft mode what nobody knows is taken to be nothing, and so is what the
/// body does not carry.
pub fn bound(
    mode: LimitMode,
    operation: Operation,
    size: Size,
    elsewhere: &Elsewhere,
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
            // No token of text is shorter than a byte.
            let mut input = size.body_bytes.saturating_add(ADDED_INPUT_TOKENS);
            // A response of a session reads all that was said in it.
            let is_session = operation == Operation::Realtime;
            let window = || {
                let context = price.and_then(|price| price.context);
                context.ok_or(Unbounded::Window)
            };
            if elsewhere.fills_window || is_session {
                input = input.max(window()?);
            }
            let output = match (makes_output, size.output_tokens_max) {
                (false, _) => 0,
                (true, Some(most)) => most,
                // What it says has its place there, too.
                (true, None) if is_session => window()?,
                (true, None) => return Err(Unbounded::Output),
            };
            let per_mille = price.and_then(|price| price.regional_per_mille);
            let per_mille = per_mille.unwrap_or(PER_MILLE).max(PER_MILLE);
            let calls = elsewhere.model_calls;
            Ok(amounts(
                input.saturating_mul(calls),
                output.saturating_mul(calls),
                price.map(dearest),
                per_mille,
            ))
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

/// What calls of the provider's tools cost at most, in nano-dollars, beside their tokens.
///
/// # Errors
/// [`Unbounded::ToolPrice`].
pub fn fees(calls: &ToolCalls, price: &Price) -> Result<u64, Unbounded> {
    let tools = &price.tools;
    let mut sum: u64 = 0;
    for (calls, price) in [
        (calls.web_search, tools.web_search),
        (calls.maps, tools.maps),
        (calls.file_search, tools.file_search),
        (calls.code_interpreter, tools.code_interpreter),
        (calls.other, None),
    ] {
        let fee = match price {
            _ if calls == 0 => 0,
            Some(ToolPrice::PerCall(NanoUsd(price))) => price.saturating_mul(calls),
            Some(ToolPrice::PerRequest(NanoUsd(price))) => price,
            None => return Err(Unbounded::ToolPrice),
        };
        sum = sum.saturating_add(fee);
    }
    Ok(sum)
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
        bound(
            mode,
            operation,
            size,
            &Elsewhere::default(),
            price,
            ESTIMATE,
        )
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

    #[test]
    fn what_is_elsewhere_fills_the_window_at_every_call() {
        let found = |fills_window, model_calls, price: &Price| {
            let size = Size {
                body_bytes: 3000,
                output_tokens_max: Some(100),
                answers: 1,
            };
            let elsewhere = Elsewhere {
                fills_window,
                model_calls,
                tool_calls: ToolCalls::default(),
            };
            let operation = Operation::Responses;
            bound(Hard, operation, size, &elsewhere, Some(price), ESTIMATE)
        };
        let amounts = |tokens, nano_usd| Ok(Amounts { tokens, nano_usd });
        let mut price = price();
        assert_eq!(found(true, 1, &price), Err(Unbounded::Window));
        price.context = Some(200_000);
        // (200 000 × $4 + 100 × $10) × 1.1, and each call of it.
        assert_eq!(found(true, 1, &price), amounts(200_100, 881_100_000));
        assert_eq!(found(true, 3, &price), amounts(600_300, 2_643_300_000));
        assert_eq!(found(false, 2, &price), amounts(8248, 37_611_200));
        // A session says and hears at most as much as the model takes.
        let session = of(Hard, Operation::Realtime, None, Some(&price));
        assert_eq!(session, amounts(400_000, 3_080_000_000));
        assert_eq!(
            of(Hard, Operation::Realtime, None, None),
            Err(Unbounded::Window)
        );
        // A body may be longer than it has tokens, and is charged for no less.
        price.context = Some(1000);
        assert_eq!(found(true, 1, &price), amounts(4124, 18_805_600));
    }

    #[test]
    fn tools_of_the_provider_have_fees() {
        let searches = ToolCalls {
            web_search: 2,
            ..ToolCalls::default()
        };
        let mut price = price();
        assert_eq!(fees(&ToolCalls::default(), &price), Ok(0));
        assert_eq!(fees(&searches, &price), Err(Unbounded::ToolPrice));
        price.tools.web_search = Some(ToolPrice::PerCall(NanoUsd(10_000_000)));
        assert_eq!(fees(&searches, &price), Ok(20_000_000));
        price.tools.web_search = Some(ToolPrice::PerRequest(NanoUsd(35_000_000)));
        assert_eq!(fees(&searches, &price), Ok(35_000_000));
    }
}
