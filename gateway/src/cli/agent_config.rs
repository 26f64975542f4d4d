//! `keyway agent-config`: how to point an agent or SDK at the endpoint, with the dummy key that each of
//! them insists on and the way each of them learns to trust the endpoint's CA.

use std::fmt::Write;

use clap::{Args, ValueEnum};

use super::{Failure, client::Client, lookup::text, output::Output};

const CA_FILE_DEFAULT: &str = "/etc/ssl/keyway-ca.pem";
const MODEL_DEFAULT: &str = "gpt-4o-mini";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_enum)]
    tool: Tool,
    /// Host name (and port) of the endpoint; asked of the node without it
    #[arg(long, value_name = "HOST[:PORT]")]
    endpoint: Option<String>,
    /// Where the CA certificate lies on the agent's machine
    #[arg(long, value_name = "FILE", default_value = CA_FILE_DEFAULT)]
    ca_file: String,
    /// The endpoint's certificate is one that agents trust anyway
    #[arg(long)]
    no_ca: bool,
    /// Model to name in examples
    #[arg(long, default_value = MODEL_DEFAULT)]
    model: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
    ClaudeCode,
    Codex,
    /// OpenAI's SDKs
    #[value(name = "openai")]
    OpenAi,
    /// Anthropic's SDKs
    Anthropic,
    Curl,
    #[value(name = "litellm")]
    LiteLlm,
}

/// What the snippets are filled with.
struct Endpoint {
    /// `https://host[:port]`
    url: String,
    ca_file: Option<String>,
    model: String,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let url = match &arguments.endpoint {
        Some(endpoint) => format!("https://{endpoint}"),
        None => {
            let settings = client.get("/settings").await?;
            text(&settings, "base_url").to_owned()
        }
    };
    if url.is_empty() {
        return Err(Failure::Failed(
            "there is no endpoint yet: connect a provider first (`keyway providers connect`)"
                .to_owned(),
        ));
    }
    // With a certificate of the operator's own the node has no CA to hand out.
    let has_ca =
        !arguments.no_ca && (arguments.endpoint.is_some() || client.get_text("/ca").await.is_ok());
    let endpoint = Endpoint {
        url,
        ca_file: has_ca.then_some(arguments.ca_file),
        model: arguments.model,
    };
    output.raw(&endpoint.snippet(arguments.tool))
}

impl Endpoint {
    fn snippet(&self, tool: Tool) -> String {
        let mut text = self.ca_hint();
        let told = match tool {
            Tool::ClaudeCode => self.claude_code(),
            Tool::Codex => self.codex(),
            Tool::OpenAi => self.openai(),
            Tool::Anthropic => self.anthropic(),
            Tool::Curl => self.curl(),
            Tool::LiteLlm => self.litellm(),
        };
        text.push_str(&told);
        text
    }

    fn ca_hint(&self) -> String {
        match &self.ca_file {
            Some(file) => format!(
                "# On the agent's machine, {file} must hold the endpoint's CA:\n\
                 #   keyway ca export > keyway-ca.pem   (on the node; then copy it)\n\n"
            ),
            None => String::new(),
        }
    }

    /// Claude Code runs on Node.js: the CA comes beside the built-in roots. A key helper keeps it from
    /// asking for a login.
    fn claude_code(&self) -> String {
        let mut env = serde_json::json!({"ANTHROPIC_BASE_URL": self.url});
        if let Some(file) = &self.ca_file {
            env["NODE_EXTRA_CA_CERTS"] = file.as_str().into();
        }
        let settings = serde_json::json!({"apiKeyHelper": "echo '-'", "env": env});
        format!("# ~/.claude/settings.json\n{settings:#}\n")
    }

    /// A provider of its own without `env_key`, so that no key is wanted; no WebSocket tries, which
    /// would delay every session.
    fn codex(&self) -> String {
        let mut text = String::new();
        if let Some(file) = &self.ca_file {
            text.push_str(
                "# Environment. Codex trusts the CAs in this file beside the system's:\n",
            );
            let _ = writeln!(text, "export CODEX_CA_CERTIFICATE={file}\n");
        }
        let _ = write!(
            text,
            "# ~/.codex/config.toml\n\
             model_provider = \"keyway\"\n\
             \n\
             [model_providers.keyway]\n\
             name = \"Keyway\"\n\
             base_url = \"{}/v1\"\n\
             wire_api = \"responses\"\n\
             requires_openai_auth = false\n\
             supports_websockets = true\n",
            self.url
        );
        text
    }

