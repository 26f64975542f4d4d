//! Google's dialects: Vertex AI, which has other vendors' operations under paths of its own, and the Gemini
//! API. Their paths, their model ids, their errors and listings.
//!
//! Only what is metered, free or billed in units of its own is listed: caches, tuning, batches and the
//! live API are out of an agent's reach.

pub mod error;
pub mod host;
pub mod listing;

use super::{
    Dialect, Object, Operation, openai,
    path::{Known, ModelPlace, Rule, Verb, is_version, rule},
};

const GENERATE: &[Rule] = &[rule(
    Verb::Post,
    Operation::GenerateContent,
    ModelPlace::Path,
)];
const STREAM_GENERATE: &[Rule] = &[rule(
    Verb::Post,
    Operation::StreamGenerateContent,
    ModelPlace::Path,
)];
const COUNT_CONTENT: &[Rule] = &[rule(
    Verb::Post,
    Operation::CountContentTokens,
    ModelPlace::Path,
)];
const EMBED: &[Rule] = &[rule(Verb::Post, Operation::EmbedContent, ModelPlace::Path)];
/// Images, speech, video; and bodies of publishers that nothing here reads.
const UNMETERED: &[Rule] = &[rule(Verb::Post, Operation::Unmetered, ModelPlace::Path)];
/// Asks what became of a job.
const JOB: &[Rule] = &[rule(Verb::Post, Operation::Other, ModelPlace::Path)];
const JOB_BY_NAME: &[Rule] = &[rule(Verb::Get, Operation::Other, ModelPlace::Path)];
const MESSAGES: &[Rule] = &[rule(Verb::Post, Operation::Messages, ModelPlace::Path)];
/// Mistral's, in OpenAI's shape.
const CHAT: &[Rule] = &[rule(
    Verb::Post,
    Operation::ChatCompletions,
    ModelPlace::Path,
)];
const COUNT_MESSAGE: &[Rule] = &[rule(Verb::Post, Operation::CountTokens, ModelPlace::Body)];
const LIST_MODELS: &[Rule] = &[rule(Verb::Get, Operation::ListModels, ModelPlace::Nowhere)];
const GET_MODEL: &[Rule] = &[rule(Verb::Get, Operation::GetModel, ModelPlace::Path)];

/// Reads a whole path (google-genai 3.4, anthropic 2.12, openai 3.54).
///
/// A google-genai client with a base URL of its own leaves `beta` out of the Gemini API's version; its
/// `/v1/models/{model}:{action}` is told from OpenAI's `/v1/models/{model}` by the action.
pub(super) fn lookup(path: &str) -> Option<Known<'_>> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    if !matches!(version, "v1" | "v1beta" | "v1beta1") {
        return None;
    }
    if let Some(resource) = vertex_resource(rest) {
        return vertex(resource);
    }
    if version == "v1beta1" {
        return None;
    }
    let shared_with_openai = version == "v1";
    match rest.strip_prefix("models") {
        Some("") if !shared_with_openai => Some(known(Dialect::Gemini, LIST_MODELS, None)),
        Some(tail) => gemini(tail.strip_prefix('/')?, shared_with_openai),
        None => None,
    }
}

/// What follows `projects/{project}/locations/{location}/`, which a client with an API key of its own
/// leaves out.
fn vertex_resource(rest: &str) -> Option<&str> {
    if rest.starts_with("publishers/") {
        return Some(rest);
    }
    let (_, rest) = rest.strip_prefix("projects/")?.split_once('/')?;
    let (_, resource) = rest.strip_prefix("locations/")?.split_once('/')?;
    Some(resource)
}

fn vertex(resource: &str) -> Option<Known<'_>> {
    let known = |rules, model| known(Dialect::Vertex, rules, model);
    if let Some(operation) = resource.strip_prefix("endpoints/openapi/") {
        return of_openai(operation);
    }
    let (publisher, rest) = resource.strip_prefix("publishers/")?.split_once('/')?;
    match (publisher, rest) {
        ("openai", _) => of_openai(rest.strip_prefix("v1/")?),
        ("google", "models") => Some(known(LIST_MODELS, None)),
        ("anthropic", "models/count-tokens:rawPredict") => Some(known(COUNT_MESSAGE, None)),
        (_, _) => {
            let name = rest.strip_prefix("models/")?;
            let Some((model, action)) = action(name) else {
                let is_listed = matches!(publisher, "google" | "anthropic") && is_plain(name);
                return is_listed.then_some(known(GET_MODEL, Some(name)));
            };
            Some(known(
                publisher_rules(publisher, model, action)?,
                Some(model),
            ))
        }
    }
}

