//! The endpoint's certificate: issued by the node's own CA, or from the operator's files.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tracing::{info, warn};

use crate::control_plane::{
    ca::{Ca, ServerCertificate},
    snapshot::{CertificateSource, Certified},
};

/// Asked for a configuration whenever the endpoint's names change, and from time to time.
pub(super) enum EndpointCertificate {
    Issued(Arc<Ca>),
    /// PEM files, read every time.
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
}

impl CertificateSource for EndpointCertificate {
    fn certify(&mut self, names: &[Box<str>]) -> anyhow::Result<Certified> {
        let now = Timestamp::now();
        let certificate = match self {
            Self::Issued(ca) => issue(ca, names, now)?,
            Self::Files { certificate, key } => {
                let read = ServerCertificate::from_files(certificate, key, now)?;
                report_names(&read, names);
                read
            }
        };
        info!(
            expires_at = %certificate.expires_at,
            "the endpoint has a certificate"
        );
        Ok(Certified {
            tls: certificate.server_config()?,
            expires_at: certificate.expires_at,
        })
    }
}

fn issue(ca: &Ca, names: &[Box<str>], now: Timestamp) -> anyhow::Result<ServerCertificate> {
    let mut hosts = Vec::new();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for name in names {
        match name.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => hosts.push(name.as_ref()),
        }
    }
    let issued = ca.issue(&hosts, &addresses, now)?;
    for address in issued.left_out {
        warn!(%address, "the CA does not vouch for public addresses; agents must use the name");
    }
    Ok(issued.certificate)
}

/// An operator's certificate rarely names addresses, but it should name the endpoint.
fn report_names(certificate: &ServerCertificate, names: &[Box<str>]) {
    for name in names {
        if name.parse::<IpAddr>().is_err() && !certificate.covers(name) {
            warn!(name, "the endpoint's certificate does not cover its name");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::control_plane::{
        seal::{Keyring, MasterKey},
        store::SledStore,
    };

    #[test]
    fn files_are_read_every_time_and_mixed_up_ones_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let certificate = directory.path().join("endpoint.pem");
        let key = directory.path().join("endpoint.key");
        let mut source = EndpointCertificate::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        assert!(source.certify(&[]).is_err());

        let names = vec!["brave-otter.keyway.internal".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        fs::write(&certificate, made.cert.pem()).expect("written");
        fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        let config = source.certify(&["brave-otter.keyway.internal".into()]);
        assert_eq!(
            config.expect("a configuration").tls.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );

        let other = rcgen::KeyPair::generate().expect("a key");
        fs::write(&key, other.serialize_pem()).expect("written");
        assert!(source.certify(&[]).is_err());
    }

    #[tokio::test]
    async fn the_ca_issues_for_the_name_and_the_addresses() {
        let directory = tempfile::tempdir().expect("a directory");
        let opened = SledStore::open(&directory.path().join("store"), 0).expect("a store");
        let keyring = Keyring::of(MasterKey::generate().expect("random numbers"));
        let ca = Ca::open_or_create(&opened.store, &keyring, "keyway.internal")
            .await
            .expect("a CA");
        let mut source = EndpointCertificate::Issued(Arc::new(ca));
        let names = [
            "brave-otter.keyway.internal".into(),
            "100.64.0.9".into(),
            "fd00::9".into(),
        ];
        assert!(source.certify(&names).is_ok());
        let foreign = source.certify(&["api.openai.com".into()]);
        assert!(foreign.is_err(), "the CA is constrained to its domain");
    }
}
