//! Ollama's own API: `/api/chat`, `/api/generate` and what reads beside them. What changes a server (pull, create,
//! copy, push, delete) is out of an agent's reach.

use serde::Serialize;

use super::{
    Dialect, Object, Operation,
    model_list::ListedModel,
    path::{Known, ModelPlace, Rule, Verb, rule},
};

const CHAT: &[Rule] = &[rule(
    Verb::Post,
    Operation::ChatCompletions,
    ModelPlace::Body,
)];
const GENERATE: &[Rule] = &[rule(Verb::Post, Operation::Completions, ModelPlace::Body)];
const EMBED: &[Rule] = &[rule(Verb::Post, Operation::Embeddings, ModelPlace::Body)];
const SHOW: &[Rule] = &[rule(Verb::Post, Operation::Other, ModelPlace::Body)];
const TAGS: &[Rule] = &[rule(Verb::Get, Operation::ListModels, ModelPlace::Nowhere)];
const VERSION: &[Rule] = &[rule(Verb::Get, Operation::Other, ModelPlace::Nowhere)];

/// Reads a whole path.
pub(super) fn lookup(path: &str) -> Option<Known<'static>> {
    let rules = match path.strip_prefix("/api/")? {
        "chat" => CHAT,
        "generate" => GENERATE,
        // The second is the older one.
        "embed" | "embeddings" => EMBED,
        "show" => SHOW,
        "tags" => TAGS,
        "version" => VERSION,
        _ => return None,
    };
    Some(Known {
        dialect: Dialect::Ollama,
        rules,
        model: None,
        object: Object::None,
    })
}

/// Appends the base path without what belongs to a dialect (`/v1`, `/api`), and the agent's.
pub(crate) fn path_join(base_path: &str, path: &str, out: &mut Vec<u8>) {
    let ends = ["/v1", "/api"];
    let base_path = ends
        .iter()
        .find_map(|end| base_path.strip_suffix(end))
        .unwrap_or(base_path);
    out.extend_from_slice(base_path.as_bytes());
    out.extend_from_slice(path.as_bytes());
}

/// The answer to `/api/tags`. What nobody knows here, of sizes and digests, is empty; clients want the keys.
#[derive(Serialize)]
pub(super) struct Tags<'a> {
    models: Vec<Tag<'a>>,
}

#[derive(Serialize)]
struct Tag<'a> {
    name: &'a str,
    model: &'a str,
    modified_at: String,
    size: u64,
    digest: &'static str,
    details: Details,
}

#[derive(Serialize)]
struct Details {
    format: &'static str,
    family: &'static str,
    families: [&'static str; 0],
    parameter_size: &'static str,
    quantization_level: &'static str,
}

impl<'a> FromIterator<ListedModel<'a>> for Tags<'a> {
    fn from_iter<I: IntoIterator<Item = ListedModel<'a>>>(models: I) -> Self {
        let tag = |model: ListedModel<'a>| Tag {
            name: model.id,
            model: model.id,
            modified_at: jiff::Timestamp::from_second(model.created)
                .unwrap_or_default()
                .to_string(),
            size: 0,
            digest: "",
            details: Details {
                format: "",
                family: "",
                families: [],
                parameter_size: "",
                quantization_level: "",
            },
        };
        Self {
            models: models.into_iter().map(tag).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_base_url_serves_both_dialects() {
        for (base_path, expected) in [
            ("", "/api/chat"),
            ("/v1", "/api/chat"),
            ("/api", "/api/chat"),
            ("/gpu1/v1", "/gpu1/api/chat"),
            ("/gpu1", "/gpu1/api/chat"),
        ] {
            let mut out = Vec::new();
            path_join(base_path, "/api/chat", &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{base_path}");
        }
    }

    #[test]
    fn what_changes_the_server_has_no_path() {
        for path in [
            "/api/pull",
            "/api/create",
            "/api/copy",
            "/api/push",
            "/api/delete",
            "/api/ps",
            "/api/blobs/x",
        ] {
            assert!(lookup(path).is_none(), "{path}");
        }
        assert!(lookup("/api/show").is_some());
    }
}
