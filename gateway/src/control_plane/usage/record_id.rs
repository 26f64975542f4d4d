//! Ids of records as people write them.

/// How agents get to see it, in `x-keyway-request-id`.
pub(super) const PREFIX: &str = "req_";
const DIGITS: usize = 32;

/// 32 hexadecimal digits, with or without [`PREFIX`].
pub fn parse(text: &str) -> Option<u128> {
    let digits = text.strip_prefix(PREFIX).unwrap_or(text);
    let is_id = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| u128::from_str_radix(digits, 16).ok())?
}

/// First and last microsecond at which the exchange may have begun.
pub(super) fn started_at_us(id: u128) -> (i64, i64) {
    let millis = (id >> 80) as i64;
    (millis * 1000, millis * 1000 + 999)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::record::tests::sample;

    #[test]
    fn ids_are_read_and_tell_their_time() {
        let id = sample().id;
        for text in [format!("req_{id:032x}"), format!("{id:032X}")] {
            assert_eq!(parse(&text), Some(id));
        }
        for text in ["", "req_", "req_1", &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(parse(text), None, "{text}");
        }
        let (first, last) = started_at_us(id);
        assert!((first..=last).contains(&sample().started_at_us));
    }
}
