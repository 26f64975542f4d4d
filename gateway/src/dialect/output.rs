//! Where a request bounds its output: the keys that a vendor reads, and the one that the node writes.

use super::{Dialect, Operation, bedrock, openai};

/// A key that bounds output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BoundKey {
    MaxTokens,
    /// OpenAI's chat: reasoning is in it.
    MaxCompletionTokens,
    /// OpenAI's responses.
    MaxOutputTokens,
    /// Llama on Bedrock.
    MaxGenLen,
    /// Converse, and Nova on Bedrock.
    Converse,
    /// Gemini: thinking is in it.
    Gemini,
    /// Ollama.
    Predict,
    /// Titan on Bedrock.
    Titan,
}

impl BoundKey {
    pub const ALL: [Self; 8] = [
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::MaxOutputTokens,
        Self::MaxGenLen,
        Self::Converse,
        Self::Gemini,
        Self::Predict,
        Self::Titan,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::MaxGenLen => "max_gen_len",
            Self::Converse => "maxTokens",
            Self::Gemini => "maxOutputTokens",
            Self::Predict => "num_predict",
            Self::Titan => "maxTokenCount",
        }
    }

    /// The object that it stands in, where that is not the body itself.
    pub fn object(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens
            | Self::MaxCompletionTokens
            | Self::MaxOutputTokens
            | Self::MaxGenLen => None,
            Self::Converse => Some("inferenceConfig"),
            Self::Gemini => Some("generationConfig"),
            Self::Predict => Some("options"),
            Self::Titan => Some("textGenerationConfig"),
        }
    }
}

/// A bound that is to be written into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBound {
    pub key: BoundKey,
    /// Of each answer.
    pub tokens: u64,
}

/// The keys that decide for one kind of request. Others mean nothing to who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputKeys {
    pub written: BoundKey,
    /// Read as well.
    pub other: Option<BoundKey>,
    /// 0 is no output. Elsewhere it may be taken for none given (Ollama).
    pub takes_zero: bool,
}

impl OutputKeys {
    fn one(written: BoundKey) -> Option<Self> {
        Some(Self {
            written,
            other: None,
            takes_zero: false,
        })
    }

    pub fn read(self) -> impl Iterator<Item = BoundKey> {
        std::iter::once(self.written).chain(self.other)
    }
}

/// `None`: nobody knows what bounds such a request. `model` is as the agent meant it.
pub fn output_keys(
    dialect: Dialect,
    operation: Operation,
    catalog_id: &str,
    model: Option<&str>,
) -> Option<OutputKeys> {
    match operation {
        Operation::ChatCompletions | Operation::Completions if dialect == Dialect::Ollama => {
            OutputKeys::one(BoundKey::Predict)
        }
        Operation::ChatCompletions => {
            let (older, newer) = (BoundKey::MaxTokens, BoundKey::MaxCompletionTokens);
            // OpenAI's own newer models refuse the key that everyone else has.
            let (written, other) = match openai::is_first_party(catalog_id) {
                true => (newer, older),
                false => (older, newer),
            };
            Some(OutputKeys {
                written,
                other: Some(other),
                takes_zero: false,
            })
        }
        Operation::Completions => OutputKeys::one(BoundKey::MaxTokens),
        Operation::Messages => Some(OutputKeys {
            written: BoundKey::MaxTokens,
            other: None,
            takes_zero: true,
        }),
        Operation::Responses => OutputKeys::one(BoundKey::MaxOutputTokens),
        Operation::Invoke | Operation::InvokeStream => OutputKeys::one(invoked(model?)?),
        // A prompt that the provider keeps has settings of its own.
        Operation::Converse | Operation::ConverseStream
            if model.is_some_and(|model| model.contains(":prompt/")) =>
        {
            None
        }
        Operation::Converse | Operation::ConverseStream => OutputKeys::one(BoundKey::Converse),
        Operation::GenerateContent | Operation::StreamGenerateContent => {
            OutputKeys::one(BoundKey::Gemini)
        }
        Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::Realtime
        | Operation::Embeddings
        | Operation::CountTokens
        | Operation::CountContentTokens
        | Operation::EmbedContent
        | Operation::ListModels
        | Operation::GetModel
        | Operation::Hello
        | Operation::Unmetered
        | Operation::Other => None,
    }
}

