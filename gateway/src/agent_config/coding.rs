//! Coding agents: Claude Code, Codex, Gemini CLI.

use serde_json::json;

use super::{Place, Via, setup::Setup};

impl Place {
    /// Claude Code runs on Node.js: the CA comes beside the built-in roots. A key helper keeps it from
    /// asking for a login; for Bedrock and Vertex it leaves the signing to whoever is there.
    pub(super) fn claude_code(&self, via: Via) -> Setup {
        let mut settings = json!({});
        let mut env = match via {
            Via::Bedrock => json!({
                "CLAUDE_CODE_USE_BEDROCK": "1",
                "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1",
                "ANTHROPIC_BEDROCK_BASE_URL": format!("{}/bedrock", self.url),
                "AWS_REGION": self.region,
            }),
            Via::Vertex => json!({
                "CLAUDE_CODE_USE_VERTEX": "1",
                "CLAUDE_CODE_SKIP_VERTEX_AUTH": "1",
                "ANTHROPIC_VERTEX_BASE_URL": format!("{}/v1", self.url),
                "ANTHROPIC_VERTEX_PROJECT_ID": self.project,
                "CLOUD_ML_REGION": self.region,
            }),
            Via::Anthropic | Via::OpenAi | Via::Gemini => {
                settings["apiKeyHelper"] = json!("echo '-'");
                json!({"ANTHROPIC_BASE_URL": self.url})
            }
        };
        if self.model_is_wanted {
            env["ANTHROPIC_MODEL"] = json!(self.model);
        }
        if let Some(file) = &self.ca_file {
            env["NODE_EXTRA_CA_CERTS"] = json!(file);
        }
        settings["env"] = env;
        Setup::default().file("~/.claude/settings.json", "", format!("{settings:#}"))
    }

    /// A provider of its own without `env_key`, so that no key is wanted; no WebSocket tries, which
    /// would delay every session.
    pub(super) fn codex(&self) -> Setup {
        let ca = self.ca_file.iter();
        let model = if self.model_is_wanted {
            format!("model = \"{}\"\n", self.model)
        } else {
            String::new()
        };
        Setup::default()
            .environment(
                "Environment. Codex trusts the CAs in this file beside the system's.",
                ca.map(|file| ("CODEX_CA_CERTIFICATE", file.clone())),
            )
            .file(
                "~/.codex/config.toml",
                "",
                format!(
                    "model_provider = \"keyway\"\n\
                     {model}\
                     \n\
                     [model_providers.keyway]\n\
                     name = \"Keyway\"\n\
                     base_url = \"{}/v1\"\n\
                     wire_api = \"responses\"\n\
                     requires_openai_auth = false\n\
                     supports_websockets = true\n",
                    self.url
                ),
            )
    }

    /// Runs on Node.js. The settings keep it from taking the base URL for a login of another kind.
    pub(super) fn gemini_cli(&self) -> Setup {
        let mut variables = vec![
            ("GOOGLE_GEMINI_BASE_URL", self.url.clone()),
            ("GOOGLE_GENAI_API_VERSION", "v1beta".to_owned()),
            ("GEMINI_API_KEY", "not-needed".to_owned()),
        ];
        if self.model_is_wanted {
            variables.push(("GEMINI_MODEL", self.model.clone()));
        }
        variables.extend(self.node_ca());
        let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}}});
        Setup::default()
            .environment(
                "Environment, or lines without `export` in ~/.gemini/.env. The key is removed on the way.",
                variables,
            )
            .file("~/.gemini/settings.json", "", format!("{settings:#}"))
    }
}
