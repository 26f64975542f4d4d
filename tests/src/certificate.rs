//! A throw-away CA and the certificate it issues for a loopback server.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// A CA of one test or demo, with a certificate for `localhost` and `127.0.0.1`.
pub struct Authority {
    /// What a client has to trust, in PEM.
    pub ca_pem: String,
    /// The server's certificate and its key, in PEM.
    pub chain_pem: String,
    pub key_pem: String,
}

impl Authority {
    /// Makes a fresh CA and certificate.
    ///
    /// # Errors
    /// When the system's random source fails.
    pub fn new(common_name: &str) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(DnType::CommonName, format!("{common_name} CA"));
        let ca_pem = ca.self_signed(&ca_key)?.pem();

        let key = KeyPair::generate()?;
        let mut leaf =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        leaf.distinguished_name
            .push(DnType::CommonName, common_name);
        let chain_pem = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?.pem();
        Ok(Self {
            ca_pem,
            chain_pem,
            key_pem: key.serialize_pem(),
        })
    }

    /// A server offering `protocols` by ALPN, most wanted first.
    ///
    /// # Errors
    /// When rustls refuses the certificate.
    pub fn server_config(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>> {
        let chain = vec![CertificateDer::from_pem_slice(self.chain_pem.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// A client that trusts the certificates in `ca_pem` and nothing else.
///
/// # Errors
/// When `ca_pem` holds no usable certificate.
pub fn client_config(ca_pem: &str, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate?).context("a CA certificate")?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(roots)
    .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
