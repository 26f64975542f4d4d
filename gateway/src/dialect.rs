//! What a vendor's wire format means: path shapes, where the model is, usage fields, error shape.
//! Pure: bytes and values in, values out. One module per vendor family; adding a vendor touches one.

pub mod anthropic;
pub(crate) mod azure;
pub mod bedrock;
pub mod elsewhere;
pub mod error_body;
pub mod event_stream;
pub mod form;
pub mod google;
pub mod json;
pub mod meter;
pub mod model_list;
pub(crate) mod ollama;
pub mod openai;
pub mod output;
pub mod path;
pub mod price;
pub mod session;
pub mod sse;
pub mod text;
pub mod websocket;

use http::{HeaderName, Method};

use path::{ModelPlace, Verb};

/// A family of request and response shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dialect {
    OpenAi = 0,
    Anthropic = 1,
    /// AWS Bedrock's own paths.
    Bedrock = 2,
    /// Google Vertex AI: its own operations, Anthropic's and OpenAI's, each under `/v1…/projects/…`.
    Vertex = 3,
    /// Azure OpenAI's classic deployments (`/openai/deployments/…`). Its v1 path is [`Self::OpenAi`].
    Azure = 4,
    /// Google's Gemini API: `/v1beta/models/{model}:{action}`.
    Gemini = 5,
    /// Ollama's own API: `/api/chat`, `/api/generate`….
    Ollama = 6,
}

impl Dialect {
    pub const ALL: [Self; 7] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Bedrock,
        Self::Vertex,
        Self::Azure,
        Self::Gemini,
        Self::Ollama,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Vertex => "vertex",
            Self::Azure => "azure",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.code() == code)
    }

    /// Whose bodies an operation has, errors included: Vertex AI takes other vendors' on paths of its own.
    #[must_use]
    pub fn of_bodies(self, operation: Operation) -> Self {
        match self {
            Self::OpenAi | Self::Anthropic | Self::Bedrock | Self::Gemini | Self::Ollama => self,
            Self::Azure => Self::OpenAi,
            Self::Vertex => match operation {
                Operation::Messages | Operation::CountTokens => Self::Anthropic,
                Operation::ChatCompletions
                | Operation::Completions
                | Operation::Responses
                | Operation::StoredResponse
                | Operation::ResponsesInputTokens
                | Operation::Embeddings => Self::OpenAi,
                Operation::GenerateContent
                | Operation::StreamGenerateContent
                | Operation::CountContentTokens
                | Operation::EmbedContent
                | Operation::Invoke
                | Operation::InvokeStream
                | Operation::Converse
                | Operation::ConverseStream
                | Operation::Realtime
                | Operation::ListModels
                | Operation::GetModel
                | Operation::Hello
                | Operation::Unmetered
                | Operation::Other => Self::Gemini,
            },
        }
    }
}

/// A set of dialects. Empty stands for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DialectSet(u8);

impl DialectSet {
    pub const ANY: Self = Self(0);

    pub fn of(dialects: &[Dialect]) -> Self {
        Self(dialects.iter().fold(0, |set, d| set | 1 << *d as u8))
    }

