//! The master key as the management API uses it.

use crate::{
    control_plane::{
        api::state::{SealFailure, Sealer},
        seal::{Keyring, SealError},
    },
    secret::Secret,
};

pub(super) struct UnlockedSealer(pub(super) Keyring);

impl Sealer for UnlockedSealer {
    fn seal(&self, record_key: &str, plaintext: &[u8]) -> Result<String, SealFailure> {
        let secret = Secret::new(plaintext.to_vec());
        self.0.seal(record_key, &secret).map_err(failure)
    }

    fn unseal(&self, record_key: &str, sealed: &str) -> Result<Secret, SealFailure> {
        self.0.open(record_key, sealed).map_err(failure)
    }

    fn fingerprint(&self, plaintext: &[u8]) -> String {
        self.0.fingerprint(&Secret::new(plaintext.to_vec()))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn failure(error: SealError) -> SealFailure {
    SealFailure(error.to_string())
}
