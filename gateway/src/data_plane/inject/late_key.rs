//! The credential of an HTTP/2 head, put in where the head leaves for the TLS record. h2 codes heads
//! into buffers that live as long as the connection and are not wiped, so it never gets the key: it gets
//! a stand-in that takes as many bytes on the wire, and these are exchanged on the way.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use http::HeaderValue;

use crate::handoff::{
    reason::Reason,
    snapshot::{AuthHeader, Credential},
};

/// Its Huffman code has 8 bits (RFC 7541 appendix B), so the coded stand-in is as long as the key itself.
const STAND_IN: u8 = b'X';
const STAND_IN_CODE: u8 = 0xfc;

/// A literal's length and the bit in front of it that says "Huffman" (RFC 7541 section 5.2).
const HUFFMAN_BIT: u8 = 0x80;
const LENGTH_PREFIX_MAX: usize = 0x7f;
/// Enough for any length that fits a head.
const LENGTH_BYTES_MAX: usize = 4;

const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;

/// What goes to the wire in the place of one stand-in: length, prefix, key.
const PARTS: usize = 3;

/// The value that stands for the credential until the head is written.
pub(super) fn stand_in(auth: &AuthHeader, credential: &Credential) -> Result<HeaderValue, Reason> {
    super::check_value(credential.secret.expose()).map_err(|_| Reason::ConnectFailed)?;
    let length = auth.prefix.len() + credential.secret.expose().len();
    let mut value =
        HeaderValue::from_bytes(&vec![STAND_IN; length]).map_err(|_| Reason::ConnectFailed)?;
    // Never indexed: no table keeps it, and its code is where it is looked for.
    value.set_sensitive(true);
    Ok(value)
}

/// Exchanges stand-ins for the key in what h2 writes to one connection.
pub struct LateKey {
    prefix: Box<str>,
    credential: Arc<Credential>,
    /// Coded length of the value, Huffman bit off.
    length: [u8; LENGTH_BYTES_MAX],
    length_bytes: usize,
    /// Bytes until the next frame's header.
    skip: usize,
    /// The stream that was opened last; h2 opens them in order. Its later HEADERS are an agent's trailers.
    last_stream: u32,
}

impl LateKey {
    pub fn new(auth: &AuthHeader, credential: &Arc<Credential>) -> Self {
        let value = auth.prefix.len() + credential.secret.expose().len();
        let (length, length_bytes) = coded_length(value);
        Self {
            prefix: auth.prefix.clone(),
            credential: Arc::clone(credential),
            length,
            length_bytes,
            skip: PREFACE_BYTES,
            last_stream: 0,
        }
    }

    /// `written` as it goes to the wire, as many bytes as before; `None` if there is no head in it. All of
    /// it has to be written: the next call begins where this one ends.
    ///
    /// # Errors
    /// When a frame's header is torn, which h2 never does: no guess is made where a key would go.
    pub fn exchange<'a>(
        &'a mut self,
        written: &'a [IoSlice<'a>],
    ) -> io::Result<Option<Vec<IoSlice<'a>>>> {
        let (mut skip, mut last_stream) = (self.skip, self.last_stream);
        // Which slice, and where in it the head ends.
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (number, slice) in written.iter().enumerate() {
            let mut at = 0;
            while slice.len() - at > skip {
                at += skip;
                let header = slice[at..].first_chunk::<FRAME_HEADER_BYTES>();
                let Some([a, b, c, kind, flags, stream @ ..]) = header else {
                    return Err(io::Error::other("a torn frame header"));
                };
                skip = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                at += FRAME_HEADER_BYTES;
                let stream = u32::from_be_bytes(*stream);
                let opens = *kind == HEADERS && stream > last_stream;
                if opens {
                    last_stream = stream;
                }
                if let Some(block) = slice.get(at..at + skip)
                    && opens
                    && flags & END_HEADERS != 0
                    && self.ends_in_stand_in(block)
                {
                    found.push((number, at + skip));
                }
            }
            skip -= slice.len() - at;
        }
        (self.skip, self.last_stream) = (skip, last_stream);
        if found.is_empty() {
            return Ok(None);
        }
        let mut exchanged = Vec::with_capacity(written.len() + found.len() * (PARTS + 1));
        let mut found = found.into_iter().peekable();
        for (number, slice) in written.iter().enumerate() {
            let mut from = 0;
            while let Some((_, end)) = found.next_if(|(slice, _)| *slice == number) {
                exchanged.push(IoSlice::new(&slice[from..end - self.coded_bytes()]));
                exchanged.push(IoSlice::new(&self.length[..self.length_bytes]));
                exchanged.push(IoSlice::new(self.prefix.as_bytes()));
                exchanged.push(IoSlice::new(self.credential.secret.expose()));
                from = end;
            }
            exchanged.push(IoSlice::new(&slice[from..]));
        }
        Ok(Some(exchanged))
    }

    /// The last field of the head that opens a stream is the credential: nothing an agent sends can stand
    /// there. Behind a body it could, which is why later heads of a stream are not looked at.
    fn ends_in_stand_in(&self, block: &[u8]) -> bool {
        let Some(start) = block.len().checked_sub(self.coded_bytes()) else {
            return false;
        };
        let (length, value) = block[start..].split_at(self.length_bytes);
        length[0] == self.length[0] | HUFFMAN_BIT
            && length[1..] == self.length[1..self.length_bytes]
            && value.iter().all(|byte| *byte == STAND_IN_CODE)
    }

    fn coded_bytes(&self) -> usize {
        self.length_bytes + self.prefix.len() + self.credential.secret.expose().len()
    }
}

