//! What limits are written as: `1000000/1d`, `50/30d`, `none`.

use std::{fmt, str::FromStr};

use serde_json::{Number, Value};

/// A number of tokens in a window, or none.
pub(super) type Tokens = Cap<u64>;
/// Dollars in a window, or none.
pub(super) type Dollars = Cap<Number>;

/// An amount, with the window it is for where one is named.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cap<T> {
    pub(super) amount: T,
    pub(super) window: Option<Window>,
}

impl<T: Clone + Into<Value>> Cap<T> {
    pub(super) fn as_json(&self) -> Cap<Value> {
        Cap {
            amount: self.amount.clone().into(),
            window: self.window,
        }
    }
}

/// A length of time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Window(pub(in crate::cli) u64);

/// Seconds of each unit, the longest first.
const UNITS: [(char, u64); 4] = [('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];

impl FromStr for Tokens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        cap(text, 0, count)
    }
}

impl FromStr for Dollars {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        cap(text, Number::from(0), |amount| {
            let amount = amount.strip_prefix('$').unwrap_or(amount);
            let is_plain = amount.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            match amount.parse() {
                Ok(number) if is_plain => Ok(number),
                Ok(_) | Err(_) => Err("dollars are a decimal such as 12.50".to_owned()),
            }
        })
    }
}

/// `250`, `1_000_000`, `500k`, `2M` or `none`.
pub(in crate::cli) fn count(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(0);
    }
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        },
    };
    let number: Option<u64> = digits.replace('_', "").parse().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a number is written as 250, 500k or 2M".to_owned())
}

/// `AMOUNT`, `AMOUNT/WINDOW` or `none`.
fn cap<T>(text: &str, none: T, read: impl Fn(&str) -> Result<T, String>) -> Result<Cap<T>, String> {
    if text == "none" {
        return Ok(Cap {
            amount: none,
            window: None,
        });
    }
    let (amount, window) = match text.split_once('/') {
        Some((amount, window)) => (amount, Some(window.parse()?)),
        None => (text, None),
    };
    Ok(Cap {
        amount: read(amount)?,
        window,
    })
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = UNITS.iter().find_map(|(unit, seconds)| {
            let number = text.strip_suffix(*unit)?;
            // `/d` is a day.
            let number = if number.is_empty() {
                1
            } else {
                number.parse().ok()?
            };
            seconds.checked_mul(number)
        });
        match seconds {
            Some(0) | None => Err("a window is written as 90s, 5m, 1h or 30d".to_owned()),
            Some(seconds) => Ok(Self(seconds)),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS
            .iter()
            .find(|(_, seconds)| self.0.is_multiple_of(*seconds));
        match whole {
            Some((unit, seconds)) if self.0 > 0 => write!(f, "{}{unit}", self.0 / seconds),
            Some(_) | None => write!(f, "{}s", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_amounts_in_windows() {
        for (text, expected) in [
            ("1000000/1d", Some((1_000_000, Some(86_400)))),
            ("1_000/90s", Some((1_000, Some(90)))),
            ("500k/h", Some((500_000, Some(3_600)))),
            ("2M/30d", Some((2_000_000, Some(2_592_000)))),
            ("250", Some((250, None))),
            ("none", Some((0, None))),
            ("0", Some((0, None))),
            ("1.5/1d", None),
            ("-1/1d", None),
            ("1/", None),
            ("1/0d", None),
            ("1/1y", None),
            ("1/99999999999999999999d", None),
            ("99999999999999999999", None),
            ("18446744073709551615k", None),
            ("/1d", None),
            ("", None),
        ] {
            let cap = text.parse::<Tokens>().ok();
            let cap = cap.map(|cap| (cap.amount, cap.window.map(|window| window.0)));
            assert_eq!(cap, expected, "{text}");
        }
    }

    #[test]
    fn dollars_keep_their_decimals() {
        for (text, expected) in [
            ("50/30d", Some("50")),
            ("$12.50/1d", Some("12.5")),
            ("0.000000001/1d", Some("1e-9")),
            ("none", Some("0")),
            ("1e3/1d", None),
            ("-5/1d", None),
            ("five/1d", None),
            ("$/1d", None),
        ] {
            let cap = text.parse::<Dollars>().ok();
            let amount = cap.map(|cap| cap.amount.to_string());
            assert_eq!(amount.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn windows_are_shown_in_their_largest_unit() {
        for (seconds, shown) in [
            (86_400, "1d"),
            (2_592_000, "30d"),
            (5_400, "90m"),
            (7_200, "2h"),
            (61, "61s"),
            (0, "0s"),
        ] {
            assert_eq!(Window(seconds).to_string(), shown);
        }
    }
}
