//! Google's token endpoint: takes assertions of one service account, and gives out tokens that end.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};

use crate::standin::{
    Seen, reply,
    wire::{Gone, Out},
};

pub(in crate::standin) const PATH: &str = "/token";
const EMAIL: &str = "keyway@standin-project.iam.gserviceaccount.com";
const KEY_ID: &str = "standin-key-1";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const ASSERTION_SECONDS_MAX: i64 = 3600;
/// A clock may differ by this much.
const SKEW_SECONDS: i64 = 30;
/// Tokens that are valid at one time.
const TOKENS_LIMIT: usize = 64;

/// See the module.
pub(in crate::standin) struct Tokens {
    key: KeyPair,
    /// Where assertions must be meant for.
    audience: String,
    lifetime: Duration,
    /// In front of every token's number.
    prefix: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    minted: u64,
    valid: Vec<(String, Instant)>,
    refusal: Option<u16>,
    /// What was wrong with assertions.
    problems: Vec<String>,
}

impl Tokens {
    pub(in crate::standin) fn new(base: &str, prefix: &str, lifetime: Duration) -> Result<Self> {
        Ok(Self {
            key: KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
            audience: format!("{base}{PATH}"),
            lifetime,
            prefix: prefix.to_owned(),
            state: Mutex::default(),
        })
    }

    /// The service account's JSON, as Google gives it out.
    pub(in crate::standin) fn service_account(&self) -> String {
        let account = json!({
            "type": "service_account",
            "project_id": "standin-project",
            "private_key_id": KEY_ID,
            "private_key": self.key.serialize_pem(),
            "client_email": EMAIL,
            "client_id": "1",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": self.audience,
            "universe_domain": "googleapis.com",
        });
        account.to_string()
    }

    /// From here on every assertion is refused with this status, or none is.
    pub(in crate::standin) fn refuse(&self, status: Option<u16>) {
        self.state().refusal = status;
    }

    /// Lets none of the tokens in any more that were given out so far.
    pub(in crate::standin) fn revoke(&self) {
        self.state().valid.clear();
    }

    /// How many tokens were given out.
    pub(in crate::standin) fn minted(&self) -> u64 {
        self.state().minted
    }

    /// What was wrong with assertions that came.
    pub(in crate::standin) fn problems(&self) -> Vec<String> {
        self.state().problems.clone()
    }

    /// Tokens whose end has not come.
    pub(in crate::standin) fn valid(&self) -> Vec<String> {
        let now = Instant::now();
        let mut state = self.state();
        state.valid.retain(|(_, end)| *end > now);
        state.valid.iter().map(|(token, _)| token.clone()).collect()
    }

    pub(in crate::standin) async fn answer(
        &self,
        seen: &Seen,
        out: &mut Out<'_>,
    ) -> Result<(), Gone> {
        let refusal = self.state().refusal;
        if let Some(status) = refusal {
            let body = json!({"error": "unavailable", "error_description": "as asked for"});
            return reply::json(out, status, &body).await;
        }
        if let Err(problem) = self.check(seen) {
            let reason = format!("{problem:#}");
            self.state().problems.push(reason.clone());
            let body = json!({"error": "invalid_grant", "error_description": reason});
            return reply::json(out, 400, &body).await;
        }
        let token = {
            let mut state = self.state();
            state.minted += 1;
            let token = format!("ya29.{}-{}", self.prefix, state.minted);
            if state.valid.len() >= TOKENS_LIMIT {
                state.valid.remove(0);
            }
            state
                .valid
                .push((token.clone(), Instant::now() + self.lifetime));
            token
        };
        let body = json!({
            "access_token": token,
            "expires_in": self.lifetime.as_secs(),
            "token_type": "Bearer",
        });
        reply::json(out, 200, &body).await
    }

    /// RFC 7523, as Google reads it.
    fn check(&self, seen: &Seen) -> Result<()> {
        ensure!(seen.method == Method::POST, "the method is {}", seen.method);
        let form = seen.header("content-type") == Some("application/x-www-form-urlencoded");
        ensure!(form, "it is no form");
        let allowed = ["host", "content-type", "content-length", "accept"];
        for (name, _) in &seen.headers {
            ensure!(allowed.contains(&name.as_str()), "header {name}");
        }
        let body = std::str::from_utf8(&seen.body)?;
        let assertion = body
            .strip_prefix(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=",
            )
            .context("it is no JWT bearer grant")?;
        let (signed, signature) = assertion.rsplit_once('.').context("no signature")?;
        let (header, claims) = signed.split_once('.').context("no claims")?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.der_bytes())
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?)
            .ok()
            .context("Invalid JWT Signature.")?;
        let read = |part: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
        };
        let (header, claims) = (read(header)?, read(claims)?);
        ensure!(
            header == json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID}),
            "header {header}"
        );
        ensure!(claims["iss"] == EMAIL, "iss {}", claims["iss"]);
        ensure!(claims["scope"] == SCOPE, "scope {}", claims["scope"]);
        ensure!(claims["aud"] == self.audience, "aud {}", claims["aud"]);
        let time = |name: &str| claims[name].as_i64().with_context(|| format!("no {name}"));
        let (begins, ends) = (time("iat")?, time("exp")?);
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        ensure!(
            (now - begins).abs() <= SKEW_SECONDS,
            "iat {begins}, now {now}"
        );
        let lasts = ends - begins;
        ensure!(
            0 < lasts && lasts <= ASSERTION_SECONDS_MAX,
            "it lasts {lasts} s"
        );
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
