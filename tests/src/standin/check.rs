//! What a provider must never be sent. Leaks are additions, so everything that is not on the list is
//! refused.

use http::Method;
use serde_json::{Value, json};

use super::{Options, Seen, Vendor, sigv4};

/// Headers that may reach a provider, apart from its credential.
const ALLOWED: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "baggage",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "originator",
    // Node's `fetch` says it of itself.
    "sec-fetch-mode",
    "session-id",
    "session_id",
    "thread-id",
    "thread_id",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-app",
    "x-claude-code-agent-id",
    "x-claude-code-parent-agent-id",
    "x-claude-code-session-id",
    "x-client-request-id",
    "x-request-id",
];

/// Prefixes of which every header may reach a provider.
const ALLOWED_PREFIXES: &[&str] = &["x-codex-", "x-stainless-"];

/// What AWS's SDKs and signatures add at Bedrock; a signature or its absence is judged before.
const BEDROCK_PREFIXES: &[&str] = &[
    "amz-sdk-",
    "x-amz-date",
    "x-amz-security-token",
    "x-amzn-bedrock-",
];
/// Headers that only Google's APIs may be sent.
const OF_GOOGLE: &[&str] = &["x-goog-api-client", "x-goog-user-project"];

/// Credentials of every vendor; only the own one may arrive.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "x-amz-date",
    "x-portkey-api-key",
    "cf-aig-authorization",
    "x-bf-vk",
    "x-litellm-api-key",
    "cookie",
];

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The error body in the vendor's own shape.
    pub(super) fn body(&self, vendor: Vendor) -> Vec<u8> {
        let body: Value = match vendor {
            Vendor::Bedrock => json!({"message": self.message}),
            Vendor::OpenAi | Vendor::Ollama | Vendor::Gateway(_) => json!({"error": {
                "message": self.message,
                "type": "invalid_request_error",
                "param": null,
                "code": self.code,
            }}),
            Vendor::Mistral | Vendor::Vllm => json!({
                "object": "error",
                "message": self.message,
                "type": "invalid_request_error",
                "param": null,
                "code": self.code,
            }),
            Vendor::Anthropic => json!({
                "type": "error",
                "error": {
                    "type": match self.status {
                        401 => "authentication_error",
                        404 => "not_found_error",
                        413 => "request_too_large",
                        429 => "rate_limit_error",
                        529 => "overloaded_error",
                        500..=599 => "api_error",
                        _ => "invalid_request_error",
                    },
                    "message": format!("{}: {}", self.code, self.message),
                },
                "request_id": "req_standin",
            }),
            Vendor::Vertex | Vendor::Gemini => json!({"error": {
                "code": self.status,
                "message": self.message,
                "status": self.code,
                "details": [],
            }}),
        };
        body.to_string().into_bytes()
    }
}

/// What is wrong with a request, credential first.
/// `tokens` are let in in place of the key.
pub(super) fn judge(seen: &Seen, options: &Options, tokens: Option<&[String]>) -> Option<Refusal> {
    foreign_credential(seen, options)
        .or_else(|| own_credential(seen, options, tokens))
        .or_else(|| unexpected_header(seen, options.vendor))
        .or_else(|| framing(seen))
        .or_else(|| version(seen, options.vendor))
        .or_else(|| match options.vendor {
            Vendor::Gateway(gateway) => gateway.judge(seen),
            Vendor::OpenAi
            | Vendor::Bedrock
            | Vendor::Anthropic
            | Vendor::Mistral
            | Vendor::Vllm
            | Vendor::Ollama
            | Vendor::Vertex
            | Vendor::Gemini => None,
        })
}

fn credential_header(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::OpenAi
        | Vendor::Bedrock
        | Vendor::Mistral
        | Vendor::Vllm
        | Vendor::Ollama
        | Vendor::Vertex => "authorization",
        Vendor::Anthropic => "x-api-key",
        Vendor::Gemini => "x-goog-api-key",
        Vendor::Gateway(gateway) => gateway.credential_header(),
    }
}

