//! `Server`: one that the configuration names by its URL, such as NetBird's or a collector of spans. Its name
//! is looked up anew for each use, and connected to is only what was checked.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{
    outbound::{Answer, AnswerLimits, CallError, Destination, call_within},
    resolve::{AddressRefused, Lookup, check, look_up_once},
    snapshot::{Host, Problem, Trust, Upstream, client_config},
};
use crate::handoff::snapshot::TargetTls;

/// TCP and the TLS handshake, each.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer; names no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    #[error("{host} does not resolve: {reason}")]
    Unresolved { host: String, reason: String },
    #[error("{address}: {reason}")]
    AddressRefused {
        address: IpAddr,
        reason: AddressRefused,
    },
    #[error(transparent)]
    Call(#[from] CallError),
}

/// See the module.
pub(super) struct Server {
    upstream: Upstream,
    tls: Option<TargetTls>,
    lookup: Lookup,
}

impl Server {
    /// `ca` is a PEM bundle to trust in place of the system's roots.
    ///
    /// # Errors
    /// When the URL or the bundle is no good.
    pub(super) fn new(url: &str, ca: Option<&Path>, lookup: Lookup) -> Result<Self, Problem> {
        let upstream = Upstream::parse(url)?;
        let tls = if upstream.tls {
            let trust = match ca {
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
        } else {
            None
        };
        Ok(Self {
            upstream,
            tls,
            lookup,
        })
    }

    /// As [`Self::new`], for a server that is sent a secret: others must not read it on its way.
    ///
    /// # Errors
    /// As [`Self::new`], and for `http://` to another machine.
    pub(super) fn with_secret(
        url: &str,
        ca: Option<&Path>,
        lookup: Lookup,
    ) -> Result<Self, Problem> {
        let server = Self::new(url, ca, lookup)?;
        let is_here =
            matches!(server.upstream.host, Host::Literal(address) if address.is_loopback());
        if server.tls.is_none() && !is_here {
            return Err(Problem::UpstreamUrl(
                "it must begin with https://, or the token would be there for all to read",
            ));
        }
        Ok(server)
    }

    /// For the `Host` header.
    pub(super) fn authority(&self) -> &str {
        &self.upstream.authority
    }

    /// What comes before every path; empty for the root.
    pub(super) fn base_path(&self) -> &str {
        &self.upstream.path
    }

    /// At least one.
    ///
    /// # Errors
    /// When the name has none, or none that may be used.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, ServerError> {
        let found = match &self.upstream.host {
            Host::Literal(address) => vec![*address],
            Host::Name(host) => {
                let unresolved = |reason| ServerError::Unresolved {
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
        let mut addresses = Vec::with_capacity(found.len());
        let mut refused = None;
        for address in found {
            // Servers that operators run are often in a private network.
            match check(address, true) {
                Ok(address) => addresses.push(SocketAddr::new(address, self.upstream.port)),
                Err(reason) => refused = Some(ServerError::AddressRefused { address, reason }),
            }
        }
        match refused {
            Some(error) if addresses.is_empty() => Err(error),
            Some(_) | None => Ok(addresses),
        }
    }

    /// Sends a request to the first of `addresses` that can be connected to.
    ///
    /// # Errors
    /// When no whole answer comes; an error status is an answer.
    pub(super) async fn call(
        &self,
        addresses: &[SocketAddr],
        limits: AnswerLimits,
        request: &Request<Full<Bytes>>,
    ) -> Result<Answer, CallError> {
        let mut called = Err(CallError::Silent(limits.time));
        for &address in addresses {
            let destination = Destination {
                address,
                tls: self.tls.as_ref(),
            };
            let connect_limit = CONNECT_TIMEOUT.min(limits.time);
            called = call_within(destination, connect_limit, limits, request.clone()).await;
            let is_of_address = called.as_ref().is_err_and(CallError::is_of_address);
            if !is_of_address {
                break;
            }
        }
        called
    }
}
