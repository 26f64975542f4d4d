//! `Snapshot`: the immutable view of configuration that a worker serves from. The control plane
//! compiles it, publishes it whole, and frees old ones; a worker only reads.

use std::{
    mem::offset_of,
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

pub mod access;
mod peers;

use super::{counters::model::ModelSlot, ledger::Bucket, reason::Reason};
use crate::{
    dialect::{DialectSet, IdentityFormat},
    handoff::record::ServiceTier,
    secret::Secret,
};
pub use access::{BudgetRule, Grants, Policy};
pub use peers::Peers;

/// Everything a worker needs to serve a request, except the limits ledger and its own counters.
#[derive(Debug)]
pub struct Snapshot {
    /// The publisher's sequence number; a worker swaps when it changes.
    pub revision: u64,
    pub endpoint: Endpoint,
    /// Overlay address to who is there. An address that is missing is no peer.
    pub peers: Peers,
    /// Enabled providers, oldest first.
    pub providers: Vec<Arc<Provider>>,
    /// Enabled policies. Of those that hold for a request, the first with room pays.
    pub policies: Vec<Policy>,
    pub budget_rules: Vec<BudgetRule>,
    /// All groups, each at the place of its index.
    pub groups: Arc<[Group]>,
    pub group_buckets: access::GroupBuckets,
}

/// The names under which agents may address this node.
#[derive(Debug, Default)]
pub struct Endpoint {
    /// Lower-case host names and literal addresses (IPv6 without brackets) accepted in `Host`/`:authority`.
    pub names: Vec<Box<str>>,
    /// For new handshakes; ALPN offers `h2` and `http/1.1`. A reloaded certificate is a new snapshot.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// A group, numbered in the order of ids. Numbers of different snapshots must not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub u32);

/// Groups of one principal; as many as most have lie in the principal itself.
pub type GroupIndexes = SmallVec<[GroupIndex; 8]>;

/// As [`GroupIndexes`].
pub type OwnBuckets = SmallVec<[Bucket; 2]>;

/// The authenticated party a request is attributed to.
///
/// With many peers each request meets a principal that is in no cache, so what decisions read comes first and behind
/// no pointer, in two lines that processors fetch together: one miss, where there would be several, each waiting for
/// the one before.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Principal {
    /// Sorted, which is by their ids.
    pub groups: GroupIndexes,
    /// Its own buckets, in the order that [`access::Buckets::User`] counts them.
    pub buckets: OwnBuckets,
    /// The budget rules that hold for it: places in [`Snapshot::budget_rules`].
    pub budget_rules: Box<[u32]>,
    /// [`Snapshot::groups`].
    pub all_groups: Arc<[Group]>,
    /// User id, or peer id for a machine without a user.
    pub id: Box<str>,
    /// E-mail or peer name; what gateways are told and what the log shows.
    pub display_name: Box<str>,
    pub peer_id: Box<str>,
    /// A number unique in this process, stable across snapshots while the peer exists: counters and
    /// caps of one peer hang on it.
    pub slot: u32,
}

const _: () = assert!(offset_of!(Principal, all_groups) <= 128);

impl Principal {
    /// Its groups with their names.
    pub fn named_groups(&self) -> impl Iterator<Item = &Group> + Clone {
        let named = |index: &GroupIndex| self.all_groups.get(index.0 as usize);
        self.groups.iter().filter_map(named)
    }
}

/// A named set of peers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub index: GroupIndex,
    pub id: Arc<str>,
    pub name: Arc<str>,
}

