//! The upstream request's head: the agent's headers without what they may not say, the provider's
//! credential, the caller's identity where the provider is told. One set of rules, two writers.
//! The only place that reads a [`crate::secret::Secret`].

mod identity;
mod late_key;
mod sigv4;
mod strip;
mod trailers;

use std::{io::Write, ops::Range};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use zeroize::Zeroizing;

pub use identity::{group_names, request_metadata, user};
pub use late_key::LateKey;
pub use sigv4::{Signable, Signature, sign_with, signature};
pub use strip::response_header_passes;
pub use trailers::{build_h2_trailers, response_trailer_passes, write_h1_trailers};

use super::{message::Framing, trace::Told};
use crate::{
    handoff::{
        reason::Reason,
        snapshot::{AuthHeader, Credential, Target},
    },
    policy::Permit,
};
use strip::RequestFilter;

/// One header as it stands in a head: name in any case, value.
pub type RawHeader<'h> = (&'h [u8], &'h [u8]);

/// Coded head that surely fits into one frame beside the credential; frames have 16 KiB at the least
/// (RFC 9113 section 6.5.2).
const ONE_FRAME_BYTES: usize = 12 * 1024;
/// The longest Huffman code has 30 bits (RFC 7541 appendix B).
const CODED_BYTES_PER_BYTE_MAX: usize = 4;
/// For the representation and the two lengths of a field.
const FIELD_OVERHEAD_BYTES: usize = 8;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a head is written from, besides the agent's headers.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamRequest<'a> {
    pub method: &'a Method,
    /// Joined path and query (see [`super::join::path_join`]).
    pub path: &'a [u8],
    pub permit: &'a Permit<'a>,
    pub target: &'a Target,
    pub body: BodyFraming,
    /// The body tells who calls, where the provider takes it there.
    pub identity_in_body: bool,
    /// The agent takes trailers, so the provider need not keep them.
    pub takes_trailers: bool,
    /// Stands in the place of a key, or beside a session token.
    pub signature: Option<&'a Signature>,
    /// What the provider is told of the trace.
    pub trace: Option<Told>,
}

/// How the upstream learns where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none.
    Empty,
    /// In bytes.
    Length(u64),
    /// The end shows itself: `chunked`, or END_STREAM.
    Open,
}

impl BodyFraming {
    /// Of a body that passes as it comes.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => Self::Open,
        }
    }
}

/// Appends a whole HTTP/1.1 head. The range is where the credential lies in `out`: it is last, so that
/// no growth of `out` leaves a copy behind, and the caller wipes it once it is sent.
///
/// # Errors
///
/// [`Reason::MalformedRequest`] for a header that no parser should have let through;
/// [`Reason::ConnectFailed`] for a credential that no header can carry. `out` then holds a fragment.
pub fn write_h1<'h>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>> + Clone,
    out: &mut Vec<u8>,
) -> Result<Range<usize>, Reason> {
    write_upgrade(request, headers, "", out)
}

