//! What a request makes a model read that the bytes of its body do not bound: images and files, also those in the
//! body, as a few compressed bytes may be a large picture; stored conversations; tools that the vendor runs.
//!
//! One call of a model reads at most its context window, and is billed for no more. Where the vendor runs tools, one
//! request makes several calls, each of which reads what came before it again:
//!
//! - OpenAI's responses: `max_tool_calls` bounds the calls of tools ("any further attempts to call a tool by the model
//!   will be ignored"), and so those of the model to one more. It does not say that it counts calls of MCP servers,
//!   and other models (image generation) have prices of their own: these are refused.
//! - Anthropic: `max_uses` bounds what tools do, not how often the model is asked, since each attempt beyond it is
//!   answered with an error. The API pauses a turn (`pause_turn`) after a loop of ten. Versions of the tools that run
//!   code come to far more calls before it pauses (anthropic-sdk-python#1237), so only the first ones are let through.
//! - Gemini, Converse, chat with `web_search_options`, gateways: nothing in the request bounds it. They are refused.

use super::{
    Operation,
    json::inputs::{HostedTools, Inputs},
    openai,
};
use crate::handoff::record::ToolCalls;

/// Calls of a model before Anthropic pauses a turn ("the server-side sampling loop has a default limit of 10
/// iterations").
const ANTHROPIC_MODEL_CALLS: u64 = 10;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere {
    /// As much as the model takes.
    pub fills_window: bool,
    /// How often the model may be asked, by one request.
    pub model_calls: u64,
    /// At most.
    pub tool_calls: ToolCalls,
}

impl Default for Elsewhere {
    /// Nothing.
    fn default() -> Self {
        Self {
            fills_window: false,
            model_calls: 1,
            tool_calls: ToolCalls::default(),
        }
    }
}

/// Why there is no end to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endless {
    /// The body is not read, or is not JSON.
    Unread,
    /// The provider runs tools, as often as it likes.
    Tools,
    /// The same; `max_tool_calls` would bound it.
    ToolCalls,
    /// The same; `max_uses` would bound it.
    ToolUses,
    /// It is the provider's, and may have tools.
    StoredPrompt,
    /// What it uses is told later, if anybody asks.
    Background,
    /// The provider may ask a model to shorten the conversation.
    Compaction,
    /// There may be more output than its bound says.
    Output,
    /// Another model may answer, or other fields may be added.
    Elsewhere,
    /// Each part of the input is embedded by itself.
    Embedding,
    /// Another model writes down what is said in a session, and tells its usage afterwards.
    Transcription,
}

/// What kind of tools a body of this operation has.
pub fn has_keyed_tools(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Converse
            | Operation::ConverseStream
            | Operation::GenerateContent
            | Operation::StreamGenerateContent
    )
}

