//! The one reading of `Host` and `:authority`: exactly one name, and one of this endpoint's. What two
//! parsers could read differently is refused (RFC 9110 section 7.2, RFC 9112 section 3.2, RFC 9113
//! section 8.3.1).

use std::net::Ipv6Addr;

use crate::handoff::{reason::Reason, snapshot::Endpoint};

/// A checked authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// As sent; IPv6 without brackets.
    pub host: &'a str,
    pub port: Option<u16>,
}

/// Which authority an HTTP/1.1 request is for. `target` is the authority of an absolute-form request
/// target; `hosts` are the values of all `Host` fields.
///
/// # Errors
///
/// [`Reason::AuthorityRefused`]: `Host` is missing or doubled, disagrees with the target, is odd, or
/// names another endpoint.
pub fn of_http1<'a>(
    endpoint: &Endpoint,
    target: Option<&'a [u8]>,
    hosts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Authority<'a>, Reason> {
    let host = single(hosts)?.ok_or(Reason::AuthorityRefused)?;
    agreed(endpoint, target.unwrap_or(host), host)
}

/// Which authority an HTTP/2 request is for. `authority` is the `:authority` pseudo-header; `hosts` are
/// the values of all `host` fields.
///
/// # Errors
///
/// [`Reason::AuthorityRefused`]: both are missing, they disagree, are odd, or name another endpoint.
pub fn of_http2<'a>(
    endpoint: &Endpoint,
    authority: Option<&'a [u8]>,
    hosts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Authority<'a>, Reason> {
    let host = single(hosts)?;
    let authority = authority.or(host).ok_or(Reason::AuthorityRefused)?;
    agreed(endpoint, authority, host.unwrap_or(authority))
}

fn single<'a>(hosts: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, Reason> {
    let mut hosts = hosts.into_iter();
    let first = hosts.next();
    match hosts.next() {
        None => Ok(first),
        Some(_) => Err(Reason::AuthorityRefused),
    }
}

fn agreed<'a>(
    endpoint: &Endpoint,
    first: &'a [u8],
    second: &[u8],
) -> Result<Authority<'a>, Reason> {
    let parsed = parse(first).ok_or(Reason::AuthorityRefused)?;
    if first.eq_ignore_ascii_case(second) && is_own(endpoint, parsed.host) {
        Ok(parsed)
    } else {
        Err(Reason::AuthorityRefused)
    }
}

/// `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
fn parse(text: &[u8]) -> Option<Authority<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || host.ends_with('.') || !host.bytes().all(plain) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        // `parse` would take a sign.
        Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(digits) => Some(digits.parse().ok().filter(|&port| port != 0)?),
    };
    Some(Authority { host, port })
}

/// Names are few: a scan beats a hash.
fn is_own(endpoint: &Endpoint, host: &str) -> bool {
    let same_address = |name: &str| {
        let address = |text: &str| text.parse::<Ipv6Addr>().ok();
        host.contains(':') && name.contains(':') && address(name) == address(host)
    };
    endpoint
        .names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(host) || same_address(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            names: vec![
                "brave-otter.ai.example".into(),
                "100.64.0.1".into(),
                "fd00::1".into(),
            ],
            tls: None,
        }
    }

    #[test]
    fn only_plain_names_of_this_endpoint_pass() {
        let table = [
            (
                "brave-otter.ai.example",
                Some(("brave-otter.ai.example", None)),
            ),
            (
                "Brave-Otter.AI.example",
                Some(("Brave-Otter.AI.example", None)),
            ),
            (
                "brave-otter.ai.example:443",
                Some(("brave-otter.ai.example", Some(443))),
            ),
            ("100.64.0.1:8080", Some(("100.64.0.1", Some(8080)))),
            ("[fd00::1]", Some(("fd00::1", None))),
            ("[fd00::1]:443", Some(("fd00::1", Some(443)))),
            ("[FD00:0:0::0:1]", Some(("FD00:0:0::0:1", None))),
            ("", None),
            (":443", None),
            ("brave-otter.ai.example.", None),
            ("brave-otter.ai.example:", None),
            ("brave-otter.ai.example:0", None),
            ("brave-otter.ai.example:65536", None),
            ("brave-otter.ai.example:+443", None),
            ("brave-otter.ai.example:443:443", None),
            ("brave-otter.ai.example:44x", None),
            ("user@brave-otter.ai.example", None),
            ("brave-otter.ai.example@evil", None),
            ("brave-otter.ai.example/", None),
            ("brave-otter.ai.example?x", None),
            ("brave-otter.ai.example#x", None),
            ("brave-otter.ai.example\\x", None),
            ("brave-otter.ai.example,evil", None),
            (" brave-otter.ai.example", None),
            ("brave-otter.ai.example\0", None),
            ("brave%2dotter.ai.example", None),
            ("br\u{e4}ve-otter.ai.example", None),
            ("other.example", None),
            ("ai.example", None),
            ("100.64.0.01", None),
            ("100.64.0.2", None),
            ("fd00::1", None),
            ("[fd00::1", None),
            ("[fd00::1]x", None),
            ("[fd00::1%25eth0]", None),
            ("[fd00::2]", None),
            ("[100.64.0.1]", None),
            ("[]", None),
        ];
        for (host, expected) in table {
            let expected = expected
                .map(|(host, port)| Authority { host, port })
                .ok_or(Reason::AuthorityRefused);
            let found = of_http1(&endpoint(), None, [host.as_bytes()]);
            assert_eq!(found, expected, "http1 {host:?}");
            let found = of_http2(&endpoint(), Some(host.as_bytes()), []);
            assert_eq!(found, expected, "http2 {host:?}");
        }
    }

    #[test]
    fn there_is_exactly_one_authority() {
        const OWN: &[u8] = b"100.64.0.1";
        const OWN_PORT: &[u8] = b"100.64.0.1:80";
        const NAME: &[u8] = b"brave-otter.ai.example";
        const UPPER: &[u8] = b"BRAVE-OTTER.ai.example";
        type Case = (Option<&'static [u8]>, &'static [&'static [u8]], bool, bool);
        let table: [Case; 9] = [
            // target or :authority, Host values, accepted by HTTP/1.1, by HTTP/2
            (None, &[], false, false),
            (None, &[OWN], true, true),
            (None, &[OWN, OWN], false, false),
            (Some(OWN), &[], false, true),
            (Some(OWN), &[OWN], true, true),
            (Some(UPPER), &[NAME], true, true),
            (Some(OWN), &[NAME], false, false),
            (Some(OWN), &[OWN_PORT], false, false),
            (Some(OWN), &[OWN, OWN], false, false),
        ];
        for (first, hosts, http1, http2) in table {
            let hosts = || hosts.iter().copied();
            assert_eq!(
                of_http1(&endpoint(), first, hosts()).is_ok(),
                http1,
                "{first:?}"
            );
            assert_eq!(
                of_http2(&endpoint(), first, hosts()).is_ok(),
                http2,
                "{first:?}"
            );
        }
    }
}