/// As [`write_h1`], with whole header lines by which the node asks for another protocol.
///
/// # Errors
///
/// As [`write_h1`].
pub fn write_upgrade<'h>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>> + Clone,
    upgrade: &str,
    out: &mut Vec<u8>,
) -> Result<Range<usize>, Reason> {
    let trailers_follow = request.body == BodyFraming::Open;
    let filter = RequestFilter::new(request.permit.provider(), headers.clone(), trailers_follow)?
        .with_trace(request.trace);
    check_path(request.path)?;
    for part in [
        request.method.as_str().as_bytes(),
        b" ",
        request.path,
        b" HTTP/1.1\r\n",
    ] {
        out.extend_from_slice(part);
    }
    write_line(out, b"host", request.target.authority.as_bytes());
    for (name, value) in headers {
        if filter.passes(name)? {
            check_value(value)?;
            write_line(out, name, value);
        }
    }
    for_each_own_header(request, |name, value| {
        write_line(out, name.as_str().as_bytes(), value);
        Ok(())
    })?;
    if request.takes_trailers {
        // RFC 9110 section 10.1.4: it holds for this hop, and says so.
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    match request.body {
        BodyFraming::Length(length) => write_length(out, length),
        // A POST without a body says so (RFC 9110 section 8.6).
        BodyFraming::Empty if *request.method == Method::POST => write_length(out, 0),
        BodyFraming::Empty => {}
        BodyFraming::Open => write_line(out, b"transfer-encoding", b"chunked"),
    }
    out.extend_from_slice(upgrade.as_bytes());
    let secret = match credential(request) {
        Some((auth, credential)) => write_credential(auth, credential, out)?,
        None => out.len()..out.len(),
    };
    out.extend_from_slice(b"\r\n");
    Ok(secret)
}

/// The same head for HTTP/2, with a stand-in that [`LateKey`] exchanges for the credential. A head that
/// may not fit into one frame carries the credential itself, and h2's buffers with it, until the
/// connection closes.
///
/// # Errors
///
/// As [`write_h1`].
pub fn build_h2<'h>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>> + Clone,
) -> Result<http::Request<()>, Reason> {
    let trailers_follow = request.body == BodyFraming::Open;
    let filter = RequestFilter::new(request.permit.provider(), headers.clone(), trailers_follow)?
        .with_trace(request.trace);
    check_path(request.path)?;
    let scheme = if request.target.tls.is_some() {
        http::uri::Scheme::HTTPS
    } else {
        http::uri::Scheme::HTTP
    };
    let authority = http::uri::Authority::try_from(&*request.target.authority);
    let path = http::uri::PathAndQuery::try_from(request.path);
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(authority.map_err(|_| Reason::ConnectFailed)?)
        .path_and_query(path.map_err(|_| Reason::MalformedRequest)?)
        .build()
        .map_err(|_| Reason::MalformedRequest)?;
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = uri;
    *head.version_mut() = http::Version::HTTP_2;
    let map = head.headers_mut();
    for (name, value) in headers {
        if filter.passes(name)? {
            let name = HeaderName::from_bytes(name).map_err(|_| Reason::MalformedRequest)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| Reason::MalformedRequest)?;
            map.append(name, value);
        }
    }
    for_each_own_header(request, |name, value| {
        let value = HeaderValue::from_bytes(value).map_err(|_| Reason::ConnectFailed)?;
        map.append(name.clone(), value);
        Ok(())
    })?;
    if request.takes_trailers {
        map.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    match request.body {
        BodyFraming::Length(length) => {
            map.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        BodyFraming::Empty | BodyFraming::Open => {}
    }
    if let Some((auth, credential)) = credential(request) {
        let one_frame = coded_bytes_max(map, request.path) <= ONE_FRAME_BYTES;
        let value = match one_frame {
            true => late_key::stand_in(auth, credential)?,
            false => sensitive_value(auth, credential)?,
        };
        // Last, whatever the operator's own headers are called.
        map.remove(&auth.name);
        map.insert(auth.name.clone(), value);
    }
    Ok(head)
}

/// What the node itself says, in either version: the encoding it can meter, who calls, and what the
/// operator set.
fn for_each_own_header(
    request: &UpstreamRequest<'_>,
    mut write: impl FnMut(&HeaderName, &[u8]) -> Result<(), Reason>,
) -> Result<(), Reason> {
    write(&header::ACCEPT_ENCODING, b"identity")?;
    if let Some(trace) = &request.trace {
        write(&TRACEPARENT, trace.parent.as_bytes())?;
    }
    identity::for_each_header(request.permit.route(), request.identity_in_body, &mut write)?;
    for (name, value) in &request.permit.provider().extra_headers {
        write(name, value.as_bytes())?;
    }
    for (name, value) in request
        .signature
        .iter()
        .flat_map(|signature| signature.fields())
    {
        write(&HeaderName::from_static(name), value.as_bytes())?;
    }
    Ok(())
}

fn credential<'a>(request: &UpstreamRequest<'a>) -> Option<(&'a AuthHeader, &'a Credential)> {
    let auth = request.permit.provider().auth.as_ref()?;
    let credential = request.target.credential.as_deref()?;
    Some((credential.header(auth)?, credential))
}

fn write_credential(
    auth: &AuthHeader,
    credential: &Credential,
    out: &mut Vec<u8>,
) -> Result<Range<usize>, Reason> {
    const SEPARATORS: usize = ": ".len() + "\r\n\r\n".len();
    let (name, secret) = (auth.name.as_str(), credential.secret.expose());
    check_value(secret).map_err(|_| Reason::ConnectFailed)?;
    // All at once: growing later would leave the secret in a freed block.
    out.reserve(name.len() + auth.prefix.len() + secret.len() + SEPARATORS);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(auth.prefix.as_bytes());
    let start = out.len();
    out.extend_from_slice(secret);
    let range = start..out.len();
    out.extend_from_slice(b"\r\n");
    Ok(range)
}

fn sensitive_value(auth: &AuthHeader, credential: &Credential) -> Result<HeaderValue, Reason> {
    let secret = credential.secret.expose();
    let mut value = Zeroizing::new(Vec::with_capacity(auth.prefix.len() + secret.len()));
    value.extend_from_slice(auth.prefix.as_bytes());
    value.extend_from_slice(secret);
    // A `Bytes` is taken over as it is; anything else would be copied to a block that nobody wipes.
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value))
        .map_err(|_| Reason::ConnectFailed)?;
    value.set_sensitive(true);
    Ok(value)
}

/// No less than what h2 makes of a head without its credential.
fn coded_bytes_max(fields: &http::HeaderMap, path: &[u8]) -> usize {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().len() + value.len()) * CODED_BYTES_PER_BYTE_MAX + FIELD_OVERHEAD_BYTES
    };
    path.len() * CODED_BYTES_PER_BYTE_MAX + fields.iter().map(field).sum::<usize>()
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + ": \r\n".len());
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    write!(out, "content-length: {length}\r\n").expect("a Vec takes every write");
}

/// The parser refuses these too; a split head must not depend on one check.
fn check_value(value: &[u8]) -> Result<(), Reason> {
    // No early exit: values are short, and this way several bytes are compared at once.
    let splits = |found, &byte: &u8| found | matches!(byte, b'\r' | b'\n' | b'\0');
    if value.iter().fold(false, splits) {
        Err(Reason::MalformedRequest)
    } else {
        Ok(())
    }
}

/// As [`check_value`], for the request target.
fn check_path(path: &[u8]) -> Result<(), Reason> {
    if path.first() == Some(&b'/') && path.iter().all(|byte| matches!(byte, 0x21..=0x7e)) {
        Ok(())
    } else {
        Err(Reason::MalformedRequest)
    }
}

#[cfg(test)]
mod tests;
