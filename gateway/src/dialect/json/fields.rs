//! Which keys of a request body decide something, and what their values may be.

use std::ops::Range;

use super::{
    ObjectSpan, ScanError, ScannedBody, Shape, decode,
    key::KeyText,
    lexer::{Scan, Visitor},
    output_wish::Given,
};
use crate::{
    dialect::output::BoundKey,
    handoff::record::{MODEL_BYTES_LIMIT, SESSION_BYTES_LIMIT},
};

/// Raw bytes kept of a text value: the longest model name with every letter written as `\uXXXX`.
const TEXT_BYTES_LIMIT: usize = 6 * MODEL_BYTES_LIMIT;

/// A key that decides something. `metadata.tags` is another one than `tags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Field {
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    User,
    Metadata,
    MetadataTags,
    MetadataUserId,
    ClientMetadata,
    ClientSessionId,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    RequestMetadata,
    Answers,
    BestOf,
    InferenceConfig,
    GenerationConfig,
    Options,
    TextGenerationConfig,
    MaxGenLen,
    ConverseMaxTokens,
    NovaMaxTokens,
    GeminiMaxTokens,
    Predict,
    TitanMaxTokens,
    InnerAnswers,
}

/// Key, the key of the object it stands in, what it is.
const FIELDS: [(&str, Option<Field>, Field); 30] = [
    ("model", None, Field::Model),
    ("stream", None, Field::Stream),
    ("stream_options", None, Field::StreamOptions),
    (
        "include_usage",
        Some(Field::StreamOptions),
        Field::IncludeUsage,
    ),
    ("user", None, Field::User),
    ("metadata", None, Field::Metadata),
    ("tags", Some(Field::Metadata), Field::MetadataTags),
    ("user_id", Some(Field::Metadata), Field::MetadataUserId),
    ("client_metadata", None, Field::ClientMetadata),
    (
        "session_id",
        Some(Field::ClientMetadata),
        Field::ClientSessionId,
    ),
    ("max_tokens", None, Field::MaxTokens),
    ("max_completion_tokens", None, Field::MaxCompletionTokens),
    ("max_output_tokens", None, Field::MaxOutputTokens),
    ("requestMetadata", None, Field::RequestMetadata),
    ("n", None, Field::Answers),
    ("best_of", None, Field::BestOf),
    ("inferenceConfig", None, Field::InferenceConfig),
    (
        "maxTokens",
        Some(Field::InferenceConfig),
        Field::ConverseMaxTokens,
    ),
    // Nova's older name.
    (
        "max_new_tokens",
        Some(Field::InferenceConfig),
        Field::NovaMaxTokens,
    ),
    // Google takes both spellings of every key.
    ("generationConfig", None, Field::GenerationConfig),
    ("generation_config", None, Field::GenerationConfig),
    (
        "maxOutputTokens",
        Some(Field::GenerationConfig),
        Field::GeminiMaxTokens,
    ),
    (
        "max_output_tokens",
        Some(Field::GenerationConfig),
        Field::GeminiMaxTokens,
    ),
    (
        "candidateCount",
        Some(Field::GenerationConfig),
        Field::InnerAnswers,
    ),
    (
        "candidate_count",
        Some(Field::GenerationConfig),
        Field::InnerAnswers,
    ),
    ("options", None, Field::Options),
    ("num_predict", Some(Field::Options), Field::Predict),
    ("textGenerationConfig", None, Field::TextGenerationConfig),
    (
        "maxTokenCount",
        Some(Field::TextGenerationConfig),
        Field::TitanMaxTokens,
    ),
    ("max_gen_len", None, Field::MaxGenLen),
];

/// What a value is by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Object,
    Array,
    Scalar,
}

/// A known key whose value is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    field: Field,
    /// Offset of the value's first byte.
    start: usize,
    shape: Shape,
}

/// Takes what the lexer meets and fills a [`ScannedBody`].
#[derive(Debug, Default)]
pub(super) struct Finder {
    body: ScannedBody,
    client_session_id: Option<String>,
    /// Bit per [`Field`].
    seen: u32,
    reading_key: bool,
    key: KeyText,
    /// The known top-level key at hand.
    outer: Option<Open>,
    /// The known key inside it.
    inner: Option<Open>,
    text: Vec<u8>,
    text_is_cut: bool,
}

