//! A token count as it may stand in a usage object.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Counts are cut here: far above any context, far below where sums and prices overflow.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// A number of tokens, or nothing. Vendors add fields weekly and compatible servers write `null`, `12.0`
/// or an object; none of that may cost the rest of the usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count(Option<u64>);

impl Count {
    pub(super) fn get(self) -> Option<u64> {
        self.0
    }

    /// Of a number's text, such as a header's value.
    pub(super) fn parse(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }

    /// Zero where there is none.
    pub(super) fn or_zero(self) -> u64 {
        self.0.unwrap_or(0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// Takes over a later report of a running total. A zero does not erase what is known: some
    /// compatible servers send it for "see above".
    pub(super) fn update(&mut self, later: Self) {
        if later.or_zero() > 0 || self.0.is_none() {
            *self = later;
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor).map(Self)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Option<u64>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a token count")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.min(TOKENS_MAX)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        // Positive ones come as u64.
        Ok(None)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        // `as` saturates.
        Ok((value >= 0.0).then_some((value as u64).min(TOKENS_MAX)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_count() {
        for (json, expected) in [
            ("12", Some(12)),
            ("0", Some(0)),
            ("12.0", Some(12)),
            ("-1", None),
            ("-1.5", None),
            ("null", None),
            ("true", None),
            ("\"12\"", None),
            ("[1,[2]]", None),
            ("{\"a\":{\"b\":1}}", None),
            ("18446744073709551615", Some(TOKENS_MAX)),
            ("1e300", Some(TOKENS_MAX)),
        ] {
            assert_eq!(
                serde_json::from_str::<Count>(json).unwrap().get(),
                expected,
                "{json}"
            );
        }
    }

    #[test]
    fn a_later_total_replaces_unless_it_is_zero() {
        let mut count = Count::default();
        for (later, expected) in [
            (Some(0), Some(0)),
            (Some(5), Some(5)),
            (Some(3), Some(3)),
            (Some(0), Some(3)),
            (None, Some(3)),
        ] {
            count.update(Count(later));
            assert_eq!(count.get(), expected);
        }
    }
}