/// Access keys, where these are what lets a request in.
fn access_keys(options: &Options) -> Option<sigv4::Keys<'_>> {
    options.key.as_deref().and_then(sigv4::Keys::of)
}

fn foreign_credential(seen: &Seen, options: &Options) -> Option<Refusal> {
    let own = credential_header(options.vendor);
    let of_signature = |name: &str| access_keys(options).is_some() && name.starts_with("x-amz-");
    if let Some((name, _)) = seen.headers.iter().find(|(name, _)| {
        name != own && !of_signature(name) && CREDENTIALS.contains(&name.as_str())
    }) {
        let message = format!("foreign credential header {name}");
        return Some(Refusal::new(401, "foreign_credential", message));
    }
    seen.query()
        .split('&')
        .any(|pair| pair.starts_with("key=") || pair.starts_with("api_key="))
        .then(|| Refusal::new(401, "foreign_credential", "a key in the query"))
}

fn own_credential(seen: &Seen, options: &Options, tokens: Option<&[String]>) -> Option<Refusal> {
    if let Some(keys) = access_keys(options) {
        return sigv4::judge(seen, keys);
    }
    let name = credential_header(options.vendor);
    let sent: Vec<&str> = seen
        .headers
        .iter()
        .filter(|(header, _)| header == name)
        .map(|(_, value)| value.as_str())
        .collect();
    let keys = [options.key.as_ref(), options.next_key.as_ref()];
    let wanted: Option<Vec<&String>> = match tokens {
        Some(tokens) => Some(tokens.iter().collect()),
        None => options
            .key
            .is_some()
            .then(|| keys.into_iter().flatten().collect()),
    };
    let right = |sent: &str, key: &String| match options.vendor {
        Vendor::OpenAi
        | Vendor::Bedrock
        | Vendor::Mistral
        | Vendor::Vllm
        | Vendor::Ollama
        | Vendor::Vertex => sent.strip_prefix("Bearer ") == Some(key),
        Vendor::Anthropic | Vendor::Gemini => sent == key,
        Vendor::Gateway(gateway) => sent.strip_prefix(gateway.key_prefix()) == Some(key),
    };
    match (sent.as_slice(), wanted) {
        ([], None) => None,
        ([sent], Some(wanted)) if wanted.iter().any(|key| right(sent, key)) => None,
        ([], Some(_)) => Some(Refusal::new(401, "missing_api_key", "no credential")),
        ([_], Some(_)) => Some(Refusal::new(401, "invalid_api_key", "wrong credential")),
        ([_], None) => Some(Refusal::new(
            401,
            "unwanted_api_key",
            "no credential is wanted",
        )),
        (_, _) => Some(Refusal::new(
            401,
            "doubled_api_key",
            "more than one credential",
        )),
    }
}

fn unexpected_header(seen: &Seen, vendor: Vendor) -> Option<Refusal> {
    let switches = seen.header("upgrade").is_some();
    let unexpected = |name: &str, value: &str| match name {
        "upgrade" => value != "websocket",
        "connection" if switches => value != "upgrade",
        "sec-websocket-key" | "sec-websocket-version" => !switches,
        // All others are an agent's credentials.
        "sec-websocket-protocol" => !switches || value != "realtime",
        // `te` belongs to `TE: trailers`.
        "connection" => !["keep-alive", "te"].contains(&value),
        "te" => value != "trailers",
        // It may be told which fields follow the body.
        "trailer" => false,
        "transfer-encoding" => !value.eq_ignore_ascii_case("chunked"),
        _ => {
            let of_bedrock = vendor == Vendor::Bedrock
                && BEDROCK_PREFIXES
                    .iter()
                    .any(|prefix| name.starts_with(prefix));
            !of_bedrock
                && name != credential_header(vendor)
                && !ALLOWED.contains(&name)
                && !matches!(vendor, Vendor::Gateway(gateway) if gateway.takes_header(name))
                && (!matches!(vendor, Vendor::Vertex | Vendor::Gemini)
                    || !OF_GOOGLE.contains(&name))
                && !ALLOWED_PREFIXES
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
        }
    };
    let (name, _) = seen
        .headers
        .iter()
        .find(|(name, value)| unexpected(name, value))?;
    let message = format!("header {name} must not reach a provider");
    Some(Refusal::new(400, "unexpected_header", message))
}

