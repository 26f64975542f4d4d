//! `LiveKeyring`: the one keyring of a running node, replaced whole when the master key is exchanged.

use tokio::sync::{RwLock, RwLockReadGuard};

use super::{Keyring, Rotated, UnlockError};
use crate::{
    config::MasterKeySource,
    control_plane::{audit::Recorder, store::Store},
};

/// Shared by everything that seals or opens.
pub struct LiveKeyring {
    current: RwLock<Keyring>,
    source: MasterKeySource,
}

impl LiveKeyring {
    /// `keyring` was unlocked from `source`.
    pub fn new(keyring: Keyring, source: MasterKeySource) -> Self {
        Self {
            current: RwLock::new(keyring),
            source,
        }
    }

    /// The keyring. Who seals holds it until what was sealed is written: an exchange waits for that, so
    /// that nothing sealed under the old key comes in after it.
    pub async fn read(&self) -> RwLockReadGuard<'_, Keyring> {
        self.current.read().await
    }

    /// Exchanges the master key; see [`Keyring::rotate`].
    ///
    /// # Errors
    /// As [`Keyring::rotate`]; what was sealed stays readable, and a second try goes on.
    pub async fn rotate(
        &self,
        store: &dyn Store,
        recorder: Option<Recorder<'_>>,
    ) -> Result<Rotated, UnlockError> {
        let mut current = self.current.write().await;
        let (keyring, rotated) = Keyring::rotate(&self.source, store, recorder).await?;
        *current = keyring;
        Ok(rotated)
    }
}
