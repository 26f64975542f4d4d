//! How far a JSON string goes: 64 bytes at a time, as bit masks (after simdjson: Langdale and Lemire, 2019).

/// Bytes looked at together; a bit each, the first byte's lowest.
const BLOCK_BYTES: usize = 64;

type Block = [u8; BLOCK_BYTES];

/// Where the inside of a string, which starts with `bytes`, stops being plain text and one-character
/// escapes: the offset of the closing quote, of a control character, or of the backslash that begins
/// anything else; the length of `bytes` when none of these comes.
#[inline]
pub(super) fn string_len(bytes: &[u8]) -> usize {
    // Keys and most values end here.
    if let Some(start) = bytes.first_chunk() {
        let marks = Marks::of_16(start);
        let stop = marks.stops.trailing_zeros();
        if stop < marks.backslashes.trailing_zeros() {
            return stop as usize;
        }
    }
    by_blocks(bytes)
}

fn by_blocks(bytes: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { by_avx2(bytes) };
    }
    by_marks(bytes, Marks::of)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_avx2(bytes: &[u8]) -> usize {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8,
    };

    by_marks(bytes, |block| {
        let [low, high] = [0, 32].map(|at| {
            let half: &[u8; 32] = block[at..].first_chunk().expect("a block has two halves");
            // SAFETY: 32 bytes are read, which is what there is; the load needs no alignment.
            let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
            let quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
            let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
            let backslashes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
            let bits = |bytes| u64::from(_mm256_movemask_epi8(bytes) as u32);
            [bits(_mm256_or_si256(quotes, controls)), bits(backslashes)]
        });
        Marks {
            stops: low[0] | high[0] << 32,
            backslashes: low[1] | high[1] << 32,
        }
    })
}

#[inline(always)]
fn by_marks(bytes: &[u8], marks: impl Fn(&Block) -> Marks) -> usize {
    let (blocks, tail) = bytes.as_chunks();
    let mut escapes = Escapes::default();
    for (i, block) in blocks.iter().enumerate() {
        let marks = marks(block);
        if marks.stops | marks.backslashes == 0 && !escapes.is_open {
            continue;
        }
        if let Some(stop) = escapes.stop(block, marks) {
            return (i * BLOCK_BYTES).saturating_add_signed(stop);
        }
    }
    // As if a quote came behind a cut string.
    let mut block = [b'"'; BLOCK_BYTES];
    block[..tail.len()].copy_from_slice(tail);
    let stop = escapes.stop(&block, marks(&block));
    let stop = stop.unwrap_or(BLOCK_BYTES as isize);
    if stop > tail.len() as isize {
        // The last byte escapes it: the escape is cut.
        return bytes.len() - 1;
    }
    (blocks.len() * BLOCK_BYTES).saturating_add_signed(stop)
}

/// The escapes of one string, block after block.
#[derive(Default)]
struct Escapes {
    /// The block before ended with a backslash that escapes the first byte of the next.
    is_open: bool,
}

impl Escapes {
    /// Where in `block` the string stops; -1 at the backslash that ended the block before.
    #[inline]
    fn stop(&mut self, block: &Block, marks: Marks) -> Option<isize> {
        let Marks { stops, backslashes } = marks;
        let escaped = self.escaped(backslashes);
        let stop = (stops & !escaped).trailing_zeros();
        let mut inside = escaped & !u64::MAX.checked_shl(stop).unwrap_or(0);
        while inside != 0 {
            let at = inside.trailing_zeros();
            if !is_escape(block[at as usize]) {
                return Some(at as isize - 1);
            }
            inside &= inside - 1;
        }
        (stop < u64::BITS).then_some(stop as isize)
    }

    /// The bytes that stand behind a backslash which is not escaped itself.
    #[inline]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let open = u64::from(self.is_open);
        if backslashes == 0 {
            self.is_open = false;
            return open;
        }
        // A run of backslashes escapes every other byte from its second on, and the one behind it where that
        // is its turn. Subtracting the runs' starts tells which turn it is without looking at each.
        let may_escape = backslashes & !open;
        let maybe_escaped = may_escape << 1;
        let flipped = (maybe_escaped | ODD).wrapping_sub(may_escape) ^ ODD;
        self.is_open = (flipped & backslashes) >> (u64::BITS - 1) != 0;
        flipped ^ (backslashes | open)
    }
}

/// A bit for each byte that may end the plain text of a string.
struct Marks {
    /// Quotes, and control characters, which may not stand in a string.
    stops: u64,
    backslashes: u64,
}

impl Marks {
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn of_16(bytes: &[u8; 16]) -> Self {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
            _mm_set1_epi8,
        };

        #[target_feature(enable = "sse2")]
        #[inline]
        fn of(bytes: &[u8; 16]) -> Marks {
            // SAFETY: 16 bytes are read, which is what there is; the load needs no alignment.
            let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
            let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            let bits = |bytes| u64::from(_mm_movemask_epi8(bytes) as u16);
            Marks {
                stops: bits(_mm_or_si128(quotes, controls)),
                backslashes: bits(backslashes),
            }
        }

        // SAFETY: every x86-64 processor has SSE2.
        unsafe { of(bytes) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_16(bytes: &[u8; 16]) -> Self {
        let bits = |is_marked: fn(u8) -> bool| {
            (0..).zip(bytes).fold(0, |bits, (at, byte)| {
                bits | u64::from(is_marked(*byte)) << at
            })
        };
        Self {
            stops: bits(|byte| matches!(byte, b'"' | ..0x20)),
            backslashes: bits(|byte| byte == b'\\'),
        }
    }

    #[inline]
    fn of(block: &Block) -> Self {
        let (quarters, _) = block.as_chunks();
        let mut marks = Self {
            stops: 0,
            backslashes: 0,
        };
        for (i, quarter) in quarters.iter().enumerate() {
            let Self { stops, backslashes } = Self::of_16(quarter);
            marks.stops |= stops << (16 * i);
            marks.backslashes |= backslashes << (16 * i);
        }
        marks
    }
}

/// The one-character escapes.
pub(super) fn is_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte after the other.
    fn expected(bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' if bytes.get(at + 1).is_some_and(|next| is_escape(*next)) => at += 2,
                b'"' | b'\\' | ..0x20 => break,
                _ => at += 1,
            }
        }
        at
    }

    #[test]
    fn every_byte_at_every_place() {
        for length in [0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 200] {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    assert_eq!(
                        string_len(&text),
                        expected(&text),
                        "{byte:#x} at {at} of {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn runs_of_backslashes_at_every_place() {
        for ahead in 0..140 {
            for run in 1..70 {
                for last in [b'"', b'n', b'u', b'\n', b'x'] {
                    let mut text = vec![b'x'; ahead];
                    text.resize(ahead + run, b'\\');
                    for rest in [&[][..], &[last], &[last, b'"'], &[last; 80]] {
                        let text = [&text, rest].concat();
                        assert_eq!(string_len(&text), expected(&text), "{ahead} {run} {rest:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_mixture() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..150)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    b"\\\\\\\"nxxxxxxxxxxxxxxxxxxxxxxxxx\x01"[(state >> 33) as usize % 31]
                })
                .collect();
            assert_eq!(string_len(&text), expected(&text), "{text:?}");
        }
    }
}
