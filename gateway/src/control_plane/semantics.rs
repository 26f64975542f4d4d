//! OpenTelemetry's words for ours (GenAI semantic conventions,
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/>).

/// Schema of the attributes' names.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.0";

/// `gen_ai.operation.name`; `None` for what asks no model.
pub(super) fn operation(code: &str) -> Option<&'static str> {
    match code {
        "chat_completions" | "responses" | "stored_response" | "realtime" | "messages"
        | "invoke" | "invoke_stream" | "converse" | "converse_stream" => Some("chat"),
        "completions" => Some("text_completion"),
        "generate_content" | "stream_generate_content" => Some("generate_content"),
        "embeddings" | "embed_content" => Some("embeddings"),
        _ => None,
    }
}

/// `gen_ai.provider.name`; those that OpenTelemetry does not know keep the catalog's name.
pub(super) fn provider(catalog_id: &str) -> &str {
    match catalog_id {
        "openai_api" => "openai",
        "anthropic_api" => "anthropic",
        "azure_openai_api" => "azure.ai.openai",
        "bedrock_api" => "aws.bedrock",
        "vertex_ai_api" => "gcp.vertex_ai",
        "gemini_api" => "gcp.gemini",
        "mistral_api" => "mistral_ai",
        "kimi_api" => "moonshot_ai",
        other => other,
    }
}

/// `network.protocol.version`.
pub(super) fn http_version(number: u8) -> &'static str {
    match number {
        10 => "1.0",
        20 => "2",
        _ => "1.1",
    }
}
