//! How a value lies in the engine: version ‖ length ‖ create revision ‖ mod revision ‖ payload ‖ CRC-32.
//! The checksum also covers the engine's key, so that a value under the wrong key is found too.

use super::Revision;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 8 + 8;
const CRC_BYTES: usize = 4;

/// A decoded value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) create_revision: Revision,
    pub(super) mod_revision: Revision,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The bytes to keep under `key`.
    pub(super) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).expect("payloads are bounded far below 4 GiB");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.payload.len() + CRC_BYTES);
        bytes.push(VERSION);
        bytes.extend(len.to_le_bytes());
        bytes.extend(self.create_revision.to_le_bytes());
        bytes.extend(self.mod_revision.to_le_bytes());
        bytes.extend(self.payload);
        let crc = checksum(key, &bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// `None` when anything about the bytes is not as [`Self::encode`] left it.
    pub(super) fn decode(key: &[u8], bytes: &'a [u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        if checksum(key, body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (version, rest) = body.split_first()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (create_revision, rest) = rest.split_first_chunk()?;
        let (mod_revision, payload) = rest.split_first_chunk()?;
        let whole = *version == VERSION && u32::from_le_bytes(*len) as usize == payload.len();
        whole.then_some(Self {
            create_revision: Revision::from_le_bytes(*create_revision),
            mod_revision: Revision::from_le_bytes(*mod_revision),
            payload,
        })
    }
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_cut_or_move_is_found() {
        for payload in [&b""[..], b"x", b"{\"a\":1}"] {
            let frame = Frame {
                create_revision: 7,
                mod_revision: u64::MAX,
                payload,
            };
            let bytes = frame.encode(b"key");
            assert_eq!(Frame::decode(b"key", &bytes), Some(frame));
            assert_eq!(Frame::decode(b"kez", &bytes), None);
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Frame::decode(b"key", &damaged), None, "bit {bit}");
            }
            for len in 0..bytes.len() {
                assert_eq!(Frame::decode(b"key", &bytes[..len]), None, "cut at {len}");
            }
        }
    }
}
