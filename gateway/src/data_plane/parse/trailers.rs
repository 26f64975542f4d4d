//! Fields behind a body (RFC 9110 section 6.5), as either version delivers them. Most messages have none,
//! and nothing is allocated for those.

use http::HeaderMap;

use super::h1;
use crate::data_plane::message::Fields;

/// Most fields behind one body.
const FIELDS_LIMIT: usize = 32;
/// All names and values behind one body, with what HTTP/1 writes around them.
pub const BYTES_LIMIT: usize = 8 * 1024;
/// `: ` and the end of the line.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// Not fields, or over a limit.
#[derive(Debug, PartialEq, Eq)]
pub struct BadTrailers;

/// A trailer section with the empty line that ends it (RFC 9112 section 7.1.2). `None`: it is empty.
pub fn of_h1(section: &[u8]) -> Result<Option<Fields>, BadTrailers> {
    if section == b"\r\n" {
        return Ok(None);
    }
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_LIMIT];
    match httparse::parse_headers(section, &mut slots) {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => {
            Ok(Some(h1::spans(section, length, fields)))
        }
        Ok(_) | Err(_) => Err(BadTrailers),
    }
}

/// The fields of a stream's last HEADERS frame. `None`: there are none.
pub fn of_h2(map: HeaderMap) -> Result<Option<Fields>, BadTrailers> {
    let bytes: usize = map
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
        .sum();
    if map.len() > FIELDS_LIMIT || bytes > BYTES_LIMIT {
        return Err(BadTrailers);
    }
    Ok((!map.is_empty()).then(|| Fields::from_h2(map)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn pairs(fields: &Fields) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn sections_become_fields() {
        assert!(of_h1(b"\r\n").expect("valid").is_none());
        let fields = of_h1(b"X-Sum: 1\r\nx-empty:\r\n\r\n").expect("valid");
        let expected = [("X-Sum", "1"), ("x-empty", "")].map(|(n, v)| (n.into(), v.into()));
        assert_eq!(pairs(&fields.expect("two fields")), expected);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for bad in [
            &b"no colon\r\n\r\n"[..],
            b": nameless\r\n\r\n",
            b"x : y\r\n\r\n",
            b"x: a\r\n folded\r\n\r\n",
            b"x: a\0b\r\n\r\n",
            b"x: y\r\n",
            b"x: y\r\n\r\nrest",
        ] {
            let shown = String::from_utf8_lossy(bad);
            assert!(of_h1(bad).is_err(), "{shown:?}");
        }
    }

    #[test]
    fn both_versions_have_the_same_limits() {
        let map = |fields: usize, bytes: usize| -> HeaderMap {
            let value = HeaderValue::from_bytes(&vec![b'v'; bytes]).expect("a value");
            let name = HeaderName::from_static("x");
            std::iter::repeat_n((name, value), fields).collect()
        };
        let most = BYTES_LIMIT - 1 - FIELD_OVERHEAD_BYTES;
        for (fields, bytes, is_taken) in [
            (1, 1, true),
            (FIELDS_LIMIT, 1, true),
            (FIELDS_LIMIT + 1, 1, false),
            (1, most, true),
            (1, most + 1, false),
        ] {
            assert_eq!(
                of_h2(map(fields, bytes)).is_ok(),
                is_taken,
                "{fields} × {bytes}"
            );
        }
        let lines = |fields: usize| [&b"x: v\r\n".repeat(fields)[..], b"\r\n"].concat();
        assert!(of_h1(&lines(FIELDS_LIMIT)).is_ok());
        assert!(of_h1(&lines(FIELDS_LIMIT + 1)).is_err());
    }
}
