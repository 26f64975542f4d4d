//! The master key from a passphrase: Argon2id (RFC 9106), with parameters and salt that are made once and
//! kept in the store.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{MasterKey, SealError, SourceError, UnlockError, key, master_key::KEY_BYTES, state};
use crate::{control_plane::store::Store, secret::Secret};

/// RFC 9106 section 4, second recommended option, in one lane: 64 MiB, three passes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const SALT_BYTES: usize = 16;
/// What a stored record may ask for at most.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;

/// How a passphrase becomes a key; at [`key::KDF`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KdfDoc {
    algorithm: String,
    memory_kib: u32,
    passes: u32,
    salt: String,
}

/// The stored parameters; made at the first start.
pub(super) async fn parameters(store: &dyn Store) -> Result<KdfDoc, UnlockError> {
    loop {
        if let Some(found) = state::read::<KdfDoc>(store, key::KDF).await? {
            return Ok(found.doc);
        }
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).map_err(|_| SealError::NoRandomness)?;
        let doc = KdfDoc {
            algorithm: "argon2id".into(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: BASE64_STANDARD.encode(salt),
        };
        // Somebody else may have been first; then theirs is read.
        state::create(store, key::KDF, &doc).await?;
    }
}

/// Takes about a fifth of a second and 64 MiB.
pub(super) async fn derive(passphrase: Secret, doc: &KdfDoc) -> Result<MasterKey, UnlockError> {
    let bad = || UnlockError::BadRecord {
        key: key::KDF.to_owned(),
    };
    // Weaker or absurd parameters would be somebody's attempt.
    let known = doc.algorithm == "argon2id"
        && (MEMORY_KIB..=MEMORY_KIB_MAX).contains(&doc.memory_kib)
        && (PASSES..=PASSES_MAX).contains(&doc.passes);
    let salt = BASE64_STANDARD.decode(&doc.salt).map_err(|_| bad())?;
    if !known || salt.len() != SALT_BYTES {
        return Err(bad());
    }
    let parameters =
        Params::new(doc.memory_kib, doc.passes, 1, Some(KEY_BYTES)).map_err(|_| bad())?;
    let work = move || {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        Secret::build(KEY_BYTES, |slot| {
            argon2
                .hash_password_into(passphrase.expose(), &salt, slot)
                .map(|()| KEY_BYTES)
        })
    };
    let bytes = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SourceError::Derivation)?
        .map_err(|_| SourceError::Derivation)?;
    Ok(MasterKey::from_secret(bytes).expect("built with the length of a key"))
}
