//! One provider compiled by itself from settings that are not stored, exactly as the workers would get it.

use jiff::Timestamp;

use super::{
    Documents, Problem, ProviderState, Surroundings, Unseal,
    provider::ProviderCompiler,
    upstream::{Host, Upstream},
};
use crate::{
    control_plane::{
        catalog::Catalog,
        mint::{Minted, mint_once},
        resolve::{self, Answers, Lookup},
        resource::{CredentialDoc, ProviderDoc},
    },
    handoff::snapshot::{Endpoint, Provider, ProviderSlot, Timeouts},
    secret::Secret,
};

/// What an operator is about to store.
#[derive(Debug)]
pub struct Draft {
    pub doc: ProviderDoc,
    pub secret: Option<Secret>,
}

/// Resolves the draft's host once, checks its addresses, mints its token if it needs one, and compiles it; it has at least one target.
///
/// # Errors
/// Why the workers could not use it.
pub async fn compile_draft(
    draft: Draft,
    catalog: &Catalog,
    lookup: &Lookup,
    timeouts: Timeouts,
) -> Result<Provider, Problem> {
    let Draft { mut doc, secret } = draft;
    doc.enabled = true;
    let answers = match Upstream::parse(&doc.upstream_url)?.host {
        Host::Name(host) => resolve::look_up_once(lookup, &host).await,
        Host::Literal(_) => Answers::default(),
    };
    let credential = secret.as_ref().map(|_| CredentialDoc {
        id: String::new(),
        provider_id: doc.id.clone(),
        sealed: String::new(),
        fingerprint: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
    });
    let documents = Documents {
        credentials: credential.into_iter().collect(),
        ..Documents::default()
    };
    let unseal = Unsealed(secret);
    let mut compiler = ProviderCompiler::default();
    let mut compile = |minted: &Minted| {
        let surroundings = Surroundings {
            catalog,
            unseal: &unseal,
            answers: &answers,
            minted,
            endpoint: Endpoint::default(),
            timeouts,
        };
        let mut turn = compiler.begin();
        let slot = ProviderSlot(0);
        let (provider, status) = turn.compile(&doc, slot, Vec::new(), &documents, &surroundings);
        (provider, status, turn.end())
    };
    let (mut provider, mut status, orders) = compile(&Minted::default());
    if !orders.is_empty() {
        (provider, status, _) = compile(&*mint_once(orders, lookup).await);
    }
    match (status.state, provider) {
        (ProviderState::Ready { .. }, Some(provider)) => Ok(provider),
        (ProviderState::Unreachable(problem) | ProviderState::Skipped(problem), _) => Err(problem),
        (ProviderState::Ready { .. } | ProviderState::Disabled, _) => {
            unreachable!("an enabled provider is ready with a provider, or has a problem")
        }
    }
}

/// The draft's own key, which was never sealed.
struct Unsealed(Option<Secret>);

impl Unseal for Unsealed {
    fn unseal(&self, _: &CredentialDoc) -> Result<Secret, String> {
        self.0.clone().ok_or_else(|| "there is no key".to_owned())
    }
}
