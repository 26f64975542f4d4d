//! A whole message on its way through the node. A short one takes memory of its own length; a long one stays in
//! the buffer in which it arrived, and leaves in it.

use std::ops::Deref;

use crate::data_plane::buffer::{Buffer, PIECE_BYTES};

/// From here on a message stays in its buffer: at least half of that is in use then.
pub(super) const LONG_BYTES: usize = PIECE_BYTES / 2;

/// See the module.
pub struct Payload(Memory);

enum Memory {
    Short(Vec<u8>),
    Long(Buffer),
}

impl Payload {
    /// All that `buffer` holds.
    pub fn of_buffer(buffer: Buffer) -> Self {
        match buffer.len() < LONG_BYTES {
            true => buffer.data().to_vec().into(),
            false => Self(Memory::Long(buffer)),
        }
    }

    /// The buffer of a long one.
    pub(super) fn into_long(self) -> Result<Buffer, Self> {
        match self.0 {
            Memory::Long(buffer) => Ok(buffer),
            short @ Memory::Short(_) => Err(Self(short)),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Memory::Short(bytes))
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Short(bytes) => bytes,
            Memory::Long(buffer) => buffer.data(),
        }
    }
}
