//! `keyway agent-config`: how to point an agent or SDK at the endpoint, with the dummy key that each of
//! them insists on and the way each of them learns to trust the endpoint's CA.

mod coding;
mod model;
mod sdk;
mod setup;

use clap::{Args, ValueEnum};

use super::{Failure, client::Client, lookup::text, output::Output};
use setup::Setup;

const CA_FILE_DEFAULT: &str = "/etc/ssl/keyway-ca.pem";
const REGION_DEFAULT: &str = "us-east-1";
const LOCATION_DEFAULT: &str = "global";
/// What an operator has to replace.
const PROJECT_PLACEHOLDER: &str = "YOUR-PROJECT";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_enum)]
    tool: Tool,
    /// Whose API the tool is to speak, where it knows several
    #[arg(long, value_enum)]
    via: Option<Via>,
    /// Host name (and port) of the endpoint; asked of the node without it
    #[arg(long, value_name = "HOST[:PORT]")]
    endpoint: Option<String>,
    /// Where the CA certificate lies on the agent's machine
    #[arg(long, value_name = "FILE", default_value = CA_FILE_DEFAULT)]
    ca_file: String,
    /// The endpoint's certificate is one that agents trust anyway
    #[arg(long)]
    no_ca: bool,
    /// Model to name; one that a policy opens without it
    #[arg(long)]
    model: Option<String>,
    /// Google Cloud project to name, for Vertex
    #[arg(long, default_value = PROJECT_PLACEHOLDER)]
    project: String,
    /// AWS region or Google location to name [default: us-east-1, global]
    #[arg(long)]
    region: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
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
enum Via {
    #[value(name = "openai")]
    OpenAi,
    Anthropic,
    Bedrock,
    Vertex,
    Gemini,
}

impl Tool {
    /// The first is what it speaks when nothing is said.
    fn vias(self) -> &'static [Via] {
        match self {
            Self::ClaudeCode | Self::Anthropic => &[Via::Anthropic, Via::Bedrock, Via::Vertex],
            Self::Codex | Self::OpenAi | Self::LiteLlm => &[Via::OpenAi],
            Self::GeminiCli => &[Via::Gemini],
            Self::GoogleGenai => &[Via::Gemini, Via::Vertex],
            Self::Boto3 => &[Via::Bedrock],
            Self::LangChain | Self::VercelAiSdk | Self::Curl => &[Via::OpenAi, Via::Anthropic],
        }
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Via {
    fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Vertex => "vertex",
            Self::Gemini => "gemini",
        }
    }

    fn region_default(self) -> &'static str {
        match self {
            Self::Vertex => LOCATION_DEFAULT,
            Self::OpenAi | Self::Anthropic | Self::Bedrock | Self::Gemini => REGION_DEFAULT,
        }
    }
}

/// What a set-up is filled with.
struct Place {
    /// `https://host[:port]`
    url: String,
    ca_file: Option<String>,
    /// One that works, as far as is known.
    model: String,
    /// Somebody wants this model, so that it is written down wherever it can be.
    model_is_wanted: bool,
    project: String,
    region: String,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let via = via(&arguments)?;
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
    let known = match (&arguments.model, &arguments.endpoint) {
        (Some(model), _) => Some(model.clone()),
        (None, None) => model::reachable(client, arguments.tool, via).await?,
        // Another node's endpoint.
        (None, Some(_)) => None,
    };
    let place = Place {
        url,
        ca_file: has_ca.then_some(arguments.ca_file),
        model_is_wanted: arguments.model.is_some(),
        model: known.unwrap_or_else(|| model::usual(arguments.tool, via).to_owned()),
        project: arguments.project,
        region: arguments
            .region
            .unwrap_or_else(|| via.region_default().to_owned()),
    };
    let setup = place.setup(arguments.tool, via);
    setup.print(&arguments.tool.name(), via.name(), &place, output)
}

fn via(arguments: &Arguments) -> Result<Via, Failure> {
    let vias = arguments.tool.vias();
    match arguments.via {
        None => Ok(vias[0]),
        Some(via) if vias.contains(&via) => Ok(via),
        Some(via) => {
            let names: Vec<&str> = vias.iter().map(|via| via.name()).collect();
            Err(Failure::Usage(format!(
                "{} does not speak {}'s API; it goes --via {}",
                arguments.tool.name(),
                via.name(),
                names.join(" or ")
            )))
        }
    }
}

impl Place {
    fn setup(&self, tool: Tool, via: Via) -> Setup {
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
