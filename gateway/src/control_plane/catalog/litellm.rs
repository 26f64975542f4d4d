//! LiteLLM's price file (`model_prices_and_context_window.json`, MIT) as a price file of ours. It names the
//! vendors' own pages as its sources and is kept up within days.

mod source;

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, Value};
use toml::Table;

use super::rate::RateError;
use source::Source;

/// One list of ours.
struct List {
    name: &'static str,
    /// `litellm_provider` of its models: whole, or what it begins with where it ends with `*`.
    providers: &'static [&'static str],
    /// In front of its models' ids.
    prefixes: &'static [&'static str],
    /// The entry that has the price of a code interpreter's session.
    container: Option<&'static str>,
}

const LISTS: [List; 8] = [
    List {
        name: "anthropic",
        providers: &["anthropic"],
        prefixes: &[],
        container: None,
    },
    List {
        name: "azure",
        providers: &["azure"],
        prefixes: &["azure/"],
        container: Some("azure/container"),
    },
    List {
        name: "bedrock",
        providers: &["bedrock", "bedrock_converse", "bedrock_mantle"],
        prefixes: &["bedrock_mantle/"],
        container: None,
    },
    List {
        name: "gemini",
        providers: &["gemini"],
        prefixes: &["gemini/"],
        container: None,
    },
    List {
        name: "mistral",
        providers: &["mistral"],
        prefixes: &["mistral/"],
        container: None,
    },
    List {
        name: "moonshot",
        providers: &["moonshot"],
        prefixes: &["moonshot/"],
        container: None,
    },
    List {
        name: "openai",
        providers: &["openai"],
        prefixes: &[],
        container: Some("openai/container"),
    },
    List {
        name: "vertex",
        providers: &["vertex_ai*"],
        prefixes: &["vertex_ai/"],
        container: None,
    },
];

/// Why a file is none of LiteLLM's.
#[derive(Debug, thiserror::Error)]
pub enum NotLiteLlm {
    #[error("the file to keep: {0}")]
    Kept(#[from] toml::de::Error),
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("no model of a known vendor in it")]
    Empty,
    #[error("{model}: {key}: {reason}")]
    Rate {
        model: String,
        key: String,
        reason: RateError,
    },
}

/// Tables of prices by list and model, as the price file has them.
pub(super) type Converted = BTreeMap<&'static str, BTreeMap<String, Table>>;

/// Reads LiteLLM's file. Models without a price per token or second are left out, and so are those that are
/// priced for one image size or one committed term.
pub(super) fn convert(json: &str) -> Result<Converted, NotLiteLlm> {
    let models: Map<String, Value> = serde_json::from_str(json)?;
    let mut converted = Converted::new();
    for list in &LISTS {
        let mut tables = BTreeMap::new();
        for (id, model) in &models {
            let Value::Object(model) = model else {
                continue;
            };
            let Some(short) = list.id(id, model) else {
                continue;
            };
            // The prefixed spelling is the vendor's; a bare one of the same id may be older.
            if short.len() == id.len() && tables.contains_key(short) {
                continue;
            }
            let table = Source { id, model }.table(list, &models)?;
            if let Some(table) = table {
                tables.insert(short.to_owned(), table);
            }
        }
        if !tables.is_empty() {
            converted.insert(list.name, tables);
        }
    }
    if converted.is_empty() {
        return Err(NotLiteLlm::Empty);
    }
    Ok(converted)
}

/// Adds what `kept`, a price file, has and LiteLLM does not: models, and labels.
pub(super) fn keep(converted: &mut Converted, kept: &str) -> Result<(), toml::de::Error> {
    for (list, models) in kept.parse::<Table>()? {
        let known = converted.iter_mut().find(|(name, _)| **name == list);
        let (Some((_, known)), toml::Value::Table(models)) = (known, models) else {
            continue;
        };
        for (id, model) in models {
            let toml::Value::Table(model) = model else {
                continue;
            };
            match known.get_mut(&id) {
                None => {
                    known.insert(id, model);
                }
                Some(known) => {
                    if let Some(label) = model.get("label") {
                        known.insert("label".to_owned(), label.clone());
                    }
                }
            }
        }
    }
    Ok(())
}

/// The price file's text, a model per line.
pub(super) fn write(converted: &Converted, source: &str, date: &str) -> String {
    let mut text = format!("{HEADER}\nsource = {source:?}\ndate = {date:?}\n");
    for (list, models) in converted {
        write!(text, "\n[{list}]\n").expect(TO_STRING);
        for (id, table) in models {
            let key = toml::Value::String(id.clone());
            let value = toml::Value::Table(table.clone());
            writeln!(text, "{key} = {value}").expect(TO_STRING);
        }
    }
    text
}

