//! HTTP/1 heads on httparse, and the framing rules of RFC 9112 section 6.

use http::Method;

use crate::{
    data_plane::message::{FieldSpan, Fields, Framing, RequestHead, ResponseHead, Version},
    handoff::reason::Reason,
};

/// Most header fields of a head.
pub const FIELDS_LIMIT: usize = 128;

/// Parses a request head at the front of `bytes`. `Ok(None)`: not complete yet. Otherwise the head and
/// its length.
pub fn request(bytes: &[u8], limit: usize) -> Result<Option<(RequestHead, usize)>, Reason> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_LIMIT];
    let mut parsed = httparse::Request::new(&mut slots);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Reason::HeadTooLarge),
        Err(_) => return Err(Reason::MalformedRequest),
    };
    refuse_bare_lf(&bytes[..length])?;
    let method = parsed.method.expect("complete heads have a method");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Reason::MalformedRequest)?;
    let version = version(parsed.version);
    let (target, target_authority) = target(parsed.path.expect("complete heads have a target"))?;
    let scan = FramingFields::read(parsed.headers)?;
    let framing = scan.request_framing(version)?;
    let head = RequestHead {
        keep_alive: scan.keep_alive(version),
        expects_continue: scan.expects_continue(version)?,
        takes_trailers: scan.takes_trailers,
        fields: spans(bytes, length, parsed.headers),
        method,
        target,
        target_authority,
        version,
        framing,
    };
    Ok(Some((head, length)))
}

/// Parses a response head. `Ok(None)`: not complete yet. `head_request`: the request was `HEAD`.
pub fn response(
    bytes: &[u8],
    limit: usize,
    head_request: bool,
) -> Result<Option<(ResponseHead, usize)>, Reason> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_LIMIT];
    let mut parsed = httparse::Response::new(&mut slots);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(None),
        Ok(_) | Err(_) => return Err(Reason::ProviderProtocol),
    };
    let status = parsed.code.expect("complete heads have a status");
    let version = version(parsed.version);
    let scan = FramingFields::read(parsed.headers).map_err(|_| Reason::ProviderProtocol)?;
    let framing = scan.response_framing(status, head_request)?;
    let head = ResponseHead {
        status,
        keep_alive: scan.keep_alive(version) && framing != Framing::UntilClose,
        connection_names_fields: scan.names_fields,
        fields: spans(bytes, length, parsed.headers),
        framing,
    };
    Ok(Some((head, length)))
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    }
}

/// httparse takes LF for CRLF; other parsers on the way may not.
fn refuse_bare_lf(head: &[u8]) -> Result<(), Reason> {
    let bare = |at: usize| at == 0 || head[at - 1] != b'\r';
    if memchr::memchr_iter(b'\n', head).any(bare) {
        Err(Reason::MalformedRequest)
    } else {
        Ok(())
    }
}

/// Origin form, or absolute form split into authority and origin form (RFC 9112 section 3.2).
fn target(raw: &str) -> Result<(String, Option<String>), Reason> {
    if raw.starts_with('/') && !raw.contains('#') {
        return Ok((raw.to_owned(), None));
    }
    let rest = raw
        .strip_prefix("http://")
        .or_else(|| raw.strip_prefix("https://"))
        .filter(|rest| !rest.contains('#'))
        .ok_or(Reason::MalformedRequest)?;
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    let path = match path {
        "" => "/".to_owned(),
        query if query.starts_with('?') => format!("/{query}"),
        path => path.to_owned(),
    };
    Ok((path, Some(authority.to_owned())))
}