    pub fn is_any(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, dialect: Dialect) -> bool {
        self.0 & (1 << dialect as u8) != 0
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    ChatCompletions,
    Completions,
    Responses,
    /// A stored response or what belongs to it: `/responses/{id}…`.
    StoredResponse,
    ResponsesInputTokens,
    /// A response of a Realtime session, or a session that made none.
    Realtime,
    Embeddings,
    Messages,
    CountTokens,
    /// Bedrock's InvokeModel: the body is the vendor's own.
    Invoke,
    InvokeStream,
    Converse,
    ConverseStream,
    /// Gemini's answer as one object.
    GenerateContent,
    /// Gemini's answer as events, or as the elements of one JSON array.
    StreamGenerateContent,
    /// Gemini's `countTokens` and `computeTokens`.
    CountContentTokens,
    /// Google's embeddings, by whichever of its methods.
    EmbedContent,
    /// `GET /v1/models`: answered from what the caller may use.
    ListModels,
    /// `GET /v1/models/{id}`.
    GetModel,
    /// `/api/hello`, by which Claude Code warms its connection up: answered by the node itself.
    Hello,
    /// What vendors bill in units that nothing here counts: audio, images, video, OCR, reranking, batches.
    /// Passed through.
    Unmetered,
    /// Files, listings, what became of a batch…: passed through.
    Other,
}

impl Operation {
    pub const ALL: [Self; 22] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::StoredResponse,
        Self::ResponsesInputTokens,
        Self::Realtime,
        Self::Embeddings,
        Self::Messages,
        Self::CountTokens,
        Self::Invoke,
        Self::InvokeStream,
        Self::Converse,
        Self::ConverseStream,
        Self::GenerateContent,
        Self::StreamGenerateContent,
        Self::CountContentTokens,
        Self::EmbedContent,
        Self::ListModels,
        Self::GetModel,
        Self::Hello,
        Self::Unmetered,
        Self::Other,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::StoredResponse => "stored_response",
            Self::ResponsesInputTokens => "responses_input_tokens",
            Self::Realtime => "realtime",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::Invoke => "invoke",
            Self::InvokeStream => "invoke_stream",
            Self::Converse => "converse",
            Self::ConverseStream => "converse_stream",
            Self::GenerateContent => "generate_content",
            Self::StreamGenerateContent => "stream_generate_content",
            Self::CountContentTokens => "count_content_tokens",
            Self::EmbedContent => "embed_content",
            Self::ListModels => "list_models",
            Self::GetModel => "get_model",
            Self::Hello => "hello",
            Self::Unmetered => "unmetered",
            Self::Other => "other",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.code() == code)
    }

    /// The path alone says that the answer is a stream.
    pub fn is_stream(self) -> bool {
        match self {
            Self::InvokeStream | Self::ConverseStream | Self::StreamGenerateContent => true,
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::StoredResponse
            | Self::ResponsesInputTokens
            | Self::Embeddings
            | Self::Messages
            | Self::CountTokens
            | Self::Invoke
            | Self::Converse
            | Self::GenerateContent
            | Self::CountContentTokens
            | Self::EmbedContent
            | Self::Realtime
            | Self::ListModels
            | Self::GetModel
            | Self::Hello
            | Self::Unmetered
            | Self::Other => false,
        }
    }

    /// The body has Converse's `requestMetadata`.
    pub fn has_request_metadata(self) -> bool {
        matches!(self, Self::Converse | Self::ConverseStream)
    }

    /// The operation has no meaning without a model, so a request that names none is refused.
    pub fn needs_model(self) -> bool {
        match self {
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::ResponsesInputTokens
            | Self::Realtime
            | Self::Embeddings
            | Self::Messages
            | Self::CountTokens
            | Self::Invoke
            | Self::InvokeStream
            | Self::Converse
            | Self::ConverseStream
            | Self::GenerateContent
            | Self::StreamGenerateContent
            | Self::CountContentTokens
            | Self::EmbedContent
            | Self::GetModel => true,
            Self::StoredResponse
            | Self::ListModels
            | Self::Hello
            | Self::Unmetered
            | Self::Other => false,
        }
    }
}

/// Where a request says which model it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelSource<'a> {
    /// Top-level key `model` of a JSON body: the body is scanned and held until it is complete.
    Body,
    /// Field `model` of a multipart form, which is held up to there; or, where JSON is sent, as [`Self::Body`].
    Form,
    /// In the path.
    Path(&'a str),
    /// Nowhere: routed by dialect alone, the body streams through unread.
    None,
}

/// What a request has to do with an object that the provider keeps: a response, a file, a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    None,
    /// The answer names a new one.
    Made,
    /// The path names one by its id.
    Named(&'a str),
}

/// What the path of a request says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified<'a> {
    pub dialect: Dialect,
    pub operation: Operation,
    pub model: ModelSource<'a>,
    pub object: Object<'a>,
}

