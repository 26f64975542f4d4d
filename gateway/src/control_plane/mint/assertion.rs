//! The assertion that is exchanged for a token: a JWT (RFC 7519) signed by the service account with RS256
//! (RFC 7518 section 3.3), as Google wants it (developers.google.com, "OAuth 2.0 for service accounts").

use aws_lc_rs::{rand::SystemRandom, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{MintError, ServiceAccount};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Google takes no longer ones.
const LIFETIME_SECONDS: i64 = 3600;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    /// Unix time in seconds.
    iat: i64,
    exp: i64,
}

/// Three parts in URL-safe base64. Whoever holds it can have a token.
pub(super) fn assertion(
    account: &ServiceAccount,
    now: Timestamp,
) -> Result<Zeroizing<String>, MintError> {
    let header = Header {
        alg: "RS256",
        typ: "JWT",
        kid: account.private_key_id.as_deref(),
    };
    let iat = now.as_second();
    let claims = Claims {
        iss: &account.client_email,
        scope: SCOPE,
        aud: &account.token_uri.to_string(),
        iat,
        exp: iat + LIFETIME_SECONDS,
    };
    let mut jwt = Zeroizing::new(format!("{}.{}", part(&header), part(&claims)));
    let mut signature = vec![0; account.key.public_modulus_len()];
    account
        .key
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            jwt.as_bytes(),
            &mut signature,
        )
        .map_err(|_| MintError::Signature)?;
    jwt.push('.');
    jwt.push_str(&URL_SAFE_NO_PAD.encode(&signature));
    Ok(jwt)
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("plain fields always serialise"))
}