/// Where `headers` stand in the first `length` of `bytes`, out of which they were parsed.
pub(super) fn spans(bytes: &[u8], length: usize, headers: &[httparse::Header<'_>]) -> Fields {
    let base = bytes.as_ptr() as usize;
    let span = |part: &[u8]| {
        let start = (part.as_ptr() as usize - base) as u32;
        (start, start + part.len() as u32)
    };
    let spans = headers.iter().map(|h| FieldSpan {
        name: span(h.name.as_bytes()),
        value: span(h.value),
    });
    Fields::from_h1(&bytes[..length], spans)
}

/// The fields that say how long a message is and what becomes of its connection.
#[derive(Default)]
struct FramingFields<'a> {
    content_length: Option<u64>,
    transfer_encoding: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    names_fields: bool,
    takes_trailers: bool,
    expect: Option<&'a [u8]>,
}

impl<'a> FramingFields<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<Self, Reason> {
        let mut this = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // By length first: most fields are none of these.
            match header.name.len() {
                14 if is("content-length") => {
                    let length = parse_length(header.value).ok_or(Reason::MalformedRequest)?;
                    if this.content_length.replace(length).is_some() {
                        return Err(Reason::MalformedRequest);
                    }
                }
                17 if is("transfer-encoding")
                    && this.transfer_encoding.replace(header.value).is_some() =>
                {
                    return Err(Reason::MalformedRequest);
                }
                10 if is("connection") => {
                    for option in header.value.split(|b| *b == b',') {
                        let option = option.trim_ascii();
                        this.close |= option.eq_ignore_ascii_case(b"close");
                        let keep_alive = option.eq_ignore_ascii_case(b"keep-alive");
                        this.keep_alive |= keep_alive;
                        this.names_fields |= !keep_alive && !option.eq_ignore_ascii_case(b"close");
                    }
                }
                2 if is("te") => this.takes_trailers |= takes_trailers(header.value),
                6 if is("expect") => this.expect = Some(header.value),
                _ => {}
            }
        }
        Ok(this)
    }

    fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 | Version::Http2 => !self.close,
        }
    }

    fn expects_continue(&self, version: Version) -> Result<bool, Reason> {
        match self.expect {
            None => Ok(false),
            // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
            Some(_) if version == Version::Http10 => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Some(_) => Err(Reason::ExpectationFailed),
        }
    }

    fn request_framing(&self, version: Version) -> Result<Framing, Reason> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(0)) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(coding), None)
                if version == Version::Http11 && coding.eq_ignore_ascii_case(b"chunked") =>
            {
                Ok(Framing::Chunked)
            }
            (Some(_), None | Some(_)) => Err(Reason::MalformedRequest),
        }
    }

    fn response_framing(&self, status: u16, head_request: bool) -> Result<Framing, Reason> {
        if head_request || matches!(status, 100..=199 | 204 | 304) {
            return Ok(Framing::None);
        }
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::UntilClose),
            (None, Some(0)) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(_), None | Some(_)) => Err(Reason::ProviderProtocol),
        }
    }
}

