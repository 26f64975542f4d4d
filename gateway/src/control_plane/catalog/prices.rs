//! The price file as it is written: surface, model, rates.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Surface, problem::Problems, rate, raw};
use crate::handoff::snapshot::{LongContextPrice, NanoUsdPerMillion, Price};

/// A model of the price file.
pub(super) struct PricedModel {
    pub(super) label: String,
    /// In tokens.
    pub(super) context: u64,
    pub(super) price: Price,
}

pub(super) type Prices = BTreeMap<Surface, BTreeMap<String, PricedModel>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    label: String,
    context: u64,
    input: String,
    output: String,
    cache_read: Option<String>,
    cache_write: Option<String>,
    cache_write_long: Option<String>,
    long_context: Option<RawLongContext>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLongContext {
    above: u64,
    input: String,
    output: String,
    cache_read: Option<String>,
    cache_write: Option<String>,
    cache_write_long: Option<String>,
}

/// Reads the file; models with mistakes are left out.
pub(super) fn read(text: &str, problems: &mut Problems) -> Prices {
    let mut prices = Prices::new();
    let Some(table) = problems.take("prices", text.parse::<toml::Table>()) else {
        return prices;
    };
    for (key, value) in table {
        // `source` and `date` say where the numbers are from; they are for people.
        if matches!(key.as_str(), "source" | "date") {
            continue;
        }
        let surface = Surface::ALL.into_iter().find(|s| s.code() == key);
        let (Some(surface), toml::Value::Table(models)) = (surface, value) else {
            problems.add("prices", format!("{key:?} is no surface"));
            continue;
        };
        let priced = models.into_iter().filter_map(|(id, value)| {
            let place = format!("{key}.{id:?}");
            let raw = raw::read(value, &place, problems)?;
            Some((id, model(raw, &place, problems)?))
        });
        prices.insert(surface, priced.collect());
    }
    prices
}

fn model(raw: RawModel, place: &str, problems: &mut Problems) -> Option<PricedModel> {
    let cache = [&raw.cache_read, &raw.cache_write, &raw.cache_write_long];
    let mut price = rates([&raw.input, &raw.output], cache, place, problems)?;
    if let Some(raw) = raw.long_context {
        let place = format!("{place}.long_context");
        let cache = [&raw.cache_read, &raw.cache_write, &raw.cache_write_long];
        price.long_context = Some(Box::new(LongContextPrice {
            above_input_tokens: raw.above,
            rates: rates([&raw.input, &raw.output], cache, &place, problems)?,
        }));
    }
    Some(PricedModel {
        label: raw.label,
        context: raw.context,
        price,
    })
}

fn rates(
    [input, output]: [&str; 2],
    [read, write, write_long]: [&Option<String>; 3],
    place: &str,
    problems: &mut Problems,
) -> Option<Price> {
    let mut rate = |key, text: Option<&str>| read_rate(place, key, text, problems);
    Some(Price {
        input: rate("input", Some(input))?,
        output: rate("output", Some(output))?,
        cache_read: rate("cache_read", read.as_deref()),
        cache_write: rate("cache_write", write.as_deref()),
        cache_write_long: rate("cache_write_long", write_long.as_deref()),
        long_context: None,
    })
}

/// `None` without a text, and after a mistake.
fn read_rate(
    place: &str,
    key: &str,
    text: Option<&str>,
    problems: &mut Problems,
) -> Option<NanoUsdPerMillion> {
    problems.take(&format!("{place}.{key}"), rate::per_million(text?))
}
