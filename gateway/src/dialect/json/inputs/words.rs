//! The words of all dialects: keys, kinds of content, kinds of tools.

use super::Place;
use crate::dialect::elsewhere::Endless;

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Text, schemas, what tools were called with: counts as its bytes.
    Free,
    Type,
    Tools,
    ToolCallsMax,
    MaxUses,
    /// More to read than it has bytes.
    More,
    Endless(Endless),
    /// Text or a list of texts to complete; as an object it names a prompt that the provider keeps.
    StoredPrompt,
    Management,
    Extra,
    Other,
}

/// The agent's own objects. In their own case only, as what is skipped must be sure.
const FREE: [&[u8]; 29] = [
    b"input_schema",
    b"inputSchema",
    b"parameters",
    b"parametersJsonSchema",
    b"parameters_json_schema",
    b"json_schema",
    b"schema",
    b"format",
    b"responseSchema",
    b"response_schema",
    b"responseJsonSchema",
    b"response_json_schema",
    b"functionDeclarations",
    b"function_declarations",
    b"toolSpec",
    b"args",
    b"arguments",
    b"response",
    b"json",
    b"functions",
    b"cache_control",
    b"cachePoint",
    b"metadata",
    b"client_metadata",
    b"requestMetadata",
    b"labels",
    b"logit_bias",
    b"output_schema",
    b"input_examples",
];

/// Keys of the body itself.
const OF_BODY: [(&str, Key); 22] = [
    ("previous_response_id", Key::More),
    ("conversation", Key::More),
    ("cachedContent", Key::More),
    ("cached_content", Key::More),
    // Ollama's generate.
    ("images", Key::More),
    ("max_tool_calls", Key::ToolCallsMax),
    ("prompt", Key::StoredPrompt),
    ("context_management", Key::Management),
    ("additionalModelRequestFields", Key::Extra),
    ("background", Key::Endless(Endless::Background)),
    // Rejected predictions are billed beyond the bound.
    ("prediction", Key::Endless(Endless::Output)),
    ("web_search_options", Key::Endless(Endless::Tools)),
    ("mcp_servers", Key::Endless(Endless::Tools)),
    ("container", Key::Endless(Endless::Tools)),
    // Gateways: other models, and what they add by themselves.
    ("plugins", Key::Endless(Endless::Tools)),
    ("mcp_tools", Key::Endless(Endless::Tools)),
    ("models", Key::Endless(Endless::Elsewhere)),
    ("fallbacks", Key::Endless(Endless::Elsewhere)),
    ("extra_body", Key::Endless(Endless::Elsewhere)),
    ("preset", Key::Endless(Endless::Elsewhere)),
    ("promptVariables", Key::Endless(Endless::StoredPrompt)),
    ("prompt_id", Key::Endless(Endless::StoredPrompt)),
];

/// Keys that mean media or a reference to some, wherever they stand in a conversation. Parts whose `type` says so
/// need none.
const OF_CONTENT: [(&str, Key); 14] = [
    ("image", Key::More),
    ("images", Key::More),
    ("image_url", Key::More),
    ("document", Key::More),
    ("video", Key::More),
    ("audio", Key::More),
    ("inlineData", Key::More),
    ("inline_data", Key::More),
    ("fileData", Key::More),
    ("file_data", Key::More),
    ("file_id", Key::More),
    ("file_url", Key::More),
    ("s3Location", Key::More),
    ("searchResult", Key::More),
];

