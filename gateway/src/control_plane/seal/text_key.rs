//! `TextKey`: seals texts that are kept outside the store. The store has it sealed under the master key, so that an
//! exchange of that one leaves all texts readable, and none has to be sealed again.

use aws_lc_rs::{aead::Nonce, rand};
use serde::{Deserialize, Serialize};

use super::{
    Keyring, MasterKey, SealError, UnlockError,
    envelope::{NONCE_BYTES, SALT_BYTES, associated_data, derived_key},
    key, state,
};
use crate::control_plane::store::Store;

const PURPOSE: &[u8] = b"keyway text 1";

/// See the module.
pub struct TextKey(MasterKey);

/// At [`key::TEXT`]. The field `sealed` is what an exchange of the master key looks for.
#[derive(Serialize, Deserialize)]
struct TextKeyDoc {
    sealed: String,
}

impl TextKey {
    /// The key in the store; made if there is none.
    pub async fn open_or_create(store: &dyn Store, keyring: &Keyring) -> Result<Self, UnlockError> {
        if let Some(found) = state::read::<TextKeyDoc>(store, key::TEXT).await? {
            return Self::open_doc(&found.doc, keyring);
        }
        let made = MasterKey::generate()?;
        let doc = TextKeyDoc {
            sealed: keyring.seal(key::TEXT, made.bytes())?,
        };
        if state::create(store, key::TEXT, &doc).await? {
            return Ok(Self(made));
        }
        // Another node was faster.
        let found = state::read::<TextKeyDoc>(store, key::TEXT).await?;
        Self::open_doc(&found.ok_or(UnlockError::Busy)?.doc, keyring)
    }

    fn open_doc(doc: &TextKeyDoc, keyring: &Keyring) -> Result<Self, UnlockError> {
        let found = MasterKey::from_secret(keyring.open(key::TEXT, &doc.sealed)?);
        found.map(Self).ok_or_else(|| UnlockError::BadRecord {
            key: key::TEXT.to_owned(),
        })
    }

    /// Seals `text`; it opens under `name` alone.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn seal(&self, name: &str, mut text: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let mut random = [0; SALT_BYTES + NONCE_BYTES];
        rand::fill(&mut random).map_err(|_| SealError::NoRandomness)?;
        let (salt, nonce) = random.split_at(SALT_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        derived_key(&self.0, salt, PURPOSE)
            .seal_in_place_append_tag(nonce, associated_data(self.0.id(), name), &mut text)
            .map_err(|_| SealError::Malformed)?;
        Ok([&random[..], &text].concat())
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// When it was sealed under another name or key, or was changed.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (salt, rest) = sealed
            .split_at_checked(SALT_BYTES)
            .ok_or(SealError::Malformed)?;
        let (nonce, body) = rest
            .split_at_checked(NONCE_BYTES)
            .ok_or(SealError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        let mut body = body.to_vec();
        let opened = derived_key(&self.0, salt, PURPOSE)
            .open_in_place(nonce, associated_data(self.0.id(), name), &mut body)
            .map_err(|_| SealError::Refused {
                record: name.to_owned(),
            })?
            .len();
        body.truncate(opened);
        Ok(body)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::{api::testing::MemoryStore, seal::rotation};

    #[test]
    fn a_text_opens_under_its_name_and_key_only() {
        let key = TextKey(MasterKey::generate().unwrap());
        let sealed = key.seal("a", b"a prompt".to_vec()).unwrap();
        assert!(!sealed.windows(8).any(|bytes| bytes == b"a prompt"));
        assert_eq!(key.open("a", &sealed).unwrap(), b"a prompt");
        assert!(key.open("b", &sealed).is_err());
        let other = TextKey(MasterKey::generate().unwrap());
        assert!(other.open("a", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open("a", &changed).is_err(), "byte {at}");
            assert!(key.open("a", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    async fn it_outlives_the_master_key() {
        let store = MemoryStore::default();
        let (old, new) = (
            MasterKey::generate().unwrap(),
            MasterKey::generate().unwrap(),
        );
        let keyring = Keyring::of(old.clone());
        let key = TextKey::open_or_create(&store, &keyring).await.unwrap();
        let sealed = key.seal("a", b"a prompt".to_vec()).unwrap();
        rotation::rotate(&store, &old, &new, None).await.unwrap();
        let key = TextKey::open_or_create(&store, &Keyring::of(new))
            .await
            .unwrap();
        assert_eq!(key.open("a", &sealed).unwrap(), b"a prompt");
        assert!(TextKey::open_or_create(&store, &keyring).await.is_err());
    }
}
