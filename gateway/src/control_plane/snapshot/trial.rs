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
        identity::Identity,
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
            identity: &Identity::default(),
            endpoint: Endpoint::default(),
            timeouts,
            traced: &[],
        };
        let mut turn = compiler.begin();
        let slot = ProviderSlot(0);
        let (provider, status) = turn.compile(&doc, slot, &documents, &surroundings);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

    use super::*;
    use crate::control_plane::{resolve::AddressRefused, resource::ProviderRateLimitDoc};

    fn draft(url: &str, key: Option<&str>) -> Draft {
        Draft {
            doc: ProviderDoc {
                id: String::new(),
                provider_id: "openai_api".to_owned(),
                name: "draft".to_owned(),
                upstream_url: url.to_owned(),
                models: Vec::new(),
                extra_values: BTreeMap::new(),
                identity_header_user_id: None,
                identity_header_groups: None,
                enabled: false,
                skip_tls_verification: false,
                metadata_disabled: false,
                ca_pem: None,
                allow_private_addresses: false,
                rate_limit: ProviderRateLimitDoc::default(),
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
            },
            secret: key.map(|key| Secret::new(key.as_bytes().to_vec())),
        }
    }

    async fn compiled(draft: Draft) -> Result<Provider, Problem> {
        let lookup: Lookup = Arc::new(|host| {
            Box::pin(async move {
                match host.as_str() {
                    "api.example" => Ok(vec![IpAddr::from([203, 0, 113, 1])]),
                    "intranet.example" => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
                    _ => Err("no such host".to_owned()),
                }
            })
        });
        let timeouts = Timeouts {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            total: None,
        };
        compile_draft(draft, &Catalog::built_in(), &lookup, timeouts).await
    }

    #[tokio::test]
    async fn a_draft_becomes_what_workers_would_get() {
        let provider = compiled(draft("https://api.example/v1", Some("sk-1"))).await;
        let provider = provider.unwrap();
        assert_eq!(&*provider.base_path, "/v1");
        let [target] = provider.targets.as_slice() else {
            panic!("one address and one key make one target");
        };
        assert_eq!(target.address, "203.0.113.1:443".parse().unwrap());
        let credential = target.credential.as_ref().unwrap();
        assert_eq!(credential.secret.expose(), b"sk-1");
    }

    #[tokio::test]
    async fn what_workers_could_not_use_is_a_problem() {
        let failed = Problem::ResolveFailed("no such host".to_owned());
        let refused = Problem::AddressRefused {
            address: [10, 0, 0, 1].into(),
            reason: AddressRefused::Private,
        };
        for (url, key, problem) in [
            ("https://nowhere.example", Some("k"), failed),
            ("https://intranet.example", Some("k"), refused),
            ("https://api.example", None, Problem::NoCredential),
        ] {
            assert_eq!(
                compiled(draft(url, key)).await.unwrap_err(),
                problem,
                "{url}"
            );
        }
    }
}