const HEADER: &str = "\
# List prices in US dollars per million tokens, as decimal text, by list and model. Which lists hold for a
# provider says catalog.toml. Made by `keyway catalog convert`; labels are kept from file to file.
#
# input, output        plain tokens.
# cache_read           without it, such tokens cost what plain input costs.
# cache_write, cache_write_long
#                      of the short lifetime (Anthropic 5 minutes, OpenAI 30 minutes) and of the long one (1 hour,
#                      12 hours); without the long one, the short one's rate holds for both.
# audio_*, image_*     parts of input and output that have rates of their own.
# long_context         rates of a request whose input, cached tokens included, is above long_context_above.
# batch, flex, priority, fast, ultrafast
#                      rates in another class of service.
# regional             what all of this is multiplied with when processing is bound to a region.
# web_search, maps, file_search, code_interpreter
#                      dollars per call of the provider's own tool, or per session.
# web_search_request, maps_request
#                      dollars per request that calls the tool, however often.
# audio_second         dollars per second of audio that has no tokens.
# context              tokens that one call takes in at most. source and retires are for people.
";

const TO_STRING: &str = "writing to a String cannot fail";

impl List {
    /// Our id of a model of this list.
    fn id<'a>(&self, id: &'a str, model: &Map<String, Value>) -> Option<&'a str> {
        let provider = model.get("litellm_provider")?.as_str()?;
        let is_ours = self
            .providers
            .iter()
            .any(|ours| match ours.strip_suffix('*') {
                Some(start) => provider.starts_with(start),
                None => provider == *ours,
            });
        let short = self
            .prefixes
            .iter()
            .find_map(|prefix| id.strip_prefix(prefix))
            .unwrap_or(id);
        // `bedrock/us-east-1/…` is a price of one region or term, `high/1024-x-1024/…` of one image,
        // `ft:…` of models that are one customer's.
        let is_plain = short.len() < id.len() || !short.contains('/');
        let is_sized = short.contains("-x-");
        (is_ours && is_plain && !is_sized && !short.starts_with("ft:")).then_some(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "sample_spec": {"litellm_provider": "one of", "input_cost_per_token": 0.0},
        "openai/container": {"litellm_provider": "openai", "code_interpreter_cost_per_session": 0.03},
        "gpt-x": {
            "litellm_provider": "openai", "mode": "responses", "max_input_tokens": 922000, "max_tokens": 128000,
            "input_cost_per_token": 4e-06, "output_cost_per_token": 2e-05,
            "cache_read_input_token_cost": 4e-07, "cache_creation_input_token_cost": 5e-06,
            "input_cost_per_token_above_272k_tokens": 8e-06, "output_cost_per_token_above_272k_tokens": 3e-05,
            "input_cost_per_token_flex": 2e-06, "output_cost_per_token_flex": 1e-05,
            "input_cost_per_token_above_272k_tokens_flex": 4e-06,
            "output_cost_per_token_above_272k_tokens_flex": 1.5e-05,
            "regional_processing_uplift_multiplier_us": 1.1,
            "search_context_cost_per_query": {"search_context_size_medium": 0.01},
            "file_search_cost_per_1k_calls": 2.5,
            "deprecation_date": "2027-01-01", "source": "https://vendor.test/pricing"
        },
        "1024-x-1024/gpt-image-x": {"litellm_provider": "openai", "input_cost_per_token": 1.0},
        "ft:gpt-x": {"litellm_provider": "openai", "input_cost_per_token": 1.0},
        "claude-x": {
            "litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 5e-06,
            "output_cost_per_token": 2.5e-05, "cache_creation_input_token_cost_above_1hr": 1e-05,
            "provider_specific_entry": {"us": 1.1, "fast": 2.0}
        },
        "bedrock/us-east-1/claude-x": {"litellm_provider": "bedrock", "input_cost_per_token": 1.0},
        "gemini-x": {"litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 1.0},
        "vertex_ai/gemini-x": {
            "litellm_provider": "vertex_ai", "input_cost_per_token": 7.5e-07,
            "search_context_cost_per_query": {"search_context_size_medium": 0.014},
            "web_search_billing_unit": "per_query", "google_maps_grounding_cost_per_query": 0.015,
            "file_search_cost_per_1k_calls": 0.0
        },
        "vertex_ai/gemini-older": {
            "litellm_provider": "vertex_ai", "input_cost_per_token": 7.5e-07,
            "search_context_cost_per_query": {"search_context_size_medium": 0.035},
            "google_maps_grounding_cost_per_query": 0.025
        },
        "picture-x": {
            "litellm_provider": "openai", "input_cost_per_token": 5e-06, "output_cost_per_image_token": 4e-05,
            "input_cost_per_token_batches": 2.5e-06, "output_cost_per_image_token_batches": 2e-05
        },
        "chat-picture-x": {
            "litellm_provider": "openai", "input_cost_per_token": 3e-07, "output_cost_per_token": 2.5e-06,
            "output_cost_per_image_token": 3e-05,
            "input_cost_per_token_batches": 1.5e-07, "output_cost_per_image_token_batches": 1.5e-05
        },
        "whisper-x": {"litellm_provider": "openai", "input_cost_per_second": 0.0001},
        "someone-else": {"litellm_provider": "groq", "input_cost_per_token": 1.0}
    }"#;

    #[test]
    fn models_become_tables() {
        let converted = convert(FILE).unwrap();
        let ids: Vec<_> = converted
            .iter()
            .flat_map(|(list, models)| models.keys().map(move |id| format!("{list}/{id}")))
            .collect();
        assert_eq!(
            ids,
            [
                "anthropic/claude-x",
                "openai/chat-picture-x",
                "openai/gpt-x",
                "openai/picture-x",
                "openai/whisper-x",
                "vertex/gemini-older",
                "vertex/gemini-x"
            ]
        );
        let expected = [
            (
                "openai",
                "gpt-x",
                r#"{ cache_read = "0.4", cache_write = "5", code_interpreter = "0.03", context = 922000, file_search = "0.0025", flex = { cache_read = "0.2", cache_write = "2.5", input = "2", long_context = { cache_read = "0.4", cache_write = "5", input = "4", output = "15" }, output = "10" }, input = "4", long_context = { cache_read = "0.8", cache_write = "10", input = "8", output = "30" }, long_context_above = 272000, output = "20", regional = "1.1", retires = "2027-01-01", source = "https://vendor.test/pricing", web_search = "0.01" }"#,
            ),
            (
                "openai",
                "picture-x",
                r#"{ batch = { image_output = "20", input = "2.5", output = "20" }, image_output = "40", input = "5", output = "40" }"#,
            ),
            (
                "openai",
                "chat-picture-x",
                r#"{ batch = { image_output = "15", input = "0.15", output = "1.25" }, image_output = "30", input = "0.3", output = "2.5" }"#,
            ),
            (
                "openai",
                "whisper-x",
                r#"{ audio_second = "0.0001", input = "0", output = "0" }"#,
            ),
            (
                "anthropic",
                "claude-x",
                r#"{ cache_write_long = "10", fast = { cache_write_long = "20", input = "10", output = "50" }, input = "5", output = "25", regional = "1.1" }"#,
            ),
            (
                "vertex",
                "gemini-x",
                r#"{ input = "0.75", maps = "0.015", output = "0", web_search = "0.014" }"#,
            ),
            (
                "vertex",
                "gemini-older",
                r#"{ input = "0.75", maps_request = "0.025", output = "0", web_search_request = "0.035" }"#,
            ),
        ];
        for (list, id, expected) in expected {
            let table = toml::Value::Table(converted[list][id].clone());
            assert_eq!(table.to_string(), expected, "{id}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(convert("x"), Err(NotLiteLlm::Json(_))));
        assert!(matches!(convert("[]"), Err(NotLiteLlm::Json(_))));
        assert!(matches!(convert("{\"a\": {}}"), Err(NotLiteLlm::Empty)));
        let negative = FILE.replace("4e-06, \"output", "-4e-06, \"output");
        let error = convert(&negative).unwrap_err().to_string();
        assert_eq!(
            error,
            "gpt-x: input_cost_per_token: not a decimal number of zero or more"
        );
    }

    #[test]
    fn the_text_is_a_price_file() {
        let text = write(&convert(FILE).unwrap(), "LiteLLM", "2026-11-23");
        assert!(text.contains("\nsource = \"LiteLLM\"\ndate = \"2026-11-23\"\n\n[anthropic]\n"));
        let mut problems =
            super::super::problem::Problems::new(super::super::problem::File::Prices, &text);
        let prices = super::super::prices::read(&text, &mut problems);
        assert_eq!(problems.found, []);
        assert_eq!(prices["openai"]["gpt-x"].price.long_context_above, 272_000);
    }
}
