//! `ServiceAccount`: the JSON that Google gives out as a service account's key, read and checked.

use aws_lc_rs::signature::RsaKeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// In front of base64, as NetBird gives such keys.
const KEYFILE: &[u8] = b"keyfile::";

/// Where Google exchanges assertions; a file that names another place could send one anywhere.
const GOOGLE_TOKEN_URIS: [&str; 3] = [
    "https://oauth2.googleapis.com/token",
    "https://www.googleapis.com/oauth2/v4/token",
    "https://accounts.google.com/o/oauth2/token",
];

/// What is wrong with a service account's key; shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("is neither a service account's JSON nor `keyfile::` and that in base64")]
    NotAKeyFile,
    #[error("is not the JSON of a service account: `type` must be \"service_account\"")]
    OtherType,
    #[error("is a service account's JSON without `{0}`")]
    Missing(&'static str),
    #[error("has a `token_uri` that is not Google's")]
    TokenUri,
    #[error("has a `private_key` that is not an RSA key in PEM (PKCS #8)")]
    PrivateKey,
}

/// A key that can sign. Its memory is wiped when it is dropped: by AWS-LC, and by the allocator.
pub struct ServiceAccount {
    pub(super) client_email: String,
    pub(super) project_id: String,
    pub(super) private_key_id: Option<String>,
    pub(super) token_uri: Uri,
    /// Where it is Google's.
    pub(super) token_uri_is_google: bool,
    pub(super) key: RsaKeyPair,
}

impl ServiceAccount {
    /// The JSON of a key in either form that operators may give.
    ///
    /// # Errors
    /// When it cannot be used; see [`Self::read`].
    pub fn normalise(given: &Secret, allow_loopback: bool) -> Result<Secret, AccountError> {
        let given = given.expose().trim_ascii();
        let json = match given.strip_prefix(KEYFILE) {
            Some(text) => Secret::new(
                STANDARD
                    .decode(text)
                    .map_err(|_| AccountError::NotAKeyFile)?,
            ),
            None => Secret::copy_of(given),
        };
        Self::read(&json, allow_loopback)?;
        Ok(json)
    }

    /// Reads the JSON. Only Google's own token endpoints are taken, and with `allow_loopback` one on a
    /// literal loopback address, where stand-ins are.
    ///
    /// # Errors
    /// For the operator: what is missing or wrong.
    pub fn read(json: &Secret, allow_loopback: bool) -> Result<Self, AccountError> {
        let file: KeyFile =
            serde_json::from_slice(json.expose()).map_err(|_| AccountError::NotAKeyFile)?;
        let private_key = file.private_key.map(Zeroizing::new);
        if file.kind.as_deref() != Some("service_account") {
            return Err(AccountError::OtherType);
        }
        let given = |value: Option<String>, name| {
            value
                .filter(|value| !value.is_empty())
                .ok_or(AccountError::Missing(name))
        };
        let client_email = given(file.client_email, "client_email")?;
        let project_id = given(file.project_id, "project_id")?;
        let token_uri = given(file.token_uri, "token_uri")?;
        let token_uri_is_google = GOOGLE_TOKEN_URIS.contains(&token_uri.as_str());
        let token_uri: Uri = token_uri.parse().map_err(|_| AccountError::TokenUri)?;
        let may_be_asked = token_uri_is_google || (allow_loopback && is_loopback(&token_uri));
        if !may_be_asked {
            return Err(AccountError::TokenUri);
        }
        let private_key = private_key.ok_or(AccountError::Missing("private_key"))?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_bytes())
            .map_err(|_| AccountError::PrivateKey)?;
        let key =
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| AccountError::PrivateKey)?;
        Ok(Self {
            client_email,
            project_id,
            private_key_id: file.private_key_id,
            token_uri,
            token_uri_is_google,
            key,
        })
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    scheme && address.is_ok_and(|address| address.is_loopback())
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    token_uri: Option<String>,
}
