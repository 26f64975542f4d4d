//! One reading of NetBird's management API: peers, groups and users, each listing on a connection of its
//! own.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use super::{NetbirdMap, mapping};
use crate::{
    config::{NetbirdConfig, TokenSource},
    control_plane::{
        outbound::{AnswerLimits, CallError, retry_after},
        resolve::Lookup,
        server::{Server, ServerError},
        snapshot::Problem,
        token::{self, TokenError},
    },
    secret::Secret,
};

/// Largest listing: some 50,000 peers.
const LISTING_BYTES_MAX: usize = 64 << 20;

/// Why there is no new reading; names no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the token: {0}")]
    Token(#[from] TokenError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("GET {path} is refused ({status}): the token has ended, or its user may not list")]
    Refused {
        path: &'static str,
        status: StatusCode,
    },
    #[error("GET {path}: too many requests")]
    RateLimited {
        path: &'static str,
        retry_after: Option<Duration>,
    },
    #[error("GET {path} is answered with {status}")]
    Status {
        path: &'static str,
        status: StatusCode,
    },
    #[error("GET {path} is not answered as documented: {error}")]
    Malformed {
        path: &'static str,
        error: serde_json::Error,
    },
}

impl ReadError {
    /// In metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Server(ServerError::Unresolved { .. } | ServerError::AddressRefused { .. }) => {
                "address"
            }
            Self::Server(ServerError::Call(error)) => match error {
                CallError::KeyForm => "token",
                CallError::ConnectTimeout { .. } | CallError::Connect { .. } => "connect",
                CallError::TlsTimeout { .. } | CallError::Tls(_) | CallError::TlsCut(_) => "tls",
                CallError::Http(_) => "cut",
                CallError::TooLong(_) => "too_long",
                CallError::Silent(_) => "timeout",
            },
            Self::Refused { .. } => "refused",
            Self::RateLimited { .. } => "rate_limited",
            Self::Status { .. } => "status",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// The server's wish.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            Self::Token(_)
            | Self::Server(_)
            | Self::Refused { .. }
            | Self::Status { .. }
            | Self::Malformed { .. } => None,
        }
    }
}

/// Knows where NetBird is and how to speak to it.
pub(super) struct Client {
    server: Server,
    token: TokenSource,
    timeout: Duration,
}

impl Client {
    /// # Errors
    /// When the URL or the CA bundle of the configuration is no good.
    pub(super) fn new(config: &NetbirdConfig, lookup: Lookup) -> Result<Self, Problem> {
        Ok(Self {
            server: Server::with_secret(&config.url, config.ca.as_deref(), lookup)?,
            token: config.token.clone(),
            timeout: config.timeout,
        })
    }

    /// Reads all three listings. Users come last: the owner of a peer that is listed was there before.
    ///
    /// # Errors
    /// When any of them is not whole: a part of the truth is none.
    pub(super) async fn read(&self) -> Result<NetbirdMap, ReadError> {
        let token = token::read(&self.token)?;
        let addresses = self.server.addresses().await?;
        let peers = self.listing(&addresses, "/api/peers", &token).await?;
        let groups = self.listing(&addresses, "/api/groups", &token).await?;
        let users = self.listing(&addresses, "/api/users", &token).await?;
        let mapped = spawn_blocking(move || {
            let (peers, groups, users) = (peers.parse()?, groups.parse()?, users.parse()?);
            Ok(mapping::map(peers, groups, users))
        });
        mapped.await.expect("reading JSON does not panic")
    }

    async fn listing(
        &self,
        addresses: &[SocketAddr],
        path: &'static str,
        token: &Secret,
    ) -> Result<Listing, ReadError> {
        let limits = AnswerLimits {
            time: self.timeout,
            bytes: LISTING_BYTES_MAX,
        };
        let request = self.request(path, token).map_err(ServerError::Call)?;
        let called = self.server.call(addresses, limits, &request).await;
        let answer = called.map_err(ServerError::Call)?;
        match answer.status {
            StatusCode::OK => Ok(Listing {
                path,
                body: answer.body,
            }),
            StatusCode::TOO_MANY_REQUESTS => Err(ReadError::RateLimited {
                path,
                retry_after: retry_after(&answer.headers, SystemTime::now()),
            }),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(ReadError::Refused { path, status })
            }
            status => Err(ReadError::Status { path, status }),
        }
    }

    fn request(&self, path: &str, token: &Secret) -> Result<Request<Full<Bytes>>, CallError> {
        // The block that holds the token is wiped when it is freed, as all are.
        let value = Bytes::from([b"Token ", token.expose()].concat());
        let mut value = HeaderValue::from_maybe_shared(value).map_err(|_| CallError::KeyForm)?;
        value.set_sensitive(true);
        Ok(Request::get(format!("{}{path}", self.server.base_path()))
            .header(header::HOST, self.server.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, value)
            .body(Full::default())
            .expect("a checked URL's path and host"))
    }
}

/// A listing as it came, whole.
struct Listing {
    path: &'static str,
    body: Bytes,
}

impl Listing {
    fn parse<T: DeserializeOwned>(self) -> Result<Vec<T>, ReadError> {
        let Self { path, body } = self;
        serde_json::from_slice(&body).map_err(|error| ReadError::Malformed { path, error })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::resolve::system_lookup;

    fn client(url: &str) -> Result<Client, Problem> {
        let config = NetbirdConfig {
            url: url.to_owned(),
            token: TokenSource::Environment("NETBIRD_TOKEN".to_owned()),
            ca: None,
            refresh: Duration::from_secs(60),
            max_age: Duration::from_secs(600),
            timeout: Duration::from_secs(30),
        };
        Client::new(&config, system_lookup())
    }

    #[test]
    fn a_token_is_never_sent_in_the_clear() {
        for url in [
            "https://nb.example.com/base",
            "http://127.0.0.1:8080",
            "http://[::1]:80",
        ] {
            assert!(client(url).is_ok(), "{url}");
        }
        for url in [
            "http://nb.example.com",
            "http://10.0.0.1",
            "ftp://nb.example.com",
            "",
        ] {
            assert!(client(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_request_carries_the_token_and_hides_it() {
        let client = client("https://nb.example.com:8443/base").unwrap();
        let token = Secret::copy_of(b"nbp_secret");
        let request = client.request("/api/peers", &token).unwrap();
        assert_eq!(request.uri(), "/base/api/peers");
        assert_eq!(request.headers()["host"], "nb.example.com:8443");
        assert_eq!(request.headers()["authorization"], "Token nbp_secret");
        assert!(!format!("{request:?}").contains("nbp_secret"));
    }
}
