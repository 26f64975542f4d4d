//! The internal CA: made at the first start, its key sealed in the store. It issues the endpoint's
//! certificate, and is constrained to the endpoint's domain and to private addresses, so that whoever
//! trusts it for the endpoint does not trust it for the rest of the world.
//!
//! `certificate` is what a listener presents, wherever it comes from; `files` reads an operator's own.

mod certificate;
mod files;
mod subtree;

use std::net::IpAddr;

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

pub use self::{certificate::ServerCertificate, files::CertificateFileError};
use super::{
    resource::key::CA,
    seal::{Keyring, SealError},
    store::{Compare, Operation, Store, StoreError, Transaction, TransactionOutcome},
};
use crate::secret::Secret;

/// Days in which agents need not be told of a new CA.
const CA_DAYS: i64 = 3650;
/// Days an endpoint certificate is valid; some clients refuse long ones.
const ENDPOINT_DAYS: i64 = 90;
/// Fewer than in rcgen's own serial numbers, so that the two kinds never meet.
const SERIAL_BYTES: usize = 16;
/// Agents' clocks may be late.
const CLOCK_SKEW_HOURS: i64 = 24;

/// The open CA.
#[derive(Debug)]
pub struct Ca {
    certificate: CertificateDer<'static>,
    pem: String,
    /// PKCS #8.
    key: Secret,
    domain: String,
    expires_at: Timestamp,
}

/// A fresh endpoint certificate.
#[derive(Debug)]
pub struct Issued {
    pub certificate: ServerCertificate,
    /// Addresses outside the private ranges, which the CA may not vouch for.
    pub left_out: Vec<IpAddr>,
}

/// Why the CA does not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("the CA in the store is not what this version writes: {0}")]
    BadRecord(&'static str),
    #[error(
        "the CA vouches for {domain} only, and not for {name}: make a new CA, or claim another name"
    )]
    OutsideDomain { name: String, domain: String },
    #[error("the CA expired on {at}: make a new one")]
    Expired { at: Timestamp },
    #[error("the CA was changed by somebody else")]
    Conflict,
    #[error("making a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// At [`CA`]. The field `sealed` is what an exchange of the master key looks for.
#[derive(Debug, Serialize, Deserialize)]
struct CaDoc {
    sealed: String,
    certificate: String,
    domain: String,
    created_at: Timestamp,
}

impl Ca {
    /// The CA in the store; made for `domain` if there is none.
    pub async fn open_or_create(
        store: &dyn Store,
        keyring: &Keyring,
        domain: &str,
    ) -> Result<Self, CaError> {
        if let Some(ca) = Self::open(store, keyring).await? {
            return Ok(ca);
        }
        match Self::create(store, keyring, domain, Compare::Absent { key: CA.into() }).await {
            // Another start was faster.
            Err(CaError::Conflict) => Self::open(store, keyring).await?.ok_or(CaError::Conflict),
            made => made,
        }
    }

    /// A new CA for `domain` in place of the present one. Agents must be told to trust it.
    pub async fn replace(
        store: &dyn Store,
        keyring: &Keyring,
        domain: &str,
    ) -> Result<Self, CaError> {
        let present = store.range(CA).await?.entries;
        let compare = match present.iter().find(|entry| entry.key == CA) {
            Some(entry) => Compare::ModRevision {
                key: CA.into(),
                revision: entry.mod_revision,
            },
            None => Compare::Absent { key: CA.into() },
        };
        Self::create(store, keyring, domain, compare).await
    }

