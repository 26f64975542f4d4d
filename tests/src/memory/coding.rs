//! The forms a secret takes on its way: itself, base64, and the Huffman code of HPACK.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};

/// How a piece of a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coding {
    Raw,
    /// In either alphabet; `phase`: bytes in front of it, modulo 3.
    Base64 {
        phase: usize,
    },
    /// RFC 7541 appendix B; `phase`: bits in front of it, modulo 8.
    Huffman {
        phase: usize,
    },
}

/// `piece` in every form, without what its neighbours decide.
pub(super) fn codings(piece: &[u8]) -> Vec<(Coding, Vec<u8>)> {
    let mut codings = vec![(Coding::Raw, piece.to_vec())];
    for phase in 0..3 {
        for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            codings.push((Coding::Base64 { phase }, base64(piece, phase, &engine)));
        }
    }
    for phase in 0..8 {
        if let Some(coded) = huffman(piece, phase) {
            codings.push((Coding::Huffman { phase }, coded));
        }
    }
    codings
}

/// The characters that `piece` alone decides when `phase` bytes stand in front of it.
fn base64(piece: &[u8], phase: usize, engine: &base64::engine::GeneralPurpose) -> Vec<u8> {
    // The first characters hold bits of what stands in front, the last ones of what follows.
    let skipped = (3 - phase) % 3;
    let whole = (piece.len() - skipped) / 3 * 3;
    engine.encode(&piece[skipped..skipped + whole]).into_bytes()
}

/// The whole bytes that `piece` alone decides when it begins `phase` bits into a byte. `None` for what is
/// no key of a provider.
fn huffman(piece: &[u8], phase: usize) -> Option<Vec<u8>> {
    let mut bits = vec![false; phase];
    for byte in piece {
        let (code, length) = huffman_code(*byte)?;
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    let first = usize::from(phase > 0);
    let (whole, _) = bits.as_chunks::<8>();
    let bytes = whole[first..].iter();
    Some(
        bytes
            .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect(),
    )
}

/// The codes of printable characters up to 8 bits are consecutive within their length.
const HUFFMAN: [(u32, u32, &[u8]); 4] = [
    (5, 0x00, b"012aceiost"),
    (6, 0x14, b" %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, b"&*,;XZ"),
];

fn huffman_code(byte: u8) -> Option<(u32, u32)> {
    HUFFMAN.iter().find_map(|(length, first, characters)| {
        let at = characters.iter().position(|character| *character == byte)?;
        Some((first + u32::try_from(at).ok()?, *length))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// RFC 7541 section C.4.1 and C.4.3.
    #[test]
    fn huffman_of_the_rfc() {
        let coded = huffman(b"www.example.com", 0).unwrap();
        assert_eq!(
            coded,
            [
                0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4
            ]
        );
        let coded = huffman(b"custom-value", 0).unwrap();
        assert_eq!(coded, [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4]);
    }

    #[test]
    fn phases_fit_into_longer_texts() {
        let piece = b"sk-Piece_0fAKey9";
        for front in 0..16 {
            let whole = [&b"Bearer sk-live-ab"[..front], piece, b"behind"].concat();
            let text = BASE64_STANDARD_NO_PAD.encode(&whole);
            let part = base64(piece, front % 3, &BASE64_STANDARD_NO_PAD);
            assert!(
                memchr::memmem::find(text.as_bytes(), &part).is_some(),
                "{front}"
            );
            let bits: u32 = whole[..front]
                .iter()
                .map(|byte| huffman_code(*byte).unwrap().1)
                .sum();
            let coded = huffman(&whole, 0).unwrap();
            let part = huffman(piece, bits as usize % 8).unwrap();
            assert!(part.len() >= 8);
            assert!(memchr::memmem::find(&coded, &part).is_some(), "{front}");
        }
    }
}