impl Finder {
    pub(super) fn into_body(mut self) -> ScannedBody {
        // Codex says it outright, Claude Code inside another value.
        self.body.session_id = self.client_session_id.or(self.body.session_id);
        self.body
    }

    /// The known key whose value lies at `depth`.
    fn at(&mut self, depth: usize) -> Option<&mut Open> {
        match depth {
            1 => self.outer.as_mut(),
            2 => self.inner.as_mut(),
            _ => None,
        }
    }

    /// Whether keys at `depth` may be known ones.
    fn has_known_keys(&self, depth: usize) -> bool {
        match depth {
            1 => true,
            2 => self.outer.is_some_and(|outer| match outer.field {
                Field::StreamOptions
                | Field::Metadata
                | Field::ClientMetadata
                | Field::RequestMetadata
                | Field::InferenceConfig
                | Field::GenerationConfig
                | Field::Options
                | Field::TextGenerationConfig => true,
                Field::Model
                | Field::Stream
                | Field::IncludeUsage
                | Field::User
                | Field::MetadataTags
                | Field::MetadataUserId
                | Field::ClientSessionId
                | Field::MaxTokens
                | Field::MaxCompletionTokens
                | Field::MaxOutputTokens
                | Field::Answers
                | Field::BestOf
                | Field::MaxGenLen
                | Field::ConverseMaxTokens
                | Field::NovaMaxTokens
                | Field::GeminiMaxTokens
                | Field::Predict
                | Field::TitanMaxTokens
                | Field::InnerAnswers => false,
            }),
            _ => false,
        }
    }