/// Bedrock's InvokeModel has the body of whoever made the model (its user guide, "Inference request parameters").
fn invoked(model: &str) -> Option<BoundKey> {
    match bedrock::maker(model)? {
        ("anthropic" | "mistral", _) => Some(BoundKey::MaxTokens),
        ("openai", _) => Some(BoundKey::MaxCompletionTokens),
        ("meta", _) => Some(BoundKey::MaxGenLen),
        ("amazon", name) if name.starts_with("nova") => Some(BoundKey::Converse),
        ("amazon", name) if name.starts_with("titan-text") => Some(BoundKey::Titan),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_own_keys() {
        use BoundKey::*;
        use Dialect as D;
        use Operation as O;
        for (dialect, operation, catalog, model, expected) in [
            (
                D::OpenAi,
                O::ChatCompletions,
                "openai_api",
                "gpt-5.5",
                Some(MaxCompletionTokens),
            ),
            (
                D::Azure,
                O::ChatCompletions,
                "azure_openai_api",
                "x",
                Some(MaxCompletionTokens),
            ),
            (
                D::OpenAi,
                O::ChatCompletions,
                "mistral_api",
                "x",
                Some(MaxTokens),
            ),
            (
                D::OpenAi,
                O::Completions,
                "openai_api",
                "x",
                Some(MaxTokens),
            ),
            (
                D::OpenAi,
                O::Responses,
                "openai_api",
                "x",
                Some(MaxOutputTokens),
            ),
            (
                D::Ollama,
                O::ChatCompletions,
                "ollama",
                "llama3",
                Some(Predict),
            ),
            (D::Ollama, O::Completions, "ollama", "llama3", Some(Predict)),
            (
                D::Vertex,
                O::Messages,
                "vertex_ai_api",
                "claude-opus-5",
                Some(MaxTokens),
            ),
            (
                D::Gemini,
                O::StreamGenerateContent,
                "gemini_api",
                "x",
                Some(Gemini),
            ),
            (
                D::Bedrock,
                O::ConverseStream,
                "bedrock_api",
                "any",
                Some(Converse),
            ),
            (
                D::Bedrock,
                O::Invoke,
                "bedrock_api",
                "us.anthropic.claude-opus-5-5",
                Some(MaxTokens),
            ),
            (
                D::Bedrock,
                O::InvokeStream,
                "bedrock_api",
                "meta.llama3-3-70b-instruct-v1:0",
                Some(MaxGenLen),
            ),
            (
                D::Bedrock,
                O::Invoke,
                "bedrock_api",
                "amazon.nova-2-lite-v1:0",
                Some(Converse),
            ),
            (
                D::Bedrock,
                O::Invoke,
                "bedrock_api",
                "amazon.titan-text-lite-v1",
                Some(Titan),
            ),
            (
                D::Bedrock,
                O::Invoke,
                "bedrock_api",
                "amazon.titan-embed-text-v2:0",
                None,
            ),
            (D::Bedrock, O::Invoke, "bedrock_api", "stability.sd3", None),
            (
                D::Bedrock,
                O::Invoke,
                "bedrock_api",
                "arn:aws:bedrock:us-east-1:1:inference-profile/eu.mistral.pixtral-large-2502-v1:0",
                Some(MaxTokens),
            ),
            (
                D::Bedrock,
                O::Invoke,
                "bedrock_api",
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/anthropic",
                None,
            ),
            (
                D::Bedrock,
                O::Converse,
                "bedrock_api",
                "arn:aws:bedrock:us-east-1:1:prompt/P",
                None,
            ),
            (D::OpenAi, O::Realtime, "openai_api", "x", None),
            (D::OpenAi, O::Embeddings, "openai_api", "x", None),
        ] {
            let found = output_keys(dialect, operation, catalog, Some(model));
            assert_eq!(
                found.map(|keys| keys.written),
                expected,
                "{operation:?} {model}"
            );
        }
    }

    #[test]
    fn keys_are_numbered_in_their_order() {
        for (place, key) in BoundKey::ALL.into_iter().enumerate() {
            assert_eq!(key as usize, place);
        }
    }
}