    /// Certificates with a fresh key for `names` (all under the CA's domain), and for these and `addresses`.
    ///
    /// Two, since BoringSSL cannot check a constraint on addresses, and refuses every certificate that lists
    /// one under a CA which has such a constraint (`X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE`; Claude Code).
    pub fn issue(
        &self,
        names: &[&str],
        addresses: &[IpAddr],
        now: Timestamp,
    ) -> Result<Issued, CaError> {
        if now >= self.expires_at {
            return Err(CaError::Expired {
                at: self.expires_at,
            });
        }
        let mut params = CertificateParams::default();
        for name in names {
            let name = name.to_ascii_lowercase();
            if !subtree::contains(&self.domain, &name) {
                return Err(CaError::OutsideDomain {
                    name,
                    domain: self.domain.clone(),
                });
            }
            params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into()?));
        }
        let (vouched, left_out) = addresses
            .iter()
            .copied()
            .partition::<Vec<_>, _>(|address| subtree::is_private(*address));
        // Clients read the alternative names; this one must not look like a host name to them.
        params.distinguished_name = common_name("Keyway endpoint");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let expires_at = (now + days(ENDPOINT_DAYS)).min(self.expires_at);
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now - CLOCK_SKEW_HOURS.hours());
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(expires_at);

        // Key pairs hold their bytes on the heap, which the allocator wipes.
        let ca_key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(self.key.expose()))?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &ca_key)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &issuer)?;
        let addresses = vouched.into_iter().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        // By default it is made of the key, which both have (RFC 5280 section 4.1.2.2: unique).
        let mut serial = params.key_identifier(&key);
        serial.truncate(SERIAL_BYTES);
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(serial.into());
        let address_certificate = params.signed_by(&key, &issuer)?;
        Ok(Issued {
            certificate: ServerCertificate {
                // The CA itself is not sent: who trusts it has it.
                chain: vec![certificate.into()],
                address_chain: Some(vec![address_certificate.into()]),
                key: Secret::copy_of(key.serialized_der()),
                expires_at,
            },
            left_out,
        })
    }

    /// The CA's certificate, for agents to trust.
    pub fn export_pem(&self) -> &str {
        &self.pem
    }

    /// The domain the CA vouches for.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// When agents will stop trusting it.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    async fn open(store: &dyn Store, keyring: &Keyring) -> Result<Option<Self>, CaError> {
        let entries = store.range(CA).await?.entries;
        let Some(entry) = entries.into_iter().find(|entry| entry.key == CA) else {
            return Ok(None);
        };
        let doc: CaDoc =
            serde_json::from_slice(&entry.value).map_err(|_| CaError::BadRecord("not its JSON"))?;
        let key = keyring.open(CA, &doc.sealed)?;
        Self::from_parts(doc.certificate, key, doc.domain).map(Some)
    }

    async fn create(
        store: &dyn Store,
        keyring: &Keyring,
        domain: &str,
        compare: Compare,
    ) -> Result<Self, CaError> {
        let now = Timestamp::now();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let secret = Secret::copy_of(key.serialized_der());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(subtree::constraints(domain));
        // The fingerprint tells one node's CA from another's in a trust store.
        let fingerprint = keyring.fingerprint(&secret);
        params.distinguished_name = common_name(&format!("Keyway CA {fingerprint}"));
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now - CLOCK_SKEW_HOURS.hours());
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now + days(CA_DAYS));
        let pem = params.self_signed(&key)?.pem();
        let doc = CaDoc {
            sealed: keyring.seal(CA, &secret)?,
            certificate: pem.clone(),
            domain: domain.to_ascii_lowercase(),
            created_at: now,
        };
        let put = Operation::Put {
            key: CA.into(),
            value: serde_json::to_vec(&doc).expect("text fields become JSON"),
        };
        let transaction = Transaction {
            compares: vec![compare],
            operations: vec![put],
        };
        match store.transact(transaction).await? {
            TransactionOutcome::Committed { .. } => Self::from_parts(pem, secret, doc.domain),
            TransactionOutcome::Conflict { .. } => Err(CaError::Conflict),
        }
    }

    fn from_parts(pem: String, key: Secret, domain: String) -> Result<Self, CaError> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| CaError::BadRecord("no certificate in it"))?;
        let expires_at = certificate::validity(&certificate)
            .map(|validity| validity.end)
            .ok_or(CaError::BadRecord("its certificate cannot be read"))?;
        Ok(Self {
            certificate,
            pem,
            key,
            domain,
            expires_at,
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The calendar does not matter for certificates: a day has 24 hours.
fn days(count: i64) -> jiff::Span {
    (count * 24).hours()
}

fn since_epoch(at: Timestamp) -> std::time::Duration {
    at.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs()
}

#[cfg(test)]
mod tests;
