//! Seals secrets before they reach the store. The store, its exports and its backups hold ciphertext;
//! the master key comes from outside (systemd credential, file, passphrase) and lives in locked memory.
//!
//! A [`Keyring`] is the unlocked master key. While it is exchanged ([`Keyring::rotate`]) two keys are
//! readable.

mod envelope;
mod live;
mod master_key;
mod passphrase;
mod rotation;
mod source;
mod state;
mod text_key;

use self::{envelope::key_id_of, source::Keys};
pub use self::{
    live::LiveKeyring, master_key::MasterKey, rotation::Rotated, source::SourceError,
    text_key::TextKey,
};
use super::{
    audit::Recorder,
    store::{Store, StoreError},
};
use crate::{config::MasterKeySource, secret::Secret};

/// Store keys of this module; none of them holds an unsealed secret.
pub mod key {
    /// Which master key is current, with something sealed by it.
    pub const CHECK: &str = "seal/check";
    /// Which master key is about to replace it; absent when none is.
    pub const ROTATION: &str = "seal/rotation";
    /// How the master key is made from a passphrase.
    pub const KDF: &str = "seal/kdf";
    /// Sealed key of captured texts.
    pub const TEXT: &str = "seal/text";
}

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("not a sealed value of a known version")]
    Malformed,
    #[error("sealed under master key {key_id}, which is not loaded")]
    UnknownKey { key_id: String },
    #[error("the sealed value does not belong to {record}, or was changed")]
    Refused { record: String },
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// Why the master key cannot be used. Nothing was changed, nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(
        "the master key from {source_name} is {found}, but the store was sealed under {expected}: \
         provide that key, or start with an empty store"
    )]
    WrongKey {
        source_name: String,
        found: String,
        expected: String,
    },
    #[error(
        "the store is sealed under master key {expected}, and there is none at {source_name}: put it back"
    )]
    MissingKey {
        source_name: String,
        expected: String,
    },
    #[error(
        "the master key is being exchanged for {expected}, and that key is not at {source_name}: put it back"
    )]
    MissingNextKey {
        source_name: String,
        expected: String,
    },
    #[error("no new master key at {source_name}: put one there, then rotate again")]
    NoNextKey { source_name: String },
    #[error("another exchange of the master key, for {to}, is under way: finish it first")]
    OtherRotation { to: String },
    #[error("the store changes faster than it can be sealed again; try later")]
    Busy,
    #[error("{key} in the store is not what this version writes")]
    BadRecord { key: String },
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The unlocked master key.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: MasterKey,
    /// During an exchange the other of the two keys; only for reading.
    other: Option<MasterKey>,
}

impl Keyring {
    /// Reads the master key from `source` and compares it with what `store` was sealed under. At the very
    /// first start a key file is made, and the store remembers the key's id.
    pub async fn unlock(source: &MasterKeySource, store: &dyn Store) -> Result<Self, UnlockError> {
        let expected = state::expected_key_id(store).await?;
        let keys = source::read(source, store, expected.as_deref()).await?;
        Self::from_keys(keys, source, store).await
    }

    /// A keyring of one key, as tests and tools use it.
    pub fn of(current: MasterKey) -> Self {
        Self {
            current,
            other: None,
        }
    }

    /// Seals `secret` for the record at the store key `record`; it opens nowhere else.
    pub fn seal(&self, record: &str, secret: &Secret) -> Result<String, SealError> {
        envelope::seal(&self.current, record, secret)
    }

    /// Opens what [`Self::seal`] made for `record`.
    pub fn open(&self, record: &str, sealed: &str) -> Result<Secret, SealError> {
        let key_id = key_id_of(sealed)?;
        let mut keys = std::iter::once(&self.current).chain(&self.other);
        match keys.find(|key| key.id() == key_id) {
            Some(key) => envelope::open(key, record, sealed),
            None => Err(SealError::UnknownKey {
                key_id: key_id.to_owned(),
            }),
        }
    }

    /// Twelve hexadecimal digits that tell secrets apart and say nothing about them without the key.
    pub fn fingerprint(&self, secret: &Secret) -> String {
        self.current.fingerprint(secret)
    }

    /// Id of the key that seals.
    pub fn key_id(&self) -> &str {
        self.current.id()
    }

    /// Two keys are there: an exchange was begun and [`Self::rotate`] should end it.
    pub fn rotation_pending(&self) -> bool {
        self.other.is_some()
    }

    /// Exchanges the master key, or ends an exchange that was interrupted. A key file gets a new key by
    /// itself; for the other sources the new one waits beside the old under the name plus `.next`. May
    /// be stopped at any point: until it ends, both keys are kept and every record can be read. Nothing may
    /// be sealed by an older keyring once this has returned, so a running node keeps other writers out.
    pub async fn rotate(
        source: &MasterKeySource,
        store: &dyn Store,
        recorder: Option<Recorder<'_>>,
    ) -> Result<(Self, Rotated), UnlockError> {
        rotation::rotate_source(source, store, recorder).await
    }

    async fn from_keys(
        keys: Keys,
        source: &MasterKeySource,
        store: &dyn Store,
    ) -> Result<Self, UnlockError> {
        let source_name = source::name(source);
        let expected = match state::check(store).await? {
            Some(check) => {
                if let Some(key) = keys.by_id(&check.doc.key_id) {
                    // Two keys with one id would be found here.
                    envelope::open(key, key::CHECK, &check.doc.sealed)?;
                }
                check.doc.key_id
            }
            None => match state::expected_key_id(store).await? {
                Some(expected) => expected,
                None => {
                    state::create_check(store, &keys.primary).await?;
                    keys.primary.id().to_owned()
                }
            },
        };
        if let Some(rotation) = state::rotation(store).await?
            && keys.by_id(&rotation.doc.to).is_none()
        {
            return Err(UnlockError::MissingNextKey {
                source_name: source::next_name(source),
                expected: rotation.doc.to,
            });
        }
        let Keys { primary, next } = keys;
        match next {
            other if primary.id() == expected => Ok(Self {
                current: primary,
                other,
            }),
            Some(next) if next.id() == expected => Ok(Self {
                current: next,
                other: Some(primary),
            }),
            Some(_) | None => Err(UnlockError::WrongKey {
                source_name,
                found: primary.id().to_owned(),
                expected,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