fn publisher_rules(publisher: &str, model: &str, action: &str) -> Option<&'static [Rule]> {
    match (publisher, action) {
        ("google", _) => action_rules(model, action),
        ("anthropic", "rawPredict" | "streamRawPredict") => Some(MESSAGES),
        ("mistralai", "rawPredict" | "streamRawPredict") => Some(CHAT),
        (_, "rawPredict" | "streamRawPredict") => Some(UNMETERED),
        (_, _) => None,
    }
}

/// `rest` follows `models/`.
fn gemini(rest: &str, shared_with_openai: bool) -> Option<Known<'_>> {
    let known = |rules, model| Some(known(Dialect::Gemini, rules, Some(model)));
    if let Some((model, job)) = rest.split_once("/operations/") {
        return known(
            (is_plain(model) && is_plain(job)).then_some(JOB_BY_NAME)?,
            model,
        );
    }
    match action(rest) {
        Some((model, action)) => known(action_rules(model, action)?, model),
        None if shared_with_openai || !is_plain(rest) => None,
        None => known(GET_MODEL, rest),
    }
}

/// An OpenAI operation on a path of Vertex AI's.
fn of_openai(operation: &str) -> Option<Known<'_>> {
    let known = openai::lookup(operation)?;
    let is_served = |rule: &Rule| match rule.operation {
        Operation::ChatCompletions
        | Operation::Completions
        | Operation::Responses
        | Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::Embeddings => true,
        Operation::Messages
        | Operation::CountTokens
        | Operation::GenerateContent
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
        | Operation::Other => false,
    };
    known.rules.iter().any(is_served).then_some(Known {
        dialect: Dialect::Vertex,
        ..known
    })
}

fn known<'a>(dialect: Dialect, rules: &'static [Rule], model: Option<&'a str>) -> Known<'a> {
    Known {
        dialect,
        rules,
        model,
        object: Object::None,
    }
}

/// Splits `{model}:{action}`; a colon may also be part of a model's name (`llama3:latest`).
fn action(name: &str) -> Option<(&str, &str)> {
    let (model, action) = name.rsplit_once(':')?;
    let is_action = action == "predict"
        || (action.bytes().all(|byte| byte.is_ascii_alphabetic())
            && action.bytes().any(|byte| byte.is_ascii_uppercase()));
    (is_action && is_plain(model)).then_some((model, action))
}

/// One segment, also for a server that decodes it.
fn is_plain(model: &str) -> bool {
    !model.is_empty() && !model.contains('/') && !model.to_ascii_lowercase().contains("%2f")
}

fn action_rules(model: &str, action: &str) -> Option<&'static [Rule]> {
    Some(match action {
        "generateContent" => GENERATE,
        "streamGenerateContent" => STREAM_GENERATE,
        "countTokens" | "computeTokens" => COUNT_CONTENT,
        "embedContent" | "batchEmbedContents" => EMBED,
        // The same action makes images.
        "predict" if model.contains("embedding") => EMBED,
        "predict" | "predictLongRunning" => UNMETERED,
        "fetchPredictOperation" => JOB,
        _ => return None,
    })
}

/// Appends the upstream path: the provider's base path, and the agent's path with its version unless the
/// base has one.
pub(crate) fn path_join(base_path: &str, path: &str, out: &mut Vec<u8>) {
    // Where the Gemini API has OpenAI's dialect.
    let base_path = base_path.strip_suffix("/openai").unwrap_or(base_path);
    let has_version = base_path.rsplit('/').next().is_some_and(is_version);
    out.extend_from_slice(base_path.as_bytes());
    match path.get(1..).and_then(|path| path.find('/')) {
        Some(version) if has_version => out.extend_from_slice(&path.as_bytes()[version + 1..]),
        Some(_) | None => out.extend_from_slice(path.as_bytes()),
    }
}

/// `claude-haiku-4-5@20251001` is `claude-haiku-4-5`.
pub(super) fn unversioned_model(id: &str) -> Option<&str> {
    let (model, _) = id.split_once('@')?;
    (!model.is_empty()).then_some(model)
}

/// The model that a body names: Vertex AI's OpenAI-compatible endpoint wants `google/` in front.
pub(crate) fn model_in_body(dialect: Dialect, model: &str) -> &str {
    match dialect {
        Dialect::Vertex => model.strip_prefix("google/").unwrap_or(model),
        Dialect::OpenAi
        | Dialect::Anthropic
        | Dialect::Bedrock
        | Dialect::Azure
        | Dialect::Ollama
        | Dialect::Gemini => model,
    }
}

#[cfg(test)]
mod tests;
