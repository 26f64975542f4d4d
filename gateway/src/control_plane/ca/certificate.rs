//! `ServerCertificate`: what a listener presents, and the TLS configuration made of it.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{Timestamp, ToSpan};
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{ClientHello, ParsedCertificate, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::secret::Secret;

/// An endpoint certificate is replaced this long before it expires.
const RENEW_BEFORE_DAYS: i64 = 30;

/// Preferred first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate chain and its key.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// The server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// For clients that connect to an address, if they are shown another one.
    pub address_chain: Option<Vec<CertificateDer<'static>>>,
    /// Private key, DER.
    pub key: Secret,
    pub expires_at: Timestamp,
}

impl ServerCertificate {
    /// TLS 1.3 and 1.2, HTTP/2 and HTTP/1.1, resumption by tickets.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let key = PrivateKeyDer::try_from(self.key.expose())
            .map_err(|problem| rustls::Error::General(problem.to_owned()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = |chain: &[CertificateDer<'static>]| {
            CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider).map(Arc::new)
        };
        let named = certified(&self.chain)?;
        let unnamed = match &self.address_chain {
            Some(chain) => certified(chain)?,
            None => Arc::clone(&named),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByServerName { named, unnamed }));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        config.ticketer = ticketer()?;
        Ok(Arc::new(config))
    }

    /// A client that connects to `name` (a host name or an address) accepts the certificate for it.
    pub fn covers(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else {
            return false;
        };
        let chain = match (&name, &self.address_chain) {
            (ServerName::IpAddress(_), Some(chain)) => chain,
            (_, _) => &self.chain,
        };
        chain.first().is_some_and(|certificate| {
            ParsedCertificate::try_from(certificate)
                .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
        })
    }

    /// When to replace it by a new one.
    pub fn renew_at(&self) -> Timestamp {
        self.expires_at - (RENEW_BEFORE_DAYS * 24).hours()
    }
}

/// Chooses by what the client connects to: only host names are told in a handshake (RFC 6066 section 3).
#[derive(Debug)]
struct ByServerName {
    named: Arc<CertifiedKey>,
    unnamed: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certified = match client_hello.server_name() {
            Some(_) => &self.named,
            None => &self.unnamed,
        };
        Some(Arc::clone(certified))
    }
}

/// From when to when a certificate is valid; `None` if it cannot be read.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<Range<Timestamp>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    let start = Timestamp::from_second(validity.not_before.timestamp()).ok()?;
    let end = Timestamp::from_second(validity.not_after.timestamp()).ok()?;
    Some(start..end)
}

/// One for the process: a ticket outlives the certificate it was given under, and every worker's
/// configuration accepts it. Its keys change every six hours.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    static TICKETER: Mutex<Option<Arc<dyn ProducesTickets>>> = Mutex::new(None);
    let mut ticketer = TICKETER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*ticketer {
        Some(ticketer) => Ok(Arc::clone(ticketer)),
        None => Ok(Arc::clone(ticketer.insert(aws_lc_rs::Ticketer::new()?))),
    }
}
