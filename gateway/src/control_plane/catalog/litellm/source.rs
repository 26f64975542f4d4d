//! One model of LiteLLM's file as a table of a price file.

use serde_json::{Map, Number, Value};
use toml::Table;

use super::{List, NotLiteLlm};
use crate::control_plane::catalog::rate::{self, RateError};

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

/// See the module.
pub(super) struct Source<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a Map<String, Value>,
}

impl Source<'_> {
    pub(super) fn table(
        &self,
        list: &List,
        all: &Map<String, Value>,
    ) -> Result<Option<Table>, NotLiteLlm> {
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
            text(tool, price);
        }
        text("file_search", self.file_search()?);
        text("code_interpreter", self.code_interpreter(list, all)?);
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
        // `max_tokens` is the output's bound.
        let context = self.model.get("max_input_tokens");
        if let Some(context) = context.and_then(Value::as_i64) {
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
    fn searches(&self) -> Result<[(&'static str, Option<String>); 2], NotLiteLlm> {
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
        Ok([(web_search, web), (maps, in_maps)])
    }

    /// A session's price stands at the container, and holds for the models that may use one.
    fn code_interpreter(
        &self,
        list: &List,
        all: &Map<String, Value>,
    ) -> Result<Option<String>, NotLiteLlm> {
        let container = list.container.and_then(|id| all.get(id)?.as_object());
        match (container, self.text("mode").as_deref()) {
            (Some(model), Some("chat" | "responses")) => {
                let container = Source { id: self.id, model };
                container.decimal("code_interpreter_cost_per_session", rate::usd)
            }
            (Some(_) | None, _) => Ok(None),
        }
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