/// One upstream provider as an operator connected it.
#[derive(Debug)]
pub struct Provider {
    pub id: Box<str>,
    /// Index of this provider's counters, 1-based; 0 counts what reached no provider.
    pub slot: ProviderSlot,
    pub name: Box<str>,
    pub catalog_id: Box<str>,
    /// Request dialects this provider's own API speaks; empty means any (custom servers).
    pub dialects: DialectSet,
    /// Path of the upstream URL without a trailing slash; empty for the root.
    pub base_path: Box<str>,
    pub auth: Option<AuthHeader>,
    /// Stamped on every request: remove, then add.
    pub extra_headers: Vec<(HeaderName, HeaderValue)>,
    /// How the caller's identity is told to this provider; `None` tells nothing.
    pub identity: Option<IdentityFormat>,
    /// Streams of chat tell their usage only when asked to. Where they always do, asking is an error.
    pub asks_for_usage: bool,
    /// Where this provider says what it charges, if its word counts.
    pub reported_cost: Option<ReportedCost>,
    /// Responses can be had over a WebSocket (`GET /v1/responses`); elsewhere the node makes HTTP requests of
    /// an agent's events.
    pub responses_websocket: bool,
    pub models: Models,
    /// Its address is bound to a region, which the vendor may charge more for.
    pub is_regional: bool,
    /// In the order to try. Empty when the host has no usable address, or no key can be used (yet).
    pub targets: Vec<Arc<Target>>,
    /// Why there is no target, for as long as there is none.
    pub no_target: Reason,
    pub grants: Grants,
    /// What may go to it, from everyone.
    pub caps: Box<[access::Cap]>,
    pub timeouts: Timeouts,
    /// Requests to it tell of their trace.
    pub learns_trace: bool,
}

impl Provider {
    /// Requests are signed with their body in hand.
    pub fn is_signed(&self) -> bool {
        self.targets.iter().any(|target| {
            let credential = target.credential.as_ref();
            credential.is_some_and(|credential| credential.signer.is_some())
        })
    }
}

/// See [`Provider::reported_cost`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedCost {
    /// A response header with dollars, for answers whose usage has no `cost`.
    pub header: Option<HeaderName>,
}

/// Index of a provider's counters; see [`Provider::slot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProviderSlot(pub u16);

/// The header that carries the provider's credential: `name: prefix‖secret`.
#[derive(Debug, Clone)]
pub struct AuthHeader {
    pub name: HeaderName,
    /// `"Bearer "`, or empty.
    pub prefix: Box<str>,
}

/// The models a provider serves and what they cost.
#[derive(Debug, Default)]
pub struct Models {
    /// Explicitly configured ids. Empty list: any model (catch-all).
    pub listed: foldhash::HashMap<Box<str>, Listed>,
    /// Catalog prices that apply to models the operator did not list or price.
    pub defaults: Arc<foldhash::HashMap<Box<str>, Price>>,
}

/// A model that an operator listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// `None` where nobody knows it.
    pub price: Option<Price>,
    /// Its counters, as long as there are some left for it.
    pub slot: Option<ModelSlot>,
}

impl Models {
    pub fn is_catch_all(&self) -> bool {
        self.listed.is_empty()
    }
}

/// Dollars × 10⁻⁹ per million tokens. `1 USD / M tokens` is `1_000_000_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NanoUsdPerMillion(pub u64);

/// Dollars × 10⁻⁹ for one piece: a call, a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NanoUsd(pub u64);

/// What one model costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    pub standard: TierPrice,
    /// Other classes of service that the vendor sells the model in.
    pub tiers: Box<[(ServiceTier, TierPrice)]>,
    /// The long-context rates hold for the whole request once its input tokens, cached ones included, exceed
    /// this.
    pub long_context_above: u64,
    /// What everything costs when bound to a region, in thousandths; `None`: nobody knows.
    pub regional_per_mille: Option<u16>,
    pub tools: ToolPrices,
    /// Of audio that is billed by its length.
    pub audio_second: Option<NanoUsd>,
    /// Tokens that one call of the model takes in at most; `None`: nobody knows.
    pub context: Option<u64>,
    /// Set by the operator, not by the catalog.
    pub is_own: bool,
}

/// Rates in one class of service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierPrice {
    pub rates: Rates,
    /// Above [`Price::long_context_above`].
    pub long_context: Option<Box<Rates>>,
}