    /// A key ended: known, known and seen before, or nothing to us.
    fn key_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        let parent = match depth {
            1 => None,
            _ => self.outer.map(|outer| outer.field),
        };
        let mut open = None;
        if let Some(key) = self.key.decoded() {
            for (name, within, field) in FIELDS {
                if within != parent || !key.eq_ignore_ascii_case(name.as_bytes()) {
                    continue;
                }
                if *key != *name.as_bytes() {
                    // What agents put into their metadata is free.
                    if !matches!(parent, Some(Field::Metadata | Field::ClientMetadata)) {
                        return Err(Box::new(ScanError::Malformed {
                            offset: end,
                            what: "a known key in another case",
                        }));
                    }
                    continue;
                }
                let bit = 1 << field as u32;
                if self.seen & bit != 0 {
                    return Err(Box::new(ScanError::DuplicateKey {
                        offset: end,
                        key: name,
                    }));
                }
                self.seen |= bit;
                open = Some(Open {
                    field,
                    start: 0,
                    shape: Shape::Other,
                });
            }
        }
        match depth {
            1 => self.outer = open,
            _ => self.inner = open,
        }
        Ok(())
    }

    /// A value starts. True: its text is wanted.
    fn value_begin(&mut self, depth: usize, kind: Kind, at: usize) -> Scan<bool> {
        let Some(open) = self.at(depth) else {
            return Ok(false);
        };
        open.start = at;
        if kind == Kind::Object {
            // Until a key comes.
            open.shape = Shape::EmptyObject;
        }
        let refuse = |what| Err(Box::new(ScanError::Malformed { offset: at, what }));
        let wanted = match (open.field, kind) {
            (Field::Model, Kind::Text) => true,
            (Field::Model, _) => return refuse("model is not a string"),
            (Field::Stream | Field::IncludeUsage, Kind::Scalar) => true,
            (Field::Stream, _) => return refuse("stream is not a boolean"),
            (Field::IncludeUsage, _) => return refuse("include_usage is not a boolean"),
            (Field::MetadataUserId | Field::ClientSessionId, kind) => kind == Kind::Text,
            (
                Field::StreamOptions
                | Field::Metadata
                | Field::RequestMetadata
                | Field::MaxTokens
                | Field::MaxCompletionTokens
                | Field::MaxOutputTokens
                | Field::MaxGenLen
                | Field::ConverseMaxTokens
                | Field::NovaMaxTokens
                | Field::GeminiMaxTokens
                | Field::Predict
                | Field::TitanMaxTokens
                | Field::Answers
                | Field::BestOf
                | Field::InnerAnswers
                | Field::InferenceConfig
                | Field::GenerationConfig
                | Field::Options
                | Field::TextGenerationConfig,
                kind,
            ) => kind == Kind::Scalar,
            (Field::User | Field::MetadataTags | Field::ClientMetadata, _) => false,
        };
        if wanted {
            self.reading_key = false;
            self.text.clear();
            self.text_is_cut = false;
        }
        Ok(wanted)
    }

    /// A value ended.
    fn value_end(&mut self, depth: usize, kind: Kind, end: usize) -> Scan<()> {
        let taken = match depth {
            1 => self.outer.take(),
            2 => self.inner.take(),
            _ => None,
        };
        let Some(Open {
            field,
            start,
            mut shape,
        }) = taken
        else {
            return Ok(());
        };
        let range = start..end;
        let malformed = |what| {
            Box::new(ScanError::Malformed {
                offset: start,
                what,
            })
        };
        if kind == Kind::Scalar && self.text == b"null" {
            shape = Shape::Null;
        }
        match field {
            Field::Model => {
                let model = self
                    .whole_text()
                    .ok_or_else(|| malformed("model is too long"))?;
                let model = decode(model).ok_or_else(|| malformed("model is not Unicode text"))?;
                if model.len() > MODEL_BYTES_LIMIT {
                    return Err(malformed("model is too long"));
                }
                self.body.model = Some(model);
            }
            Field::Stream => {
                self.body.stream = self
                    .boolean()
                    .map_err(|()| malformed("stream is not a boolean"))?
                    .unwrap_or(false);
            }
            Field::IncludeUsage => {
                self.body.include_usage = self
                    .boolean()
                    .map_err(|()| malformed("include_usage is not a boolean"))?;
                self.body.spans.include_usage = Some(range);
            }
            Field::StreamOptions => {
                self.body.spans.stream_options = Some(ObjectSpan { range, shape });
            }
            Field::Metadata => self.body.spans.metadata = Some(ObjectSpan { range, shape }),
            Field::RequestMetadata => {
                self.body.spans.request_metadata = Some(ObjectSpan { range, shape });
            }
            Field::MetadataTags => self.body.spans.metadata_tags = Some(range),
            Field::User => self.body.spans.user = Some(range),
            Field::MetadataUserId if kind == Kind::Text => {
                let user_id = self.whole_text().and_then(decode);
                self.body.session_id = user_id.as_deref().and_then(session_of_user_id);
            }
            Field::ClientSessionId if kind == Kind::Text => {
                let id = self.whole_text().and_then(decode);
                self.client_session_id = id.as_deref().and_then(bounded_session);
            }
            Field::MaxTokens => self.bound(BoundKey::MaxTokens, kind, shape, range),
            Field::MaxCompletionTokens => {
                self.bound(BoundKey::MaxCompletionTokens, kind, shape, range);
            }
            Field::MaxOutputTokens => self.bound(BoundKey::MaxOutputTokens, kind, shape, range),
            Field::MaxGenLen => self.bound(BoundKey::MaxGenLen, kind, shape, range),
            Field::ConverseMaxTokens => self.bound(BoundKey::Converse, kind, shape, range),
            Field::GeminiMaxTokens => self.bound(BoundKey::Gemini, kind, shape, range),
            Field::Predict => self.bound(BoundKey::Predict, kind, shape, range),
            Field::TitanMaxTokens => self.bound(BoundKey::Titan, kind, shape, range),
            // Which of the two would count is not known.
            Field::NovaMaxTokens => self.body.output.add(BoundKey::Converse, Given::Odd),
            Field::InferenceConfig => self.bounds_object(BoundKey::Converse, range, shape),
            Field::GenerationConfig => self.bounds_object(BoundKey::Gemini, range, shape),
            Field::Options => self.bounds_object(BoundKey::Predict, range, shape),
            Field::TextGenerationConfig => self.bounds_object(BoundKey::Titan, range, shape),
            Field::Answers | Field::BestOf | Field::InnerAnswers => {
                if shape != Shape::Null {
                    let count = self.whole_number(kind);
                    self.body.output.add_answers(count);
                }
            }
            // Values of the wrong type are the provider's to refuse.
            Field::MetadataUserId | Field::ClientSessionId | Field::ClientMetadata => {}
        }
        Ok(())
    }

    fn bound(&mut self, key: BoundKey, kind: Kind, shape: Shape, range: Range<usize>) {
        let given = match (shape, self.whole_number(kind)) {
            (Shape::Null, _) => Given::Null(range),
            (_, Some(tokens)) => Given::Tokens(tokens),
            (_, None) => Given::Odd,
        };
        self.body.output.add(key, given);
    }

    fn bounds_object(&mut self, key: BoundKey, range: Range<usize>, shape: Shape) {
        self.body
            .output
            .add_object(key, ObjectSpan { range, shape });
    }

    /// A scalar that is a number without sign, point or exponent.
    fn whole_number(&self, kind: Kind) -> Option<u64> {
        let text = self.whole_text().filter(|_| kind == Kind::Scalar)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    fn whole_text(&self) -> Option<&[u8]> {
        (!self.text_is_cut).then_some(self.text.as_slice())
    }

    fn boolean(&self) -> Result<Option<bool>, ()> {
        match self.text.as_slice() {
            b"true" => Ok(Some(true)),
            b"false" => Ok(Some(false)),
            b"null" => Ok(None),
            _ => Err(()),
        }
    }
}

