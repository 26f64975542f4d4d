//! One provider document to one `Provider`: kind, URL, headers, prices, credentials and targets.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderName, HeaderValue, header};
use jiff::Timestamp;
use rustls::ClientConfig;

use super::{
    Documents, Problem, Surroundings, aws,
    kept::Kept,
    price,
    upstream::{Host, Upstream},
    upstream_tls::{Trust, client_config},
};
use crate::{
    control_plane::{
        catalog::{CatalogEntry, KeyKind, Kind, StreamUsage},
        mint::{Order, TokenState},
        resolve::{self, Answers},
        resource::{CredentialDoc, ProviderDoc},
    },
    dialect::{bedrock::host::Endpoint, google},
    handoff::{
        reason::Reason,
        snapshot::{Credential, Grants, Provider, ProviderSlot, Target, TargetId, TargetTls},
    },
};

/// Credentials × addresses that one provider may have.
const TARGETS_LIMIT: usize = 32;

/// How a provider looks to the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    pub id: String,
    pub name: String,
    /// Where its counters are.
    pub slot: ProviderSlot,
    pub state: ProviderState,
    /// When its newest key was saved.
    pub keyed_at: Option<Timestamp>,
    /// What is wrong without keeping the provider from serving.
    pub warnings: Vec<Problem>,
    /// The host that needs an address.
    pub(in crate::control_plane) host: Option<String>,
}

/// See [`ProviderStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderState {
    Disabled,
    Ready {
        addresses: Vec<IpAddr>,
    },
    /// In the snapshot, so that agents get the right error, but without a target.
    Unreachable(Problem),
    /// Not in the snapshot.
    Skipped(Problem),
}

/// Remembers what must outlive one snapshot.
#[derive(Default)]
pub(super) struct ProviderCompiler {
    credentials: Kept<CredentialKey, Arc<Credential>>,
    clients: Kept<Trust, Arc<ClientConfig>>,
    targets: Kept<TargetKey, Arc<Target>>,
    next_target: u64,
}

/// A credential is the same while its sealed text is, and the host that tells what it signs for.
type CredentialKey = (String, String, Option<String>);
type Unsealed = (CredentialKey, Arc<Credential>);

#[derive(PartialEq, Eq, Hash)]
struct TargetKey {
    provider: String,
    /// Says how the credential is written.
    catalog_id: String,
    credential: Option<CredentialKey>,
    address: SocketAddr,
    authority: String,
    trust: Option<Trust>,
}

/// One compilation; [`end`](Self::end) forgets what it did not use.
pub(super) struct Turn<'a> {
    kept: &'a mut ProviderCompiler,
    orders: Vec<Order>,
}

impl ProviderCompiler {
    pub(super) fn begin(&mut self) -> Turn<'_> {
        self.credentials.begin();
        self.clients.begin();
        self.targets.begin();
        Turn {
            kept: self,
            orders: Vec::new(),
        }
    }
}

