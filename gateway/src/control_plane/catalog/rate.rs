//! Prices as decimal text, in and out of integers. No floating point: nothing drifts.

use crate::handoff::snapshot::{NanoUsd, NanoUsdPerMillion};

/// Decimal places from dollars per million tokens to [`NanoUsdPerMillion`].
const PER_MILLION_PLACES: i32 = 9;
/// Decimal places from dollars per thousand tokens.
const PER_1K_PLACES: i32 = PER_MILLION_PLACES + 3;
/// Decimal places from dollars per token.
const PER_TOKEN_PLACES: i32 = PER_MILLION_PLACES + 6;
/// Decimal places of a factor.
const PER_MILLE_PLACES: i32 = 3;

/// Why a text is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error("not a decimal number of zero or more")]
    Malformed,
    #[error("more than nine decimal places")]
    TooFine,
    #[error("too large")]
    TooLarge,
    #[error("not a factor from 1 to 10 with at most three decimal places")]
    NoFactor,
}

/// Dollars per million tokens (`"0.075"`), exactly.
pub fn per_million(text: &str) -> Result<NanoUsdPerMillion, RateError> {
    let (rate, exact) = decimal(text, PER_MILLION_PLACES)?;
    if exact {
        Ok(NanoUsdPerMillion(rate))
    } else {
        Err(RateError::TooFine)
    }
}

/// Dollars per call or per second (`"0.01"`), exactly.
pub fn per_piece(text: &str) -> Result<NanoUsd, RateError> {
    per_million(text).map(|rate| NanoUsd(rate.0))
}

/// A factor (`"1.1"`) in thousandths, from 1 to 10.
pub fn per_mille(text: &str) -> Result<u16, RateError> {
    let (factor, exact) = decimal(text, PER_MILLE_PLACES)?;
    match u16::try_from(factor) {
        Ok(factor @ 1_000..=10_000) if exact => Ok(factor),
        Ok(_) | Err(_) => Err(RateError::NoFactor),
    }
}

/// Dollars per thousand tokens as the API has them. What twelve decimal places can say is kept exactly;
/// the rest is what a client's floating point left behind, and is rounded off.
pub fn from_per_1k(number: &serde_json::Number) -> Result<NanoUsdPerMillion, RateError> {
    let (rate, _) = decimal(&number.to_string(), PER_1K_PLACES)?;
    Ok(NanoUsdPerMillion(rate))
}

/// Dollars per token, as vendors' own listings have them; rounded as in [`from_per_1k`].
pub fn from_per_token(text: &str) -> Result<NanoUsdPerMillion, RateError> {
    let (rate, _) = decimal(text, PER_TOKEN_PLACES)?;
    Ok(NanoUsdPerMillion(rate))
}

/// Dollars per thousand tokens for the API.
pub fn to_per_1k(rate: NanoUsdPerMillion) -> serde_json::Number {
    let text = decimal_text(rate.0, PER_1K_PLACES);
    serde_json::from_str(&text).expect("digits with a point inside are a JSON number")
}

/// Dollars for the API, exact to the billionth.
pub fn to_usd(amount: NanoUsd) -> serde_json::Number {
    let text = decimal_text(amount.0, PER_MILLION_PLACES);
    serde_json::from_str(&text).expect("digits with a point inside are a JSON number")
}

/// Dollars per token as other catalogs have them, as our decimal text per million.
pub fn usd_per_token(text: &str) -> Result<String, RateError> {
    from_per_token(text).map(|rate| decimal_text(rate.0, PER_MILLION_PLACES))
}

/// Dollars for one piece in any spelling, as our decimal text.
pub fn usd(text: &str) -> Result<String, RateError> {
    let (piece, _) = decimal(text, PER_MILLION_PLACES)?;
    Ok(decimal_text(piece, PER_MILLION_PLACES))
}

/// Dollars for a thousand pieces, as our decimal text for one.
pub fn usd_per_thousand(text: &str) -> Result<String, RateError> {
    let (piece, _) = decimal(text, PER_MILLION_PLACES - 3)?;
    Ok(decimal_text(piece, PER_MILLION_PLACES))
}

/// `rate` as `to` is to `from`, all three decimal text; rounded down, and as it is where `from` is nothing.
pub fn in_proportion(rate: &str, from: &str, to: &str) -> Result<String, RateError> {
    let [rate, from, to] = [rate, from, to].map(|text| per_million(text).map(|rate| rate.0));
    let (rate, from, to) = (rate?, from?, to?);
    let scaled = match from {
        0 => rate,
        from => u64::try_from(u128::from(rate) * u128::from(to) / u128::from(from))
            .map_err(|_| RateError::TooLarge)?,
    };
    Ok(decimal_text(scaled, PER_MILLION_PLACES))
}