pub(super) fn key(place: Place, text: &[u8]) -> Key {
    let known = |keys: &[(&str, Key)]| {
        let found = keys
            .iter()
            .find(|(key, _)| text.eq_ignore_ascii_case(key.as_bytes()));
        found.map(|(_, key)| *key)
    };
    let shared = match text {
        b"type" => Some(Key::Type),
        _ if text.eq_ignore_ascii_case(b"tools") => Some(Key::Tools),
        _ if place != Place::Extra && FREE.contains(&text) => Some(Key::Free),
        _ => None,
    };
    let own = match place {
        // Responses have the conversation there.
        Place::Body => known(&OF_BODY),
        // What a tool was called with, as the agent tells it again.
        Place::Content if text == b"input" => Some(Key::Free),
        Place::Content | Place::Extra => known(&OF_CONTENT),
        Place::Tool => match text {
            b"max_uses" => Some(Key::MaxUses),
            b"function" | b"custom" => Some(Key::Free),
            _ => None,
        },
        Place::Tools | Place::Prompts | Place::Management | Place::Free => None,
    };
    own.or(shared).unwrap_or(Key::Other)
}

/// How much of a part is in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    /// Or nobody knows.
    More,
}

/// Parts of conversations, and settings, that are no more than their bytes. Reasoning that came encrypted is longer
/// than its tokens.
const TEXT: [&[u8]; 33] = [
    b"text",
    b"input_text",
    b"output_text",
    b"refusal",
    b"message",
    b"function",
    b"custom",
    b"function_call",
    b"function_call_output",
    b"custom_tool_call",
    b"custom_tool_call_output",
    b"local_shell_call",
    b"local_shell_call_output",
    b"apply_patch_call",
    b"apply_patch_call_output",
    b"reasoning",
    b"reasoning_text",
    b"summary_text",
    b"tool_use",
    b"tool_result",
    b"thinking",
    b"redacted_thinking",
    b"tool",
    b"any",
    b"auto",
    b"none",
    b"ephemeral",
    b"enabled",
    b"disabled",
    b"adaptive",
    b"json_schema",
    b"json_object",
    b"allowed_tools",
];

pub(super) fn type_of(text: &[u8]) -> Type {
    match TEXT.contains(&text) {
        true => Type::Text,
        false => Type::More,
    }
}

/// Who runs a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolKind {
    /// The agent.
    Own,
    /// The agent; the vendor adds a description of its own.
    Described,
    WebSearch,
    FileSearch,
    CodeInterpreter,
    /// Anthropic's, before it filtered what it found by running code.
    PlainSearch,
    PlainFetch,
    /// The provider, or nobody knows.
    Other,
}

pub(super) fn tool_kind(text: &[u8]) -> ToolKind {
    /// Anthropic's and OpenAI's tools on the agent's own machine.
    const DESCRIBED: [&[u8]; 5] = [
        b"bash_",
        b"text_editor_",
        b"computer",
        b"memory_",
        b"local_shell",
    ];
    match text {
        b"function" | b"custom" | b"namespace" => ToolKind::Own,
        b"apply_patch" => ToolKind::Described,
        b"web_search_20250305" => ToolKind::PlainSearch,
        b"web_fetch_20250910" => ToolKind::PlainFetch,
        b"web_search"
        | b"web_search_2025_08_26"
        | b"web_search_preview"
        | b"web_search_preview_2025_03_11" => ToolKind::WebSearch,
        b"file_search" => ToolKind::FileSearch,
        b"code_interpreter" => ToolKind::CodeInterpreter,
        _ if DESCRIBED.iter().any(|prefix| text.starts_with(prefix)) => ToolKind::Described,
        _ => ToolKind::Other,
    }
}

/// Converse's and Gemini's key for the agent's own tools.
pub(super) fn is_keyed_tool(key: &[u8]) -> bool {
    matches!(
        key,
        b"toolSpec" | b"cachePoint" | b"functionDeclarations" | b"function_declarations"
    )
}

/// A tool without a `type` is the agent's own where it has a name (Anthropic) or a function (Mistral).
pub(super) fn is_own_tool(key: &[u8]) -> bool {
    matches!(key, b"name" | b"function")
}

/// A field that is passed on could be another bound on the output, by whichever name the model has for it.
pub(super) fn bounds_output(key: &[u8]) -> bool {
    let key = key.to_ascii_lowercase();
    let has = |word: &[u8]| memchr::memmem::find(&key, word).is_some();
    has(b"num_predict") || (has(b"max") && (has(b"token") || has(b"len")))
}
