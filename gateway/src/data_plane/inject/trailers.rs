//! Fields behind a body on their way through: what may not stand in a head may not stand here either, and
//! what decides how a message is framed, routed, let in or read belongs into its head (RFC 9110 section
//! 6.5.1). All of that is left out, as that section allows.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    RawHeader, UpstreamRequest, check_value,
    strip::{Folded, RequestFilter, response_header_passes},
    write_line,
};
use crate::{data_plane::message::Fields, handoff::reason::Reason};

/// Appends the lines of what goes to an HTTP/1.1 provider; nothing when all of it stays behind. `headers`
/// are those of the request's head.
///
/// # Errors
/// As [`super::write_h1`].
pub fn write_h1_trailers<'h>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>>,
    trailers: &Fields,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    for_each_passing(request, headers, trailers, |name, value| {
        check_value(value)?;
        write_line(out, name, value);
        Ok(())
    })
}

/// The same for HTTP/2.
///
/// # Errors
/// As [`super::build_h2`].
pub fn build_h2_trailers<'h>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>>,
    trailers: &Fields,
) -> Result<HeaderMap, Reason> {
    let mut map = HeaderMap::new();
    for_each_passing(request, headers, trailers, |name, value| {
        let name = HeaderName::from_bytes(name).map_err(|_| Reason::MalformedRequest)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Reason::MalformedRequest)?;
        map.append(name, value);
        Ok(())
    })?;
    Ok(map)
}

fn for_each_passing<'h>(
    request: &UpstreamRequest<'_>,
    headers: impl Iterator<Item = RawHeader<'h>>,
    trailers: &Fields,
    mut write: impl FnMut(&[u8], &[u8]) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let filter = RequestFilter::new(request.permit.provider(), headers, false)?;
    for (name, value) in trailers.iter() {
        if filter.passes(name)? && !belongs_into_the_head(name) {
            write(name, value)?;
        }
    }
    Ok(())
}

/// Whether a field behind the provider's answer goes to the agent.
pub fn response_trailer_passes(name: &[u8]) -> bool {
    response_header_passes(name) && !belongs_into_the_head(name)
}

/// Fields that mean nothing behind a body, or too much.
fn belongs_into_the_head(name: &[u8]) -> bool {
    let Some(folded) = Folded::new(name) else {
        return true;
    };
    match folded.name() {
        // How the request is taken and the response kept.
        b"cache-control" | b"pragma" | b"range" | b"expires" | b"age" | b"vary" | b"date"
        | b"location" | b"retry-after" | b"warning" | b"allow" | b"accept-ranges" | b"expect"
        | b"host" | b"max-forwards" | b"te" | b"cookie" | b"set-cookie" | b"set-cookie2" => true,
        // What decides about the request's dialect, and what the node says itself.
        b"anthropic-version" | b"x-keyway-request-id" => true,
        // Pieces of the content and its form; conditions.
        name => name.starts_with(b"content-") || name.starts_with(b"if-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::{
        inject::{BodyFraming, tests},
        parse::trailers,
    };

    const SECTION: &[u8] =
        b"X-Checksum: 1\r\ngrpc-status: 0\r\ncontent-length: 5\r\nContent-Type: a\r\n\
        transfer-encoding: chunked\r\nhost: other\r\nauthorization: Bearer -\r\ncookie: a\r\n\
        x_api_key: k\r\nx-netbird-user: root\r\nx-forwarded-for: ::1\r\ncache-control: no-store\r\n\
        if-match: x\r\nanthropic-version: 1\r\ntrailer: x\r\nte: trailers\r\nx-hop: 1\r\n\
        x-litellm-end-user-id: root\r\nset-cookie: a=b\r\nx-keyway-request-id: r\r\n\r\n";

    #[test]
    fn agents_say_no_more_behind_a_body_than_before_it() {
        let fields = trailers::of_h1(SECTION).unwrap().unwrap();
        let target = tests::target(Some("sk-key"));
        tests::with_request(
            tests::gateway(),
            &target,
            http::Method::POST,
            BodyFraming::Open,
            |request| {
                let mut lines = Vec::new();
                write_h1_trailers(request, tests::headers(), &fields, &mut lines).unwrap();
                let lines = String::from_utf8(lines).unwrap();
                let expected = "X-Checksum: 1\r\ngrpc-status: 0\r\n";
                assert_eq!(lines, expected);
                let map = build_h2_trailers(request, tests::headers(), &fields).unwrap();
                let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
                names.sort_unstable();
                assert_eq!(names, ["grpc-status", "x-checksum"]);
            },
        );
    }

    #[test]
    fn providers_say_no_more_behind_a_body_than_before_it() {
        let fields = trailers::of_h1(SECTION).unwrap().unwrap();
        let names = fields.iter().map(|(name, _)| name);
        let passing: Vec<_> = names
            .filter(|name| response_trailer_passes(name))
            .map(String::from_utf8_lossy)
            .collect();
        let expected = [
            "X-Checksum",
            "grpc-status",
            "x-netbird-user",
            "x-forwarded-for",
            "x-hop",
            "x-litellm-end-user-id",
        ];
        assert_eq!(passing, expected);
    }
}
