//! An operator's prices over the catalog's: each rate that is given replaces the list price's.

use std::num::NonZeroU64;

use foldhash::{HashMap, HashMapExt as _};

use super::Problem;
use crate::{
    control_plane::{
        catalog::{CatalogEntry, rate},
        resource::ModelDoc,
    },
    handoff::{
        record::ServiceTier,
        snapshot::{Listed, Models, NanoUsdPerMillion, Price},
    },
};

/// The models of a provider with their prices. A model that neither the operator nor the catalog prices
/// has none: its cost is unknown, not zero.
pub(super) fn models(docs: &[ModelDoc], entry: &CatalogEntry) -> Result<Models, Problem> {
    let mut listed = HashMap::with_capacity(docs.len());
    for doc in docs {
        let list_price = entry.price(doc.base_model.as_ref().unwrap_or(&doc.id));
        let price = price(doc, list_price).map_err(|error| Problem::Price {
            model: doc.id.clone(),
            reason: error.to_string(),
        })?;
        // Whoever compiles the snapshot numbers them.
        let slot = None;
        listed.insert(doc.id.as_str().into(), Listed { price, slot });
    }
    Ok(Models {
        listed,
        defaults: entry.prices(),
    })
}

fn price(doc: &ModelDoc, list_price: Option<&Price>) -> Result<Option<Price>, rate::RateError> {
    let read = |rate: &Option<serde_json::Number>| rate.as_ref().map(rate::from_per_1k).transpose();
    let input = read(&doc.input_per_1k)?;
    let output = read(&doc.output_per_1k)?;
    // Two names for one rate: OpenAI's shape and Anthropic's.
    let cache_read = read(&doc.cached_input_per_1k)?.or(read(&doc.cache_read_per_1k)?);
    let cache_write = read(&doc.cache_creation_per_1k)?;

    let is_priced_here = input.is_some() || output.is_some();
    if !is_priced_here && list_price.is_none() {
        return Ok(None);
    }
    let mut price = list_price.cloned().unwrap_or_default();
    price.is_own = [input, output, cache_read, cache_write]
        .iter()
        .any(Option::is_some);
    price.context = doc.context.map(NonZeroU64::get).or(price.context);
    let rates = &mut price.standard.rates;
    rates.input = input.unwrap_or(rates.input);
    rates.output = output.unwrap_or(rates.output);
    if let Some(rate) = cache_read {
        rates.cache_read = discount(rate);
    }
    if let Some(rate) = cache_write {
        rates.cache_write = discount(rate);
        rates.cache_write_long = discount(rate);
    }
    if is_priced_here {
        // Such a price is for every length and class of service, wherever it is processed.
        price.standard.long_context = None;
        price.long_context_above = u64::MAX;
        price.regional_per_mille = Some(1000);
        let other_tiers = ServiceTier::ALL.into_iter().skip(1);
        price.tiers = other_tiers
            .map(|tier| (tier, price.standard.clone()))
            .collect();
    }
    Ok(Some(price))
}

/// A cache rate of 0 means no discount: billed like input (NetBird's rule).
fn discount(rate: NanoUsdPerMillion) -> Option<NanoUsdPerMillion> {
    (rate.0 > 0).then_some(rate)
}