/// Whether a value of `TE` says that trailers are wanted (RFC 9110 section 10.1.4).
pub fn takes_trailers(te: &[u8]) -> bool {
    te.split(|byte| *byte == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Digits only: no sign, no list, no white space inside.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0u64, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8 * 1024;

    fn parse(text: &str) -> Result<Option<(RequestHead, usize)>, Reason> {
        request(text.as_bytes(), LIMIT)
    }

    #[test]
    fn reads_a_plain_request() {
        let text =
            "POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let (head, length) = parse(text).unwrap().unwrap();
        assert_eq!(length, text.len() - 5);
        assert_eq!(head.method, Method::POST);
        assert_eq!(head.target, "/v1/messages?beta=true");
        assert_eq!(head.path(), "/v1/messages");
        assert_eq!(head.framing, Framing::Length(5));
        assert!(head.keep_alive);
        assert_eq!(head.fields.get("host"), Some(&b"a"[..]));
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..text.len() {
            assert!(matches!(parse(&text[..cut]), Ok(None)), "cut at {cut}");
        }
    }

    #[test]
    fn refuses_what_parsers_could_read_differently() {
        let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        for (what, text) in [
            (
                "CL and TE",
                head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ),
            ("two CL", head("Content-Length: 5\r\nContent-Length: 5\r\n")),
            ("CL list", head("Content-Length: 5, 5\r\n")),
            ("CL with sign", head("Content-Length: +5\r\n")),
            ("CL empty", head("Content-Length: \r\n")),
            ("TE other", head("Transfer-Encoding: gzip, chunked\r\n")),
            (
                "two TE",
                head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ),
            ("bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned()),
            ("obs-fold", head("X: a\r\n b\r\n")),
            ("space before colon", head("X : a\r\n")),
            ("NUL in value", head("X: a\0b\r\n")),
            ("fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
            (
                "asterisk",
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            ),
            (
                "TE in 1.0",
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            ),
        ] {
            assert!(
                matches!(parse(&text), Err(Reason::MalformedRequest)),
                "{what}"
            );
        }
    }

    #[test]
    fn heads_over_the_limits() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(LIMIT));
        assert!(matches!(parse(&long), Err(Reason::HeadTooLarge)));
        assert!(matches!(parse(&long[..LIMIT]), Err(Reason::HeadTooLarge)));
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "X: 1\r\n".repeat(FIELDS_LIMIT + 1)
        );
        assert!(matches!(parse(&many), Err(Reason::HeadTooLarge)));
    }

    #[test]
    fn absolute_form_names_its_authority() {
        for (raw, path) in [
            ("http://ep/v1?x", "/v1?x"),
            ("https://ep", "/"),
            ("http://ep?q", "/?q"),
        ] {
            let (head, _) = parse(&format!("GET {raw} HTTP/1.1\r\nHost: ep\r\n\r\n"))
                .unwrap()
                .unwrap();
            assert_eq!(head.target, path);
            assert_eq!(head.target_authority.as_deref(), Some("ep"));
        }
    }

    #[test]
    fn keep_alive_by_version() {
        for (version, connection, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: foo, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true),
        ] {
            let (head, _) = parse(&format!("GET / HTTP/{version}\r\n{connection}\r\n"))
                .unwrap()
                .unwrap();
            assert_eq!(head.keep_alive, kept, "{version} {connection}");
        }
    }

    #[test]
    fn expectations() {
        let expect = |v: &str| parse(&format!("POST / HTTP/1.1\r\nExpect: {v}\r\n\r\n"));
        assert!(expect("100-Continue").unwrap().unwrap().0.expects_continue);
        assert!(matches!(expect("200-ok"), Err(Reason::ExpectationFailed)));
    }

    #[test]
    fn trailers_are_wanted_by_name() {
        for (te, wanted) in [
            ("", false),
            ("TE: trailers\r\n", true),
            ("te: gzip;q=0.5 , Trailers\r\n", true),
            ("te: gzip\r\nte: trailers\r\n", true),
            ("te: trailers;q=0.5\r\n", false),
            ("te: trailer\r\n", false),
        ] {
            let head = parse(&format!("GET / HTTP/1.1\r\n{te}\r\n"));
            assert_eq!(head.unwrap().unwrap().0.takes_trailers, wanted, "{te}");
        }
    }

    #[test]
    fn response_framing_by_status_and_method() {
        for (head, head_request, framing) in [
            ("200 OK\r\nContent-Length: 7\r\n", false, Framing::Length(7)),
            ("200 OK\r\nContent-Length: 7\r\n", true, Framing::None),
            ("204 No\r\n", false, Framing::None),
            (
                "200 OK\r\nTransfer-Encoding: chunked\r\n",
                false,
                Framing::Chunked,
            ),
            ("200 OK\r\n", false, Framing::UntilClose),
            ("100 Continue\r\n", false, Framing::None),
        ] {
            let text = format!("HTTP/1.1 {head}\r\n");
            let (parsed, _) = response(text.as_bytes(), LIMIT, head_request)
                .unwrap()
                .unwrap();
            assert_eq!(parsed.framing, framing, "{head}");
        }
        let both = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(matches!(
            response(both, LIMIT, false),
            Err(Reason::ProviderProtocol)
        ));
    }
}
