//! `Secret`: the only form in which key material exists unsealed. Bytes live in one locked arena
//! (never swapped, never dumped, wiped on drop); printing shows a placeholder; `expose` is called
//! where an upstream head is built and nowhere else.

mod arena;
mod file;
mod input;
mod sys;

use std::{convert::Infallible, sync::Arc};

use zeroize::Zeroize;

pub use self::{
    arena::{Protection, protection},
    file::{SecretFileError, open_secret_file},
    input::{SECRET_INPUT_BYTES_MAX, SecretInput, SecretInputError},
    sys::process_hardening,
};

/// Unsealed key material in locked memory. Cloning shares the same bytes; the last clone wipes them.
#[derive(Clone)]
pub struct Secret(Arc<arena::Slot>);

impl Secret {
    /// Moves `bytes` into the arena and wipes the original, its spare capacity included.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        let secret = Self::copy_of(&bytes);
        bytes.zeroize();
        secret
    }

    /// Copies `bytes` into the arena; the caller wipes the original.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let filled = Self::build(bytes.len(), |slot| {
            slot.copy_from_slice(bytes);
            Ok::<usize, Infallible>(bytes.len())
        });
        match filled {
            Ok(secret) => secret,
            Err(never) => match never {},
        }
    }

    /// Makes a secret in place: `fill` gets `capacity` zeroed bytes and says how many of them, from the
    /// first on, are the secret.
    pub(crate) fn build<E>(
        capacity: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Self, E> {
        let mut slot = arena::Slot::take(capacity);
        let len = fill(slot.bytes_mut())?;
        slot.truncate(len);
        Ok(Self(Arc::new(slot)))
    }

    /// The bytes themselves; for `data_plane::inject`, `control_plane::mint`, credential tests, NetBird's token
    /// and a database's password only.
    pub fn expose(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Takes the same time wherever the bytes differ; only the length may show.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.expose(), other.expose()).is_ok()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_and_compare_by_content() {
        let secret = Secret::new(b"sk-one".to_vec());
        let clone = secret.clone();
        assert_eq!(clone.expose().as_ptr(), secret.expose().as_ptr());
        assert_eq!(secret, Secret::copy_of(b"sk-one"));
        for other in [&b"sk-two"[..], b"sk-on", b"sk-one ", b""] {
            assert_ne!(secret, Secret::copy_of(other));
        }
        assert_eq!(Secret::new(Vec::new()).expose(), b"");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_failed_fill_gives_no_secret() {
        let failed = Secret::build(64, |slot| {
            slot.fill(7);
            Err::<usize, _>("no")
        });
        assert_eq!(failed, Err("no"));
    }
}
