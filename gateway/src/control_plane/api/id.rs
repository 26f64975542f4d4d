//! Ids and token text: base32hex in lower case, whose order is the order of the bytes.

use aws_lc_rs::rand;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// 48 bits of milliseconds, 48 random bits: 20 characters.
const ID_BYTES: usize = 12;

/// `prefix` and 20 characters that sort by time.
pub(super) fn new_id(prefix: &str, now: jiff::Timestamp) -> String {
    let mut bytes = [0; ID_BYTES];
    bytes[..6].copy_from_slice(&now.as_millisecond().to_be_bytes()[2..]);
    fill_random(&mut bytes[6..]);
    let mut id = String::from(prefix);
    encode_into(&bytes, &mut id);
    id
}

/// Appends `bytes` as base32hex without padding (RFC 4648 section 7).
pub(super) fn encode_into(bytes: &[u8], text: &mut String) {
    let mut held: u32 = 0;
    let mut held_bits = 0;
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        held_bits += 8;
        while held_bits >= 5 {
            held_bits -= 5;
            text.push(char::from(ALPHABET[(held >> held_bits & 31) as usize]));
        }
        held &= (1 << held_bits) - 1;
    }
    if held_bits > 0 {
        text.push(char::from(
            ALPHABET[(held << (5 - held_bits) & 31) as usize],
        ));
    }
}

pub(super) fn fill_random(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the kernel's random source is up once any process runs");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_original_length_and_sort_by_time() {
        let early = jiff::Timestamp::new(1_700_000_000, 0).expect("in range");
        let late = jiff::Timestamp::new(1_700_000_000, 2_000_000).expect("in range");
        let (a, b) = (new_id("ainp_", early), new_id("ainp_", late));
        assert_eq!(a.len(), "ainp_".len() + 20);
        assert!(a < b, "{a} {b}");
        assert_ne!(new_id("", early), new_id("", early));
    }

    #[test]
    fn base32hex_matches_the_rfc_vectors() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "co"),
            ("fo", "cpng"),
            ("foo", "cpnmu"),
            ("foobar", "cpnmuoj1e8"),
        ] {
            let mut text = String::new();
            encode_into(plain.as_bytes(), &mut text);
            assert_eq!(text, encoded);
        }
    }
}
