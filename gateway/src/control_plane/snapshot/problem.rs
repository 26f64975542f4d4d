//! Why a provider is left out of a snapshot, or is in it and cannot be reached.

use crate::control_plane::{
    catalog::InvalidIdentityName, mint::MintFailure, resolve::AddressRefused,
};

/// For the operator; names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the catalog has no entry {0:?}")]
    UnknownKind(String),
    #[error("upstream URL: {0}")]
    UpstreamUrl(&'static str),
    #[error("extra header {0:?} is not a header this node may set")]
    ExtraHeader(String),
    #[error("identity: {0}")]
    Identity(#[from] InvalidIdentityName),
    #[error("price of model {model:?}: {reason}")]
    Price { model: String, reason: String },
    #[error("TLS verification may only be skipped for the operator's own servers")]
    VerificationSkipped,
    #[error("CA bundle: {0}")]
    CaBundle(String),
    #[error("no key is stored")]
    NoCredential,
    #[error("key {id}: {reason}")]
    Credential { id: String, reason: String },
    #[error("there is no token yet")]
    NoToken,
    #[error("no token can be minted: {0}")]
    MintFailed(MintFailure),
    #[error("the next token cannot be minted: {0}")]
    RefreshFailed(MintFailure),
    #[error("the host was not resolved yet")]
    Unresolved,
    #[error("the host does not resolve: {0}")]
    ResolveFailed(String),
    #[error("{address}: {reason}")]
    AddressRefused {
        address: std::net::IpAddr,
        reason: AddressRefused,
    },
}
