//! Which headers do not cross: hop-by-hop ones, every vendor's credentials, claims of identity, what
//! steers a gateway behind the operator's back, and names that a server might read as one of these.

use http::HeaderName;

use super::RawHeader;
use crate::{
    dialect::IdentityFormat,
    handoff::{reason::Reason, snapshot::Provider},
};

/// Most header names that one request's `Connection` fields may list.
const CONNECTION_OPTIONS_LIMIT: usize = 16;

/// The rules for one request.
pub(super) struct RequestFilter<'r, 'h> {
    provider: &'r Provider,
    /// Names that `Connection` lists (RFC 9110 section 7.6.1).
    connection: [&'h [u8]; CONNECTION_OPTIONS_LIMIT],
    connection_len: usize,
}

impl<'r, 'h> RequestFilter<'r, 'h> {
    pub(super) fn new(
        provider: &'r Provider,
        headers: impl Iterator<Item = RawHeader<'h>>,
    ) -> Result<Self, Reason> {
        let mut filter = Self {
            provider,
            connection: [b""; CONNECTION_OPTIONS_LIMIT],
            connection_len: 0,
        };
        for (name, value) in headers {
            if !name.eq_ignore_ascii_case(b"connection") {
                continue;
            }
            for option in value.split(|&byte| byte == b',') {
                let slot = filter.connection.get_mut(filter.connection_len);
                *slot.ok_or(Reason::MalformedRequest)? = option.trim_ascii();
                filter.connection_len += 1;
            }
        }
        Ok(filter)
    }

    /// Whether a header of the agent goes upstream.
    pub(super) fn passes(&self, name: &[u8]) -> Result<bool, Reason> {
        let is_token = !name.is_empty() && name.iter().copied().all(is_token_byte);
        if !is_token {
            return Err(Reason::MalformedRequest);
        }
        let folded = Folded::new(name);
        let dropped = folded.is_refused()
            || self.connection[..self.connection_len]
                .iter()
                .any(|option| option.eq_ignore_ascii_case(name))
            || self.is_written_by_us(name);
        Ok(!dropped)
    }

    /// Removed, then added: the agent's copy would stand beside the node's.
    fn is_written_by_us(&self, name: &[u8]) -> bool {
        let is = |own: &HeaderName| reads_alike(name, own.as_str().as_bytes());
        let of_identity = match &self.provider.identity {
            None | Some(IdentityFormat::Body(_)) => false,
            Some(IdentityFormat::HeaderPair { user, groups, .. }) => {
                user.iter().chain(groups).any(is)
            }
            Some(IdentityFormat::JsonHeader { header, .. }) => is(header),
        };
        of_identity
            || self.provider.auth.iter().any(|auth| is(&auth.name))
            || self.provider.extra_headers.iter().any(|(name, _)| is(name))
    }
}

/// A name in lower case with `-` for `_`, since servers that hand headers on as variables (CGI, WSGI)
/// read both alike.
struct Folded {
    bytes: [u8; Self::BYTES_LIMIT],
    len: usize,
}

impl Folded {
    /// Longer names are cut; no refused name is longer, and refused beginnings are shorter still.
    const BYTES_LIMIT: usize = 40;

    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::BYTES_LIMIT];
        for (folded, &byte) in bytes.iter_mut().zip(name) {
            *folded = fold(byte);
        }
        Self {
            bytes,
            len: name.len().min(Self::BYTES_LIMIT),
        }
    }

    fn is_refused(&self) -> bool {
        let name = &self.bytes[..self.len];
        match name {
            // Hop-by-hop, and the framing that the node writes itself.
            b"connection" | b"keep-alive" | b"te" | b"trailer" | b"transfer-encoding"
            | b"upgrade" | b"http2-settings" | b"host" | b"content-length" | b"expect"
            | b"max-forwards" | b"via" => true,
            // What the node can meter, and digests of bodies that it may splice.
            b"accept-encoding" | b"content-md5" | b"digest" | b"content-digest" => true,
            // Credentials.
            b"authorization"
            | b"cookie"
            | b"cookie2"
            | b"api-key"
            | b"x-api-key"
            | b"x-goog-api-key"
            | b"x-goog-user-project"
            | b"x-goog-iam-authorization-token"
            | b"x-auth-token" => true,
            // Who calls, and from where.
            b"forwarded"
            | b"x-real-ip"
            | b"x-client-ip"
            | b"x-original-forwarded-for"
            | b"true-client-ip"
            | b"x-amzn-bedrock-request-metadata" => true,
            // Another path or method than the one that was judged.
            b"x-original-url"
            | b"x-rewrite-url"
            | b"x-http-method-override"
            | b"x-http-method"
            | b"x-method-override" => true,
            _ => REFUSED_BEGINNINGS
                .iter()
                .any(|beginning| name.starts_with(beginning)),
        }
    }
}

