//! What providers are asked when they are tried: on the path, and with the headers, that workers would use.

use std::{iter, time::SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;

use crate::{
    control_plane::{
        catalog::{Listing, ListingShape, Probe},
        outbound::CallError,
    },
    data_plane::{
        inject::{Signable, sign_with},
        join::path_join,
    },
    dialect::Dialect,
    handoff::snapshot::{Provider, Target},
};

/// Fails when the key is one that no header can carry.
pub(super) type Outgoing = Result<Request<Full<Bytes>>, CallError>;

/// Anthropic wants a version with every request (docs.anthropic.com, "Versions").
const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

pub(super) fn listing(
    provider: &Provider,
    target: &Target,
    listing: &Listing,
    query: &str,
) -> Outgoing {
    let mut path = Vec::new();
    match listing.shape {
        ListingShape::OpenAi | ListingShape::LiteLlm => {
            path_join(provider, Dialect::OpenAi, &listing.path, "", &mut path);
        }
        ListingShape::Anthropic => {
            path_join(provider, Dialect::Anthropic, &listing.path, "", &mut path);
        }
        ListingShape::Google => {
            path_join(provider, Dialect::Gemini, &listing.path, "", &mut path);
        }
    }
    if !query.is_empty() {
        path.push(b'?');
        path.extend_from_slice(query.as_bytes());
    }
    let mut request = request(provider, target, Method::GET, &path, Bytes::new())?;
    if listing.shape == ListingShape::Anthropic {
        let (name, value) = ANTHROPIC_VERSION;
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(request)
}

pub(super) fn probe(provider: &Provider, target: &Target, probe: &Probe) -> Outgoing {
    let mut path = Vec::new();
    plain_join(provider, &probe.path, &mut path);
    let body = Bytes::from(probe.body.clone());
    let mut request = request(provider, target, Method::POST, &path, body)?;
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(request)
}

/// The query of the page that `parameter` names.
pub(super) fn next_page(query: &str, parameter: &str, value: &str) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    format!("{query}&{parameter}={value}")
}

/// Paths that begin with their own version or name.
fn plain_join(provider: &Provider, path: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(provider.base_path.as_bytes());
    out.extend_from_slice(path.as_bytes());
}

fn request(
    provider: &Provider,
    target: &Target,
    method: Method,
    path: &[u8],
    body: Bytes,
) -> Outgoing {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = path
        .try_into()
        .expect("a checked URL's path and the catalog's are a path");
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(&target.authority).expect("a checked URL's host");
    headers.insert(header::HOST, host);
    if let (Some(auth), Some(credential)) = (&provider.auth, &target.credential) {
        let signable = Signable {
            method: method.as_str(),
            authority: &target.authority,
            path: std::str::from_utf8(path).expect("it is a path"),
            content_type: None,
        };
        let signature = sign_with(signable, credential, iter::once(&*body), SystemTime::now())
            .map_err(|_| CallError::KeyForm)?;
        for (name, value) in signature.iter().flat_map(|signature| signature.fields()) {
            let value = HeaderValue::from_str(value).map_err(|_| CallError::KeyForm)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Some(auth) = credential.header(auth) {
            let value = [auth.prefix.as_bytes(), credential.secret.expose()].concat();
            let mut value = HeaderValue::from_maybe_shared(Bytes::from(value))
                .map_err(|_| CallError::KeyForm)?;
            value.set_sensitive(true);
            headers.insert(auth.name.clone(), value);
        }
    }
    for (name, value) in &provider.extra_headers {
        headers.insert(name.clone(), value.clone());
    }
    Ok(request)
}
