//! AWS Bedrock's dialect: its paths, and where its hosts have OpenAI's and Anthropic's. Shapes are those
//! of the service model `bedrock-runtime/2023-09-30` (botocore 1.44).

pub mod host;
mod model_id;

pub use model_id::{is_model_id, known_ids, maker, price_key};

use super::{
    Dialect, Object, Operation,
    path::{Known, ModelPlace, Rule, UpstreamBase, Verb, is_version, rule},
};

/// The service in the catalog.
pub const CATALOG_ID: &str = "bedrock_api";

const INVOKE: &[Rule] = &[rule(Verb::Post, Operation::Invoke, ModelPlace::Path)];
const INVOKE_STREAM: &[Rule] = &[rule(Verb::Post, Operation::InvokeStream, ModelPlace::Path)];
const CONVERSE: &[Rule] = &[rule(Verb::Post, Operation::Converse, ModelPlace::Path)];
const CONVERSE_STREAM: &[Rule] = &[rule(
    Verb::Post,
    Operation::ConverseStream,
    ModelPlace::Path,
)];
const COUNT_TOKENS: &[Rule] = &[rule(Verb::Post, Operation::CountTokens, ModelPlace::Path)];
/// Billed by units of text.
const APPLY_GUARDRAIL: &[Rule] = &[rule(Verb::Post, Operation::Unmetered, ModelPlace::Nowhere)];

/// Reads a whole path.
pub(super) fn lookup(path: &str) -> Option<Known<'_>> {
    let path = without_prefix(path);
    let (rules, model) = if let Some(guardrail) = path.strip_prefix("/guardrail/") {
        let mut parts = guardrail.split('/').skip(1);
        let is_apply = (parts.next(), parts.nth(1), parts.next());
        if is_apply != (Some("version"), Some("apply"), None) {
            return None;
        }
        (APPLY_GUARDRAIL, None)
    } else {
        let (model, action) = path.strip_prefix("/model/")?.split_once('/')?;
        let rules = match action {
            "invoke" => INVOKE,
            "invoke-with-response-stream" => INVOKE_STREAM,
            "converse" => CONVERSE,
            "converse-stream" => CONVERSE_STREAM,
            "count-tokens" => COUNT_TOKENS,
            _ => return None,
        };
        (rules, Some(model))
    };
    Some(Known {
        dialect: Dialect::Bedrock,
        rules,
        model,
        object: Object::None,
    })
}

/// A path as the service has it: agents are given `/bedrock` as a base.
pub(crate) fn without_prefix(path: &str) -> &str {
    path.strip_prefix("/bedrock").unwrap_or(path)
}

/// Where the service has its own paths: at the root, also when the operator named the base of another
/// dialect.
pub(crate) fn native_base(base_path: &str) -> &str {
    match base_path {
        "/openai/v1" | "/openai" => "",
        _ => base_path,
    }
}

/// Where a runtime host has OpenAI's paths. A mantle host has them under `/v1`, which
/// [`host::Endpoint::base_path`] says.
pub(crate) fn openai_base(base_path: &str) -> UpstreamBase<'_> {
    let base_path = match base_path {
        "" | "/openai" => "/openai/v1",
        "/anthropic" | "/anthropic/v1" => "/v1",
        _ => base_path,
    };
    UpstreamBase {
        base_path,
        has_version: base_path.split('/').any(is_version),
    }
}

/// Where a mantle host has Anthropic's paths.
pub(crate) fn anthropic_base(base_path: &str) -> UpstreamBase<'_> {
    let base_path = match base_path {
        "" | "/v1" | "/openai/v1" | "/openai" => "/anthropic",
        _ => base_path,
    };
    UpstreamBase {
        base_path,
        has_version: base_path.rsplit('/').next().is_some_and(is_version),
    }
}

/// Whether the service may have what an agent asks for in OpenAI's or Anthropic's dialect: models by ids
/// of its own, and objects that were made there. Without this, a provider that lists no models would take
/// over every other vendor's.
pub fn may_serve(dialect: Dialect, model: Option<&str>) -> bool {
    match dialect {
        Dialect::Bedrock => true,
        Dialect::OpenAi
        | Dialect::Anthropic
        | Dialect::Vertex
        | Dialect::Azure
        | Dialect::Gemini
        | Dialect::Ollama => model.is_some_and(is_model_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_follow_the_dialect() {
        for (base, native, openai, anthropic) in [
            ("", "", "/openai/v1", "/anthropic"),
            ("/openai/v1", "", "/openai/v1", "/anthropic"),
            ("/v1", "/v1", "/v1", "/anthropic"),
            ("/anthropic", "/anthropic", "/v1", "/anthropic"),
            ("/proxy", "/proxy", "/proxy", "/proxy"),
        ] {
            assert_eq!(native_base(base), native, "{base}");
            assert_eq!(openai_base(base).base_path, openai, "{base}");
            assert_eq!(anthropic_base(base).base_path, anthropic, "{base}");
        }
    }

    #[test]
    fn other_dialects_get_models_of_the_service_only() {
        use Dialect::{Anthropic, Bedrock, OpenAi};
        for (dialect, model, expected) in [
            (Bedrock, None, true),
            (Bedrock, Some("anything"), true),
            (OpenAi, Some("openai.gpt-oss-120b-1:0"), true),
            (OpenAi, Some("gpt-5.5"), false),
            (OpenAi, None, false),
            (Anthropic, Some("anthropic.claude-sonnet-5"), true),
            (Anthropic, Some("claude-sonnet-5"), false),
        ] {
            assert_eq!(may_serve(dialect, model), expected, "{dialect:?} {model:?}");
        }
    }
}