impl Visitor for Finder {
    fn string_begin(&mut self, depth: usize, is_key: bool, at: usize) -> Scan<bool> {
        if !is_key {
            return self.value_begin(depth, Kind::Text, at);
        }
        if !self.has_known_keys(depth) {
            return Ok(false);
        }
        match depth {
            1 => self.body.spans.object_is_empty = false,
            _ => {
                if let Some(outer) = &mut self.outer {
                    outer.shape = Shape::Object;
                }
            }
        }
        self.reading_key = true;
        self.key.clear();
        Ok(true)
    }

    fn string_end(&mut self, depth: usize, is_key: bool, end: usize) -> Scan<()> {
        match is_key {
            true if self.has_known_keys(depth) => self.key_end(depth, end),
            true => Ok(()),
            false => self.value_end(depth, Kind::Text, end),
        }
    }

    fn container_begin(&mut self, depth: usize, is_object: bool, at: usize) -> Scan<()> {
        if depth == 0 {
            self.body.spans.object_start = at + 1;
            self.body.spans.object_is_empty = true;
            return Ok(());
        }
        let kind = if is_object { Kind::Object } else { Kind::Array };
        self.value_begin(depth, kind, at)?;
        Ok(())
    }

    fn container_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        // Object or array makes no difference once it ended.
        self.value_end(depth, Kind::Object, end)
    }

    fn scalar_begin(&mut self, depth: usize, at: usize) -> Scan<bool> {
        self.value_begin(depth, Kind::Scalar, at)
    }

    fn scalar_end(&mut self, depth: usize, end: usize) -> Scan<()> {
        self.value_end(depth, Kind::Scalar, end)
    }

    fn text(&mut self, piece: &[u8]) -> Scan<()> {
        if self.reading_key {
            self.key.push(piece);
        } else if self.text.len() + piece.len() > TEXT_BYTES_LIMIT {
            self.text_is_cut = true;
        } else {
            self.text.extend_from_slice(piece);
        }
        Ok(())
    }
}

/// Claude Code writes `user_…_session_<id>`, in later versions an object with `session_id` as text.
fn session_of_user_id(user_id: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct UserId {
        session_id: String,
    }
    if user_id.starts_with('{') {
        let parsed: UserId = serde_json::from_str(user_id).ok()?;
        return bounded_session(&parsed.session_id);
    }
    bounded_session(user_id.split_once("session_")?.1)
}

fn bounded_session(id: &str) -> Option<String> {
    let id = &id[..id.floor_char_boundary(SESSION_BYTES_LIMIT)];
    (!id.is_empty()).then(|| id.to_owned())
}
