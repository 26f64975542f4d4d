//! The upstream path: one base URL works for every agent, whether either side has the version segment.

use crate::{
    dialect::{
        Dialect, anthropic, azure, bedrock, google, ollama, openai,
        path::{AgentPath, UpstreamBase, hex_pair},
    },
    handoff::snapshot::Provider,
};

/// Query parameters that carry credentials (Google's `key` among them), lower case.
const CREDENTIAL_PARAMETERS: [&[u8]; 7] = [
    b"key",
    b"api_key",
    b"api-key",
    b"apikey",
    b"access_token",
    b"session_token",
    b"subscription-key",
];

/// Appends the provider's base path and the agent's path, with one version segment between them. The query
/// is only looked at.
pub fn path_join(
    provider: &Provider,
    dialect: Dialect,
    path: &str,
    query: &str,
    out: &mut Vec<u8>,
) {
    let base_of = match dialect {
        Dialect::Azure => {
            azure::path_join(&provider.base_path, path, out);
            return;
        }
        Dialect::OpenAi if azure::is_classic(&provider.catalog_id, path, query) => {
            azure::path_join(&provider.base_path, path, out);
            return;
        }
        Dialect::Ollama => {
            ollama::path_join(&provider.base_path, path, out);
            return;
        }
        Dialect::OpenAi => openai::upstream_base,
        Dialect::Anthropic => anthropic::upstream_base,
        Dialect::Bedrock => {
            out.extend_from_slice(bedrock::native_base(&provider.base_path).as_bytes());
            out.extend_from_slice(bedrock::without_prefix(path).as_bytes());
            return;
        }
        Dialect::Vertex | Dialect::Gemini => {
            google::path_join(&provider.base_path, path, out);
            return;
        }
    };
    let UpstreamBase {
        base_path,
        has_version,
    } = base_of(&provider.catalog_id, &provider.base_path);
    out.extend_from_slice(base_path.as_bytes());
    out.extend_from_slice(if has_version { b"/" } else { b"/v1/" });
    out.extend_from_slice(AgentPath::of(path).rest.as_bytes());
}

/// Appends the agent's query, with its `?`, as it is but for parameters that carry credentials.
pub fn query_join(query: &str, out: &mut Vec<u8>) {
    let mut separator = b'?';
    for parameter in query.split('&') {
        let name = parameter.split('=').next().unwrap_or(parameter);
        if !is_credential(name) {
            out.push(separator);
            out.extend_from_slice(parameter.as_bytes());
            separator = b'&';
        }
    }
}

