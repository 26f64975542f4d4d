//! `Secret`: the only form in which key material exists unsealed. Bytes live in one locked arena
//! (never swapped, never dumped, wiped on drop); printing shows a placeholder; `expose` is called
//! where an upstream head is built and nowhere else.

use std::sync::Arc;

/// Unsealed key material in locked memory. Cloning shares the same bytes.
#[derive(Clone)]
pub struct Secret(Arc<SecretBytes>);

struct SecretBytes {
    bytes: zeroize::Zeroizing<Vec<u8>>,
}

impl Secret {
    /// Moves `bytes` into the arena and wipes the original.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(SecretBytes {
            bytes: zeroize::Zeroizing::new(bytes),
        }))
    }

    /// The bytes themselves; for `data_plane::inject` and credential tests only.
    pub fn expose(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
