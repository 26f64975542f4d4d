//! The snapshot's way to a provider's key: the API's sealer, under the key of the credential's record.

use std::sync::Arc;

use crate::{
    control_plane::{
        api::state::Sealer,
        resource::{CredentialDoc, key::CREDENTIALS},
        snapshot::Unseal,
    },
    secret::Secret,
};

pub(super) struct StoredCredentials(pub(super) Arc<dyn Sealer>);

impl Unseal for StoredCredentials {
    fn unseal(&self, credential: &CredentialDoc) -> Result<Secret, String> {
        let record = format!("{CREDENTIALS}{}/{}", credential.provider_id, credential.id);
        self.0
            .unseal(&record, &credential.sealed)
            .map_err(|error| error.to_string())
    }
}
