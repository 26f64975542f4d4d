//! Compiles what the store holds into the `Snapshot` that workers serve from. Pure: documents, catalog,
//! resolved addresses and the endpoint's certificate in, a snapshot and a report out. A document that
//! makes no sense is left out and reported; the others go on. `snapshot/builder.rs` is the task that
//! watches for changes and publishes.

mod access;
mod aws;
mod builder;
mod captures;
mod documents;
mod kept;
mod peers;
mod price;
mod problem;
mod provider;
mod trial;
mod upstream;
mod upstream_tls;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    catalog::Catalog,
    identity::Identity,
    ledger::Ledger,
    mint::{Minted, Order},
    resolve::Answers,
    resource::{CredentialDoc, ProviderDoc, SettingsDoc, key::CREDENTIALS},
    seal::Keyring,
};
use crate::{
    handoff::{
        counters::{PROVIDER_SLOTS, model::ModelSlot},
        snapshot::{Endpoint, Models, Provider, ProviderSlot, Snapshot, Timeouts},
    },
    secret::Secret,
};

pub use builder::{BuilderInputs, CertificateSource, Certified, SnapshotBuilder, SnapshotReport};
pub use documents::{Documents, SkippedDocument};
pub use problem::Problem;
pub use provider::{ProviderState, ProviderStatus};
pub use trial::{Draft, compile_draft};

pub(super) use upstream::{Host, Upstream};
pub(super) use upstream_tls::{Trust, client_config};

use access::Access;
use peers::Groups;
use provider::ProviderCompiler;

/// Opens sealed credentials.
pub trait Unseal: Send + Sync {
    /// # Errors
    /// A reason for the operator, without key material.
    fn unseal(&self, credential: &CredentialDoc) -> Result<Secret, String>;
}

impl Unseal for Keyring {
    fn unseal(&self, credential: &CredentialDoc) -> Result<Secret, String> {
        let record = format!("{CREDENTIALS}{}/{}", credential.provider_id, credential.id);
        self.open(&record, &credential.sealed)
            .map_err(|error| error.to_string())
    }
}

/// Everything beside the documents that a snapshot is made from.
pub struct Surroundings<'a> {
    pub catalog: &'a Catalog,
    pub unseal: &'a dyn Unseal,
    pub answers: &'a Answers,
    pub minted: &'a Minted,
    pub identity: &'a Identity,
    pub endpoint: Endpoint,
    pub timeouts: Timeouts,
    /// Names or ids of providers that learn of traces; `*` stands for all.
    pub traced: &'a [String],
}

/// A snapshot, and what there is to say about it.
pub struct Compiled {
    pub snapshot: Snapshot,
    /// Of every provider, disabled ones included, in the order of their age.
    pub providers: Vec<ProviderStatus>,
    /// Documents that were left out, other than providers.
    pub skipped: Vec<SkippedDocument>,
    /// Hosts that need addresses.
    pub hosts: BTreeSet<String>,
    /// Tokens that are needed.
    pub orders: Vec<Order>,
}

/// Compiles snapshots, and remembers between them what must stay the same: slots, target ids, unsealed
/// credentials and TLS configurations.
#[derive(Default)]
pub struct Compiler {
    revision: u64,
    provider_slots: HashMap<String, ProviderSlot>,
    /// By provider and model.
    model_slots: HashMap<(String, String), ModelSlot>,
    providers: ProviderCompiler,
    peers: peers::PeerCompiler,
}

impl Compiler {
    pub fn compile(
        &mut self,
        documents: &Documents,
        ledger: &Ledger,
        surroundings: Surroundings<'_>,
    ) -> Compiled {
        self.revision += 1;
        let mut skipped = documents.damaged.clone();
        let members = surroundings.identity.members(&documents.peers);
        let groups = Groups::intern(documents, surroundings.identity, &members);
        let access = Access::compile(documents, &groups, ledger, &mut skipped);
        let peers = self
            .peers
            .compile(&members, &groups, &access, ledger, &mut skipped);
        peers::report_dangling(documents, &mut skipped);

        let mut docs: Vec<_> = documents.providers.iter().collect();
        docs.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let mut providers = Vec::new();
        let mut statuses = Vec::new();
        let mut hosts = BTreeSet::new();
        let mut turn = self.providers.begin();
        for doc in docs {
            let slot = slot(&mut self.provider_slots, &doc.id);
            let (provider, status) = turn.compile(doc, slot, documents, &surroundings);
            hosts.extend(status.host.clone());
            let model_slots = &mut self.model_slots;
            providers.extend(provider.map(|mut provider| {
                number_models(model_slots, doc, &mut provider.models);
                Arc::new(Provider {
                    grants: access.grants(&doc.id),
                    caps: access::provider_caps(&doc.id, &doc.rate_limit, ledger),
                    ..provider
                })
            }));
            statuses.push(status);
        }
        let orders = turn.end();

        let snapshot = Snapshot {
            revision: self.revision,
            endpoint: surroundings.endpoint,
            peers,
            providers,
            policies: access
                .policies
                .into_iter()
                .map(|(policy, _)| policy)
                .collect(),
            budget_rules: access.rules.into_iter().map(|(rule, _)| rule).collect(),
            groups: Arc::clone(groups.all()),
            group_buckets: access.group_buckets,
        };
        Compiled {
            snapshot,
            providers: statuses,
            skipped,
            hosts,
            orders,
        }
    }
}

/// A provider's counters stay its own for the life of the process; when they run out, the rest share
/// slot 0.
fn slot(slots: &mut HashMap<String, ProviderSlot>, id: &str) -> ProviderSlot {
    if let Some(slot) = slots.get(id) {
        return *slot;
    }
    let next = slots.len() + 1;
    match u16::try_from(next) {
        Ok(next) if usize::from(next) < PROVIDER_SLOTS => {
            slots.insert(id.to_owned(), ProviderSlot(next));
            ProviderSlot(next)
        }
        Ok(_) | Err(_) => ProviderSlot(0),
    }
}

/// Models keep their counters for the life of the process, too; when they run out, the rest share their provider's.
fn number_models(
    slots: &mut HashMap<(String, String), ModelSlot>,
    doc: &ProviderDoc,
    models: &mut Models,
) {
    for model in &doc.models {
        let key = (doc.id.clone(), model.id.clone());
        let next = slots.len();
        let slot = match slots.get(&key) {
            Some(slot) => Some(*slot),
            None => ModelSlot::own(next).inspect(|slot| {
                slots.insert(key, *slot);
            }),
        };
        if let Some(listed) = models.listed.get_mut(model.id.as_str()) {
            listed.slot = slot;
        }
    }
}

/// The names agents may use for this node: the endpoint's own and the addresses it listens on.
pub fn endpoint_names(settings: Option<&SettingsDoc>, addresses: &[IpAddr]) -> Vec<Box<str>> {
    let own = settings.map(|settings| settings.endpoint.to_ascii_lowercase());
    let literal = addresses
        .iter()
        .map(|address| address.to_canonical().to_string());
    own.into_iter()
        .chain(literal)
        .map(String::into_boxed_str)
        .collect()
}
