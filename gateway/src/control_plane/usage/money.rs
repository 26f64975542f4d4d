//! `NanoUsd`: money as integers, printed as the exact decimal number it is.

use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::RawValue;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, RefOr, Schema, schema::Type},
};

const NANO_PER_USD: u64 = 1_000_000_000;

/// Dollars × 10⁻⁹. In JSON a number of dollars with up to nine decimals, without a detour through
/// floating point (with `serde_json` to text; its `Value` would round).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(pub i64);

impl std::fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nano = self.0.unsigned_abs();
        let (dollars, rest) = (nano / NANO_PER_USD, nano % NANO_PER_USD);
        if rest == 0 {
            write!(f, "{sign}{dollars}")
        } else {
            let decimals = format!("{rest:09}");
            write!(f, "{sign}{dollars}.{}", decimals.trim_end_matches('0'))
        }
    }
}

impl PartialSchema for NanoUsd {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::Object(Object::with_type(Type::Number)))
    }
}

impl ToSchema for NanoUsd {}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn prints_exact_decimals() {
        for (nano, expected) in [
            (0, "0"),
            (1, "0.000000001"),
            (23_100_000, "0.0231"),
            (1_000_000_000, "1"),
            (-1_500_000_000, "-1.5"),
            (9_007_199_254_740_993, "9007199.254740993"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(serde_json::to_string(&NanoUsd(nano)).unwrap(), expected);
        }
    }
}
