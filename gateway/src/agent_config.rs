//! How to point an agent or SDK at the endpoint, with the dummy key that each of them insists on and the way
//! each of them learns to trust the endpoint's CA. Pure: `keyway agent-config` and the management API show it.

mod coding;
mod model;
mod sdk;
mod setup;

use clap::ValueEnum;

pub use model::{Opened, reachable, usual};
pub use setup::{Setup, Shown};

/// Where agents usually have the endpoint's CA certificate.
pub const CA_FILE_DEFAULT: &str = "/etc/ssl/keyway-ca.pem";
/// What an operator has to replace.
pub const PROJECT_PLACEHOLDER: &str = "YOUR-PROJECT";
const REGION_DEFAULT: &str = "us-east-1";
const LOCATION_DEFAULT: &str = "global";

/// What is pointed at the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    ClaudeCode,
    Codex,
    GeminiCli,
    /// OpenAI's SDKs, Python and Node.js
    #[value(name = "openai")]
    OpenAi,
    /// Anthropic's SDKs, Python and Node.js
    Anthropic,
    /// Google's SDK (google-genai), Python and Node.js
    GoogleGenai,
    /// AWS' SDK for Python, for Bedrock
    Boto3,
    #[value(name = "langchain")]
    LangChain,
    VercelAiSdk,
    #[value(name = "litellm")]
    LiteLlm,
    Curl,
}

/// Whose API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    #[value(name = "openai")]
    OpenAi,
    Anthropic,
    Bedrock,
    Vertex,
    Gemini,
}

impl Tool {
    /// The first is what it speaks when nothing is said.
    pub fn vias(self) -> &'static [Via] {
        match self {
            Self::ClaudeCode | Self::Anthropic => &[Via::Anthropic, Via::Bedrock, Via::Vertex],
            Self::Codex | Self::OpenAi | Self::LiteLlm => &[Via::OpenAi],
            Self::GeminiCli => &[Via::Gemini],
            Self::GoogleGenai => &[Via::Gemini, Via::Vertex],
            Self::Boto3 => &[Via::Bedrock],
            Self::LangChain | Self::VercelAiSdk | Self::Curl => &[Via::OpenAi, Via::Anthropic],
        }
    }

    /// As the command line has it.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// As its makers write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::Codex => "Codex",
            Self::GeminiCli => "Gemini CLI",
            Self::OpenAi => "OpenAI SDK",
            Self::Anthropic => "Anthropic SDK",
            Self::GoogleGenai => "Google Gen AI SDK",
            Self::Boto3 => "AWS boto3",
            Self::LangChain => "LangChain",
            Self::VercelAiSdk => "Vercel AI SDK",
            Self::LiteLlm => "LiteLLM",
            Self::Curl => "cURL",
        }
    }
}

impl Via {
    pub fn label(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::Bedrock => "Bedrock",
            Self::Vertex => "Vertex AI",
            Self::Gemini => "Gemini",
        }
    }

    /// As the command line and the dialects have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Vertex => "vertex",
            Self::Gemini => "gemini",
        }
    }

    /// Region or location to name when nothing else is said.
    pub fn region_default(self) -> &'static str {
        match self {
            Self::Vertex => LOCATION_DEFAULT,
            Self::OpenAi | Self::Anthropic | Self::Bedrock | Self::Gemini => REGION_DEFAULT,
        }
    }
}

/// What a set-up is filled with.
#[derive(Debug, Clone)]
pub struct Place {
    /// `https://host[:port]`
    pub url: String,
    pub ca_file: Option<String>,
    /// One that works, as far as is known.
    pub model: String,
    /// Somebody wants this model, so that it is written down wherever it can be.
    pub model_is_wanted: bool,
    pub project: String,
    pub region: String,
}

impl Place {
    /// What makes `tool` speak `via`'s API to it.
    pub fn setup(&self, tool: Tool, via: Via) -> Setup {
        match tool {
            Tool::ClaudeCode => self.claude_code(via),
            Tool::Codex => self.codex(),
            Tool::GeminiCli => self.gemini_cli(),
            Tool::OpenAi => self.openai(),
            Tool::Anthropic => self.anthropic(via),
            Tool::GoogleGenai => self.google_genai(via),
            Tool::Boto3 => self.boto3(),
            Tool::LangChain => self.langchain(via),
            Tool::VercelAiSdk => self.vercel_ai_sdk(via),
            Tool::LiteLlm => self.litellm(),
            Tool::Curl => self.curl(via),
        }
    }
}

#[cfg(test)]
mod tests;
