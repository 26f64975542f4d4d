#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConnection,
    crypto::aws_lc_rs, pki_types::ServerName,
};

use super::*;
use crate::control_plane::{seal::MasterKey, store::SledStore};

const DOMAIN: &str = "keyway.internal";
const NAME: &str = "brave-otter.keyway.internal";

async fn ca(directory: &Path) -> (SledStore, Keyring, Ca) {
    let store = SledStore::open(directory, 0).unwrap().store;
    let keyring = Keyring::of(MasterKey::generate().unwrap());
    let ca = Ca::open_or_create(&store, &keyring, DOMAIN).await.unwrap();
    (store, keyring, ca)
}

fn client_config(
    ca: &Ca,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.export_pem().as_bytes()).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A handshake in memory.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<rustls::ServerConfig>,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
        wire.clear();
    }
    Ok(client)
}

#[tokio::test]
async fn agents_that_trust_the_ca_connect() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _, ca) = ca(directory.path()).await;
    let addresses = ["100.64.0.1", "fd00::1", "8.8.8.8"].map(|text| text.parse().unwrap());
    let issued = ca.issue(&[NAME], &addresses, Timestamp::now()).unwrap();
    assert_eq!(issued.left_out, ["8.8.8.8".parse::<IpAddr>().unwrap()]);
    let server = issued.certificate.server_config().unwrap();
    use rustls::version::{TLS12, TLS13};
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = client_config(&ca, &[version]);
        for name in [NAME, "100.64.0.1", "fd00::1"] {
            let connection = handshake(&client, &server, name).unwrap();
            assert_eq!(connection.protocol_version(), Some(expected));
            assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
        }
        for name in ["other.keyway.internal", "8.8.8.8"] {
            assert!(handshake(&client, &server, name).is_err(), "{name}");
        }
        // A renewed certificate keeps the tickets of the one before.
        let renewed = ca
            .issue(&[NAME], &[], Timestamp::now())
            .unwrap()
            .certificate;
        let resumed = handshake(&client, &renewed.server_config().unwrap(), NAME).unwrap();
        assert_eq!(
            resumed.handshake_kind(),
            Some(rustls::HandshakeKind::Resumed)
        );
    }
    // What clients of a name see lists no address, which BoringSSL would refuse under this CA.
    let (_, seen) = x509_parser::parse_x509_certificate(&issued.certificate.chain[0]).unwrap();
    let listed = seen.subject_alternative_name().unwrap().unwrap().value;
    assert_eq!(
        listed.general_names,
        [x509_parser::extensions::GeneralName::DNSName(NAME)]
    );
    let by_address = &issued.certificate.address_chain.as_ref().unwrap()[0];
    let (_, by_address) = x509_parser::parse_x509_certificate(by_address).unwrap();
    assert_ne!(by_address.serial, seen.serial);
    for (name, expected) in [
        (NAME, true),
        ("100.64.0.1", true),
        (DOMAIN, false),
        ("", false),
    ] {
        assert_eq!(issued.certificate.covers(name), expected, "{name}");
    }
}

/// The constraints are in the certificate itself: clients refuse what a stolen CA key would sign.
#[tokio::test]
async fn the_ca_is_worth_nothing_for_other_names() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _, mut ca) = ca(directory.path()).await;
    for name in ["api.openai.com", "evilkeyway.internal", "internal", ""] {
        let refused = ca.issue(&[name], &[], Timestamp::now());
        assert!(
            matches!(refused, Err(CaError::OutsideDomain { .. })),
            "{name}"
        );
    }
    ca.domain = "openai.com".into();
    let stolen = ca
        .issue(&["api.openai.com"], &[], Timestamp::now())
        .unwrap()
        .certificate;
    let client = client_config(&ca, &[&rustls::version::TLS13]);
    assert!(stolen.covers("api.openai.com"));
    let error = handshake(&client, &stolen.server_config().unwrap(), "api.openai.com").unwrap_err();
    assert!(error.to_string().contains("NameConstraint"), "{error}");
}

