//! `MasterKey`: 32 bytes in locked memory. Nothing is encrypted with it directly; every use has a key
//! of its own, derived with HKDF-SHA256 (RFC 5869).

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    hmac, rand,
};
use zeroize::Zeroizing;

use super::SealError;
use crate::secret::Secret;

/// Length of a master key, and of the keys derived from it.
pub(super) const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const FINGERPRINT_BYTES: usize = 6;

/// The key everything else is sealed under. Its id is public.
#[derive(Debug, Clone)]
pub struct MasterKey {
    id: String,
    bytes: Secret,
}

impl MasterKey {
    /// A fresh random key.
    pub fn generate() -> Result<Self, SealError> {
        let bytes = Secret::build(KEY_BYTES, |slot| rand::fill(slot).map(|()| KEY_BYTES))
            .map_err(|_| SealError::NoRandomness)?;
        Ok(Self::with_id(bytes))
    }

    /// `None` unless it is [`KEY_BYTES`] long.
    pub fn from_secret(bytes: Secret) -> Option<Self> {
        (bytes.expose().len() == KEY_BYTES).then(|| Self::with_id(bytes))
    }

    /// Sixteen hexadecimal digits derived from the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bytes themselves, for writing a key file.
    pub(super) fn bytes(&self) -> &Secret {
        &self.bytes
    }

    /// See [`super::Keyring::fingerprint`].
    pub(super) fn fingerprint(&self, secret: &Secret) -> String {
        let key = self.derive(&[], b"keyway fingerprint 1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*key);
        hex(&hmac::sign(&key, secret.expose()).as_ref()[..FINGERPRINT_BYTES])
    }

    /// A key for one purpose.
    pub(super) fn derive(&self, salt: &[u8], purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        derive(&self.bytes, salt, purpose)
    }

    fn with_id(bytes: Secret) -> Self {
        let id = hex(&derive(&bytes, &[], b"keyway master key id 1")[..KEY_ID_BYTES]);
        Self { id, bytes }
    }
}

fn derive(key: &Secret, salt: &[u8], purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    Salt::new(HKDF_SHA256, salt)
        .extract(key.expose())
        .expand(&[purpose], HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *derived))
        .expect("one hash length of output is within HKDF's bound");
    derived
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
