//! A provider's upstream URL, taken apart.

use std::net::IpAddr;

use http::Uri;
use rustls::pki_types::ServerName;

use super::Problem;

/// `scheme://host[:port][/path]`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::control_plane) struct Upstream {
    pub(in crate::control_plane) tls: bool,
    pub(in crate::control_plane) host: Host,
    pub(in crate::control_plane) port: u16,
    /// For `Host`/`:authority`: the port is there when it is not the scheme's.
    pub(in crate::control_plane) authority: String,
    /// Without a trailing slash; empty for the root.
    pub(in crate::control_plane) path: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::control_plane) enum Host {
    /// Lower-case.
    Name(String),
    Literal(IpAddr),
}

impl Upstream {
    pub(in crate::control_plane) fn parse(url: &str) -> Result<Self, Problem> {
        let wrong = Problem::UpstreamUrl;
        let uri: Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
        let (tls, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            Some(_) | None => return Err(wrong("it must begin with https:// or http://")),
        };
        let given = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if given.as_str().contains('@') {
            return Err(wrong("it must not hold a user name or password"));
        }
        if uri.query().is_some() {
            return Err(wrong("it must not have a query"));
        }
        // `Authority::port` passes over a port that is out of range.
        let port = match given.as_str().strip_prefix(given.host()) {
            Some("") => default_port,
            Some(rest) => rest
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("its port is not a port"))?,
            None => return Err(wrong("it names no host")),
        };
        let name = given.host().to_ascii_lowercase();
        let host = host(&name).ok_or_else(|| wrong("its host is not a host name or an address"))?;
        let authority = if port == default_port {
            name
        } else {
            format!("{name}:{port}")
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            tls,
            host,
            port,
            authority,
            path,
        })
    }
}

impl Host {
    /// What its certificate must be good for.
    pub(in crate::control_plane) fn server_name(&self) -> Result<ServerName<'static>, Problem> {
        match self {
            Self::Literal(address) => Ok(ServerName::from(*address)),
            Self::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| Problem::UpstreamUrl("its host cannot stand in a certificate")),
        }
    }
}

fn host(name: &str) -> Option<Host> {
    if let Some(inner) = name.strip_prefix('[') {
        let address = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Literal(IpAddr::V6(address)));
    }
    if let Ok(address) = name.parse() {
        return Some(Host::Literal(IpAddr::V4(address)));
    }
    // A last label of digits is an IPv4 address in a spelling that resolvers accept and checks miss
    // (WHATWG URL 3.5): `127.1`, `2130706433`, `0x7f.1`.
    let last = name.trim_end_matches('.').rsplit('.').next()?;
    let numeric = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (!numeric && name.bytes().all(plain)).then(|| Host::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, tls, port, authority, path) in [
            ("https://api.openai.com", true, 443, "api.openai.com", ""),
            (
                "https://API.example.com/v1/",
                true,
                443,
                "api.example.com",
                "/v1",
            ),
            (
                "https://gw.example.com:8443/a/b",
                true,
                8443,
                "gw.example.com:8443",
                "/a/b",
            ),
            (
                "https://gw.example.com:443",
                true,
                443,
                "gw.example.com",
                "",
            ),
            (
                "http://127.0.0.1:11434",
                false,
                11434,
                "127.0.0.1:11434",
                "",
            ),
            ("http://[fd00::1]:80/", false, 80, "[fd00::1]", ""),
        ] {
            let upstream = Upstream::parse(url).expect(url);
            assert_eq!(
                (
                    upstream.tls,
                    upstream.port,
                    upstream.authority.as_str(),
                    upstream.path.as_str()
                ),
                (tls, port, authority, path),
                "{url}"
            );
        }
    }

    #[test]
    fn urls_that_hide_something_are_refused() {
        for url in [
            "",
            "api.openai.com",
            "ftp://api.openai.com",
            "https://",
            "https://user:password@api.openai.com",
            "https://api.openai.com?key=1",
            "https://api.openai.com:0",
            "https://api.openai.com:99999",
            "http://127.1",
            "http://2130706433/",
            "http://0x7f.0x1",
            "http://[::1",
            "https://a b.example.com",
        ] {
            assert!(Upstream::parse(url).is_err(), "{url:?}");
        }
    }
}
