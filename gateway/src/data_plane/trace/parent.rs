//! `traceparent`: version, trace, parent and flags, in hexadecimal of fixed length.

/// What the agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) sampled: bool,
}

/// Of version 00: `00-<32>-<16>-<2>`.
pub const TRACEPARENT_BYTES: usize = 55;
/// A later version may be longer; this much longer is nobody's.
const LATER_BYTES_LIMIT: usize = 512;
const SAMPLED: u8 = 1;

impl Parent {
    /// `None` for anything that the specification calls invalid.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (known, later) = value.split_at_checked(TRACEPARENT_BYTES)?;
        let dashes = [2, 35, 52].into_iter().all(|at| known[at] == b'-');
        let version = hex(&known[..2])?;
        let fits = match version {
            0xff => false,
            0 => later.is_empty(),
            // What follows is for those who know that version.
            _ => matches!(later, [] | [b'-', ..]) && value.len() <= LATER_BYTES_LIMIT,
        };
        if !dashes || !fits {
            return None;
        }
        let parsed = Self {
            trace_id: hex(&known[3..35])?,
            span_id: hex(&known[36..52])? as u64,
            sampled: hex(&known[53..])? as u8 & SAMPLED != 0,
        };
        (parsed.trace_id != 0 && parsed.span_id != 0).then_some(parsed)
    }
}

/// Lower case only; `digits` are at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// A `traceparent` of version 00, to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent([u8; TRACEPARENT_BYTES]);

impl TraceParent {
    pub(super) fn new(trace_id: u128, span_id: u64, sampled: bool) -> Self {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], &trace_id.to_be_bytes());
        write_hex(&mut text[36..52], &span_id.to_be_bytes());
        write_hex(&mut text[53..], &[u8::from(sampled) * SAMPLED]);
        Self(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 0xf)];
    }
}