/// Per token. A missing cache rate means: billed like plain input. A missing rate for audio means that such
/// tokens cost as much as text as far as is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub input: NanoUsdPerMillion,
    pub output: NanoUsdPerMillion,
    pub cache_read: Option<NanoUsdPerMillion>,
    /// Short-lived cache writes (Anthropic 5 minutes, OpenAI 30 minutes).
    pub cache_write: Option<NanoUsdPerMillion>,
    /// Long-lived cache writes (Anthropic 1 hour, OpenAI 12 hours).
    pub cache_write_long: Option<NanoUsdPerMillion>,
    pub audio_input: Option<NanoUsdPerMillion>,
    pub audio_cache_read: Option<NanoUsdPerMillion>,
    pub audio_output: Option<NanoUsdPerMillion>,
    pub image_input: Option<NanoUsdPerMillion>,
    pub image_output: Option<NanoUsdPerMillion>,
}

/// Of tools that the provider runs; `None`: nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolPrices {
    pub web_search: Option<ToolPrice>,
    pub maps: Option<ToolPrice>,
    pub file_search: Option<ToolPrice>,
    pub code_interpreter: Option<ToolPrice>,
}

/// What the calls of a tool cost that one request makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolPrice {
    PerCall(NanoUsd),
    /// However many they are.
    PerRequest(NanoUsd),
}

/// provider × credential × address: what a connection is opened to, and what pools are keyed by.
#[derive(Debug)]
pub struct Target {
    /// Unique in this process for this combination; changes when any part does, so that a pooled
    /// connection never outlives its credential or address.
    pub id: TargetId,
    pub address: SocketAddr,
    /// `host` or `host:port` for `Host`/`:authority`.
    pub authority: Box<str>,
    pub credential: Option<Arc<Credential>>,
    /// `None` for `http://` upstreams.
    pub tls: Option<TargetTls>,
}

/// See [`Target::id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u64);

/// How to speak TLS to a target; ALPN offers `h2` and `http/1.1`.
#[derive(Debug, Clone)]
pub struct TargetTls {
    pub config: Arc<rustls::ClientConfig>,
    pub server_name: rustls::pki_types::ServerName<'static>,
}

/// A provider's key, unsealed in locked memory.
#[derive(Debug)]
pub struct Credential {
    /// What the auth header carries; of a credential that signs, the session token, empty where it has none.
    pub secret: Secret,
    /// Signs each request, in place of a key in a header.
    pub signer: Option<Signer>,
    /// Where [`Self::secret`] is a token that the control plane minted.
    pub minted: Option<MintedFor>,
}

/// What stands beside a minted token.
#[derive(Debug)]
pub struct MintedFor {
    /// The service account's Google Cloud project.
    pub project: Box<str>,
    refused: AtomicBool,
}

impl MintedFor {
    pub fn new(project: &str) -> Self {
        Self {
            project: project.into(),
            refused: AtomicBool::new(false),
        }
    }

    /// Whether the provider has answered 401 to this token.
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Credential {
    /// The provider has answered 401: the control plane is to mint another token, where this is one. A worker
    /// says so by one store; the minter, which holds the same token, looks.
    pub fn refused(&self) {
        if let Some(minted) = &self.minted {
            minted.refused.store(true, Ordering::Relaxed);
        }
    }

    /// The header that carries [`Self::secret`], where `auth` is the provider's; `None` when nothing does.
    pub fn header<'a>(&self, auth: &'a AuthHeader) -> Option<&'a AuthHeader> {
        match &self.signer {
            None => Some(auth),
            Some(_) if self.secret.expose().is_empty() => None,
            Some(_) => Some(&SESSION_TOKEN),
        }
    }
}

/// Of temporary access keys.
static SESSION_TOKEN: LazyLock<AuthHeader> = LazyLock::new(|| AuthHeader {
    name: HeaderName::from_static("x-amz-security-token"),
    prefix: "".into(),
});

/// AWS access keys, and what a signature of version 4 is for.
#[derive(Debug)]
pub struct Signer {
    pub access_key_id: Box<str>,
    pub secret_access_key: Secret,
    pub region: Box<str>,
    pub service: &'static str,
}

/// Time limits of one exchange with a provider. Each is smaller than the one around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS handshake.
    pub connect: Duration,
    /// From the request's last byte to the response's head.
    pub first_byte: Duration,
    /// Between two reads of a response body.
    pub idle: Duration,
    /// The whole exchange; `None` leaves a stream that moves alone.
    pub total: Option<Duration>,
}
