//! Cost of usage at a price, in integers.

use crate::handoff::{
    record::{CostNanoUsd, LeftOut, ServiceTier, Terms, Usage},
    snapshot::{NanoUsd, NanoUsdPerMillion, Price, Rates, TierPrice, ToolPrice},
};

/// Prices are per this many tokens.
const TOKENS_PER_PRICE: u128 = 1_000_000;
/// What a price that no region raises is multiplied by.
const PER_MILLE: u16 = 1000;
/// Where a component saturates, at eighteen hundred million dollars: five of them add up within what signed
/// columns hold.
const COMPONENT_NANO_USD_MAX: u64 = i64::MAX as u64 / 5;

/// Cost of one exchange, and what it does not cover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bill {
    pub cost: CostNanoUsd,
    pub left_out: LeftOut,
}

/// Cost of `usage`, served on `terms`, at `price`; each component is rounded half up to a nano-dollar, once.
///
/// Long-context rates replace all rates when all input, cached input included, is above their bound. A
/// missing cache rate is the input rate, a missing rate for long-lived writes the one for short-lived writes.
/// What has no price of its own is billed as plain tokens where it has some, and named in
/// [`Bill::left_out`].
pub fn bill(usage: &Usage, terms: Terms, price: &Price) -> Bill {
    let mut left_out = LeftOut::default();
    let rates = rates(usage, terms.tier, price, &mut left_out);
    let per_mille = match (terms.regional, price.regional_per_mille) {
        (false, _) => PER_MILLE,
        (true, Some(per_mille)) => per_mille,
        (true, None) => {
            left_out.add(LeftOut::REGION);
            PER_MILLE
        }
    };
    if has_unpriced_audio(usage, rates) {
        left_out.add(LeftOut::AUDIO);
    }
    let cost = CostNanoUsd {
        input: component(&input(usage, rates), per_mille),
        cache_read: component(&cache_read(usage, rates), per_mille),
        cache_creation: component(&cache_creation(usage, rates), per_mille),
        output: component(&output(usage, rates), per_mille),
        other: pieces(usage, price, &mut left_out),
    };
    Bill { cost, left_out }
}

/// Tokens, and what they cost each.
type Part = (u64, NanoUsdPerMillion);

/// What was not cached, in text, audio and pictures.
fn input(usage: &Usage, rates: &Rates) -> [Part; 3] {
    let media = &usage.media;
    let audio = uncached_audio(usage);
    let text = (usage.uncached_input_tokens())
        .saturating_sub(audio)
        .saturating_sub(media.image_input_tokens);
    [
        (text, rates.input),
        (audio, rates.audio_input.unwrap_or(rates.input)),
        (
            media.image_input_tokens,
            rates.image_input.unwrap_or(rates.input),
        ),
    ]
}

fn cache_read(usage: &Usage, rates: &Rates) -> [Part; 2] {
    let audio = usage.media.audio_cache_read_tokens;
    let text = usage.cache_read_input_tokens.saturating_sub(audio);
    let rate = rates.cache_read.unwrap_or(rates.input);
    [
        (text, rate),
        (audio, rates.audio_cache_read.unwrap_or(rate)),
    ]
}

fn cache_creation(usage: &Usage, rates: &Rates) -> [Part; 2] {
    let short = rates.cache_write.unwrap_or(rates.input);
    let long = rates.cache_write_long.unwrap_or(short);
    [
        (usage.cache_creation_input_tokens, short),
        (usage.cache_creation_long_input_tokens, long),
    ]
}

fn output(usage: &Usage, rates: &Rates) -> [Part; 3] {
    let (audio, images) = (
        usage.media.audio_output_tokens,
        usage.media.image_output_tokens,
    );
    let text = (usage.output_tokens)
        .saturating_sub(audio)
        .saturating_sub(images);
    [
        (text, rates.output),
        (audio, rates.audio_output.unwrap_or(rates.output)),
        (images, rates.image_output.unwrap_or(rates.output)),
    ]
}

fn uncached_audio(usage: &Usage) -> u64 {
    let media = &usage.media;
    (media.audio_input_tokens).saturating_sub(media.audio_cache_read_tokens)
}

fn has_unpriced_audio(usage: &Usage, rates: &Rates) -> bool {
    let media = &usage.media;
    [
        (uncached_audio(usage), rates.audio_input),
        (media.audio_cache_read_tokens, rates.audio_cache_read),
        (media.audio_output_tokens, rates.audio_output),
    ]
    .iter()
    .any(|(tokens, rate)| *tokens > 0 && rate.is_none())
}

/// The rates of a class of service, for an input as long as this one.
fn rates<'a>(
    usage: &Usage,
    tier: ServiceTier,
    price: &'a Price,
    left_out: &mut LeftOut,
) -> &'a Rates {
    let is_long = usage.input_tokens > price.long_context_above;
    let of = |tier: &'a TierPrice| match &tier.long_context {
        Some(long) if is_long => &**long,
        Some(_) | None => &tier.rates,
    };
    let standard = of(&price.standard);
    if tier == ServiceTier::Standard {
        return standard;
    }
    let sold = price.tiers.iter().find(|(sold, _)| *sold == tier);
    match sold {
        // What has other rates for long inputs, but none in this class, is not sold in it.
        Some((_, sold))
            if !is_long || sold.long_context.is_some() || price.standard.long_context.is_none() =>
        {
            of(sold)
        }
        Some(_) | None => {
            left_out.add(LeftOut::SERVICE_TIER);
            standard
        }
    }
}

/// What is billed by the call or by the second.
fn pieces(usage: &Usage, price: &Price, left_out: &mut LeftOut) -> u64 {
    let calls = &usage.tool_calls;
    let tools = [
        (calls.web_search, price.tools.web_search),
        (calls.maps, price.tools.maps),
        (calls.file_search, price.tools.file_search),
        (calls.code_interpreter, price.tools.code_interpreter),
        (calls.other, None),
    ];
    let mut sum: u128 = 0;
    for (calls, price) in tools {
        match price {
            Some(ToolPrice::PerCall(NanoUsd(price))) => {
                sum += u128::from(calls) * u128::from(price);
            }
            Some(ToolPrice::PerRequest(NanoUsd(price))) if calls > 0 => sum += u128::from(price),
            Some(ToolPrice::PerRequest(_)) => {}
            None if calls > 0 => left_out.add(LeftOut::TOOLS),
            None => {}
        }
    }
    match price.audio_second {
        Some(NanoUsd(second)) => {
            sum += (u128::from(usage.media.audio_ms) * u128::from(second) + 500) / 1000;
        }
        None if usage.media.audio_ms > 0 => left_out.add(LeftOut::AUDIO),
        None => {}
    }
    saturated(sum)
}

/// Sum of tokens × rate, raised to `per_mille` and rounded half up once.
fn component(parts: &[Part], per_mille: u16) -> u64 {
    const ONE: u128 = TOKENS_PER_PRICE * PER_MILLE as u128;
    let sum: u128 = parts
        .iter()
        .map(|(tokens, rate)| u128::from(*tokens) * u128::from(rate.0))
        .fold(0, u128::saturating_add);
    saturated(
        sum.saturating_mul(u128::from(per_mille))
            .saturating_add(ONE / 2)
            / ONE,
    )
}

fn saturated(cost: u128) -> u64 {
    u64::try_from(cost).map_or(COMPONENT_NANO_USD_MAX, |cost| {
        cost.min(COMPONENT_NANO_USD_MAX)
    })
}

#[cfg(test)]
mod tests;
