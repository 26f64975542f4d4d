//! One reading of NetBird's management API: peers, groups and users, each listing on a connection of its
//! own.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use super::{
    NetbirdMap, mapping,
    token::{self, TokenError},
};
use crate::{
    config::{NetbirdConfig, TokenSource},
    control_plane::{
        outbound::{AnswerLimits, CallError, call_within},
        resolve::{AddressRefused, Lookup, check, look_up_once},
        snapshot::{Host, Problem, Trust, Upstream, client_config},
    },
    handoff::snapshot::{Target, TargetId, TargetTls},
    secret::Secret,
};

/// Largest listing: some 50,000 peers.
const LISTING_BYTES_MAX: usize = 64 << 20;

/// TCP and the TLS handshake, each.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no new reading; names no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the token: {0}")]
    Token(#[from] TokenError),
    #[error("{host} does not resolve: {reason}")]
    Unresolved { host: String, reason: String },
    #[error("{address}: {reason}")]
    AddressRefused {
        address: IpAddr,
        reason: AddressRefused,
    },
    #[error(transparent)]
    Call(#[from] CallError),
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
            Self::Token(_) | Self::Call(CallError::KeyForm) => "token",
            Self::Unresolved { .. } | Self::AddressRefused { .. } => "address",
            Self::Call(CallError::ConnectTimeout { .. } | CallError::Connect { .. }) => "connect",
            Self::Call(CallError::TlsTimeout { .. } | CallError::Tls(_) | CallError::TlsCut(_)) => {
                "tls"
            }
            Self::Call(CallError::Http(_)) => "cut",
            Self::Call(CallError::TooLong(_)) => "too_long",
            Self::Call(CallError::Silent(_)) => "timeout",
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
            | Self::Unresolved { .. }
            | Self::AddressRefused { .. }
            | Self::Call(_)
            | Self::Refused { .. }
            | Self::Status { .. }
            | Self::Malformed { .. } => None,
        }
    }
}

/// Knows where NetBird is and how to speak to it.
pub(super) struct Client {
    upstream: Upstream,
    tls: Option<TargetTls>,
    token: TokenSource,
    timeout: Duration,
    lookup: Lookup,
}

impl Client {
    /// # Errors
    /// When the URL or the CA bundle of the configuration is no good.
    pub(super) fn new(config: &NetbirdConfig, lookup: Lookup) -> Result<Self, Problem> {
        let upstream = Upstream::parse(&config.url)?;
        let tls = if upstream.tls {
            let trust = match &config.ca {
                Some(path) => Trust::Bundle(
                    std::fs::read_to_string(path)
                        .map_err(|error| Problem::CaBundle(error.to_string()))?,
                ),
                None => Trust::SystemRoots,
            };
            Some(TargetTls {
                config: client_config(&trust)?,
                server_name: upstream.host.server_name()?,
            })
        } else if matches!(upstream.host, Host::Literal(address) if address.is_loopback()) {
            None
        } else {
            return Err(Problem::UpstreamUrl(
                "it must begin with https://, or the token would be there for all to read",
            ));
        };
        Ok(Self {
            upstream,
            tls,
            token: config.token.clone(),
            timeout: config.timeout,
            lookup,
        })
    }

    /// Reads all three listings. Users come last: the owner of a peer that is listed was there before.
    ///
    /// # Errors
    /// When any of them is not whole: a part of the truth is none.
    pub(super) async fn read(&self) -> Result<NetbirdMap, ReadError> {
        let token = token::read(&self.token)?;
        let targets = self.targets().await?;
        let peers = self.listing(&targets, "/api/peers", &token).await?;
        let groups = self.listing(&targets, "/api/groups", &token).await?;
        let users = self.listing(&targets, "/api/users", &token).await?;
        let mapped = spawn_blocking(move || {
            let (peers, groups, users) = (peers.parse()?, groups.parse()?, users.parse()?);
            Ok(mapping::map(peers, groups, users))
        });
        mapped.await.expect("reading JSON does not panic")
    }

    async fn targets(&self) -> Result<Vec<Target>, ReadError> {
        let addresses = match &self.upstream.host {
            Host::Literal(address) => vec![*address],
            Host::Name(host) => {
                let unresolved = |reason| ReadError::Unresolved {
                    host: host.clone(),
                    reason,
                };
                let answer = look_up_once(&self.lookup, host).await.remove(host);
                match answer {
                    Some(answer) if !answer.addresses.is_empty() => answer.addresses,
                    Some(answer) => return Err(unresolved(answer.failure.unwrap_or_default())),
                    None => return Err(unresolved("nobody was asked".to_owned())),
                }
            }
        };
        let mut targets = Vec::with_capacity(addresses.len());
        let mut refused = None;
        for address in addresses {
            // Self-hosted servers are often in a private network.
            match check(address, true) {
                Ok(address) => targets.push(self.target(address)),
                Err(reason) => refused = Some(ReadError::AddressRefused { address, reason }),
            }
        }
        match refused {
            Some(error) if targets.is_empty() => Err(error),
            Some(_) | None => Ok(targets),
        }
    }

    fn target(&self, address: IpAddr) -> Target {
        Target {
            id: TargetId(0),
            address: SocketAddr::new(address, self.upstream.port),
            authority: self.upstream.authority.as_str().into(),
            credential: None,
            tls: self.tls.clone(),
        }
    }

    /// From the first address that can be connected to.
    async fn listing(
        &self,
        targets: &[Target],
        path: &'static str,
        token: &Secret,
    ) -> Result<Listing, ReadError> {
        let limits = AnswerLimits {
            time: self.timeout,
            bytes: LISTING_BYTES_MAX,
        };
        let mut called = Err(CallError::Silent(self.timeout));
        for target in targets {
            let request = self.request(path, token)?;
            called = call_within(
                target.into(),
                CONNECT_TIMEOUT.min(self.timeout),
                limits,
                request,
            )
            .await;
            let unreachable = matches!(
                called,
                Err(CallError::Connect { .. } | CallError::ConnectTimeout { .. })
            );
            if !unreachable {
                break;
            }
        }
        let answer = called?;
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
        Ok(Request::get(format!("{}{path}", self.upstream.path))
            .header(header::HOST, self.upstream.authority.as_str())
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

/// RFC 9110 section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => (httpdate::parse_http_date(text).ok()?.duration_since(now)).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

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

    #[test]
    fn a_wish_to_wait_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, wait) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("-1", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            let wait = wait.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), wait, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
