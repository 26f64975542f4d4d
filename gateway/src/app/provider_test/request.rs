//! What providers are asked when they are tried: on the path, and with the headers, that workers would use.

use std::{iter, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::probe::Call;
use crate::{
    control_plane::{
        catalog::ListingShape,
        outbound::{self, Answer, CallError, Destination},
    },
    data_plane::{
        inject::{Signable, sign_with},
        join::path_join,
    },
    dialect::Dialect,
    handoff::snapshot::{AuthHeader, Credential, Provider, Target},
};

/// Fails when the key is one that no header can carry.
pub(super) type Outgoing = Result<Request<Full<Bytes>>, CallError>;

/// Anthropic wants a version with every request (docs.anthropic.com, "Versions").
const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// `path` is the catalog's, or one of [`next_page`].
pub(super) fn listing(
    provider: &Provider,
    target: &Target,
    shape: ListingShape,
    path: &str,
) -> Outgoing {
    let dialect = match shape {
        ListingShape::OpenAi | ListingShape::LiteLlm => Dialect::OpenAi,
        ListingShape::Anthropic => Dialect::Anthropic,
        ListingShape::Google => Dialect::Gemini,
        ListingShape::Bedrock => Dialect::Bedrock,
        ListingShape::Vertex => Dialect::Vertex,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut joined = Vec::new();
    path_join(provider, dialect, path, query, &mut joined);
    if !query.is_empty() {
        joined.push(b'?');
        joined.extend_from_slice(query.as_bytes());
    }
    let mut request = request(provider, target, Method::GET, &joined, None)?;
    if shape == ListingShape::Anthropic {
        let (name, value) = ANTHROPIC_VERSION;
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

pub(super) fn model_call(provider: &Provider, target: &Target, call: &Call) -> Outgoing {
    let asked = call.asked(target);
    let mut path = Vec::new();
    path_join(provider, asked.dialect, &asked.path, "", &mut path);
    request(
        provider,
        target,
        Method::POST,
        &path,
        Some(asked.body.into()),
    )
}

/// `path` with a query that asks for the page which `parameter` names.
pub(super) fn next_page(path: &str, parameter: &str, value: &str) -> String {
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{parameter}={value}")
}

/// The answer of the first target that can be connected to, as workers would go on to the next one.
pub(super) async fn first_answer(
    provider: &Provider,
    ask: impl Fn(&Target) -> Outgoing,
) -> Result<Answer, CallError> {
    let mut last = None;
    for target in &provider.targets {
        let destination = Destination::from(&**target);
        match outbound::call(destination, provider.timeouts.connect, ask(target)?).await {
            Err(error) if error.is_of_address() => last = Some(error),
            called => return called,
        }
    }
    Err(last.expect("a provider that is tried has a target"))
}

/// A body is JSON.
fn request(
    provider: &Provider,
    target: &Target,
    method: Method,
    path: &[u8],
    body: Option<Bytes>,
) -> Outgoing {
    const JSON: &str = "application/json";
    let content_type = body.is_some().then_some(JSON);
    let body = body.unwrap_or_default();
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = path
        .try_into()
        .expect("a checked URL's path and the catalog's are a path");
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(&target.authority).expect("a checked URL's host");
    headers.insert(header::HOST, host);
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let (Some(auth), Some(credential)) = (&provider.auth, &target.credential) {
        let signable = Signable {
            method: method.as_str(),
            authority: &target.authority,
            path: std::str::from_utf8(path).expect("it is a path"),
            content_type,
        };
        authorise(headers, auth, credential, signable, &body)?;
    }
    for (name, value) in &provider.extra_headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(request)
}

/// Signs the request, or puts the key in, or both.
fn authorise(
    headers: &mut HeaderMap,
    auth: &AuthHeader,
    credential: &Credential,
    signable: Signable<'_>,
    body: &[u8],
) -> Result<(), CallError> {
    let signature = sign_with(signable, credential, iter::once(body), SystemTime::now())
        .map_err(|_| CallError::KeyForm)?;
    for (name, value) in signature.iter().flat_map(|signature| signature.fields()) {
        let value = HeaderValue::from_str(value).map_err(|_| CallError::KeyForm)?;
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(auth) = credential.header(auth) {
        let value = [auth.prefix.as_bytes(), credential.secret.expose()].concat();
        let value = HeaderValue::from_maybe_shared(Bytes::from(value));
        let mut value = value.map_err(|_| CallError::KeyForm)?;
        value.set_sensitive(true);
        headers.insert(auth.name.clone(), value);
    }
    Ok(())
}