impl Classified<'_> {
    /// The answer is a stream unless the body says otherwise.
    pub fn streams_by_default(&self) -> bool {
        let is_chat = matches!(
            self.operation,
            Operation::ChatCompletions | Operation::Completions
        );
        self.operation.is_stream() || (is_chat && self.dialect == Dialect::Ollama)
    }

    /// Mistral's chat at Vertex AI, the only one there with its model in the path. The body names the model
    /// too, streams tell their usage without being asked to, and to be asked is an error.
    pub fn is_mistral_at_vertex(&self) -> bool {
        self.dialect == Dialect::Vertex
            && self.operation == Operation::ChatCompletions
            && matches!(self.model, ModelSource::Path(_))
    }
}

/// How a provider is told who calls; formats in `facts` of NetBird's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFormat {
    /// Two plain headers.
    HeaderPair {
        user: Option<HeaderName>,
        groups: Option<HeaderName>,
        /// Also written into the JSON body (LiteLLM: `user` and `metadata.tags`).
        body: BodyIdentity,
    },
    /// One header with a JSON object.
    JsonHeader {
        header: HeaderName,
        user_key: Option<Box<str>>,
        groups_key: Option<Box<str>>,
        /// Values are cut to this many bytes.
        value_bytes_limit: usize,
        /// Bedrock's rules: values in the characters that it takes, and Converse has them in its body.
        bedrock: bool,
    },
    /// Top-level `user` of the JSON body.
    Body(BodyIdentity),
}

/// Which fields of a JSON body carry the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyIdentity {
    /// Top-level `user`.
    pub user: bool,
    /// `metadata.tags`.
    pub tags: bool,
}

/// Reads method, path (without query) and the presence of `anthropic-version`, by which the two
/// vendors that share `/v1/models` and `/v1/files` are told apart. `None`: no dialect has this path
/// with this method; [`allowed_methods`] tells which of the two is wrong.
pub fn classify<'a>(
    method: &Method,
    path: &'a str,
    has_anthropic_version: bool,
) -> Option<Classified<'a>> {
    let verb = Verb::of(method)?;
    let known = path::lookup(path, has_anthropic_version)?;
    let rule = known.rules.iter().find(|rule| rule.verb == verb)?;
    let model = match (rule.model, known.model) {
        (ModelPlace::Body, _) => ModelSource::Body,
        (ModelPlace::Form, _) => ModelSource::Form,
        (ModelPlace::Path, Some(model)) => ModelSource::Path(model),
        (ModelPlace::Path, None) | (ModelPlace::Nowhere, _) => ModelSource::None,
    };
    Some(Classified {
        dialect: known.dialect,
        operation: rule.operation,
        model,
        object: match known.object {
            Object::Made if verb != Verb::Post => Object::None,
            object @ (Object::None | Object::Made | Object::Named(_)) => object,
        },
    })
}

/// The value of `Allow` for a path that a dialect has (RFC 9110 section 15.5.6); `None` for a path that
/// none has.
pub fn allowed_methods(path: &str, has_anthropic_version: bool) -> Option<String> {
    let known = path::lookup(path, has_anthropic_version)?;
    let names: Vec<_> = known.rules.iter().map(|rule| rule.verb.name()).collect();
    Some(names.join(", "))
}

/// The ids under which a model may be listed or priced, the given one first.
pub fn known_ids(id: &str) -> impl Iterator<Item = &str> {
    bedrock::known_ids(id).chain(undated_model(id))
}

/// The id without its date, where the vendor serves dated versions of a model (`claude-haiku-4-5-20251001`,
/// `gpt-4o-2024-08-06`, `claude-haiku-4-5@20251001`): what is registered or priced without a date holds for them too.
pub fn undated_model(id: &str) -> Option<&str> {
    anthropic::undated_model(id)
        .or_else(|| openai::undated_model(id))
        .or_else(|| google::unversioned_model(id))
}

#[cfg(test)]
mod tests;
