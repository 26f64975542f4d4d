//! The sealed form of one secret: `kw1.<key id>.<salt ‖ nonce ‖ ciphertext ‖ tag, base64url>`.
//!
//! Each sealing has a random salt, from which the master key derives a key that is used once, with
//! AES-256-GCM-SIV (RFC 8452). The associated data binds version, master key and record, so that a value
//! moved to another record does not open.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{MasterKey, SealError};
use crate::secret::Secret;

const VERSION: &str = "kw1";
pub(super) const SALT_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = NONCE_LEN;
const TAG_BYTES: usize = 16;
const PURPOSE: &[u8] = b"keyway record 1";

pub(super) fn seal(key: &MasterKey, record: &str, secret: &Secret) -> Result<String, SealError> {
    let mut random = [0; SALT_BYTES + NONCE_LEN];
    rand::fill(&mut random).map_err(|_| SealError::NoRandomness)?;
    let (salt, nonce) = random.split_at(SALT_BYTES);
    // Sized before the secret goes in, so that nothing is left behind by growing.
    let mut body = Zeroizing::new(Vec::with_capacity(secret.expose().len() + TAG_BYTES));
    body.extend_from_slice(secret.expose());
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
    derived_key(key, salt, PURPOSE)
        .seal_in_place_append_tag(nonce, associated_data(key.id(), record), &mut *body)
        .map_err(|_| SealError::Malformed)?;
    let mut bytes = random.to_vec();
    bytes.extend_from_slice(&body);
    let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Ok(format!("{VERSION}.{}.{text}", key.id()))
}

/// `key` is the one that [`key_id_of`] names.
pub(super) fn open(key: &MasterKey, record: &str, sealed: &str) -> Result<Secret, SealError> {
    let (key_id, text) = parts(sealed)?;
    let refused = || SealError::Refused {
        record: record.to_owned(),
    };
    if key_id != key.id() {
        return Err(refused());
    }
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| SealError::Malformed)?;
    let (salt, rest) = bytes
        .split_at_checked(SALT_BYTES)
        .ok_or(SealError::Malformed)?;
    let (nonce, body) = rest
        .split_at_checked(NONCE_LEN)
        .ok_or(SealError::Malformed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
    let cipher = derived_key(key, salt, PURPOSE);
    Secret::build(body.len(), |slot| {
        slot.copy_from_slice(body);
        let opened = cipher.open_in_place(nonce, associated_data(key_id, record), slot);
        opened.map(|secret| secret.len()).map_err(|_| refused())
    })
}

/// The id of the master key a value is sealed under.
pub(super) fn key_id_of(sealed: &str) -> Result<&str, SealError> {
    parts(sealed).map(|(key_id, _)| key_id)
}

fn parts(sealed: &str) -> Result<(&str, &str), SealError> {
    let mut parts = sealed.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(VERSION), Some(key_id), Some(text)) => Ok((key_id, text)),
        _ => Err(SealError::Malformed),
    }
}

/// A key for one sealing.
pub(super) fn derived_key(key: &MasterKey, salt: &[u8], purpose: &[u8]) -> LessSafeKey {
    let derived = key.derive(salt, purpose);
    let key = UnboundKey::new(&AES_256_GCM_SIV, &*derived)
        .expect("derived keys have the cipher's length");
    LessSafeKey::new(key)
}

/// Length-prefixed, so that no two triples read the same.
pub(super) fn associated_data(key_id: &str, record: &str) -> Aad<Vec<u8>> {
    let mut data = Vec::new();
    for part in [VERSION, key_id, record] {
        data.extend((part.len() as u64).to_le_bytes());
        data.extend(part.as_bytes());
    }
    Aad::from(data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn opens_for_its_record_only() {
        let key = MasterKey::generate().unwrap();
        for secret in [&b""[..], b"sk-secret", &[7; 16 * 1024]] {
            let secret = Secret::copy_of(secret);
            let sealed = seal(&key, "credentials/a/1", &secret).unwrap();
            assert_eq!(open(&key, "credentials/a/1", &sealed).unwrap(), secret);
            for record in ["credentials/a/2", "credentials/a/1 ", "credentials/a", ""] {
                let refused = open(&key, record, &sealed);
                assert!(
                    matches!(refused, Err(SealError::Refused { .. })),
                    "{record}"
                );
            }
            let again = seal(&key, "credentials/a/1", &secret).unwrap();
            assert_ne!(again, sealed, "no two sealings look alike");
            let other = MasterKey::generate().unwrap();
            assert!(open(&other, "credentials/a/1", &sealed).is_err());
            // The id may be forged; the key may not.
            let forged = sealed.replace(key.id(), other.id());
            assert!(open(&other, "credentials/a/1", &forged).is_err());
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let key = MasterKey::generate().unwrap();
        let sealed = seal(&key, "r", &Secret::copy_of(b"sk")).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(open(&key, "r", &changed).is_err(), "byte {at}");
            assert!(open(&key, "r", &sealed[..at]).is_err(), "cut at {at}");
        }
        for bad in ["", "kw1", "kw1.", "kw1..", "kw2.a.b", "kw1.a", "sk-plain"] {
            assert!(open(&key, "r", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fingerprints_tell_secrets_and_keys_apart() {
        let (key, other) = (
            MasterKey::generate().unwrap(),
            MasterKey::generate().unwrap(),
        );
        let (one, two) = (Secret::copy_of(b"one"), Secret::copy_of(b"two"));
        assert_eq!(
            key.fingerprint(&one),
            key.fingerprint(&Secret::copy_of(b"one"))
        );
        assert_ne!(key.fingerprint(&one), key.fingerprint(&two));
        assert_ne!(key.fingerprint(&one), other.fingerprint(&one));
        assert_eq!(key.fingerprint(&one).len(), 12);
        assert_eq!(key.id().len(), 16);
        assert!(MasterKey::from_secret(Secret::copy_of(&[1; 31])).is_none());
    }
}