#[tokio::test]
async fn the_ca_is_made_once_and_kept_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, keyring, first) = ca(directory.path()).await;
    let again = Ca::open_or_create(&store, &keyring, "another.domain")
        .await
        .unwrap();
    assert_eq!(again.export_pem(), first.export_pem());
    assert_eq!(
        (again.domain(), again.expires_at()),
        (DOMAIN, first.expires_at())
    );
    again.issue(&[NAME], &[], Timestamp::now()).unwrap();
    let stored = store.range(CA).await.unwrap().entries.remove(0).value;
    assert!(!String::from_utf8(stored).unwrap().contains("PRIVATE"));
    let stranger = Keyring::of(MasterKey::generate().unwrap());
    let refused = Ca::open_or_create(&store, &stranger, DOMAIN).await;
    assert!(matches!(refused, Err(CaError::Seal(_))));
    let replaced = Ca::replace(&store, &keyring, "another.domain")
        .await
        .unwrap();
    assert_ne!(replaced.export_pem(), first.export_pem());
    replaced
        .issue(&["x.Another.Domain"], &[], Timestamp::now())
        .unwrap();
    let reopened = Ca::open_or_create(&store, &keyring, DOMAIN).await.unwrap();
    assert_eq!(reopened.export_pem(), replaced.export_pem());
}

#[tokio::test]
async fn certificates_end_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _, ca) = ca(directory.path()).await;
    let now = Timestamp::now();
    let certificate = ca.issue(&[NAME], &[], now).unwrap().certificate;
    let valid = certificate::validity(&certificate.chain[0]).unwrap();
    assert_eq!(valid.end.as_second(), (now + days(90)).as_second());
    assert!(valid.start < now);
    assert!(certificate.renew_at() > now && certificate.renew_at() < certificate.expires_at);
    // Near its own end the CA issues shorter ones, and none after it.
    let late = ca.expires_at() - days(10);
    assert_eq!(
        ca.issue(&[NAME], &[], late).unwrap().certificate.expires_at,
        ca.expires_at()
    );
    let too_late = ca.issue(&[NAME], &[], ca.expires_at());
    assert!(matches!(too_late, Err(CaError::Expired { .. })));
}

#[tokio::test]
async fn files_and_their_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _, ca) = ca(&directory.path().join("store")).await;
    let pem = |label: &str, der: &[u8]| {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let body = BASE64_STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let now = Timestamp::now();
    let [one, two] = [0, 1].map(|_| ca.issue(&[NAME], &[], now).unwrap().certificate);
    let certificate = pem("CERTIFICATE", &one.chain[0]);
    let key = pem("PRIVATE KEY", one.key.expose());
    let other_key = pem("PRIVATE KEY", two.key.expose());
    let chain = certificate.clone() + ca.export_pem();
    let ca_first = ca.export_pem().to_owned() + &certificate;
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"abc");
    let bad = pem("CERTIFICATE", b"not DER");
    let later = now + days(91);
    let earlier = now - days(9);
    let (certificate_path, key_path) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    let load = |certificate: &str, key: &str, now| {
        fs::write(&certificate_path, certificate).unwrap();
        fs::write(&key_path, key).unwrap();
        ServerCertificate::from_files(&certificate_path, &key_path, now)
    };

    for good in [&certificate, &chain] {
        let loaded = load(good, &key, now).unwrap();
        assert_eq!(loaded.expires_at.as_second(), one.expires_at.as_second());
        let client = client_config(&ca, &[&rustls::version::TLS13]);
        handshake(&client, &loaded.server_config().unwrap(), NAME).unwrap();
    }
    let cases: [(&str, &str, Timestamp, &str); 11] = [
        (&certificate, &other_key, now, "is not the key of"),
        (&certificate, &key, later, "expired on"),
        (&certificate, &key, earlier, "is the clock right"),
        (
            &key,
            &certificate,
            now,
            "holds a private key and no certificate",
        ),
        (
            &certificate,
            &certificate,
            now,
            "holds a certificate and no private key",
        ),
        (&certificate, &encrypted, now, "is encrypted"),
        (&certificate, "", now, "no PEM private key"),
        ("hello", &key, now, "no PEM certificate"),
        (&bad, &key, now, "cannot be read"),
        (&ca_first, &key, now, "is a CA's"),
        (&" ".repeat(300_000), &key, now, "larger than"),
    ];
    for (certificate, key, at, expected) in cases {
        let error = load(certificate, key, at).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} / {expected}");
        assert!(error.contains(".pem"), "{error}");
    }
    let absent = directory.path().join("absent");
    let error = ServerCertificate::from_files(&absent, &key_path, now).unwrap_err();
    assert!(matches!(error, CertificateFileError::Io { .. }));
}
