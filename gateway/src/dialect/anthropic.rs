//! Anthropic's dialect: its paths and its model ids.

use super::{
    Dialect, Object, Operation, bedrock,
    path::{Known, ModelPlace, Rule, UpstreamBase, Verb, is_version, rule},
};

const MESSAGES: &[Rule] = &[rule(Verb::Post, Operation::Messages, ModelPlace::Body)];
const COUNT_TOKENS: &[Rule] = &[rule(Verb::Post, Operation::CountTokens, ModelPlace::Body)];
const BATCHES: &[Rule] = &[
    rule(Verb::Get, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Post, Operation::Unmetered, ModelPlace::Nowhere),
];
const BATCH: &[Rule] = &[
    rule(Verb::Get, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Delete, Operation::Other, ModelPlace::Nowhere),
];
const BATCH_CANCEL: &[Rule] = &[rule(Verb::Post, Operation::Other, ModelPlace::Nowhere)];
const BATCH_RESULTS: &[Rule] = &[rule(Verb::Get, Operation::Other, ModelPlace::Nowhere)];
const LIST_MODELS: &[Rule] = &[rule(Verb::Get, Operation::ListModels, ModelPlace::Nowhere)];
const GET_MODEL: &[Rule] = &[rule(Verb::Get, Operation::GetModel, ModelPlace::Path)];
const OTHER: &[Rule] = &[
    rule(Verb::Get, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Post, Operation::Other, ModelPlace::Nowhere),
    rule(Verb::Delete, Operation::Other, ModelPlace::Nowhere),
];

/// Reads a path without its `/v1/` (Anthropic SDK 2.12).
pub(super) fn lookup(rest: &str) -> Option<Known<'_>> {
    let known = |rules| Known {
        dialect: Dialect::Anthropic,
        rules,
        model: None,
        object: Object::None,
    };
    let rules = match rest {
        "messages" => MESSAGES,
        "messages/count_tokens" => COUNT_TOKENS,
        "messages/batches" => {
            return Some(Known {
                object: Object::Made,
                ..known(BATCHES)
            });
        }
        "models" => LIST_MODELS,
        _ => match rest.split_once('/').unwrap_or((rest, "")) {
            ("models", model) => {
                return Some(Known {
                    model: Some(model),
                    ..known(GET_MODEL)
                });
            }
            ("messages", tail) => {
                let (id, rules) = batch(tail)?;
                return Some(Known {
                    object: Object::Named(id),
                    ..known(rules)
                });
            }
            ("files" | "skills", tail) => {
                return Some(Known {
                    object: match tail.split('/').next() {
                        Some("") | None => Object::Made,
                        Some(id) => Object::Named(id),
                    },
                    ..known(OTHER)
                });
            }
            _ => return None,
        },
    };
    Some(known(rules))
}

/// Paths that OpenAI has as well; `anthropic-version` tells whose they are.
pub(super) fn is_shared(rest: &str) -> bool {
    matches!(rest.split('/').next(), Some("models" | "files" | "skills"))
}

/// `batches/{id}`, `batches/{id}/cancel`, `batches/{id}/results`.
fn batch(tail: &str) -> Option<(&str, &'static [Rule])> {
    let tail = tail.strip_prefix("batches/")?;
    match tail.split_once('/') {
        None => Some((tail, BATCH)),
        Some((id, "cancel")) => Some((id, BATCH_CANCEL)),
        Some((id, "results")) => Some((id, BATCH_RESULTS)),
        Some(_) => None,
    }
}

/// Where a vendor has this dialect. An Anthropic base URL ends before the version
/// (`…/anthropic`, then `/v1/messages`).
pub(crate) fn upstream_base<'a>(catalog_id: &str, base_path: &'a str) -> UpstreamBase<'a> {
    if catalog_id == bedrock::CATALOG_ID {
        return bedrock::anthropic_base(base_path);
    }
    let base_path = match (catalog_id, base_path) {
        ("kimi_api", "" | "/v1") => "/anthropic",
        ("bifrost", "") => "/anthropic",
        _ => base_path,
    };
    UpstreamBase {
        base_path,
        has_version: base_path.rsplit('/').next().is_some_and(is_version),
    }
}

/// `claude-haiku-4-5-20251001` is `claude-haiku-4-5`.
pub(super) fn undated_model(id: &str) -> Option<&str> {
    let (model, date) = id.strip_prefix("claude-")?.rsplit_once('-')?;
    let dated = date.len() == "YYYYMMDD".len() && date.bytes().all(|byte| byte.is_ascii_digit());
    (dated && !model.is_empty()).then(|| &id[..id.len() - date.len() - 1])
}
