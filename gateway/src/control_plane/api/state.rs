//! `AppState`: what the management API needs from the rest of the control plane, each through the
//! narrowest interface that serves it.

use std::{future::Future, pin::Pin, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::sessions::Sessions;
use crate::{
    config::LimitsConfig,
    control_plane::{
        admission::{AdmissionHistory, AdmissionStatus, PeerTraffic},
        audit::Retention,
        catalog::LiveCatalog,
        diagnosis::Diagnosis,
        discovery::ListedModel,
        identity::IdentitySources,
        seal::LiveKeyring,
        snapshot::Draft,
        store::Store,
        usage::{CaptureReader, UsageReader},
    },
    handoff::{objects::ObjectTable, snapshot::Snapshot},
};

/// A boxed future, so that [`ProviderTester`] can be an object.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Shared by all requests.
#[derive(Clone)]
pub struct AppState {
    pub store: Arc<dyn Store>,
    pub keyring: Arc<LiveKeyring>,
    pub catalog: Arc<LiveCatalog>,
    pub usage: UsageReader,
    pub captures: CaptureReader,
    pub identity: Arc<IdentitySources>,
    pub node: Arc<dyn NodeView>,
    pub tester: Arc<dyn ProviderTester>,
    pub naming: EndpointNaming,
    /// Which provider keeps what its callers made.
    pub objects: Arc<ObjectTable>,
    /// What requests are taken to need.
    pub limits: LimitsConfig,
    /// Names beside `localhost` and the listener's own address that may stand in `Host` on TCP.
    pub admin_hosts: Arc<[String]>,
    pub sessions: Arc<Sessions>,
    pub audit: Retention,
    /// Id or name of the group whose members administer the node over the overlay.
    pub overlay_group: Option<Arc<str>>,
}

/// How the endpoint gets its name when the first provider is connected.
#[derive(Debug, Clone)]
pub struct EndpointNaming {
    /// A generated name is `adjective-noun.<domain>`.
    pub domain: String,
    /// Claimed instead of generating one.
    pub name: Option<String>,
    /// TLS port of the endpoint.
    pub port: u16,
}

/// What the node knows about itself.
pub trait NodeView: Send + Sync {
    fn status(&self) -> NodeStatus;

    /// What the workers decide by.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Kernel admission; may wait for the kernel.
    fn admission(&self) -> AdmissionStatus;

    /// What kernel admission counted lately.
    fn admission_history(&self) -> AdmissionHistory;

    /// The kernel's counters of every peer; may wait for the kernel.
    fn admission_peers(&self) -> Vec<PeerTraffic>;

    /// The internal CA's certificate (PEM); `None` when the endpoint's certificate comes from files.
    fn ca_pem(&self) -> Option<String>;

    /// Resolves once a token was minted from this key, or could not be: then with the reason.
    fn mints(&self, credential_id: String) -> Task<'_, Result<(), String>>;

    /// Resolves once the workers serve what the store had at `revision`, or when that takes too long.
    fn serves(&self, revision: u64) -> Task<'_, ()>;
}

/// `GET /api/agent-network/status`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    pub version: String,
    /// May receive traffic.
    pub ready: bool,
    /// What readiness is waiting for.
    #[serde(default)]
    #[schema(required)]
    pub not_ready: Vec<String>,
    /// Store revision that the workers serve.
    pub revision: u64,
    pub started_at: Timestamp,
    /// `io_uring` or `epoll`, with how and why.
    pub driver: String,
    pub workers: usize,
    /// Addresses that agents reach, `address:port`.
    #[serde(default)]
    #[schema(required)]
    pub listeners: Vec<String>,
    #[serde(default)]
    #[schema(required)]
    pub providers: Vec<ProviderStatus>,
}

/// How one provider looks to the workers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProviderStatus {
    pub id: String,
    /// Has a usable address and credential.
    pub ready: bool,
    #[serde(default)]
    #[schema(required)]
    pub addresses: Vec<String>,
    /// Why it is not ready; for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
}

/// Tries providers.
pub trait ProviderTester: Send + Sync {
    /// A stored one, as the workers have it.
    fn test(&self, provider_id: String) -> Task<'_, TestReport>;

    /// One that is not stored.
    fn test_draft(&self, draft: Draft) -> Task<'_, TestReport>;

    /// The models that its vendor lists. The catalog's entry has to have a listing.
    fn list_models(&self, draft: Draft) -> Task<'_, Result<Vec<ListedModel>, Diagnosis>>;
}

/// `POST /api/agent-network/providers/{id}/test`, and `/providers/test` for what is not stored yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct TestReport {
    pub ok: bool,
    /// Status of the provider's answer, when one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<u16>,
    pub duration_ms: u64,
    /// For the operator; never holds the key.
    pub message: String,
    /// Code of what is wrong ([`Trouble`](crate::control_plane::diagnosis::Trouble)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}
