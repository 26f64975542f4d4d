//! Checks AWS signatures of version 4 by computing them again, after AWS's own description of the steps
//! (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

use std::time::SystemTime;

use aws_lc_rs::{digest, hmac};

use super::{Seen, check::Refusal};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a request's date may be off, as AWS has it.
const SKEW_SECONDS_MAX: i64 = 300;

/// Access keys as Keyway is given them: `iam@<region>::<id>:<secret>[:<session token>]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a> {
    region: &'a str,
    id: &'a str,
    secret: &'a str,
    token: Option<&'a str>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(key: &'a str) -> Option<Self> {
        let (region, keys) = key.strip_prefix("iam@")?.split_once("::")?;
        let mut parts = keys.split(':');
        Some(Self {
            region,
            id: parts.next()?,
            secret: parts.next()?,
            token: parts.next(),
        })
    }
}

/// What is wrong with the request's signature.
pub(super) fn judge(seen: &Seen, keys: Keys<'_>) -> Option<Refusal> {
    check(seen, keys)
        .err()
        .map(|message| Refusal::new(403, "InvalidSignatureException", message))
}

fn check(seen: &Seen, keys: Keys<'_>) -> Result<(), String> {
    let authorization = only(seen, "authorization")?;
    let parameters = authorization
        .strip_prefix(ALGORITHM)
        .ok_or("another algorithm")?;
    let mut parts = parameters.split(',').map(str::trim);
    let mut part = |name: &str| {
        let part = parts.next().and_then(|part| part.strip_prefix(name));
        part.ok_or_else(|| format!("{name} is missing"))
    };
    let (credential, signed, signature) = (
        part("Credential=")?,
        part("SignedHeaders=")?,
        part("Signature=")?,
    );
    let date = only(seen, "x-amz-date")?;
    fresh(date)?;
    let day = date.get(..8).ok_or("no date")?;
    let scope = format!("{day}/{}/bedrock/aws4_request", keys.region);
    if credential != format!("{}/{scope}", keys.id) {
        return Err(format!("credential {credential}, not {scope}"));
    }
    let token = seen.header("x-amz-security-token");
    if token != keys.token {
        return Err("another session token".to_owned());
    }
    let signed: Vec<&str> = signed.split(';').collect();
    must_be_signed(seen, &signed)?;
    let canonical = canonical_request(seen, &signed)?;
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{scope}\n{}",
        hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    );
    let start = format!("AWS4{}", keys.secret).into_bytes();
    let key = [day, keys.region, "bedrock", "aws4_request"]
        .into_iter()
        .fold(start, |key, part| mac(&key, part));
    if hex(&mac(&key, &to_sign)) != signature {
        return Err(format!("another signature for {canonical:?}"));
    }
    Ok(())
}

/// AWS wants these under the signature whenever they are there.
fn must_be_signed(seen: &Seen, signed: &[&str]) -> Result<(), String> {
    if !signed.is_sorted() {
        return Err("signed headers are not sorted".to_owned());
    }
    let needed = |name: &str| {
        let of_aws = name.starts_with("x-amz-") && name != "x-amz-content-sha256";
        name == "host" || name == "content-type" || of_aws
    };
    let names = seen.headers.iter().map(|(name, _)| name.as_str());
    match names
        .into_iter()
        .find(|name| needed(name) && !signed.contains(name))
    {
        Some(name) => Err(format!("{name} is not signed")),
        None => Ok(()),
    }
}

fn canonical_request(seen: &Seen, signed: &[&str]) -> Result<String, String> {
    // Names and values come encoded once, as the signature has them.
    let mut query: Vec<&str> = seen.query().split('&').collect();
    query.sort_unstable();
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        seen.method,
        encoded(seen.path()),
        query.join("&")
    );
    for name in signed {
        canonical.push_str(&format!("{name}:{}\n", only(seen, name)?.trim()));
    }
    canonical.push('\n');
    canonical.push_str(&signed.join(";"));
    canonical.push('\n');
    canonical.push_str(&hex(digest::digest(&digest::SHA256, &seen.body).as_ref()));
    Ok(canonical)
}

/// The path is encoded once more as it came: `%3A` becomes `%253A`.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn only<'a>(seen: &'a Seen, name: &str) -> Result<&'a str, String> {
    let mut values = seen.headers.iter().filter(|(header, _)| header == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value),
        (None, _) => Err(format!("{name} is missing")),
        (Some(_), Some(_)) => Err(format!("{name} is there twice")),
    }
}

fn fresh(date: &str) -> Result<(), String> {
    let then = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date)
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|error| error.to_string())?
        .timestamp();
    let now = jiff::Timestamp::try_from(SystemTime::now()).map_err(|error| error.to_string())?;
    let off = (now.as_second() - then.as_second()).abs();
    (off <= SKEW_SECONDS_MAX)
        .then_some(())
        .ok_or_else(|| format!("the date is {off} s off"))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
