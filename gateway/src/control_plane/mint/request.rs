//! One token for one assertion (RFC 7523).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, uri::Authority};
use http_body_util::Full;
use jiff::Timestamp;
use rustls::{ClientConfig, pki_types::ServerName};
use serde::Deserialize;

use super::{AccountError, Order, ServiceAccount, assertion::assertion};
use crate::{
    control_plane::{
        outbound::{self, CallError, Destination},
        resolve::{self, AddressRefused, Lookup},
    },
    handoff::snapshot::TargetTls,
    secret::Secret,
};

/// TCP and the TLS handshake, each; a dead address leaves time for the next one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Of what the operator is told about a refusal.
const REFUSAL_CHARS_LIMIT: usize = 300;

/// A longer life is not believed (Google's tokens live for an hour, twelve at the most).
const LIFETIME_SECONDS_MAX: u64 = 12 * 60 * 60;

const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// Why there is no token; names no secret.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("the key {0}")]
    Account(#[from] AccountError),
    #[error("the assertion cannot be signed")]
    Signature,
    #[error("{host} does not resolve: {reason}")]
    Unresolved { host: String, reason: String },
    #[error("{address}: {reason}")]
    AddressRefused {
        address: IpAddr,
        reason: AddressRefused,
    },
    #[error("the token endpoint has no address")]
    NoAddress,
    #[error("the token endpoint: {0}")]
    Call(#[from] CallError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("refused with status {status}: {reason}")]
    Refused { status: StatusCode, reason: String },
    #[error("the answer holds no token that a header can carry")]
    NoToken,
}

/// A [`MintError`] to be told again and again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MintFailure {
    pub message: String,
    pub fault: Fault,
}

/// Who is to mend a [`MintFailure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The key cannot sign.
    Key,
    /// Google says no, for this reason.
    Refused(String),
    /// There was no usable answer.
    Unreached,
}

impl From<&MintError> for MintFailure {
    fn from(error: &MintError) -> Self {
        Self {
            message: error.to_string(),
            fault: match error {
                MintError::Account(_) | MintError::Signature => Fault::Key,
                MintError::Refused { reason, .. } => Fault::Refused(reason.clone()),
                MintError::Unresolved { .. }
                | MintError::AddressRefused { .. }
                | MintError::NoAddress
                | MintError::Call(_)
                | MintError::Timeout(_)
                | MintError::NoToken => Fault::Unreached,
            },
        }
    }
}

/// A token, and how long it may be used from `asked_at` on.
pub(super) struct Granted {
    pub(super) token: Secret,
    /// The service account's own.
    pub(super) project: String,
    pub(super) asked_at: Instant,
    pub(super) lifetime: Duration,
}

/// Signs an assertion and exchanges it.
pub(super) async fn mint(order: &Order, lookup: &Lookup) -> Result<Granted, MintError> {
    let account = ServiceAccount::read(&order.account, order.allow_loopback)?;
    let uri = account.token_uri.clone();
    let is_google = account.token_uri_is_google;
    let body = Bytes::from(format!(
        "{GRANT}{}",
        *assertion(&account, Timestamp::now())?
    ));
    let project = account.project_id.clone();
    // The key is not needed while the network is waited for.
    drop(account);
    let asked_at = Instant::now();
    let client = match is_google {
        true => Some(&order.google),
        false => order.provider.as_ref(),
    };
    let tls = tls(&uri, is_google, client)?;
    let mut failure = MintError::NoAddress;
    for address in addresses(&uri, lookup).await? {
        let address = match resolve::check(address, order.allow_loopback && !is_google) {
            Ok(address) => SocketAddr::new(address, port(&uri)),
            Err(reason) => {
                failure = MintError::AddressRefused { address, reason };
                continue;
            }
        };
        let destination = Destination {
            address,
            tls: tls.as_ref(),
        };
        let request = request(&uri, body.clone());
        match outbound::call(destination, CONNECT_TIMEOUT, request).await {
            Ok(answer) => return read(&answer, project, asked_at),
            Err(error) if error.is_of_address() => failure = error.into(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(failure)
}

/// How to speak TLS to the token endpoint. Only one that is not Google's may go without.
fn tls(
    uri: &Uri,
    is_google: bool,
    client: Option<&Arc<ClientConfig>>,
) -> Result<Option<TargetTls>, MintError> {
    match (uri.scheme_str(), client) {
        (Some("https"), Some(client)) => Ok(Some(TargetTls {
            config: Arc::clone(client),
            server_name: ServerName::try_from(host(uri).to_owned())
                .map_err(|_| AccountError::TokenUri)?,
        })),
        (Some("http"), _) if !is_google => Ok(None),
        (_, _) => Err(AccountError::TokenUri.into()),
    }
}

async fn addresses(uri: &Uri, lookup: &Lookup) -> Result<Vec<IpAddr>, MintError> {
    let host = host(uri);
    match host.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => lookup(host.to_owned())
            .await
            .map_err(|reason| MintError::Unresolved {
                host: host.to_owned(),
                reason,
            }),
    }
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_matches(['[', ']'])
}

fn port(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    uri.port_u16().unwrap_or(default)
}

fn request(uri: &Uri, body: Bytes) -> Request<Full<Bytes>> {
    let authority = uri.authority().map_or("", Authority::as_str);
    Request::post(uri.path())
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(body))
        .expect("a URI's path and authority are a request's")
}

fn read(
    answer: &outbound::Answer,
    project: String,
    asked_at: Instant,
) -> Result<Granted, MintError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer<'a> {
        #[serde(borrow)]
        access_token: Option<&'a str>,
        expires_in: Option<u64>,
        error: Option<String>,
        error_description: Option<String>,
    }
    let status = answer.status;
    let answer: Answer<'_> = serde_json::from_slice(&answer.body).unwrap_or_default();
    if status != StatusCode::OK {
        let reason = [answer.error, answer.error_description];
        let reason: Vec<String> = reason.into_iter().flatten().collect();
        let reason = reason.join(": ");
        let shown = reason.chars().filter(|char| !char.is_control());
        return Err(MintError::Refused {
            status,
            reason: shown.take(REFUSAL_CHARS_LIMIT).collect(),
        });
    }
    let token = answer.access_token.unwrap_or_default();
    let lifetime = answer.expires_in.unwrap_or_default();
    if token.is_empty() || lifetime == 0 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(MintError::NoToken);
    }
    Ok(Granted {
        token: Secret::copy_of(token.as_bytes()),
        project,
        asked_at,
        lifetime: Duration::from_secs(lifetime.min(LIFETIME_SECONDS_MAX)),
    })
}
