//! AWS signatures of version 4 over the request as it goes out: its path byte for byte, the body with its
//! splices, and the fields that no hop changes.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{Context, SHA256};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};

use super::{RawHeader, UpstreamRequest, strip::RequestFilter};
use crate::handoff::{
    reason::Reason,
    snapshot::{Credential, Signer},
};

/// What a signature adds to a head; the session token stands in the credential's place.
#[derive(Debug)]
pub struct Signature {
    fields: Vec<(&'static str, String)>,
}

impl Signature {
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }
}

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    pub method: &'a str,
    /// For `Host`.
    pub authority: &'a str,
    /// Path and query.
    pub path: &'a str,
    pub content_type: Option<&'a str>,
}

/// Signs `request` with its target's keys as of `now`; `None` where the target has none. `body` is all of it,
/// in pieces.
///
/// # Errors
///
/// [`Reason::MalformedRequest`] for a head that cannot be signed.
pub fn signature<'h, 'b>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>> + Clone,
    body: impl Iterator<Item = &'b [u8]>,
    now: SystemTime,
) -> Result<Option<Signature>, Reason> {
    let Some(credential) = request.target.credential.as_deref() else {
        return Ok(None);
    };
    if credential.signer.is_none() {
        return Ok(None);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Reason::MalformedRequest);
    let filter = RequestFilter::new(request.permit.provider(), headers.clone(), false)?;
    let mut content_type = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(b"content-type") && filter.passes(name)? {
            content_type = Some(text(value)?);
        }
    }
    let signable = Signable {
        method: request.method.as_str(),
        authority: &request.target.authority,
        path: text(request.path)?,
        content_type,
    };
    sign_with(signable, credential, body, now)
}

/// As [`signature`], of a request that the node makes itself.
///
/// # Errors
///
/// As [`signature`].
pub fn sign_with<'b>(
    request: Signable<'_>,
    credential: &Credential,
    body: impl Iterator<Item = &'b [u8]>,
    now: SystemTime,
) -> Result<Option<Signature>, Reason> {
    let Some(signer) = &credential.signer else {
        return Ok(None);
    };
    let fields = [
        ("host", Some(request.authority)),
        ("content-type", request.content_type),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let signable = SignableRequest::new(
        request.method,
        format!("https://{}{}", request.authority, request.path),
        fields,
        SignableBody::Precomputed(hex_sha256(body)),
    );
    let identity = credentials(credential, signer)?.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&signer.region)
        .name(signer.service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .expect("every parameter is given")
        .into();
    let signed = signable.and_then(|signable| sign(signable, &params));
    let (instructions, _) = signed.map_err(|_| Reason::MalformedRequest)?.into_parts();
    let (fields, _) = instructions.into_parts();
    let fields = fields
        .into_iter()
        .filter(|field| !field.name().eq_ignore_ascii_case("x-amz-security-token"))
        .map(|field| (field.name(), field.value().to_owned()))
        .collect();
    Ok(Some(Signature { fields }))
}

/// Copies for as long as one signature takes; the library wipes them, and the allocator again.
fn credentials(credential: &Credential, signer: &Signer) -> Result<Credentials, Reason> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|_| Reason::ConnectFailed)?;
        Ok::<_, Reason>(text.to_owned())
    };
    let token = credential.secret.expose();
    let token = (!token.is_empty()).then(|| text(token)).transpose()?;
    let secret = text(signer.secret_access_key.expose())?;
    Ok(Credentials::new(
        &*signer.access_key_id,
        secret,
        token,
        None,
        "provider",
    ))
}

fn hex_sha256<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut context = Context::new(&SHA256);
    pieces.for_each(|piece| context.update(piece));
    let digest = context.finish();
    let digit = |nibble: u8| char::from(HEX[usize::from(nibble)]);
    let bytes = digest.as_ref().iter();
    bytes
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use http::Method;

    use super::*;
    use crate::{
        data_plane::inject::{
            BodyFraming,
            tests::{gateway, target, with_request},
        },
        handoff::snapshot::Target,
        secret::Secret,
    };

    /// 2026-11-23T12:00:00Z.
    const NOW: Duration = Duration::from_secs(1_795_435_200);

    fn signing_target(token: &str) -> Target {
        let mut target = target(None);
        target.authority = "bedrock-runtime.us-east-1.amazonaws.com".into();
        target.credential = Some(Arc::new(Credential {
            secret: Secret::copy_of(token.as_bytes()),
            signer: Some(Signer {
                access_key_id: "AKIDEXAMPLE".into(),
                secret_access_key: Secret::copy_of(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                region: "us-east-1".into(),
                service: "bedrock",
            }),
            minted: None,
        }));
        target
    }

    fn authorization(path: &[u8], body: &[&[u8]], token: &str) -> String {
        let target = signing_target(token);
        with_request(
            gateway(),
            &target,
            Method::POST,
            BodyFraming::Length(2),
            |request| {
                let request = UpstreamRequest { path, ..*request };
                let headers = [
                    (&b"Content-Type"[..], &b"application/json"[..]),
                    (b"User-Agent", b"sdk/1"),
                    (b"X-Amz-Date", b"20200101T000000Z"),
                ];
                let now = SystemTime::UNIX_EPOCH + NOW;
                let signature = signature(&request, headers.into_iter(), body.iter().copied(), now);
                let signature = signature.unwrap().unwrap();
                let fields: Vec<_> = signature.fields().collect();
                assert_eq!(fields[0], ("x-amz-date", "20261123T120000Z"));
                assert_eq!(fields[1].0, "authorization");
                assert_eq!(fields.len(), 2);
                fields[1].1.to_owned()
            },
        )
    }

    /// The expected values are botocore's (1.44.5, `SigV4Auth`) for the same request.
    #[test]
    fn signatures_are_botocores() {
        let scope =
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/bedrock/aws4_request, ";
        for (path, token, headers, expected) in [
            (
                "/model/amazon.nova-lite-v1%3A0/converse",
                "",
                "content-type;host;x-amz-date",
                "4b0e61e176f6985ec8aea341db38e5988a76a090805f43de1415f4ac15a14139",
            ),
            (
                "/model/amazon.nova-lite-v1:0/converse",
                "",
                "content-type;host;x-amz-date",
                "8570bfe2affdd78cf8fc5cf76bf41c67cb34fe2531963191fdbdc6e3af79cf0c",
            ),
            (
                "/model/arn%3aaws%3Abedrock%2Fa~b;c/invoke",
                "token/with+signs==",
                "content-type;host;x-amz-date;x-amz-security-token",
                "665712fbc6ea21d81fd5665cd4d13953335d64592695bc1a443dd95c12a74617",
            ),
        ] {
            let whole = authorization(path.as_bytes(), &[b"{\"a\":1}"], token);
            let pieces = authorization(path.as_bytes(), &[b"{\"a\"", b":", b"1}"], token);
            assert_eq!(whole, pieces);
            let wanted = format!("{scope}SignedHeaders={headers}, Signature={expected}");
            assert_eq!(whole, wanted, "{path}");
        }
    }

    #[test]
    fn a_key_for_a_header_signs_nothing() {
        with_request(
            gateway(),
            &target(Some("k")),
            Method::POST,
            BodyFraming::Empty,
            |request| {
                let nothing = std::iter::empty;
                let signature = signature(
                    request,
                    nothing(),
                    std::iter::empty(),
                    SystemTime::UNIX_EPOCH,
                );
                assert!(signature.unwrap().is_none());
            },
        );
    }
}