impl Turn<'_> {
    pub(super) fn compile(
        &mut self,
        doc: &ProviderDoc,
        slot: ProviderSlot,
        documents: &Documents,
        surroundings: &Surroundings<'_>,
    ) -> (Option<Provider>, ProviderStatus) {
        let mut status = ProviderStatus {
            id: doc.id.clone(),
            name: doc.name.clone(),
            slot,
            state: ProviderState::Disabled,
            keyed_at: keyed_at(&doc.id, documents),
            warnings: Vec::new(),
            host: None,
        };
        if !doc.enabled {
            return (None, status);
        }
        let made = self.provider(doc, slot, documents, surroundings, &mut status);
        match made {
            Ok(provider) => (Some(provider), status),
            Err(problem) => {
                status.state = ProviderState::Skipped(problem);
                (None, status)
            }
        }
    }

    /// Returns the tokens that are needed.
    pub(super) fn end(self) -> Vec<Order> {
        self.kept.credentials.end();
        self.kept.clients.end();
        self.kept.targets.end();
        self.orders
    }

    fn provider(
        &mut self,
        doc: &ProviderDoc,
        slot: ProviderSlot,
        documents: &Documents,
        surroundings: &Surroundings<'_>,
        status: &mut ProviderStatus,
    ) -> Result<Provider, Problem> {
        let entry = surroundings
            .catalog
            .entry(&doc.provider_id)
            .ok_or_else(|| Problem::UnknownKind(doc.provider_id.clone()))?;
        let upstream = Upstream::parse(&doc.upstream_url)?;
        let extra_headers = extra_headers(doc, entry)?;
        let identity = if doc.metadata_disabled {
            None
        } else {
            entry.identity_format(
                doc.identity_header_user_id.as_deref(),
                doc.identity_header_groups.as_deref(),
            )?
        };
        let models = price::models(&doc.models, entry)?;
        let trust = trust(doc, entry, &upstream)?;
        let client = match &trust {
            Some(trust) => Some(self.client(trust)?),
            None => None,
        };
        let host = aws::endpoint(entry, &upstream);
        let credentials = self.credentials(doc, entry, host, documents, surroundings, status)?;
        let (credentials, no_token) = match entry.key {
            KeyKind::Text | KeyKind::Aws => (credentials, None),
            KeyKind::GoogleServiceAccount => {
                self.tokens(doc, credentials, client.as_ref(), surroundings, status)?
            }
        };
        if let Host::Name(host) = &upstream.host {
            status.host = Some(host.clone());
        }
        let mut targets = Vec::new();
        let mut no_target = Reason::ProviderUnresolved;
        match addresses(
            &upstream.host,
            surroundings.answers,
            doc,
            &mut status.warnings,
        ) {
            Ok(addresses) => {
                for credential in &credentials {
                    for address in &addresses {
                        targets.push(self.target(
                            doc,
                            &upstream,
                            SocketAddr::new(*address, upstream.port),
                            credential.as_ref(),
                            trust.as_ref().zip(client.as_ref()),
                        )?);
                    }
                }
                targets.truncate(TARGETS_LIMIT);
                status.state = match no_token {
                    None => ProviderState::Ready { addresses },
                    Some(problem) => {
                        no_target = Reason::UpstreamAuthFailed;
                        ProviderState::Unreachable(problem)
                    }
                };
            }
            Err(problem) => status.state = ProviderState::Unreachable(problem),
        }
        Ok(Provider {
            id: doc.id.as_str().into(),
            slot,
            name: doc.name.as_str().into(),
            catalog_id: doc.provider_id.as_str().into(),
            dialects: host.map_or(entry.dialects, |host| host.dialects()),
            base_path: match host {
                Some(host) if upstream.path.is_empty() => host.base_path().into(),
                Some(_) | None => upstream.path.as_str().into(),
            },
            auth: Some(entry.auth_header()),
            extra_headers,
            identity,
            asks_for_usage: entry.stream_usage == StreamUsage::Asked,
            reported_cost: entry.reported_cost.clone(),
            responses_websocket: entry.responses_websocket,
            models,
            is_regional: is_regional(&doc.provider_id, &upstream.authority),
            targets,
            no_target,
            // Whoever compiles the policies says who reaches it.
            grants: Grants::default(),
            caps: Box::default(),
            timeouts: surroundings.timeouts,
            learns_trace: learns_trace(doc, surroundings.traced),
        })
    }

    fn client(&mut self, trust: &Trust) -> Result<Arc<ClientConfig>, Problem> {
        self.kept
            .clients
            .get_or_make(trust.clone(), || client_config(trust))
    }

    /// The provider's keys, newest first; `None` stands for a server that takes none.
    fn credentials(
        &mut self,
        doc: &ProviderDoc,
        entry: &CatalogEntry,
        host: Option<Endpoint<'_>>,
        documents: &Documents,
        surroundings: &Surroundings<'_>,
        status: &mut ProviderStatus,
    ) -> Result<Vec<Option<Unsealed>>, Problem> {
        let mut docs: Vec<&CredentialDoc> = documents
            .credentials
            .iter()
            .filter(|credential| credential.provider_id == doc.id)
            .collect();
        if docs.is_empty() && entry.kind == Kind::Custom {
            return Ok(vec![None]);
        }
        docs.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        let mut credentials = Vec::new();
        for credential in docs {
            let host_key = host.map(|host| format!("{} {}", host.kind.signing_name(), host.region));
            let key = (credential.id.clone(), credential.sealed.clone(), host_key);
            let unsealed = self.kept.credentials.get_or_make(key.clone(), || {
                let secret = surroundings.unseal.unseal(credential)?;
                let credential = aws::credential(secret, entry, host)?;
                Ok::<_, String>(Arc::new(credential))
            });
            match unsealed {
                Ok(unsealed) => credentials.push(Some((key, unsealed))),
                Err(reason) => status.warnings.push(Problem::Credential {
                    id: credential.id.clone(),
                    reason,
                }),
            }
        }
        if credentials.is_empty() {
            // What went wrong with each key is the better answer where there is one.
            return Err(status.warnings.pop().unwrap_or(Problem::NoCredential));
        }
        Ok(credentials)
    }

    /// The tokens there are for `accounts`; without one the problem says why. Each is ordered.
    fn tokens(
        &mut self,
        doc: &ProviderDoc,
        accounts: Vec<Option<Unsealed>>,
        client: Option<&Arc<ClientConfig>>,
        surroundings: &Surroundings<'_>,
        status: &mut ProviderStatus,
    ) -> Result<(Vec<Option<Unsealed>>, Option<Problem>), Problem> {
        let google = self.client(&Trust::SystemRoots)?;
        let mut tokens = Vec::new();
        let mut missing = None;
        for ((id, _, _), account) in accounts.into_iter().flatten() {
            let state = surroundings.minted.tokens.get(&id);
            let TokenState { token, failure } = state.cloned().unwrap_or_default();
            match (token, failure) {
                (Some(token), failure) => {
                    status.warnings.extend(failure.map(Problem::RefreshFailed));
                    let key = (id.clone(), format!("token {}", token.serial), None);
                    tokens.push(Some((key, token.credential)));
                }
                (None, Some(failure)) => missing = Some(Problem::MintFailed(failure)),
                (None, None) => missing = missing.or(Some(Problem::NoToken)),
            }
            self.orders.push(Order {
                credential_id: id,
                provider_id: doc.id.clone(),
                provider_name: doc.name.clone(),
                account: account.secret.clone(),
                allow_loopback: doc.allow_private_addresses,
                google: Arc::clone(&google),
                provider: client.cloned(),
            });
        }
        if tokens.is_empty() {
            return Ok((tokens, missing));
        }
        status.warnings.extend(missing);
        Ok((tokens, None))
    }

    fn target(
        &mut self,
        doc: &ProviderDoc,
        upstream: &Upstream,
        address: SocketAddr,
        credential: Option<&Unsealed>,
        tls: Option<(&Trust, &Arc<ClientConfig>)>,
    ) -> Result<Arc<Target>, Problem> {
        let key = TargetKey {
            provider: doc.id.clone(),
            catalog_id: doc.provider_id.clone(),
            credential: credential.map(|(key, _)| key.clone()),
            address,
            authority: upstream.authority.clone(),
            trust: tls.map(|(trust, _)| trust.clone()),
        };
        let tls = match tls {
            Some((_, config)) => Some(TargetTls {
                config: Arc::clone(config),
                server_name: upstream.host.server_name()?,
            }),
            None => None,
        };
        let next = &mut self.kept.next_target;
        let made: Result<_, Infallible> = self.kept.targets.get_or_make(key, || {
            *next += 1;
            Ok(Arc::new(Target {
                id: TargetId(*next),
                address,
                authority: upstream.authority.as_str().into(),
                credential: credential.map(|(_, credential)| Arc::clone(credential)),
                tls,
            }))
        });
        match made {
            Ok(target) => Ok(target),
        }
    }
}