fn framing(seen: &Seen) -> Option<Refusal> {
    let mut once = [
        "host",
        "content-type",
        "content-length",
        "anthropic-version",
    ]
    .into_iter();
    if let Some(name) = once.find(|name| seen.headers.iter().filter(|(h, _)| h == name).count() > 1)
    {
        return Some(Refusal::new(
            400,
            "doubled_header",
            format!("{name} more than once"),
        ));
    }
    let doubled = seen.path().starts_with("/v1/v1");
    doubled.then(|| Refusal::new(404, "doubled_version", "the path has its version twice"))
}

fn version(seen: &Seen, vendor: Vendor) -> Option<Refusal> {
    let needed = match vendor {
        Vendor::OpenAi
        | Vendor::Bedrock
        | Vendor::Mistral
        | Vendor::Vllm
        | Vendor::Ollama
        | Vendor::Vertex
        | Vendor::Gemini
        | Vendor::Gateway(_) => false,
        Vendor::Anthropic => seen.method == Method::POST || seen.method == Method::GET,
    };
    (needed && seen.header("anthropic-version").is_none()).then(|| {
        Refusal::new(
            400,
            "invalid_request_error",
            "anthropic-version: header is required",
        )
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::standin::Transport;

    fn code(vendor: Vendor, target: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let seen = Seen {
            method: Method::POST,
            target: target.to_owned(),
            http_version: 1,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: Bytes::new(),
            trailers: Vec::new(),
            connection: 1,
        };
        let options = Options::new(vendor, Transport::Plain, "right");
        judge(&seen, &options, None).map(|refusal| refusal.code)
    }

    #[test]
    fn refuses_what_must_not_arrive() {
        let own = ("authorization", "Bearer right");
        let key = ("x-api-key", "right");
        let version = ("anthropic-version", "2023-06-01");
        let path = "/v1/chat/completions";
        for (vendor, target, headers, expected) in [
            (Vendor::OpenAi, path, vec![own], None),
            (Vendor::OpenAi, path, vec![], Some("missing_api_key")),
            (
                Vendor::OpenAi,
                path,
                vec![("authorization", "Bearer -")],
                Some("invalid_api_key"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, own],
                Some("doubled_api_key"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, key],
                Some("foreign_credential"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, ("cookie", "a=b")],
                Some("foreign_credential"),
            ),
            (
                Vendor::OpenAi,
                "/v1/models?key=1",
                vec![own],
                Some("foreign_credential"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, ("x-forwarded-for", "1")],
                Some("unexpected_header"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, ("x-netbird-user", "1")],
                Some("unexpected_header"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, ("te", "gzip")],
                Some("unexpected_header"),
            ),
            (
                Vendor::OpenAi,
                path,
                vec![own, ("host", "a"), ("host", "b")],
                Some("doubled_header"),
            ),
            (
                Vendor::OpenAi,
                "/v1/v1/models",
                vec![own],
                Some("doubled_version"),
            ),
            (Vendor::Anthropic, "/v1/messages", vec![key, version], None),
            (
                Vendor::Anthropic,
                "/v1/messages",
                vec![key],
                Some("invalid_request_error"),
            ),
            (
                Vendor::Anthropic,
                "/v1/messages",
                vec![own, version],
                Some("foreign_credential"),
            ),
        ] {
            assert_eq!(
                code(vendor, target, &headers),
                expected,
                "{target} {headers:?}"
            );
        }
    }
}