/// Families of names. Those of gateways hold credentials, identity, cost overrides and other upstreams
/// to send the operator's key to (`x-portkey-custom-host`, `x-bf-eh-…`, `cf-aig-custom-cost`).
const REFUSED_BEGINNINGS: [&[u8]; 12] = [
    b"proxy-",
    b"sec-websocket-",
    b"x-amz-",
    b"x-forwarded-",
    b"x-netbird-",
    b"x-portkey-",
    b"x-litellm-",
    b"x-bf-",
    b"cf-",
    b"ai-reporting-",
    b"remote-",
    b"x-remote-",
];

fn fold(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        _ => byte.to_ascii_lowercase(),
    }
}

fn reads_alike(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| fold(a) == fold(b))
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a header of the provider's response goes to the agent: not those of the connection, those
/// that bind the agent to a host it does not know, or those that tell about the operator's account.
/// `content-length` passes here; who writes the response decides on its framing.
pub fn response_header_passes(name: &[u8]) -> bool {
    let folded = Folded::new(name);
    let refused = match &folded.bytes[..folded.len] {
        b"connection" | b"keep-alive" | b"te" | b"trailer" | b"transfer-encoding" | b"upgrade"
        | b"via" => true,
        b"set-cookie"
        | b"set-cookie2"
        | b"alt-svc"
        | b"server"
        | b"strict-transport-security"
        | b"public-key-pins"
        | b"expect-ct"
        | b"nel"
        | b"report-to"
        | b"reporting-endpoints"
        | b"clear-site-data"
        | b"www-authenticate" => true,
        b"openai-organization"
        | b"openai-project"
        | b"anthropic-organization-id"
        | b"x-litellm-model-api-base"
        | b"authorization"
        | b"api-key"
        | b"x-api-key"
        | b"x-goog-api-key" => true,
        name => [
            &b"proxy-"[..],
            b"x-litellm-key-",
            b"x-portkey-api-",
            b"x-bf-vk",
        ]
        .iter()
        .any(|beginning| name.starts_with(beginning)),
    };
    !refused
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{
        control_plane::catalog::Catalog, data_plane::route::tests::provider, dialect::BodyIdentity,
        handoff::snapshot::AuthHeader,
    };

    fn passes(provider: &Provider, name: &str) -> Result<bool, Reason> {
        let filter = RequestFilter::new(provider, [].into_iter())?;
        filter.passes(name.as_bytes())
    }

    #[test]
    fn what_agents_need_passes_and_what_they_may_not_say_does_not() {
        let table = "
            + anthropic-version anthropic-beta anthropic-dangerous-direct-browser-access
            + openai-organization openai-project openai-beta idempotency-key user-agent accept
            + content-type content-encoding x-stainless-os X-Stainless-Retry-Count x-request-id
            + x-claude-code-session-id session_id x-app http-referer x-title x-openrouter-title
            + x-goog-api-client traceparent date origin x-amzn-trace-id x-bfx
            - Connection keep-alive TE trailer transfer-encoding upgrade http2-settings host
            - content-length expect via max-forwards accept-encoding content-md5 digest
            - Authorization AUTHORIZATION proxy-authorization proxy-connection x-api-key api-key
            - x-goog-api-key x-amz-date x-amz-security-token x-amz-content-sha256 cookie cookie2
            - x-portkey-api-key x-portkey-custom-host x-portkey-config cf-aig-authorization
            - cf-connecting-ip x-bf-vk x-bf-eh-x x-litellm-api-key x-litellm-tags
            - x-litellm-end-user-id x-portkey-metadata x-bf-dim-netbird_user_id x-bf-lh-a
            - cf-aig-metadata ai-reporting-user ai-reporting-tags X-Amzn-Bedrock-Request-Metadata
            - X-NetBird-User x-netbird-groups Remote-User x-forwarded-for x-forwarded-host
            - forwarded x-real-ip x-http-method-override x-original-url
            - x_api_key api_key content_length Transfer_Encoding X_NETBIRD_USER x-api_key
            - x-amzn_bedrock-request_metadata sec-websocket-key
            ? bad:name bad\u{a0}name :path \u{1}
        ";
        let provider = provider("p", "");
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(' ');
            let expected = match words.next().unwrap() {
                "+" => Ok(true),
                "-" => Ok(false),
                _ => Err(Reason::MalformedRequest),
            };
            for name in words {
                assert_eq!(passes(&provider, name), expected, "{name}");
            }
        }
        assert_eq!(passes(&provider, ""), Err(Reason::MalformedRequest));
        let long = format!("x-forwarded-{}", "a".repeat(100));
        assert_eq!(passes(&provider, &long), Ok(false));
        assert_eq!(passes(&provider, &"a".repeat(100)), Ok(true));
    }

    #[test]
    fn no_header_of_the_catalog_passes_to_any_provider() {
        let other = provider("p", "");
        for entry in Catalog::built_in().entries() {
            let auth = entry.auth_header();
            assert_eq!(
                passes(&other, auth.name.as_str()),
                Ok(false),
                "{}",
                entry.id
            );
            let names = match entry.identity_format(None, None).unwrap() {
                None | Some(IdentityFormat::Body(_)) => Vec::new(),
                Some(IdentityFormat::HeaderPair { user, groups, .. }) => {
                    user.into_iter().chain(groups).collect()
                }
                Some(IdentityFormat::JsonHeader { header, .. }) => vec![header],
            };
            for name in names {
                assert_eq!(passes(&other, name.as_str()), Ok(false), "{name}");
            }
        }
    }

    #[test]
    fn what_the_node_writes_for_a_provider_is_removed_first() {
        let mut own = provider("p", "");
        own.auth = Some(AuthHeader {
            name: HeaderName::from_static("x-secret"),
            prefix: "".into(),
        });
        own.extra_headers = vec![(
            HeaderName::from_static("http-referer"),
            HeaderValue::from_static("https://x"),
        )];
        own.identity = Some(IdentityFormat::HeaderPair {
            user: Some(HeaderName::from_static("x-user_name")),
            groups: Some(HeaderName::from_static("x-groups")),
            body: BodyIdentity::default(),
        });
        for name in [
            "X-Secret",
            "x_secret",
            "HTTP-Referer",
            "x-user-name",
            "X-Groups",
        ] {
            assert_eq!(passes(&own, name), Ok(false), "{name}");
            assert_eq!(passes(&provider("p", ""), name), Ok(true), "{name}");
        }
        own.identity = Some(IdentityFormat::JsonHeader {
            header: HeaderName::from_static("x-json"),
            user_key: None,
            groups_key: None,
            value_bytes_limit: 1,
        });
        assert_eq!(passes(&own, "x-json"), Ok(false));
        assert_eq!(passes(&own, "x-groups"), Ok(true));
    }

    #[test]
    fn connection_lists_more_hop_by_hop_headers() {
        let provider = provider("p", "");
        let headers: [RawHeader<'_>; 2] = [
            (b"Connection", b"close, X-Hop"),
            (b"connection", b" anthropic-beta "),
        ];
        let filter = RequestFilter::new(&provider, headers.into_iter()).unwrap();
        assert_eq!(filter.passes(b"x-hop"), Ok(false));
        assert_eq!(filter.passes(b"Anthropic-Beta"), Ok(false));
        assert_eq!(filter.passes(b"anthropic-version"), Ok(true));

        let many = ["a"; CONNECTION_OPTIONS_LIMIT + 1].join(",");
        let headers: [RawHeader<'_>; 1] = [(b"connection", many.as_bytes())];
        let refused = RequestFilter::new(&provider, headers.into_iter()).err();
        assert_eq!(refused, Some(Reason::MalformedRequest));
    }

    #[test]
    fn responses_tell_nothing_of_the_connection_or_the_account() {
        let table = "
            + content-type content-length content-encoding date x-request-id request-id retry-after
            + retry-after-ms x-ratelimit-remaining-tokens anthropic-ratelimit-tokens-reset
            + openai-processing-ms openai-version x-litellm-response-cost cf-ray
            - connection keep-alive transfer-encoding trailer upgrade Set-Cookie alt-svc Server
            - openai-organization anthropic-organization-id strict-transport-security via
            - www-authenticate proxy-authenticate x-litellm-key-spend x-litellm-model-api-base
        ";
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (sign, names) = line.split_once(' ').unwrap();
            for name in names.split(' ') {
                assert_eq!(
                    response_header_passes(name.as_bytes()),
                    sign == "+",
                    "{name}"
                );
            }
        }
    }
}
