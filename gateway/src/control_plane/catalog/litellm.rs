//! LiteLLM's price file (`model_prices_and_context_window.json`, MIT) as a price file of ours. It names the
//! vendors' own pages as its sources and is kept up within days.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, Number, Value};
use toml::Table;

use super::rate::{self, RateError};

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

/// LiteLLM's suffix of a class of service, and ours.
const TIERS: [(&str, &str); 4] = [
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
    ("_ultrafast", "ultrafast"),
];

/// LiteLLM's rates, and ours. Dollars per token.
const RATES: [(&str, &str); 10] = [
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cache_read"),
    ("cache_creation_input_token_cost", "cache_write"),
    (
        "cache_creation_input_token_cost_above_1hr",
        "cache_write_long",
    ),
    ("input_cost_per_audio_token", "audio_input"),
    ("cache_read_input_audio_token_cost", "audio_cache_read"),
    ("output_cost_per_audio_token", "audio_output"),
    ("input_cost_per_image_token", "image_input"),
    ("output_cost_per_image_token", "image_output"),
];

/// What region-bound processing is multiplied with, under its several names.
const REGIONAL: [&str; 3] = [
    "regional_processing_uplift_multiplier_us",
    "regional_processing_uplift_multiplier_eu",
    "regional_endpoint_uplift_multiplier",
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
# context              in tokens. source and retires are for people.
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

/// One model of LiteLLM's.
struct Source<'a> {
    id: &'a str,
    model: &'a Map<String, Value>,
}