/// `value` × 10^-`places`, without needless zeros.
fn decimal_text(value: u64, places: i32) -> String {
    let places = places.unsigned_abs() as usize;
    let one = 10u64.pow(places as u32);
    let text = format!("{}.{:0places$}", value / one, value % one);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `text` × 10^`places`, rounded half up, and whether nothing was rounded off.
fn decimal(text: &str, places: i32) -> Result<(u64, bool), RateError> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().map_err(malformed)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(RateError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits: u128 = digits.parse().map_err(|_| RateError::TooLarge)?;
    let fraction_places = i32::try_from(fraction.len()).map_err(|_| RateError::TooLarge)?;
    let shift = places + i32::from(exponent) - fraction_places;
    let power = 10u128.checked_pow(shift.unsigned_abs());
    let (value, exact) = match power {
        Some(power) if shift >= 0 => (digits.checked_mul(power).ok_or(RateError::TooLarge)?, true),
        Some(power) => {
            let rest = digits % power;
            (
                digits / power + u128::from(rest >= power.div_ceil(2)),
                rest == 0,
            )
        }
        None if digits == 0 => (0, true),
        None if shift > 0 => return Err(RateError::TooLarge),
        None => (0, false),
    };
    let value = u64::try_from(value).map_err(|_| RateError::TooLarge)?;
    Ok((value, exact))
}

fn malformed(_: std::num::ParseIntError) -> RateError {
    RateError::Malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_per_million_are_exact() {
        let table = [
            ("0", Ok(0)),
            ("2", Ok(2_000_000_000)),
            ("0.075", Ok(75_000_000)),
            ("0.00875", Ok(8_750_000)),
            ("12.50", Ok(12_500_000_000)),
            ("0.000000001", Ok(1)),
            ("1.5e1", Ok(15_000_000_000)),
            ("18446744073.709551615", Ok(u64::MAX)),
            ("18446744073.709551616", Err(RateError::TooLarge)),
            ("0.0000000001", Err(RateError::TooFine)),
            ("1e-400", Err(RateError::TooFine)),
            ("1e400", Err(RateError::TooLarge)),
            ("0e400", Ok(0)),
            ("", Err(RateError::Malformed)),
            (".5", Err(RateError::Malformed)),
            ("5.", Err(RateError::Malformed)),
            ("-1", Err(RateError::Malformed)),
            ("+1", Err(RateError::Malformed)),
            ("1_000", Err(RateError::Malformed)),
            ("1e", Err(RateError::Malformed)),
            ("NaN", Err(RateError::Malformed)),
            ("1e99999", Err(RateError::Malformed)),
        ];
        for (text, expected) in table {
            assert_eq!(per_million(text).map(|rate| rate.0), expected, "{text}");
        }
    }

    #[test]
    fn factors_are_thousandths() {
        for (text, expected) in [
            ("1", Ok(1_000)),
            ("1.1", Ok(1_100)),
            ("1.125", Ok(1_125)),
            ("10", Ok(10_000)),
            ("0.9", Err(RateError::NoFactor)),
            ("1.0005", Err(RateError::NoFactor)),
            ("10.001", Err(RateError::NoFactor)),
            ("x", Err(RateError::Malformed)),
        ] {
            assert_eq!(per_mille(text), expected, "{text}");
        }
    }

    #[test]
    fn dollars_per_token_are_exact() {
        for (text, expected) in [
            ("0.0000025", Ok(2_500_000_000)),
            ("1.5e-07", Ok(150_000_000)),
            ("0", Ok(0)),
            // OpenRouter's mark for a price that depends.
            ("-1", Err(RateError::Malformed)),
        ] {
            assert_eq!(from_per_token(text).map(|rate| rate.0), expected, "{text}");
        }
    }

    #[test]
    fn dollars_per_thousand_survive_the_round_trip() {
        let table = [
            ("0.0025", 2_500_000_000),
            ("7.5e-05", 75_000_000),
            ("0.00000001", 10_000),
            ("1e-12", 1),
            ("0.00015", 150_000_000),
            ("3", 3_000_000_000_000),
            ("0", 0),
        ];
        for (text, expected) in table {
            let number: serde_json::Number = serde_json::from_str(text).unwrap();
            let rate = from_per_1k(&number).unwrap();
            assert_eq!(rate.0, expected, "{text}");
            assert_eq!(to_per_1k(rate).as_f64(), number.as_f64(), "{text}");
            assert_eq!(from_per_1k(&to_per_1k(rate)), Ok(rate), "{text}");
        }
        // 0.1 + 0.2, over a thousand, in a client's floating point.
        let number: serde_json::Number = serde_json::from_str("0.00030000000000000003").unwrap();
        assert_eq!(from_per_1k(&number).unwrap().0, 300_000_000);
        let negative: serde_json::Number = serde_json::from_str("-0.1").unwrap();
        assert_eq!(from_per_1k(&negative), Err(RateError::Malformed));
    }
}
