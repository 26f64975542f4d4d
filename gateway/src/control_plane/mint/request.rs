//! One token for one assertion (RFC 7523), over a connection of its own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::{ClientConfig, pki_types::ServerName};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{AccountError, Order, ServiceAccount, assertion::assertion};
use crate::{
    control_plane::resolve::{self, AddressRefused, Lookup},
    secret::Secret,
};

/// Of the answer; a token has about a kilobyte.
const ANSWER_BYTES_LIMIT: usize = 64 * 1024;

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
    #[error("no connection: {0}")]
    Connection(#[from] std::io::Error),
    #[error("the token endpoint does not speak HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("refused with status {status}: {reason}")]
    Refused { status: StatusCode, reason: String },
    #[error("the answer holds no token that a header can carry")]
    NoToken,
}

/// A token, and how long it may be used from `asked_at` on.
pub(super) struct Granted {
    pub(super) token: Secret,
    pub(super) asked_at: Instant,
    pub(super) lifetime: Duration,
}

/// Signs an assertion and exchanges it.
pub(super) async fn mint(order: &Order, lookup: &Lookup) -> Result<Granted, MintError> {
    let account = ServiceAccount::read(&order.account, order.allow_loopback)?;
    let uri = account.token_uri.clone();
    let (google, allow_loopback) = (account.token_uri_is_google, order.allow_loopback);
    let body = format!("{GRANT}{}", *assertion(&account, Timestamp::now())?);
    // The key is not needed while the network is waited for.
    drop(account);
    let asked_at = Instant::now();
    let tcp = connect(&uri, allow_loopback && !google, lookup).await?;
    let client = match google {
        true => Some(&order.google),
        false => order.provider.as_ref(),
    };
    let (status, answer) = match (uri.scheme_str(), client) {
        (Some("https"), Some(client)) => {
            let stream = handshake(&uri, client, tcp).await?;
            ask(&uri, body, stream).await?
        }
        (Some("http"), _) if !google => ask(&uri, body, tcp).await?,
        (_, _) => return Err(AccountError::TokenUri.into()),
    };
    read(status, &answer, asked_at)
}

async fn connect(uri: &Uri, allow_private: bool, lookup: &Lookup) -> Result<TcpStream, MintError> {
    let host = uri.host().unwrap_or_default();
    let default_port = match uri.scheme_str() {
        Some("http") => 80,
        Some(_) | None => 443,
    };
    let port = uri.port_u16().unwrap_or(default_port);
    let unresolved = |reason| MintError::Unresolved {
        host: host.to_owned(),
        reason,
    };
    let addresses = match host.trim_matches(['[', ']']).parse() {
        Ok(address) => vec![address],
        Err(_) => lookup(host.to_owned()).await.map_err(unresolved)?,
    };
    let mut failure = unresolved("it has no address".to_owned());
    for address in addresses {
        failure = match resolve::check(address, allow_private) {
            Ok(address) => match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error.into(),
            },
            Err(reason) => MintError::AddressRefused { address, reason },
        };
    }
    Err(failure)
}

async fn handshake(
    uri: &Uri,
    client: &ClientConfig,
    tcp: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, MintError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let mut config = client.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(name, tcp).await?)
}

async fn ask<S>(uri: &Uri, body: String, stream: S) -> Result<(StatusCode, Bytes), MintError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::post(uri.path())
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(std::io::Error::other)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_LIMIT);
        let body = body.collect().await.map_err(std::io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    let answered = answered.await;
    connection.abort();
    answered
}

fn read(status: StatusCode, answer: &[u8], asked_at: Instant) -> Result<Granted, MintError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer<'a> {
        #[serde(borrow)]
        access_token: Option<&'a str>,
        expires_in: Option<u64>,
        error: Option<String>,
        error_description: Option<String>,
    }
    let answer: Answer<'_> = serde_json::from_slice(answer).unwrap_or_default();
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
        asked_at,
        lifetime: Duration::from_secs(lifetime.min(LIFETIME_SECONDS_MAX)),
    })
}
