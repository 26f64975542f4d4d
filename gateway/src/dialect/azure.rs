//! Azure OpenAI's classic API: OpenAI's operations under `/openai/deployments/{deployment}/…`, where the
//! deployment is the model, with a dated `api-version` in the query. (Its v1 path is OpenAI's dialect.)

use super::{
    Dialect, Object, Operation,
    path::{Known, ModelPlace, Rule, Verb, rule},
};

const CHAT_COMPLETIONS: &[Rule] = &[of(Operation::ChatCompletions)];
const COMPLETIONS: &[Rule] = &[of(Operation::Completions)];
const RESPONSES: &[Rule] = &[of(Operation::Responses)];
const EMBEDDINGS: &[Rule] = &[of(Operation::Embeddings)];
const UNMETERED: &[Rule] = &[of(Operation::Unmetered)];

const fn of(operation: Operation) -> Rule {
    rule(Verb::Post, operation, ModelPlace::Path)
}

/// Reads a whole path.
pub(super) fn lookup(path: &str) -> Option<Known<'_>> {
    let (deployment, operation) = path.strip_prefix("/openai/deployments/")?.split_once('/')?;
    let rules = match operation {
        "chat/completions" => CHAT_COMPLETIONS,
        "completions" => COMPLETIONS,
        "responses" => RESPONSES,
        "embeddings" => EMBEDDINGS,
        "audio/speech"
        | "audio/transcriptions"
        | "audio/translations"
        | "images/generations"
        | "images/edits" => UNMETERED,
        _ => return None,
    };
    Some(Known {
        dialect: Dialect::Azure,
        rules,
        model: Some(deployment),
        object: match operation {
            "responses" => Object::Made,
            _ => Object::None,
        },
    })
}

/// The classic API also has paths without a deployment (`/openai/responses`, `/openai/files`); only the
/// dated version in the query tells them from the v1 path's.
pub(crate) fn is_classic(catalog_id: &str, path: &str, query: &str) -> bool {
    catalog_id == "azure_openai_api"
        && path.starts_with("/openai/")
        && !path.starts_with("/openai/v1/")
        && query
            .split('&')
            .any(|parameter| parameter.starts_with("api-version="))
}

/// Appends the base path and the agent's, which begins with `/openai`, with one `/openai` between them.
pub(crate) fn path_join(base_path: &str, path: &str, out: &mut Vec<u8>) {
    let base_path = base_path.strip_suffix("/v1").unwrap_or(base_path);
    let base_path = base_path.strip_suffix("/openai").unwrap_or(base_path);
    out.extend_from_slice(base_path.as_bytes());
    out.extend_from_slice(path.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_stands_once() {
        for (base_path, expected) in [
            ("", "/openai/deployments/d/chat/completions"),
            ("/openai", "/openai/deployments/d/chat/completions"),
            ("/openai/v1", "/openai/deployments/d/chat/completions"),
            ("/eu/openai", "/eu/openai/deployments/d/chat/completions"),
        ] {
            let mut out = Vec::new();
            path_join(
                base_path,
                "/openai/deployments/d/chat/completions",
                &mut out,
            );
            assert_eq!(String::from_utf8_lossy(&out), expected, "{base_path}");
        }
    }

    #[test]
    fn the_dated_version_makes_a_path_classic() {
        for (catalog_id, path, query, expected) in [
            (
                "azure_openai_api",
                "/openai/responses",
                "api-version=2025-04-01-preview",
                true,
            ),
            (
                "azure_openai_api",
                "/openai/files/f1",
                "a=b&api-version=2024-10-21",
                true,
            ),
            ("azure_openai_api", "/openai/responses", "", false),
            (
                "azure_openai_api",
                "/openai/v1/responses",
                "api-version=preview",
                false,
            ),
            (
                "azure_openai_api",
                "/v1/responses",
                "api-version=2024-10-21",
                false,
            ),
            (
                "openai_api",
                "/openai/responses",
                "api-version=2024-10-21",
                false,
            ),
        ] {
            assert_eq!(
                is_classic(catalog_id, path, query),
                expected,
                "{path}?{query}"
            );
        }
    }
}
