//! OpenAI's dialect: its paths, those that compatible vendors (Mistral, vLLM) add, and its model ids.

use super::{
    Dialect, Object, Operation, bedrock,
    path::{Known, ModelPlace, Rule, UpstreamBase, Verb, is_version, rule},
};

const CHAT_COMPLETIONS: &[Rule] = &[
    rule(Verb::Post, Operation::ChatCompletions, ModelPlace::Body),
    rule(Verb::Get, Operation::Other, ModelPlace::Nowhere),
];
const COMPLETIONS: &[Rule] = &[rule(Verb::Post, Operation::Completions, ModelPlace::Body)];
const RESPONSES: &[Rule] = &[rule(Verb::Post, Operation::Responses, ModelPlace::Body)];
const RESPONSES_INPUT_TOKENS: &[Rule] = &[rule(
    Verb::Post,
    Operation::ResponsesInputTokens,
    ModelPlace::Body,
)];
const STORED_RESPONSE: &[Rule] = &[
    rule(Verb::Get, Operation::StoredResponse, ModelPlace::Nowhere),
    rule(Verb::Delete, Operation::StoredResponse, ModelPlace::Nowhere),
];
const STORED_RESPONSE_ITEMS: &[Rule] = &[rule(
    Verb::Get,
    Operation::StoredResponse,
    ModelPlace::Nowhere,
)];
const STORED_RESPONSE_CANCEL: &[Rule] = &[rule(
    Verb::Post,
    Operation::StoredResponse,
    ModelPlace::Nowhere,
)];
const EMBEDDINGS: &[Rule] = &[rule(Verb::Post, Operation::Embeddings, ModelPlace::Body)];
const LIST_MODELS: &[Rule] = &[rule(Verb::Get, Operation::ListModels, ModelPlace::Nowhere)];
const GET_MODEL: &[Rule] = &[rule(Verb::Get, Operation::GetModel, ModelPlace::Path)];
/// JSON bodies that name a model.
const UNMETERED_WITH_MODEL: &[Rule] = &[rule(Verb::Post, Operation::Unmetered, ModelPlace::Body)];
/// Multipart bodies; edits of images may also come as JSON.
const UNMETERED: &[Rule] = &[rule(Verb::Post, Operation::Unmetered, ModelPlace::Form)];
/// Jobs that are billed when they are done.
const UNMETERED_JOBS: &[Rule] = &[
    rule(Verb::Get, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Post, Operation::Unmetered, ModelPlace::Nowhere),
];
/// The model is optional.
const MODERATIONS: &[Rule] = &[rule(Verb::Post, Operation::Other, ModelPlace::Nowhere)];
const OTHER: &[Rule] = &[
    rule(Verb::Get, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Post, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Delete, Operation::Other, ModelPlace::Nowhere),
];

/// Reads a path without its `/v1/` (OpenAI SDK 3.54, mistralai 3.7).
pub(super) fn lookup(rest: &str) -> Option<Known<'_>> {
    let known = |rules| Known {
        dialect: Dialect::OpenAi,
        rules,
        model: None,
        object: Object::None,
    };
    let collection = |rules, id| Known {
        object: match id {
            Some(id) => Object::Named(id),
            None => Object::Made,
        },
        ..known(rules)
    };
    let rules = match rest {
        "chat/completions" => CHAT_COMPLETIONS,
        "responses" => return Some(collection(RESPONSES, None)),
        "responses/compact" => RESPONSES,
        "embeddings" => EMBEDDINGS,
        "completions" | "fim/completions" => COMPLETIONS,
        "responses/input_tokens" => RESPONSES_INPUT_TOKENS,
        "models" => LIST_MODELS,
        "audio/speech" | "images/generations" | "ocr" | "rerank" | "chat/moderations" => {
            UNMETERED_WITH_MODEL
        }
        "moderations" => MODERATIONS,
        "audio/transcriptions" | "audio/translations" | "images/edits" | "images/variations" => {
            UNMETERED
        }
        "batches" | "batch/jobs" | "videos" => return Some(collection(UNMETERED_JOBS, None)),
        _ => {
            let (head, tail) = match rest.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (rest, None),
            };
            match (head, tail) {
                ("models", Some(model)) => {
                    return Some(Known {
                        model: Some(model),
                        ..known(GET_MODEL)
                    });
                }
                ("responses", Some(tail)) => {
                    return Some(collection(stored_response(tail)?, first_segment(tail)));
                }
                ("chat", Some(tail)) => {
                    tail.strip_prefix("completions/")?;
                    // Nothing notes which completions were stored.
                    OTHER
                }
                ("batch", Some(tail)) => {
                    let id = first_segment(tail.strip_prefix("jobs/")?);
                    return Some(collection(OTHER, id));
                }
                (
                    "files" | "uploads" | "batches" | "vector_stores" | "conversations"
                    | "containers" | "skills" | "videos",
                    tail,
                ) => {
                    return Some(collection(OTHER, tail.and_then(first_segment)));
                }
                _ => return None,
            }
        }
    };
    Some(known(rules))
}

fn first_segment(path: &str) -> Option<&str> {
    path.split('/').next()
}

/// `{id}`, `{id}/cancel`, `{id}/input_items`.
fn stored_response(tail: &str) -> Option<&'static [Rule]> {
    match tail.split_once('/') {
        None => Some(STORED_RESPONSE),
        Some((_, "cancel")) => Some(STORED_RESPONSE_CANCEL),
        Some((_, "input_items")) => Some(STORED_RESPONSE_ITEMS),
        Some(_) => None,
    }
}

/// Where a vendor has this dialect. An OpenAI base URL ends with its version (`…/v1`), which operators
/// may leave out; the version may also stand further in front (Cloudflare's
/// `/v1/{account}/{gateway}/openai`).
pub(crate) fn upstream_base<'a>(catalog_id: &str, base_path: &'a str) -> UpstreamBase<'a> {
    if catalog_id == bedrock::CATALOG_ID {
        return bedrock::openai_base(base_path);
    }
    let base_path = match (catalog_id, base_path) {
        ("azure_openai_api", "" | "/openai") => "/openai/v1",
        ("kimi_api", "/anthropic" | "/anthropic/v1") => "/v1",
        ("gemini_api", "" | "/v1" | "/v1beta") => "/v1beta/openai",
        _ => base_path,
    };
    UpstreamBase {
        base_path,
        has_version: base_path.split('/').any(is_version),
    }
}

/// OpenAI's models by OpenAI's rules.
pub fn is_first_party(catalog_id: &str) -> bool {
    matches!(catalog_id, "openai_api" | "azure_openai_api")
}

/// `gpt-4o-2024-08-06` is `gpt-4o`.
pub(super) fn undated_model(id: &str) -> Option<&str> {
    const DATE_BYTES: usize = "-YYYY-MM-DD".len();
    let of_openai = id.starts_with("gpt-")
        || id.starts_with("chatgpt-")
        || id.starts_with("text-embedding-")
        || (id.starts_with('o') && id.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
    let (model, date) = id.split_at_checked(id.len().checked_sub(DATE_BYTES)?)?;
    let dated = date.bytes().enumerate().all(|(at, byte)| match at {
        0 | 5 | 8 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    (of_openai && dated).then_some(model)
}
