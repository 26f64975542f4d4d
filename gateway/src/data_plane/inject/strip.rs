//! Which headers do not cross: hop-by-hop ones, every vendor's credentials, claims of identity, what
//! steers a gateway behind the operator's back, and names that a server might read as one of these.

use http::HeaderName;

use super::RawHeader;
use crate::{
    data_plane::trace::Told,
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
    /// Fields may follow the body, and the agent may say which.
    trailers_follow: bool,
    /// What others add to a trace goes along.
    carries_state: bool,
}

impl<'r, 'h> RequestFilter<'r, 'h> {
    pub(super) fn new(
        provider: &'r Provider,
        headers: impl Iterator<Item = RawHeader<'h>>,
        trailers_follow: bool,
    ) -> Result<Self, Reason> {
        let mut filter = Self {
            provider,
            connection: [b""; CONNECTION_OPTIONS_LIMIT],
            connection_len: 0,
            trailers_follow,
            carries_state: false,
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

    /// The rules for a head that tells of a trace.
    pub(super) fn with_trace(mut self, trace: Option<Told>) -> Self {
        self.carries_state = trace.is_some_and(|trace| trace.with_state);
        self
    }

    /// Whether a header of the agent goes upstream.
    pub(super) fn passes(&self, name: &[u8]) -> Result<bool, Reason> {
        let folded = Folded::new(name).ok_or(Reason::MalformedRequest)?;
        let is_meant = match folded.name() {
            b"trailer" => self.trailers_follow,
            b"tracestate" | b"baggage" => self.carries_state,
            _ => false,
        };
        let dropped = (folded.is_refused() && !is_meant)
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
pub(super) struct Folded {
    bytes: [u8; Self::BYTES_LIMIT],
    len: usize,
}

impl Folded {
    /// Longer names are cut; no refused name is longer, and refused beginnings are shorter still.
    const BYTES_LIMIT: usize = 40;

    /// `None` when `name` is no token (RFC 9110 section 5.6.2).
    pub(super) fn new(name: &[u8]) -> Option<Self> {
        let mut folded = Self {
            bytes: [0; Self::BYTES_LIMIT],
            len: name.len().min(Self::BYTES_LIMIT),
        };
        let (head, tail) = name.split_at(folded.len);
        let mut is_token = !name.is_empty();
        for (to, &byte) in folded.bytes.iter_mut().zip(head) {
            *to = FOLD[usize::from(byte)];
            is_token &= *to != 0;
        }
        for &byte in tail {
            is_token &= FOLD[usize::from(byte)] != 0;
        }
        is_token.then_some(folded)
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn is_refused(&self) -> bool {
        let name = self.name();
        let start = usize::from(LENGTH_STARTS[name.len()]);
        let end = usize::from(LENGTH_STARTS[name.len() + 1]);
        REFUSED_BY_LENGTH[start..end].contains(&name)
            || refused_beginning(name).is_some_and(|beginning| name.starts_with(beginning))
    }
}

/// Names that do not cross to a provider, folded.
const REFUSED: [&[u8]; 39] = [
    // Hop-by-hop, and the framing that the node writes itself.
    b"connection",
    b"keep-alive",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
    b"host",
    b"content-length",
    b"expect",
    b"max-forwards",
    b"via",
    // What the node can meter, and digests of bodies that it may splice.
    b"accept-encoding",
    b"content-md5",
    b"digest",
    b"content-digest",
    // Credentials.
    b"authorization",
    b"cookie",
    b"cookie2",
    b"api-key",
    b"x-api-key",
    b"x-goog-api-key",
    b"x-goog-user-project",
    b"x-goog-iam-authorization-token",
    b"x-auth-token",
    // Who calls, and from where.
    b"forwarded",
    b"x-real-ip",
    b"x-client-ip",
    b"x-original-forwarded-for",
    b"true-client-ip",
    b"x-amzn-bedrock-request-metadata",
    // Traces, which are the operator's own; the node writes what a provider may know.
    b"traceparent",
    b"tracestate",
    b"baggage",
    // Another path or method than the one that was judged.
    b"x-original-url",
    b"x-rewrite-url",
    b"x-http-method-override",
    b"x-http-method",
    b"x-method-override",
];

/// Families of names. Those of gateways hold credentials, identity, cost overrides and other upstreams
/// to send the operator's key to (`x-portkey-custom-host`, `x-bf-eh-…`, `cf-aig-custom-cost`). The one
/// that `name` can belong to.
fn refused_beginning(name: &[u8]) -> Option<&'static [u8]> {
    match name {
        [b'x', b'-', third, ..] => match third {
            b'a' => Some(b"x-amz-"),
            b'b' => Some(b"x-bf-"),
            b'f' => Some(b"x-forwarded-"),
            b'l' => Some(b"x-litellm-"),
            b'n' => Some(b"x-netbird-"),
            b'p' => Some(b"x-portkey-"),
            b'r' => Some(b"x-remote-"),
            _ => None,
        },
        [b'a', ..] => Some(b"ai-reporting-"),
        [b'c', ..] => Some(b"cf-"),
        [b'p', ..] => Some(b"proxy-"),
        [b'r', ..] => Some(b"remote-"),
        [b's', ..] => Some(b"sec-websocket-"),
        _ => None,
    }
}

/// [`REFUSED`] by length, so that a name is compared with few others.
const REFUSED_BY_LENGTH: [&[u8]; REFUSED.len()] = {
    let mut names = REFUSED;
    let mut sorted = 1;
    while sorted < names.len() {
        let mut at = sorted;
        while at > 0 && names[at - 1].len() > names[at].len() {
            names.swap(at - 1, at);
            at -= 1;
        }
        sorted += 1;
    }
    names
};

/// Where names of each length begin in [`REFUSED_BY_LENGTH`].
const LENGTH_STARTS: [u8; Folded::BYTES_LIMIT + 2] = {
    let mut starts = [0; Folded::BYTES_LIMIT + 2];
    let mut length = 0;
    while length < starts.len() {
        let mut at = 0;
        while at < REFUSED_BY_LENGTH.len() {
            assert!(REFUSED_BY_LENGTH[at].len() <= Folded::BYTES_LIMIT);
            starts[length] += (REFUSED_BY_LENGTH[at].len() < length) as u8;
            at += 1;
        }
        length += 1;
    }
    starts
};

/// Bytes of a token, folded; 0 for all others.
const FOLD: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        let is_token = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        if is_token {
            table[byte as usize] = match byte {
                b'_' => b'-',
                _ => byte.to_ascii_lowercase(),
            };
        }
        byte += 1;
    }
    table
};

fn reads_alike(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| FOLD[usize::from(*byte)];
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

/// Whether a header of the provider's response goes to the agent: not those of the connection, those
/// that bind the agent to a host it does not know, or those that tell about the operator's account.
/// `content-length` passes here; who writes the response decides on its framing.
pub fn response_header_passes(name: &[u8]) -> bool {
    let Some(folded) = Folded::new(name) else {
        return false;
    };
    let refused = match folded.name() {
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
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{
        control_plane::catalog::Catalog, dialect::BodyIdentity, handoff::snapshot::AuthHeader,
        policy::tests::provider,
    };

    fn passes(provider: &Provider, name: &str) -> Result<bool, Reason> {
        let filter = RequestFilter::new(provider, [].into_iter(), false)?;
        filter.passes(name.as_bytes())
    }

    #[test]
    fn what_agents_need_passes_and_what_they_may_not_say_does_not() {
        let table = "
            + anthropic-version anthropic-beta anthropic-dangerous-direct-browser-access
            + openai-organization openai-project openai-beta idempotency-key user-agent accept
            + content-type content-encoding x-stainless-os X-Stainless-Retry-Count x-request-id
            + x-claude-code-session-id session_id x-app http-referer x-title x-openrouter-title
            + x-goog-api-client date origin x-amzn-trace-id x-bfx
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
            - traceparent TraceParent tracestate baggage
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
            bedrock: false,
            header: HeaderName::from_static("x-json"),
            user_key: None,
            groups_key: None,
            value_bytes_limit: 1,
        });
        assert_eq!(passes(&own, "x-json"), Ok(false));
        assert_eq!(passes(&own, "x-groups"), Ok(true));
    }

    #[test]
    fn trailers_are_announced_where_they_can_follow() {
        let provider = provider("p", "");
        for (follow, listed, expected) in [
            (false, "close", false),
            (true, "close", true),
            (true, "trailer", false),
        ] {
            let connection: RawHeader<'_> = (b"connection", listed.as_bytes());
            let filter = RequestFilter::new(&provider, [connection].into_iter(), follow).unwrap();
            assert_eq!(filter.passes(b"Trailer"), Ok(expected), "{follow} {listed}");
        }
    }

    #[test]
    fn connection_lists_more_hop_by_hop_headers() {
        let provider = provider("p", "");
        let headers: [RawHeader<'_>; 2] = [
            (b"Connection", b"close, X-Hop"),
            (b"connection", b" anthropic-beta "),
        ];
        let filter = RequestFilter::new(&provider, headers.into_iter(), false).unwrap();
        assert_eq!(filter.passes(b"x-hop"), Ok(false));
        assert_eq!(filter.passes(b"Anthropic-Beta"), Ok(false));
        assert_eq!(filter.passes(b"anthropic-version"), Ok(true));

        let many = ["a"; CONNECTION_OPTIONS_LIMIT + 1].join(",");
        let headers: [RawHeader<'_>; 1] = [(b"connection", many.as_bytes())];
        let refused = RequestFilter::new(&provider, headers.into_iter(), false).err();
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