/// RFC 7541 section 5.1, with a prefix of seven bits.
fn coded_length(length: usize) -> ([u8; LENGTH_BYTES_MAX], usize) {
    let mut coded = [0; LENGTH_BYTES_MAX];
    if length < LENGTH_PREFIX_MAX {
        coded[0] = length as u8;
        return (coded, 1);
    }
    coded[0] = LENGTH_PREFIX_MAX as u8;
    let mut rest = length - LENGTH_PREFIX_MAX;
    let mut bytes = 1;
    loop {
        let more = rest >= 0x80;
        coded[bytes] = (rest & 0x7f) as u8 | u8::from(more) << 7;
        bytes += 1;
        rest >>= 7;
        if !more {
            return (coded, bytes);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::secret::Secret;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        frame_of(1, kind, flags, payload)
    }

    fn frame_of(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn parts(secret: &[u8]) -> (AuthHeader, Arc<Credential>) {
        let auth = AuthHeader {
            name: HeaderName::from_static("authorization"),
            prefix: "Bearer ".into(),
        };
        let credential = Credential {
            secret: Secret::copy_of(secret),
            signer: None,
            minted: None,
        };
        (auth, Arc::new(credential))
    }

    #[test]
    fn heads_get_the_key_and_nothing_else_changes() {
        for secret_bytes in [1, 50, 119, 120, 121, 247, 248, 2000] {
            let secret = vec![b'k'; secret_bytes];
            let (auth, credential) = parts(&secret);
            let mut late = LateKey::new(&auth, &credential);
            let (length, bytes) = coded_length(7 + secret_bytes);
            let mut coded = length[..bytes].to_vec();
            coded[0] |= HUFFMAN_BIT;
            let stand_in = [&b"head"[..], &coded, &vec![STAND_IN_CODE; 7 + secret_bytes]].concat();
            let real = [&b"head"[..], &length[..bytes], b"Bearer ", &secret].concat();
            let preface = vec![b'p'; PREFACE_BYTES];
            assert!(late.exchange(&[IoSlice::new(&preface)]).unwrap().is_none());
            // Two heads, one without its end, trailers, and a DATA frame whose payload goes on in a second
            // slice.
            let mut data = frame(0, 0, &stand_in);
            let rest = data.split_off(12);
            let frames = |first: u32, block: &[u8]| {
                [
                    frame(4, 0, &[0; 6]),
                    frame_of(first, HEADERS, END_HEADERS, block),
                    frame_of(first + 2, HEADERS, END_HEADERS | 1, block),
                    frame_of(first + 4, HEADERS, 0, &stand_in),
                    frame_of(first + 4, 9, END_HEADERS, &stand_in),
                    frame_of(first, HEADERS, END_HEADERS | 1, &stand_in),
                    frame_of(first + 4, HEADERS, END_HEADERS | 1, &stand_in),
                    data.clone(),
                ]
                .concat()
            };
            for opened in [1, 7] {
                let first = frames(opened, &stand_in);
                let written = [IoSlice::new(&first), IoSlice::new(&rest)];
                let exchanged = late.exchange(&written).unwrap().unwrap();
                let exchanged: Vec<u8> = exchanged.iter().flat_map(|part| part.to_vec()).collect();
                assert_eq!(exchanged, [&frames(opened, &real)[..], &rest].concat());
            }
        }
    }

    #[test]
    fn other_values_and_torn_frames_get_no_key() {
        let (auth, credential) = parts(b"sk-key");
        let mut late = LateKey::new(&auth, &credential);
        late.skip = 0;
        for block in [&[0x8d; 14][..], &[0xfc; 14], &[0x8c, 0xfc, 0xfc], b""] {
            let head = frame(HEADERS, END_HEADERS, block);
            assert!(late.exchange(&[IoSlice::new(&head)]).unwrap().is_none());
        }
        assert!(late.exchange(&[IoSlice::new(&[0; 8])]).is_err());
    }
}
