//! A management API over TCP.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::cli::Failure;

/// Where it is, and the token that opens it.
pub(super) struct Server {
    url: Uri,
    host: String,
    port: u16,
    pub(super) tls: bool,
    /// Marked sensitive.
    pub(super) authorization: HeaderValue,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.url)
    }
}

impl Server {
    pub(super) fn new(url: &str, token: Zeroizing<String>) -> Result<Self, Failure> {
        let usage = |message: &str| Failure::Usage(format!("--server: {message}"));
        let url: Uri = url.parse().map_err(|_| usage("is not a URL"))?;
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(usage("must begin with https:// or http://")),
        };
        let host = url.host().ok_or_else(|| usage("has no host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let is_loopback = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if !tls && !is_loopback {
            return Err(usage(
                "plain http would show the token to the network; use https, or ssh to the node",
            ));
        }
        let mut authorization = HeaderValue::try_from(format!("Token {}", token.as_str()))
            .map_err(|_| {
                Failure::Usage("KEYWAY_TOKEN does not look like a token (kwt_…)".to_owned())
            })?;
        authorization.set_sensitive(true);
        Ok(Self {
            port: url.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host,
            tls,
            authorization,
            url,
        })
    }

    pub(super) fn authority(&self) -> &str {
        self.url
            .authority()
            .map_or(self.host.as_str(), |authority| authority.as_str())
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, Failure> {
        TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| {
                Failure::Unreachable(format!("{} cannot be reached: {error}", self.url))
            })
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's cipher suites cover TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from(self.host.clone()).map_err(|_| {
            Failure::Usage("--server: is no name to check a certificate for".into())
        })?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| Failure::Unreachable(format!("{}: TLS: {error}", self.url)))
    }
}

/// `KEYWAY_TOKEN`.
pub(super) fn token() -> Result<Zeroizing<String>, Failure> {
    std::env::var("KEYWAY_TOKEN")
        .map(Zeroizing::new)
        .map_err(|_| {
            Failure::Usage(
                "--server needs a token in KEYWAY_TOKEN (make one on the node with \
                 `keyway token create NAME`)"
                    .to_owned(),
            )
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_off_the_network() {
        let token = || Zeroizing::new("kwt_x".to_owned());
        for (url, ok) in [
            ("https://node.example:8443", true),
            ("http://localhost:8081", true),
            ("http://127.0.0.1:8081", true),
            ("http://[::1]:8081", true),
            ("http://node.example", false),
            ("http://100.64.0.1", false),
            ("node.example", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(Server::new(url, token()).is_ok(), ok, "{url}");
        }
        let server = Server::new("http://localhost", token()).unwrap();
        assert!(!format!("{server:?} {:?}", server.authorization).contains("kwt_x"));
    }
}
