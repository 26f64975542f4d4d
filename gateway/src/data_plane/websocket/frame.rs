//! Frame headers and masking (RFC 6455 section 5): bytes in, values out.

/// The longest header: two bytes, a length of eight, a mask of four.
pub(super) const HEADER_BYTES_MAX: usize = 14;
/// Payload of a control frame (section 5.5).
pub(super) const CONTROL_BYTES_LIMIT: usize = 125;

/// What a frame is. No extension is ever agreed on, so there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        let known = [
            Self::Continuation,
            Self::Text,
            Self::Binary,
            Self::Close,
            Self::Ping,
            Self::Pong,
        ];
        known.into_iter().find(|opcode| *opcode as u8 == bits)
    }

    pub(super) fn of_message(is_text: bool) -> Self {
        match is_text {
            true => Self::Text,
            false => Self::Binary,
        }
    }

    pub(super) fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The message's last frame.
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) payload_bytes: u64,
    /// Bytes of the header itself.
    pub(super) header_bytes: usize,
}

/// Not a frame that may come: reserved bits or opcodes, a control frame in pieces or too long, a length
/// not written in its shortest form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadFrame;

/// Reads the header at the front of `bytes`; `Ok(None)`: not all of it is here.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, BadFrame> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = Opcode::of(first & 0x0f).ok_or(BadFrame)?;
    let is_final = first & 0x80 != 0;
    if first & 0x70 != 0 {
        return Err(BadFrame);
    }
    let (payload_bytes, rest) = match second & 0x7f {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        length => (u64::from(length), rest),
    };
    let shortest = match payload_bytes {
        0..=125 => second & 0x7f < 126,
        126..=0xffff => second & 0x7f == 126,
        _ => payload_bytes >> 63 == 0,
    };
    let is_whole_control = is_final && payload_bytes <= CONTROL_BYTES_LIMIT as u64;
    if !shortest || opcode.is_control() && !is_whole_control {
        return Err(BadFrame);
    }
    let (mask, rest) = match (second & 0x80 != 0, rest.split_first_chunk()) {
        (false, _) => (None, rest),
        (true, Some((mask, rest))) => (Some(*mask), rest),
        (true, None) => return Ok(None),
    };
    Ok(Some(Header {
        is_final,
        opcode,
        mask,
        payload_bytes,
        header_bytes: bytes.len() - rest.len(),
    }))
}

/// The header of an unfragmented frame: the array and how much of it counts.
pub(super) fn header(
    opcode: Opcode,
    payload_bytes: usize,
    mask: Option<[u8; 4]>,
) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut bytes = [0; HEADER_BYTES_MAX];
    bytes[0] = 0x80 | opcode as u8;
    let mut length = 2;
    if payload_bytes <= CONTROL_BYTES_LIMIT {
        bytes[1] = payload_bytes as u8;
    } else if let Ok(short) = u16::try_from(payload_bytes) {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&short.to_be_bytes());
        length = 4;
    } else {
        bytes[1] = 127;
        bytes[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        length = 10;
    }
    if let Some(mask) = mask {
        bytes[1] |= 0x80;
        bytes[length..length + 4].copy_from_slice(&mask);
        length += 4;
    }
    (bytes, length)
}

/// Masks or unmasks a whole payload in place.
pub(super) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let mut words = payload.chunks_exact_mut(mask.len());
    for word in &mut words {
        for (byte, mask) in word.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Codes that a close frame may carry (section 7.4); 1005, 1006 and 1015 only stand for what was not said.
pub(super) fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back_and_not_before_they_are_whole() {
        let masks = [None, Some([1, 2, 3, 4])];
        let lengths = [0, 1, 125, 126, 65_535, 65_536, 1 << 40];
        for (mask, length) in masks
            .into_iter()
            .flat_map(|mask| lengths.map(|l| (mask, l)))
        {
            let (bytes, end) = header(Opcode::Text, length, mask);
            let expected = Header {
                is_final: true,
                opcode: Opcode::Text,
                mask,
                payload_bytes: length as u64,
                header_bytes: end,
            };
            assert_eq!(parse(&bytes[..end]), Ok(Some(expected)));
            for short in 0..end {
                assert_eq!(parse(&bytes[..short]), Ok(None), "{length} cut at {short}");
            }
        }
    }

    #[test]
    fn what_no_peer_may_send_is_refused() {
        for (bytes, what) in [
            (&[0xc1, 0x00][..], "a reserved bit"),
            (&[0x83, 0x00], "a reserved data opcode"),
            (&[0x8b, 0x00], "a reserved control opcode"),
            (&[0x09, 0x00], "a ping in pieces"),
            (&[0x89, 0x7e, 0x00, 0x7e], "a ping of 126 bytes"),
            (&[0x81, 0x7e, 0x00, 0x7d], "125 in two bytes"),
            (
                &[0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
                "65535 in eight",
            ),
            (&[0x81, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], "the highest bit"),
        ] {
            assert_eq!(parse(bytes), Err(BadFrame), "{what}");
        }
    }

    #[test]
    fn masking_is_by_position_and_its_own_inverse() {
        let plain: Vec<u8> = (0..23).collect();
        let mut masked = plain.clone();
        apply_mask(&mut masked, [1, 2, 4, 8]);
        let expected: Vec<u8> = (plain.iter().zip([1, 2, 4, 8].iter().cycle()))
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        assert_eq!(masked, expected);
        apply_mask(&mut masked, [1, 2, 4, 8]);
        assert_eq!(masked, plain);
    }

    #[test]
    fn close_codes() {
        for code in [1000, 1001, 1008, 1011, 1014, 3000, 4999] {
            assert!(is_close_code(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert!(!is_close_code(code), "{code}");
        }
    }
}