    fn openai(&self) -> String {
        format!(
            "# Environment. The SDKs refuse to start without a key; this one is removed on the way.\n\
             export OPENAI_BASE_URL={}/v1\n\
             export OPENAI_API_KEY=not-needed\n{}",
            self.url,
            self.sdk_ca()
        )
    }

    fn anthropic(&self) -> String {
        format!(
            "# Environment. The SDKs refuse to call without a key; this one is removed on the way.\n\
             export ANTHROPIC_BASE_URL={}\n\
             export ANTHROPIC_API_KEY=-\n{}",
            self.url,
            self.sdk_ca()
        )
    }

    fn curl(&self) -> String {
        let ca = match &self.ca_file {
            Some(file) => format!(" --cacert {file}"),
            None => String::new(),
        };
        let body = serde_json::json!({
            "model": self.model,
            "messages": [{"role": "user", "content": "Hello"}],
        });
        format!(
            "curl{ca} {}/v1/chat/completions \\\n  \
             -H 'content-type: application/json' \\\n  \
             -d '{body}'\n",
            self.url
        )
    }

    fn litellm(&self) -> String {
        format!(
            "# config.yaml\n\
             model_list:\n\
             \x20 - model_name: {model}\n\
             \x20   litellm_params:\n\
             \x20     model: openai/{model}\n\
             \x20     api_base: {url}/v1\n\
             \x20     api_key: not-needed\n\
             {ca}",
            model = self.model,
            url = self.url,
            ca = match &self.ca_file {
                Some(_) => format!("\n# Environment{}", self.sdk_ca()),
                None => String::new(),
            }
        )
    }

    /// Python reads one bundle and nothing else from these variables; Node.js adds to its own.
    fn sdk_ca(&self) -> String {
        let Some(file) = &self.ca_file else {
            return String::new();
        };
        format!(
            "\n\
             # Python (httpx, aiohttp) trusts only what is in this file; put the system's roots in it too\n\
             # if the same process calls other hosts: cat /etc/ssl/certs/ca-certificates.crt {file}\n\
             export SSL_CERT_FILE={file}\n\
             # Python (requests)\n\
             export REQUESTS_CA_BUNDLE={file}\n\
             # Node.js, beside its own roots\n\
             export NODE_EXTRA_CA_CERTS={file}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(ca_file: Option<&str>) -> Endpoint {
        Endpoint {
            url: "https://brave-otter.example".to_owned(),
            ca_file: ca_file.map(str::to_owned),
            model: "gpt-4o-mini".to_owned(),
        }
    }

    #[test]
    fn every_snippet_names_the_endpoint_and_its_ca() {
        for (tool, url, ca) in [
            (
                Tool::ClaudeCode,
                "\"https://brave-otter.example\"",
                "\"NODE_EXTRA_CA_CERTS\": \"/ca\"",
            ),
            (
                Tool::Codex,
                "\"https://brave-otter.example/v1\"",
                "CODEX_CA_CERTIFICATE=/ca",
            ),
            (
                Tool::OpenAi,
                "=https://brave-otter.example/v1\n",
                "SSL_CERT_FILE=/ca",
            ),
            (
                Tool::Anthropic,
                "=https://brave-otter.example\n",
                "SSL_CERT_FILE=/ca",
            ),
            (
                Tool::Curl,
                "https://brave-otter.example/v1/chat",
                "--cacert /ca",
            ),
            (
                Tool::LiteLlm,
                "api_base: https://brave-otter.example/v1",
                "REQUESTS_CA_BUNDLE=/ca",
            ),
        ] {
            let with_ca = endpoint(Some("/ca")).snippet(tool);
            assert!(with_ca.contains(url), "{with_ca}");
            assert!(with_ca.contains(ca), "{with_ca}");
            let without = endpoint(None).snippet(tool);
            assert!(without.contains(url), "{without}");
            assert!(!without.contains("CA"), "{without}");
            assert!(!without.contains("cert"), "{without}");
        }
    }

    #[test]
    fn codex_is_given_a_whole_provider() {
        let text = endpoint(None).snippet(Tool::Codex);
        let table: toml::Table = text.parse().expect("the snippet is TOML");
        assert_eq!(table["model_provider"].as_str(), Some("keyway"));
        let provider = &table["model_providers"]["keyway"];
        assert_eq!(provider["wire_api"].as_str(), Some("responses"));
    }
}