/// What the inputs of a request come to at this provider.
///
/// # Errors
/// When there is no saying.
pub fn elsewhere(
    inputs: &Inputs,
    operation: Operation,
    catalog_id: &str,
) -> Result<Elsewhere, Endless> {
    if let Some(why) = inputs.endless {
        return Err(why);
    }
    let embeds = matches!(operation, Operation::Embeddings | Operation::EmbedContent);
    if embeds && inputs.is_more {
        return Err(Endless::Embedding);
    }
    if !inputs.tools.any() {
        return Ok(Elsewhere {
            fills_window: inputs.is_more,
            model_calls: inputs.prompts.max(1),
            tool_calls: ToolCalls::default(),
        });
    }
    let HostedTools {
        web_search,
        file_search,
        code_interpreter,
        plain_search,
        plain_fetch,
        other,
        uses,
        uses_are_open,
    } = inputs.tools;
    let (of_openai, of_anthropic) = (
        web_search || file_search || code_interpreter,
        plain_search || plain_fetch,
    );
    if operation == Operation::Responses
        && openai::is_first_party(catalog_id)
        && !(other || of_anthropic)
    {
        let calls = inputs.tool_calls_max.ok_or(Endless::ToolCalls)?;
        let of = |has_tool| if has_tool { calls } else { 0 };
        return Ok(Elsewhere {
            fills_window: true,
            model_calls: calls.saturating_add(1),
            tool_calls: ToolCalls {
                web_search: of(web_search),
                file_search: of(file_search),
                code_interpreter: of(code_interpreter),
                ..ToolCalls::default()
            },
        });
    }
    let is_anthropic = matches!(catalog_id, "anthropic_api" | "vertex_ai_api");
    if operation == Operation::Messages && is_anthropic && !(other || of_openai) {
        if uses_are_open {
            return Err(Endless::ToolUses);
        }
        return Ok(Elsewhere {
            fills_window: true,
            model_calls: ANTHROPIC_MODEL_CALLS,
            tool_calls: ToolCalls {
                web_search: uses,
                ..ToolCalls::default()
            },
        });
    }
    Err(Endless::Tools)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operation: Operation, catalog_id: &str, body: &str) -> Result<Elsewhere, Endless> {
        let inputs = Inputs::read(body.as_bytes(), has_keyed_tools(operation)).unwrap();
        elsewhere(&inputs, operation, catalog_id)
    }

    fn calls(model_calls: u64, tool_calls: ToolCalls) -> Result<Elsewhere, Endless> {
        Ok(Elsewhere {
            fills_window: true,
            model_calls,
            tool_calls,
        })
    }

    #[test]
    fn tools_of_the_provider_are_bounded_by_what_bounds_them() {
        use Operation::{ChatCompletions, GenerateContent, Messages, Responses};
        let searches = |web_search| ToolCalls {
            web_search,
            ..ToolCalls::default()
        };
        let both = ToolCalls {
            web_search: 3,
            file_search: 3,
            ..ToolCalls::default()
        };
        for (operation, catalog, body, expected) in [
            (
                Responses,
                "openai_api",
                r#"{"tools":[{"type":"web_search"}],"max_tool_calls":4}"#,
                calls(5, searches(4)),
            ),
            (
                Responses,
                "azure_openai_api",
                r#"{"max_tool_calls":3,"tools":[{"type":"web_search"},{"type":"file_search","vector_store_ids":["v"]},
                    {"type":"function","name":"f","parameters":{}}]}"#,
                calls(4, both),
            ),
            (
                Responses,
                "openai_api",
                r#"{"tools":[{"type":"web_search"}]}"#,
                Err(Endless::ToolCalls),
            ),
            (
                Responses,
                "openai_api",
                r#"{"tools":[{"type":"web_search"}],"max_tool_calls":1,"max_tool_calls":99}"#,
                Err(Endless::ToolCalls),
            ),
            (
                Responses,
                "openai_api",
                r#"{"tools":[{"type":"web_search"}],"max_tool_calls":"1"}"#,
                Err(Endless::ToolCalls),
            ),
            // Others take the key for something else.
            (
                Responses,
                "openrouter_api",
                r#"{"tools":[{"type":"web_search"}],"max_tool_calls":4}"#,
                Err(Endless::Tools),
            ),
            (
                Responses,
                "openai_api",
                r#"{"tools":[{"type":"mcp","server_url":"https://x"}],"max_tool_calls":4}"#,
                Err(Endless::Tools),
            ),
            (
                Responses,
                "openai_api",
                r#"{"tools":[{"type":"image_generation"}],"max_tool_calls":4}"#,
                Err(Endless::Tools),
            ),
            (
                Messages,
                "anthropic_api",
                r#"{"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":5}]}"#,
                calls(10, searches(5)),
            ),
            (
                Messages,
                "anthropic_api",
                r#"{"tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]}"#,
                calls(10, ToolCalls::default()),
            ),
            (
                Messages,
                "anthropic_api",
                r#"{"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
                Err(Endless::ToolUses),
            ),
            (
                Messages,
                "anthropic_api",
                r#"{"tools":[{"type":"web_search_20260318","name":"web_search","max_uses":5}]}"#,
                Err(Endless::Tools),
            ),
            (
                Messages,
                "kimi_api",
                r#"{"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":5}]}"#,
                Err(Endless::Tools),
            ),
            (
                ChatCompletions,
                "openai_api",
                r#"{"web_search_options":{}}"#,
                Err(Endless::Tools),
            ),
            (
                GenerateContent,
                "gemini_api",
                r#"{"tools":[{"googleSearch":{}}]}"#,
                Err(Endless::Tools),
            ),
        ] {
            assert_eq!(of(operation, catalog, body), expected, "{body}");
        }
    }

    #[test]
    fn media_fill_the_window_and_prompts_are_answered_each() {
        let image =
            r#"{"input":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}]}"#;
        assert_eq!(
            of(Operation::ChatCompletions, "openai_api", image),
            calls(1, ToolCalls::default())
        );
        let embedded = of(Operation::Embeddings, "openai_api", image);
        assert_eq!(embedded, Err(Endless::Embedding));
        for (prompts, model_calls) in [
            (r#""one""#, 1),
            (r#"["one","two"]"#, 2),
            ("[1,2,3]", 1),
            ("[[1,2],[3]]", 2),
        ] {
            let body = format!(r#"{{"prompt":{prompts}}}"#);
            let found = of(Operation::Completions, "openai_api", &body).unwrap();
            assert_eq!(
                (found.fills_window, found.model_calls),
                (false, model_calls)
            );
        }
    }
}
