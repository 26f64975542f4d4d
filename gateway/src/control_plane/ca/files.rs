//! An operator's own certificate and key, from PEM files. Every mistake has its own message, because
//! these files come from somewhere else.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::{ServerCertificate, certificate::validity};
use crate::secret::Secret;

/// Largest accepted file.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} holds a private key and no certificate: are the two files swapped?", path.display())]
    KeyForCertificate { path: PathBuf },
    #[error("{} holds a certificate and no private key: are the two files swapped?", path.display())]
    CertificateForKey { path: PathBuf },
    #[error("{} holds no PEM certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no PEM private key", path.display())]
    NoKey { path: PathBuf },
    #[error("the private key in {} is encrypted: store it decrypted, readable by the service only", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("a certificate in {} cannot be read", path.display())]
    BadCertificate { path: PathBuf },
    #[error("the private key in {} is of no supported kind", path.display())]
    BadKey { path: PathBuf },
    #[error("the first certificate in {} is a CA's: put the endpoint's own first", path.display())]
    CaFirst { path: PathBuf },
    #[error("the certificate in {} expired on {at}", path.display())]
    Expired { path: PathBuf, at: Timestamp },
    #[error("the certificate in {} is valid only from {at}; is the clock right?", path.display())]
    NotYetValid { path: PathBuf, at: Timestamp },
    #[error("the key in {} is not the key of the certificate in {}", key.display(), certificate.display())]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
}

impl ServerCertificate {
    /// Reads and checks both files. Blocks.
    pub fn from_files(
        certificate: &Path,
        key: &Path,
        now: Timestamp,
    ) -> Result<Self, CertificateFileError> {
        let chain = read_chain(certificate)?;
        let expires_at = check_validity(&chain[0], certificate, now)?;
        let key_der = read_key(key)?;
        let secret = Secret::copy_of(key_der.secret_der());
        match CertifiedKey::from_der(chain.clone(), key_der, &aws_lc_rs::default_provider()) {
            Ok(_) => Ok(Self {
                address_chain: None,
                chain,
                key: secret,
                expires_at,
            }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateFileError::KeyMismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            }),
            Err(_) => Err(CertificateFileError::BadKey {
                path: key.to_owned(),
            }),
        }
    }
}

/// At least one certificate.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let pem = read(path)?;
    let path = path.to_owned();
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Err(_) => Err(CertificateFileError::BadCertificate { path }),
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if PrivateKeyDer::from_pem_slice(&pem).is_ok() => {
            Err(CertificateFileError::KeyForCertificate { path })
        }
        Ok(_) => Err(CertificateFileError::NoCertificate { path }),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateFileError> {
    let pem = read(path)?;
    let path = path.to_owned();
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&pem) {
        return Ok(key);
    }
    if memchr::memmem::find(&pem, b"ENCRYPTED").is_some() {
        return Err(CertificateFileError::EncryptedKey { path });
    }
    match CertificateDer::from_pem_slice(&pem) {
        Ok(_) => Err(CertificateFileError::CertificateForKey { path }),
        Err(_) => Err(CertificateFileError::NoKey { path }),
    }
}

/// Until when the certificate is valid.
fn check_validity(
    certificate: &CertificateDer<'_>,
    path: &Path,
    now: Timestamp,
) -> Result<Timestamp, CertificateFileError> {
    let path = path.to_owned();
    let (_, parsed) = match x509_parser::parse_x509_certificate(certificate) {
        Ok(parsed) => parsed,
        Err(_) => return Err(CertificateFileError::BadCertificate { path }),
    };
    // A self-signed server certificate may claim to be a CA; one that only signs others may not serve.
    let names = parsed.subject_alternative_name().ok().flatten();
    if parsed.is_ca() && names.is_none() {
        return Err(CertificateFileError::CaFirst { path });
    }
    match validity(certificate) {
        Some(validity) if now >= validity.end => Err(CertificateFileError::Expired {
            path,
            at: validity.end,
        }),
        Some(validity) if now < validity.start => Err(CertificateFileError::NotYetValid {
            path,
            at: validity.start,
        }),
        Some(validity) => Ok(validity.end),
        None => Err(CertificateFileError::BadCertificate { path }),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateFileError> {
    let at = |source| CertificateFileError::Io {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(at)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = FILE_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(at)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(CertificateFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}