/// Names are compared as servers read them: percent-decoded, without case.
fn is_credential(name: &str) -> bool {
    CREDENTIAL_PARAMETERS.iter().any(|credential| {
        let mut rest = name.as_bytes();
        for &expected in *credential {
            let (byte, tail) = match rest {
                [b'%', high, low, tail @ ..] => match hex_pair(&[*high, *low]) {
                    Some(byte) => (byte, tail),
                    None => return false,
                },
                [byte, tail @ ..] => (*byte, tail),
                [] => return false,
            };
            if !byte.eq_ignore_ascii_case(&expected) {
                return false;
            }
            rest = tail;
        }
        rest.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::provider;

    #[test]
    fn the_version_stands_once() {
        use Dialect::{Anthropic, Bedrock, OpenAi};
        let chat = "/v1/chat/completions";
        let messages = "/v1/messages";
        let table = [
            ("openai_api", "", OpenAi, chat, "/v1/chat/completions"),
            ("openai_api", "/v1", OpenAi, chat, "/v1/chat/completions"),
            (
                "openai_api",
                "",
                OpenAi,
                "/chat/completions",
                "/v1/chat/completions",
            ),
            (
                "openai_api",
                "/v1",
                OpenAi,
                "/chat/completions",
                "/v1/chat/completions",
            ),
            (
                "openai_api",
                "",
                OpenAi,
                "/openai/v1/responses/r1",
                "/v1/responses/r1",
            ),
            (
                "openrouter",
                "/api/v1",
                OpenAi,
                chat,
                "/api/v1/chat/completions",
            ),
            (
                "openrouter",
                "/api/v1",
                Anthropic,
                messages,
                "/api/v1/messages",
            ),
            (
                "bifrost",
                "/openai",
                OpenAi,
                chat,
                "/openai/v1/chat/completions",
            ),
            (
                "bifrost",
                "/anthropic",
                Anthropic,
                messages,
                "/anthropic/v1/messages",
            ),
            ("bifrost", "", OpenAi, chat, "/v1/chat/completions"),
            ("bifrost", "", Anthropic, messages, "/anthropic/v1/messages"),
            (
                "cloudflare_ai_gateway",
                "/v1/a/g/openai",
                OpenAi,
                chat,
                "/v1/a/g/openai/chat/completions",
            ),
            (
                "cloudflare_ai_gateway",
                "/v1/a/g/anthropic",
                Anthropic,
                messages,
                "/v1/a/g/anthropic/v1/messages",
            ),
            ("vercel_ai_gateway", "", Anthropic, messages, "/v1/messages"),
            (
                "vercel_ai_gateway",
                "/v1",
                Anthropic,
                messages,
                "/v1/messages",
            ),
            (
                "azure_openai_api",
                "",
                OpenAi,
                chat,
                "/openai/v1/chat/completions",
            ),
            (
                "azure_openai_api",
                "/openai/v1",
                OpenAi,
                chat,
                "/openai/v1/chat/completions",
            ),
            ("kimi_api", "", OpenAi, chat, "/v1/chat/completions"),
            (
                "kimi_api",
                "/v1",
                Anthropic,
                messages,
                "/anthropic/v1/messages",
            ),
            (
                "kimi_api",
                "",
                Anthropic,
                "/anthropic/v1/messages",
                "/anthropic/v1/messages",
            ),
            (
                "kimi_api",
                "/anthropic",
                OpenAi,
                chat,
                "/v1/chat/completions",
            ),
            (
                "custom",
                "/api/paas/v4",
                OpenAi,
                chat,
                "/api/paas/v4/chat/completions",
            ),
            (
                "custom",
                "/v1beta/openai",
                OpenAi,
                chat,
                "/v1beta/openai/chat/completions",
            ),
            (
                "custom",
                "/vendor",
                OpenAi,
                chat,
                "/vendor/v1/chat/completions",
            ),
            (
                "custom",
                "/v1-old",
                OpenAi,
                chat,
                "/v1-old/v1/chat/completions",
            ),
            ("anthropic_api", "", Anthropic, "/messages", "/v1/messages"),
            (
                "bedrock_api",
                "",
                Bedrock,
                "/model/m/invoke",
                "/model/m/invoke",
            ),
            (
                "bedrock_api",
                "/openai/v1",
                Bedrock,
                "/bedrock/model/arn%3aaws%2Fm:0/converse",
                "/model/arn%3aaws%2Fm:0/converse",
            ),
            (
                "bedrock_api",
                "",
                OpenAi,
                chat,
                "/openai/v1/chat/completions",
            ),
            ("bedrock_api", "/v1", OpenAi, chat, "/v1/chat/completions"),
            (
                "bedrock_api",
                "/v1",
                Anthropic,
                messages,
                "/anthropic/v1/messages",
            ),
        ];
        for (catalog_id, base_path, dialect, path, expected) in table {
            let mut provider = provider("p", base_path);
            provider.catalog_id = catalog_id.into();
            let mut out = Vec::new();
            path_join(&provider, dialect, path, "", &mut out);
            let joined = String::from_utf8_lossy(&out);
            assert_eq!(joined, expected, "{catalog_id} {base_path} {path}");
        }
    }

    #[test]
    fn queries_pass_without_credentials() {
        let table = [
            ("", "?"),
            ("beta=true", "?beta=true"),
            ("limit=1000&after=x%20y", "?limit=1000&after=x%20y"),
            ("key=secret", ""),
            ("key=secret&alt=sse", "?alt=sse"),
            ("alt=sse&KEY=secret", "?alt=sse"),
            ("alt=sse&k%65y=secret&b", "?alt=sse&b"),
            ("api_key=s&api-key=s&Access_Token=s", ""),
            ("keys=1&ke=2&k%zz=3", "?keys=1&ke=2&k%zz=3"),
        ];
        for (query, expected) in table {
            let mut out = Vec::new();
            query_join(query, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{query}");
        }
    }
}