fn learns_trace(doc: &ProviderDoc, traced: &[String]) -> bool {
    let is_meant = |name: &String| name == "*" || *name == doc.name || *name == doc.id;
    traced.iter().any(is_meant)
}

/// Whether the vendor bills what goes to this host as bound to a region (OpenAI: data residency hosts; Vertex
/// AI: every host but the global one).
fn is_regional(catalog_id: &str, authority: &str) -> bool {
    match catalog_id {
        "openai_api" => ["us.api.openai.com", "eu.api.openai.com"].contains(&authority),
        "vertex_ai_api" => google::host::location(authority)
            .is_some_and(|location| location != google::host::GLOBAL),
        _ => false,
    }
}

fn trust(
    doc: &ProviderDoc,
    entry: &CatalogEntry,
    upstream: &Upstream,
) -> Result<Option<Trust>, Problem> {
    if doc.skip_tls_verification && entry.kind != Kind::Custom {
        return Err(Problem::VerificationSkipped);
    }
    if !upstream.tls {
        return Ok(None);
    }
    if doc.skip_tls_verification {
        return Ok(Some(Trust::Anybody));
    }
    Ok(Some(match &doc.ca_pem {
        Some(pem) if !pem.trim().is_empty() => Trust::Bundle(pem.clone()),
        Some(_) | None => Trust::SystemRoots,
    }))
}

/// The addresses that may be connected to, in the resolver's order. Refused ones are reported.
fn addresses(
    host: &Host,
    answers: &Answers,
    doc: &ProviderDoc,
    warnings: &mut Vec<Problem>,
) -> Result<Vec<IpAddr>, Problem> {
    let candidates: Vec<IpAddr> = match host {
        Host::Literal(address) => vec![*address],
        Host::Name(name) => {
            let answer = answers.get(name).ok_or(Problem::Unresolved)?;
            if let Some(reason) = &answer.failure {
                let problem = Problem::ResolveFailed(reason.clone());
                if answer.addresses.is_empty() {
                    return Err(problem);
                }
                warnings.push(problem);
            }
            answer.addresses.clone()
        }
    };
    let mut usable = Vec::new();
    let mut refused = Vec::new();
    for address in candidates {
        match resolve::check(address, doc.allow_private_addresses) {
            Ok(address) => usable.push(address),
            Err(reason) => refused.push(Problem::AddressRefused { address, reason }),
        }
    }
    if usable.is_empty() {
        return Err(refused.pop().unwrap_or(Problem::Unresolved));
    }
    warnings.append(&mut refused);
    Ok(usable)
}

/// Headers that frame a message, or that the node itself writes.
const RESERVED_HEADERS: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

fn extra_headers(
    doc: &ProviderDoc,
    entry: &CatalogEntry,
) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    doc.extra_values
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let refused = || Problem::ExtraHeader(name.clone());
            let header: HeaderName = name.parse().map_err(|_| refused())?;
            let value: HeaderValue = value.parse().map_err(|_| refused())?;
            if RESERVED_HEADERS.contains(&header) || header == entry.auth_header_name {
                return Err(refused());
            }
            Ok((header, value))
        })
        .collect()
}
fn keyed_at(provider_id: &str, documents: &Documents) -> Option<Timestamp> {
    let credentials = documents.credentials.iter();
    let own = credentials.filter(|credential| credential.provider_id == provider_id);
    own.map(|credential| credential.created_at).max()
}
