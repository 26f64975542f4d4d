//! The endpoint's certificate from the operator's files.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
};
use tracing::{info, warn};

use crate::control_plane::snapshot::CertificateSource;

/// PEM files, read whenever a configuration is asked for.
pub(super) struct CertificateFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl CertificateSource for CertificateFiles {
    fn server_config(&mut self, names: &[Box<str>]) -> anyhow::Result<Arc<ServerConfig>> {
        let certificate = &self.certificate;
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("certificate {}", certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("key {}", self.key.display()))?;
        report_names(&chain, names);
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider supports TLS 1.2 and 1.3")
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .with_context(|| format!("certificate {}", certificate.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        info!(certificate = %certificate.display(), "endpoint certificate read");
        Ok(Arc::new(config))
    }
}

/// Stands where the internal CA belongs.
pub(super) struct NoCa;

impl CertificateSource for NoCa {
    fn server_config(&mut self, _names: &[Box<str>]) -> anyhow::Result<Arc<ServerConfig>> {
        anyhow::bail!("there is no internal CA: set endpoint.tls_certificate and endpoint.tls_key")
    }
}

/// An operator's certificate rarely names addresses, but it should name the endpoint.
fn report_names(chain: &[CertificateDer<'_>], names: &[Box<str>]) {
    let Some(Ok(certificate)) = chain.first().map(ParsedCertificate::try_from) else {
        return;
    };
    for name in names {
        let Ok(server_name) = ServerName::try_from(name.as_ref()) else {
            continue;
        };
        let named = verify_server_name(&certificate, &server_name).is_ok();
        if !named && matches!(server_name, ServerName::DnsName(_)) {
            warn!(name, "the endpoint's certificate does not cover its name");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write_pair(files: &CertificateFiles, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        fs::write(&files.certificate, made.cert.pem()).expect("written");
        fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    }

    #[test]
    fn files_become_a_configuration_and_mixed_up_ones_do_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = CertificateFiles {
            certificate: directory.path().join("endpoint.pem"),
            key: directory.path().join("endpoint.key"),
        };
        assert!(files.server_config(&[]).is_err());

        write_pair(&files, &["brave-otter.keyway.internal"]);
        let config = files.server_config(&["brave-otter.keyway.internal".into()]);
        assert_eq!(
            config.expect("a configuration").alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );

        let other = rcgen::KeyPair::generate().expect("a key");
        fs::write(&files.key, other.serialize_pem()).expect("written");
        let error = files.server_config(&[]).expect_err("the key is another's");
        assert!(!format!("{error:#}").contains("PRIVATE"), "{error:#}");
    }
}
