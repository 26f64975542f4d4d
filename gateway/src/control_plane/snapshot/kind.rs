//! What a snapshot needs to know about kinds of providers, and how it gets a key unsealed.

use std::{collections::HashMap, sync::Arc};

use crate::{
    control_plane::resource::CredentialDoc,
    dialect::{DialectSet, IdentityFormat},
    handoff::snapshot::{AuthHeader, NanoUsdPerMillion, Price},
    secret::Secret,
};

/// What the catalog says about one kind of provider.
#[derive(Debug, Clone)]
pub struct ProviderKind {
    /// A server of the operator's own: it may skip TLS verification and go without a key.
    pub custom: bool,
    pub dialects: DialectSet,
    pub auth: Option<AuthHeader>,
    pub identity: Option<Identity>,
    /// List prices by model.
    pub prices: Arc<HashMap<Box<str>, Price>>,
}

/// How a kind of provider is told who calls.
#[derive(Debug, Clone)]
pub struct Identity {
    pub format: IdentityFormat,
    /// The names of headers (or keys) are the operator's choice; an empty one turns it off.
    pub customizable: bool,
}

/// The catalog, as far as a snapshot needs it.
pub trait Kinds: Send + Sync {
    fn kind(&self, catalog_id: &str) -> Option<ProviderKind>;

    /// Dollars per thousand tokens, exactly; `None` for what is no price.
    fn per_1k(&self, dollars: &serde_json::Number) -> Option<NanoUsdPerMillion>;
}

/// Opens sealed credentials.
pub trait Unseal: Send + Sync {
    /// # Errors
    /// A reason for the operator, without key material.
    fn unseal(&self, credential: &CredentialDoc) -> Result<Secret, String>;
}
