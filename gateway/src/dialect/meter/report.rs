//! What one usage report says.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Metered, count::Count};
use crate::handoff::record::{ServiceTier, Terms, Usage};

/// Dollars to [`Reported::cost`].
const NANO_PER_USD: f64 = 1e9;
/// Reported costs are cut here, far above any.
const COST_NANO_USD_MAX: f64 = 1e15;

/// Usage, and what else its price depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) usage: Usage,
    pub(super) terms: Terms,
    /// What the provider says that it charges, in dollars × 10⁻⁹.
    pub(super) cost: Option<u64>,
}

impl Reported {
    /// Replaces what was known.
    pub(super) fn add_to(self, metered: &mut Metered) {
        metered.usage = Some(self.usage);
        if let Some(least) = &mut metered.least {
            least.reported();
        }
        metered.cost = self.cost.or(metered.cost);
        metered.terms.regional |= self.terms.regional;
        add_tier(&mut metered.terms, self.terms.tier);
    }
}

/// Usage of input and output alone. `None`: neither was counted.
pub(super) fn plain(input: Count, output: Count) -> Option<Usage> {
    input.or(output).get().map(|_| Usage {
        input_tokens: input.or_zero(),
        output_tokens: output.or_zero(),
        ..Usage::default()
    })
}

/// A report that leaves the tier out does not take it back.
pub(super) fn add_tier(terms: &mut Terms, tier: ServiceTier) {
    if tier != ServiceTier::Standard {
        terms.tier = tier;
    }
}

/// A service tier as it is echoed. `auto` is only ever asked for; `on_demand` is what some compatible vendors
/// call the standard one.
pub(super) fn service_tier(tier: Option<&str>) -> ServiceTier {
    match tier.unwrap_or_default() {
        "" | "auto" | "default" | "standard" | "on_demand" => ServiceTier::Standard,
        "batch" => ServiceTier::Batch,
        "flex" => ServiceTier::Flex,
        "priority" => ServiceTier::Priority,
        "fast" => ServiceTier::Fast,
        "ultrafast" => ServiceTier::Ultrafast,
        _ => ServiceTier::Other,
    }
}

/// Dollars as gateways report them: a number, or text that is one. In dollars × 10⁻⁹, rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dollars(pub(super) Option<u64>);

impl Dollars {
    /// Of a header's value, or of a number's text.
    pub(super) fn parse(text: &str) -> Option<u64> {
        let dollars: f64 = text.trim().parse().ok()?;
        let nano = dollars * NANO_PER_USD;
        (nano.is_finite() && nano >= 0.0).then(|| nano.round().min(COST_NANO_USD_MAX) as u64)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(&text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_in_every_spelling() {
        for (json, expected) in [
            ("0", Some(0)),
            ("0.95", Some(950_000_000)),
            ("0.00014", Some(140_000)),
            ("1.4e-07", Some(140)),
            ("\"0.0000225\"", Some(22_500)),
            ("\"x\"", None),
            ("-1", None),
            ("null", None),
            ("{}", None),
            ("1e20", Some(COST_NANO_USD_MAX as u64)),
        ] {
            let dollars: Dollars = serde_json::from_str(json).unwrap_or_default();
            assert_eq!(dollars.0, expected, "{json}");
        }
        assert_eq!(Dollars::parse(" 0.000105 "), Some(105_000));
        assert_eq!(Dollars::parse("NaN"), None);
    }
}
