//! A model to name in examples: one that a policy opens, else the vendor's usual one.

use super::{Tool, Via};

/// An enabled provider that an enabled policy opens.
#[derive(Debug, Clone)]
pub struct Opened<'a> {
    /// Codes of what it speaks; none where only the operator knows.
    pub dialects: Vec<&'a str>,
    /// Ids of the models that the operator chose; none for all.
    pub listed: Vec<&'a str>,
    /// Ids of the vendor's own models.
    pub served: Vec<&'a str>,
}

/// The first model of the first provider that speaks this API.
pub fn reachable<'a>(opened: &[Opened<'a>], tool: Tool, via: Via) -> Option<&'a str> {
    opened
        .iter()
        .filter(|provider| provider.dialects.is_empty() || provider.dialects.contains(&via.name()))
        .find_map(|provider| {
            // A list is what the operator chose; without one the vendor's own models are served.
            let models = match provider.listed.is_empty() {
                true => &provider.served,
                false => &provider.listed,
            };
            let maker = maker(tool, via);
            let fits =
                |id: &&&str| !is_embedding(id) && maker.is_none_or(|maker| id.contains(maker));
            models.iter().find(fits).copied()
        })
}

/// What the vendor's newcomers begin with.
pub fn usual(tool: Tool, via: Via) -> &'static str {
    match via {
        Via::Vertex if maker(tool, via) == Some(CLAUDE) => "claude-sonnet-5-5",
        Via::OpenAi => "gpt-5.4-mini",
        Via::Anthropic => "claude-sonnet-5-5",
        Via::Bedrock => "us.anthropic.claude-sonnet-5",
        Via::Vertex | Via::Gemini => "gemini-3.8-flash",
    }
}

fn is_embedding(id: &str) -> bool {
    id.contains("embed")
}

const CLAUDE: &str = "claude";
const GEMINI: &str = "gemini";

/// What is in the ids of the models that a tool can speak to, where a provider serves several vendors'.
fn maker(tool: Tool, via: Via) -> Option<&'static str> {
    match (tool, via) {
        (Tool::ClaudeCode | Tool::Anthropic, Via::Bedrock | Via::Vertex) => Some(CLAUDE),
        (Tool::GoogleGenai | Tool::GeminiCli, Via::Vertex) | (_, Via::Gemini) => Some(GEMINI),
        (_, Via::OpenAi | Via::Anthropic | Via::Bedrock | Via::Vertex) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_model_of_the_right_api_is_named() {
        let provider =
            |dialects: &[&'static str], listed: &[&'static str], served: &[&'static str]| Opened {
                dialects: dialects.to_vec(),
                listed: listed.to_vec(),
                served: served.to_vec(),
            };
        let opened = [
            provider(&["openai"], &[], &["text-embedding-3-small", "gpt-x"]),
            provider(&["anthropic"], &["claude-listed"], &["claude-x"]),
            provider(
                &["vertex"],
                &[],
                &["gemini-embedding-2", "gemini-x", "claude-y"],
            ),
        ];
        for (tool, via, expected) in [
            (Tool::OpenAi, Via::OpenAi, Some("gpt-x")),
            (Tool::Anthropic, Via::Anthropic, Some("claude-listed")),
            (Tool::GoogleGenai, Via::Gemini, None),
            (Tool::GoogleGenai, Via::Vertex, Some("gemini-x")),
            (Tool::ClaudeCode, Via::Vertex, Some("claude-y")),
        ] {
            let found = reachable(&opened, tool, via);
            assert_eq!(found, expected, "{tool:?} {via:?}");
        }
    }
}