impl Source<'_> {
    fn table(&self, list: &List, all: &Map<String, Value>) -> Result<Option<Table>, NotLiteLlm> {
        let mut table = Table::new();
        let second = self.decimal("input_cost_per_second", rate::usd)?;
        if let Some(standard) = self.tier("")? {
            table = standard;
        } else if second.is_some() {
            for rate in ["input", "output"] {
                table.insert(rate.to_owned(), "0".into());
            }
        } else {
            return Ok(None);
        }
        let mut text = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), value.into());
            }
        };
        text("audio_second", second);
        text("source", self.text("source"));
        text("retires", self.text("deprecation_date"));
        text("regional", self.regional());
        for (tool, price) in self.searches()? {
            text(tool, Some(price));
        }
        text("file_search", self.file_search()?);
        if let Some(container) = list.container.and_then(|id| all.get(id))
            && let Value::Object(model) = container
            && matches!(self.text("mode").as_deref(), Some("chat" | "responses"))
        {
            let container = Source { id: self.id, model };
            let session = container.decimal("code_interpreter_cost_per_session", rate::usd)?;
            text("code_interpreter", session);
        }
        for (suffix, tier) in TIERS {
            if let Some(rates) = self.tier(suffix)? {
                table.insert(tier.to_owned(), rates.into());
            }
        }
        if let Some(fast) = self.fast()? {
            table.insert("fast".to_owned(), fast.into());
        }
        if let (Some(above), true) = (
            self.long_context_above(),
            table.contains_key("long_context"),
        ) {
            table.insert("long_context_above".to_owned(), above.into());
        }
        let context = ["max_input_tokens", "max_tokens"];
        let context = context
            .iter()
            .find_map(|key| self.model.get(*key)?.as_i64());
        if let Some(context) = context {
            table.insert("context".to_owned(), context.into());
        }
        Ok(Some(table))
    }

    /// Rates of one class of service; `None` when it has none.
    fn tier(&self, suffix: &str) -> Result<Option<Table>, NotLiteLlm> {
        let Some(mut table) = self.rates("", suffix)? else {
            return Ok(None);
        };
        if !suffix.is_empty()
            && let Some(standard) = self.standard()?
        {
            self.fill(&mut table, &standard)?;
        }
        add_output(&mut table);
        if let Some(above) = self.long_context_above() {
            let infix = format!("_above_{}k_tokens", above / 1000);
            if let Some(mut long) = self.rates(&infix, suffix)? {
                self.fill(&mut long, &table)?;
                table.insert("long_context".to_owned(), long.into());
            }
        }
        Ok(Some(table))
    }

    fn standard(&self) -> Result<Option<Table>, NotLiteLlm> {
        let mut standard = self.rates("", "")?;
        standard.iter_mut().for_each(add_output);
        Ok(standard)
    }

    /// Where `rates` lack one that `standard` has, it is in the proportion of their inputs: vendors sell the
    /// other classes, and long inputs, at a multiple of the whole price.
    fn fill(&self, rates: &mut Table, standard: &Table) -> Result<(), NotLiteLlm> {
        let input = |table: &Table| table["input"].as_str().unwrap_or_default().to_owned();
        let (from, to) = (input(standard), input(rates));
        for (key, rate) in standard {
            if let Some(rate) = rate.as_str()
                && !rates.contains_key(key)
            {
                let scaled = rate::in_proportion(rate, &from, &to);
                let scaled = scaled.map_err(|reason| self.error(key, reason))?;
                rates.insert(key.clone(), scaled.into());
            }
        }
        Ok(())
    }

    fn rates(&self, infix: &str, suffix: &str) -> Result<Option<Table>, NotLiteLlm> {
        let mut table = Table::new();
        for (theirs, ours) in RATES {
            if let Some(rate) =
                self.decimal(&format!("{theirs}{infix}{suffix}"), rate::usd_per_token)?
            {
                table.insert(ours.to_owned(), rate.into());
            }
        }
        Ok(table.contains_key("input").then_some(table))
    }

    /// The smallest bound from which on other rates hold.
    fn long_context_above(&self) -> Option<i64> {
        let bounds = self.model.keys().filter_map(|key| {
            let rest = key.strip_prefix("input_cost_per_token_above_")?;
            let (thousands, _) = rest.split_once("k_tokens")?;
            Some(thousands.parse::<i64>().ok()? * 1000)
        });
        bounds.min()
    }

    /// Anthropic's fast mode is a multiple of the standard rates.
    fn fast(&self) -> Result<Option<Table>, NotLiteLlm> {
        let factor = self.specific("fast");
        let (Some(factor), Some(standard)) = (factor, self.standard()?) else {
            return Ok(None);
        };
        let input = standard["input"].as_str().unwrap_or_default();
        let raised = rate::in_proportion(input, "1", &factor.to_string());
        let raised = raised.map_err(|reason| self.error("fast", reason))?;
        let mut rates = Table::from_iter([("input".to_owned(), raised.into())]);
        self.fill(&mut rates, &standard)?;
        Ok(Some(rates))
    }

    fn regional(&self) -> Option<String> {
        let factor = REGIONAL
            .iter()
            .find_map(|key| self.model.get(*key)?.as_number());
        factor
            .or_else(|| self.specific("us"))
            .map(Number::to_string)
    }

    fn specific(&self, key: &str) -> Option<&Number> {
        self.model
            .get("provider_specific_entry")?
            .get(key)?
            .as_number()
    }

    /// Prices of searches on the web, with the context size that is the default, and in maps.
    fn searches(&self) -> Result<Vec<(&'static str, String)>, NotLiteLlm> {
        // Google bills by the grounded request but where the file says otherwise, all others by the search.
        let is_by_search = !self.id.contains("gemini-")
            || self.text("web_search_billing_unit").as_deref() == Some("per_query");
        let (web_search, maps) = match is_by_search {
            true => ("web_search", "maps"),
            false => ("web_search_request", "maps_request"),
        };
        let sizes = self.model.get("search_context_cost_per_query");
        let number = sizes
            .and_then(|sizes| sizes.get("search_context_size_medium"))
            .and_then(Value::as_number);
        let web = number.map(|number| rate::usd(&number.to_string()));
        let web = web
            .transpose()
            .map_err(|reason| self.error("search_context_cost_per_query", reason))?;
        let in_maps = self.decimal("google_maps_grounding_cost_per_query", rate::usd)?;
        let prices = [(web_search, web), (maps, in_maps)];
        let known = prices
            .into_iter()
            .filter_map(|(key, price)| Some((key, price?)));
        Ok(known.collect())
    }

    /// LiteLLM writes zero where it has none.
    fn file_search(&self) -> Result<Option<String>, NotLiteLlm> {
        let thousand = self.decimal("file_search_cost_per_1k_calls", rate::usd_per_thousand)?;
        Ok(thousand.filter(|price| price != "0"))
    }

    fn decimal(
        &self,
        key: &str,
        read: impl Fn(&str) -> Result<String, RateError>,
    ) -> Result<Option<String>, NotLiteLlm> {
        let Some(number) = self.model.get(key).and_then(Value::as_number) else {
            return Ok(None);
        };
        read(&number.to_string())
            .map(Some)
            .map_err(|reason| self.error(key, reason))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.model.get(key)?.as_str().map(str::to_owned)
    }

    fn error(&self, key: &str, reason: RateError) -> NotLiteLlm {
        NotLiteLlm::Rate {
            model: self.id.to_owned(),
            key: key.to_owned(),
            reason,
        }
    }
}

/// A model that makes nothing but pictures or speech has the rate of those only, and its usage does not
/// always say what they are. Embeddings have no output, and no price for it.
fn add_output(rates: &mut Table) {
    if !rates.contains_key("output") {
        let made = ["image_output", "audio_output"];
        let rate = made.iter().find_map(|key| rates.get(*key).cloned());
        rates.insert("output".to_owned(), rate.unwrap_or_else(|| "0".into()));
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
