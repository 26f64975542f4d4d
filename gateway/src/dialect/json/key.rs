//! The key at hand, as much of it as a known key could have.

use std::borrow::Cow;

use super::decode;

/// Raw bytes kept of a key: the longest known one with every letter written as `\uXXXX`.
const KEY_BYTES_LIMIT: usize = 6 * "max_completion_tokens".len();

/// The raw text of a key, as far as a known one could be long.
#[derive(Debug)]
pub(super) struct KeyText {
    bytes: [u8; KEY_BYTES_LIMIT],
    len: usize,
    is_cut: bool,
}

impl Default for KeyText {
    fn default() -> Self {
        Self {
            bytes: [0; KEY_BYTES_LIMIT],
            len: 0,
            is_cut: false,
        }
    }
}

impl KeyText {
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.is_cut = false;
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        match self.bytes.get_mut(self.len..self.len + piece.len()) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.len += piece.len();
            }
            None => self.is_cut = true,
        }
    }

    /// The key's text; `None` when it is longer than any known key, or no text.
    pub(super) fn decoded(&self) -> Option<Cow<'_, [u8]>> {
        let raw = &self.bytes[..self.len];
        if self.is_cut {
            None
        } else if raw.contains(&b'\\') {
            decode(raw).map(|text| text.into_bytes().into())
        } else {
            Some(raw.into())
        }
    }
}
