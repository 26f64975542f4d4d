//! OpenTelemetry's words for ours, in metrics and spans (GenAI semantic conventions,
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/>). They are still in development there: names and values
//! stand here and nowhere else.

use crate::dialect::Operation;

/// Schema of the attributes' names.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.0";

/// `gen_ai.operation.name`; `None`: no model is asked to answer.
pub(super) fn operation(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::ChatCompletions
        | Operation::Responses
        | Operation::Realtime
        | Operation::Messages
        | Operation::Invoke
        | Operation::InvokeStream
        | Operation::Converse
        | Operation::ConverseStream => Some("chat"),
        Operation::Completions => Some("text_completion"),
        Operation::Embeddings | Operation::EmbedContent => Some("embeddings"),
        Operation::GenerateContent | Operation::StreamGenerateContent => Some("generate_content"),
        Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::CountTokens
        | Operation::CountContentTokens
        | Operation::ListModels
        | Operation::GetModel
        | Operation::Hello
        | Operation::Unmetered
        | Operation::Other => None,
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
