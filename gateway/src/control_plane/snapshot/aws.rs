//! What is AWS's own about a provider: which host of Bedrock it is, and access keys that sign.

use super::upstream::{Host, Upstream};
use crate::{
    control_plane::catalog::{CatalogEntry, KeyKind},
    dialect::bedrock::{self, host::Endpoint},
    handoff::snapshot::{Credential, Signer},
    secret::Secret,
};

/// In front of access keys: `iam::<id>:<secret>[:<session token>]`. A host that is not AWS's own tells no
/// region; then it stands here, `iam@<region>::…`.
const SCHEME: &[u8] = b"iam";

/// The host of Bedrock's that an upstream URL names; `None` for other entries and other hosts.
pub(super) fn endpoint<'a>(entry: &CatalogEntry, upstream: &'a Upstream) -> Option<Endpoint<'a>> {
    match &upstream.host {
        Host::Name(name) if entry.id == bedrock::CATALOG_ID => bedrock::host::endpoint(name),
        Host::Name(_) | Host::Literal(_) => None,
    }
}

/// A key as its text has it: access keys sign, anything else is what the auth header carries.
///
/// # Errors
/// What is wrong with access keys; no part of them.
pub(super) fn credential(
    secret: Secret,
    entry: &CatalogEntry,
    endpoint: Option<Endpoint<'_>>,
) -> Result<Credential, &'static str> {
    let keys = secret.expose().strip_prefix(SCHEME);
    let Some(keys) = keys.filter(|_| entry.key == KeyKind::Aws) else {
        return Ok(Credential {
            secret,
            signer: None,
            minted: None,
        });
    };
    let (own_region, keys) = match keys.strip_prefix(b"@") {
        Some(rest) => split(rest, b"::").map(|(region, keys)| (Some(region), keys)),
        None => keys.strip_prefix(b"::").map(|keys| (None, keys)),
    }
    .ok_or("access keys begin with `iam::` or `iam@<region>::`")?;
    let region = match (own_region, endpoint) {
        (Some(region), _) => std::str::from_utf8(region)
            .ok()
            .filter(|region| bedrock::host::is_region(region))
            .ok_or("what follows `iam@` is no region")?,
        (None, Some(endpoint)) => endpoint.region,
        (None, None) => return Err("the host tells no region: write `iam@<region>::…`"),
    };
    let mut parts = keys.split(|byte| *byte == b':');
    let (id, secret_key) = (parts.next(), parts.next());
    let token = parts.next().unwrap_or_default();
    let (Some(id), Some(secret_key), None) = (id, secret_key, parts.next()) else {
        return Err("access keys are `<id>:<secret>[:<session token>]`");
    };
    let visible = |text: &[u8]| text.iter().all(u8::is_ascii_graphic);
    if id.is_empty() || secret_key.is_empty() || ![id, secret_key, token].into_iter().all(visible) {
        return Err("a part of the access keys is empty or no plain text");
    }
    Ok(Credential {
        secret: Secret::copy_of(token),
        signer: Some(Signer {
            access_key_id: String::from_utf8_lossy(id).into(),
            secret_access_key: Secret::copy_of(secret_key),
            region: region.into(),
            service: endpoint
                .map_or(bedrock::host::Kind::Runtime, |endpoint| endpoint.kind)
                .signing_name(),
        }),
        minted: None,
    })
}

fn split<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = text.windows(at.len()).position(|window| window == at)?;
    Some((&text[..start], &text[start + at.len()..]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::catalog::Catalog;

    fn read(key: &str, host: &str, entry: &str) -> Result<Option<[String; 5]>, &'static str> {
        let catalog = Catalog::built_in();
        let credential = credential(
            Secret::copy_of(key.as_bytes()),
            catalog.entry(entry).unwrap(),
            bedrock::host::endpoint(host),
        )?;
        let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        Ok(credential.signer.map(|signer| {
            [
                signer.access_key_id.into(),
                text(&signer.secret_access_key),
                text(&credential.secret),
                signer.region.into(),
                signer.service.to_owned(),
            ]
        }))
    }

    #[test]
    fn keys_are_told_apart() {
        let runtime = "bedrock-runtime.us-east-1.amazonaws.com";
        let mantle = "bedrock-mantle.eu-west-1.api.aws";
        for (key, host, expected) in [
            ("bedrock-api-key-x", runtime, None),
            (
                "iam::AKIA:a/b+c",
                runtime,
                Some(["AKIA", "a/b+c", "", "us-east-1", "bedrock"]),
            ),
            (
                "iam::ASIA:s:t==",
                mantle,
                Some(["ASIA", "s", "t==", "eu-west-1", "bedrock-mantle"]),
            ),
            (
                "iam@eu-central-1::AKIA:s",
                "127.0.0.1",
                Some(["AKIA", "s", "", "eu-central-1", "bedrock"]),
            ),
        ] {
            let found = read(key, host, bedrock::CATALOG_ID).unwrap();
            assert_eq!(
                found,
                expected.map(|parts| parts.map(str::to_owned)),
                "{key}"
            );
        }
        assert_eq!(read("iam::AKIA:s", runtime, "openai_api"), Ok(None));
    }

    #[test]
    fn mistakes_are_named_without_the_key() {
        for (key, host) in [
            ("iam:AKIA:s", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("iam::AKIA", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("iam::AKIA:", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("iam::A:s:t:u", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("iam::A:s s", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("iam::AKIA:s", "gateway.example.com"),
            ("iam@nowhere::AKIA:s", "gateway.example.com"),
            ("iam@us-east-1:AKIA:s", "gateway.example.com"),
        ] {
            let problem = read(key, host, bedrock::CATALOG_ID).unwrap_err();
            assert!(!problem.contains("AKIA"), "{problem}");
        }
    }
}
