//! The price file as it is written: list, model, prices.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{problem::Problems, rate};
use crate::handoff::{
    record::ServiceTier,
    snapshot::{NanoUsd, NanoUsdPerMillion, Price, Rates, TierPrice, ToolPrice, ToolPrices},
};

/// A model of the price file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PricedModel {
    /// For people.
    pub(super) label: Option<String>,
    /// In tokens; 0 where the file does not say.
    pub(super) context: u64,
    pub(super) price: Price,
}

/// By list and model.
pub(super) type Prices = BTreeMap<String, BTreeMap<String, PricedModel>>;

/// Classes of service that have a table of rates, under their codes.
pub(super) const TIERS: [ServiceTier; 5] = [
    ServiceTier::Batch,
    ServiceTier::Flex,
    ServiceTier::Priority,
    ServiceTier::Fast,
    ServiceTier::Ultrafast,
];

/// Reads the file; models with mistakes are left out.
pub(super) fn read(text: &str, problems: &mut Problems) -> Prices {
    let mut prices = Prices::new();
    let Some(table) = problems.take("prices", text.parse::<Table>()) else {
        return prices;
    };
    for (list, value) in table {
        // `source` and `date` say where the numbers are from; they are for people.
        if matches!(list.as_str(), "source" | "date") {
            continue;
        }
        let Value::Table(models) = value else {
            problems.add("prices", format!("{list:?} is no list of prices"));
            continue;
        };
        let priced = models.into_iter().filter_map(|(id, value)| {
            let place = format!("{list}.{id:?}");
            let Value::Table(table) = value else {
                problems.add(&place, "not a table of prices");
                return None;
            };
            Some((id, Reader::new(table, &place, problems).model()?))
        });
        let priced = priced.collect();
        prices.insert(list, priced);
    }
    prices
}

/// Takes the known keys out of one table.
struct Reader<'a> {
    table: Table,
    place: &'a str,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    fn new(table: Table, place: &'a str, problems: &'a mut Problems) -> Self {
        Self {
            table,
            place,
            problems,
        }
    }

    fn model(mut self) -> Option<PricedModel> {
        let label = self.text("label");
        let context = self.count("context");
        let standard = self.tier();
        let long_context_above = self.count("long_context_above");
        let tiers = TIERS.iter().filter_map(|&tier| {
            let place = format!("{}.{}", self.place, tier.code());
            let mut inner = self.inner(tier.code(), &place)?;
            let rates = inner.tier();
            inner.end();
            Some((tier, rates?))
        });
        let tiers = tiers.collect();
        let regional_per_mille = self.text("regional").and_then(|text| {
            let per_mille = rate::per_mille(&text);
            self.take("regional", per_mille)
        });
        let tools = ToolPrices {
            web_search: self.tool("web_search", "web_search_request"),
            maps: self.tool("maps", "maps_request"),
            file_search: self.piece("file_search").map(ToolPrice::PerCall),
            code_interpreter: self.piece("code_interpreter").map(ToolPrice::PerCall),
        };
        let audio_second = self.piece("audio_second");
        for for_people in ["source", "retires"] {
            self.text(for_people);
        }
        if long_context_above.is_none() && standard.as_ref()?.long_context.is_some() {
            self.add("long_context needs long_context_above");
        }
        self.end();
        let standard = standard?;
        let long_context_above = long_context_above.unwrap_or(u64::MAX);
        // A price for more than the window: it has another one for who asks for it (Anthropic's beta of 1M).
        let is_whole =
            |context: &u64| standard.long_context.is_none() || *context > long_context_above;
        Some(PricedModel {
            label,
            context: context.unwrap_or(0),
            price: Price {
                context: context.filter(is_whole),
                standard,
                tiers,
                long_context_above,
                regional_per_mille,
                tools,
                audio_second,
                is_own: false,
            },
        })
    }

    fn tier(&mut self) -> Option<TierPrice> {
        let rates = self.rates()?;
        let place = format!("{}.long_context", self.place);
        let long_context = self.inner("long_context", &place).and_then(|mut inner| {
            let rates = inner.rates();
            inner.end();
            rates.map(Box::new)
        });
        Some(TierPrice {
            rates,
            long_context,
        })
    }

    fn rates(&mut self) -> Option<Rates> {
        let is_given = |key| self.table.contains_key(key);
        if !(is_given("input") && is_given("output")) {
            self.add("input and output are needed");
        }
        let (input, output) = (self.rate("input"), self.rate("output"));
        Some(Rates {
            input: input?,
            output: output?,
            cache_read: self.rate("cache_read"),
            cache_write: self.rate("cache_write"),
            cache_write_long: self.rate("cache_write_long"),
            audio_input: self.rate("audio_input"),
            audio_cache_read: self.rate("audio_cache_read"),
            audio_output: self.rate("audio_output"),
            image_input: self.rate("image_input"),
            image_output: self.rate("image_output"),
        })
    }

    fn rate(&mut self, key: &str) -> Option<NanoUsdPerMillion> {
        let rate = rate::per_million(&self.text(key)?);
        self.take(key, rate)
    }

    /// One of the two keys.
    fn tool(&mut self, call: &str, request: &str) -> Option<ToolPrice> {
        let by_call = self.piece(call).map(ToolPrice::PerCall);
        by_call.or_else(|| self.piece(request).map(ToolPrice::PerRequest))
    }

    fn piece(&mut self, key: &str) -> Option<NanoUsd> {
        let piece = rate::per_piece(&self.text(key)?);
        self.take(key, piece)
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.table.remove(key)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.add(&format!("{key} is text, not {}", value.type_str()));
        }
        text
    }

    fn count(&mut self, key: &str) -> Option<u64> {
        let value = self.table.remove(key)?;
        let count = value.as_integer().and_then(|count| count.try_into().ok());
        if count.is_none() {
            self.add(&format!("{key} is a whole number of zero or more"));
        }
        count
    }

    fn inner<'b>(&'b mut self, key: &str, place: &'b str) -> Option<Reader<'b>> {
        let value = self.table.remove(key)?;
        let Value::Table(table) = value else {
            self.add(&format!("{key} is a table, not {}", value.type_str()));
            return None;
        };
        Some(Reader::new(table, place, self.problems))
    }

    fn take<T, E: std::fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        self.problems.take(&format!("{}.{key}", self.place), result)
    }

    fn add(&mut self, message: &str) {
        self.problems.add(self.place, message);
    }

    /// What is left is unknown.
    fn end(self) {
        for key in self.table.keys() {
            self.problems
                .add(self.place, format!("unknown key {key:?}"));
        }
    }
}
