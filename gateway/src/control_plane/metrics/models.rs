//! What exchanges added up to, by provider and model. Providers of the same name are one.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::{
    NANO_PER_USD, Workers,
    family::{Labels, counter},
    names::Names,
};
use crate::{
    dialect::Operation,
    handoff::{
        counters::model::{ModelCounters, ModelSlot},
        record::Outcome,
    },
};

/// Label of exchanges whose path named no operation.
const NO_OPERATION: &str = "none";

#[derive(Default)]
struct Totals {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation_input_tokens: u64,
    cost_nano_usd: u64,
    unpriced: u64,
    /// By operation.
    exchanges: BTreeMap<&'static str, [u64; Outcome::ALL.len()]>,
}

/// By provider and model.
type ByModel<'a> = BTreeMap<(&'a str, &'a str), Totals>;

pub(super) fn gather(workers: Workers<'_>, names: &Names) -> Vec<MetricFamily> {
    let totals = totals(workers, names);
    let labels = |(provider, model): &(&str, &str)| -> Labels {
        vec![
            ("provider", (*provider).to_owned()),
            ("model", (*model).to_owned()),
        ]
    };
    let requests = totals.iter().flat_map(|(model, totals)| {
        totals
            .exchanges
            .iter()
            .flat_map(move |(operation, counts)| {
                Outcome::ALL.map(|outcome| {
                    let mut labels = labels(model);
                    labels.push(("operation", (*operation).to_owned()));
                    labels.push(("outcome", outcome.code().to_owned()));
                    (labels, counts[outcome as usize] as f64)
                })
            })
    });
    let tokens = totals.iter().flat_map(|(model, totals)| {
        totals.tokens().map(|(kind, count)| {
            let mut labels = labels(model);
            labels.push(("type", kind.to_owned()));
            (labels, count as f64)
        })
    });
    let cost = totals.iter().map(|(model, totals)| {
        let dollars = totals.cost_nano_usd as f64 / NANO_PER_USD;
        (labels(model), dollars)
    });
    let unpriced = totals
        .iter()
        .map(|(model, totals)| (labels(model), totals.unpriced as f64));
    vec![
        counter(
            "keyway_requests_total",
            "Exchanges that ended, by provider, configured model, operation and outcome.",
            requests.collect(),
        ),
        counter(
            "keyway_tokens_total",
            "Tokens reported by providers. The types are disjoint: their sum is all tokens.",
            tokens.collect(),
        ),
        counter(
            "keyway_cost_usd_total",
            "Cost in dollars, at the operator's prices, as the provider reports it, or at list prices.",
            cost.collect(),
        ),
        counter(
            "keyway_unpriced_requests_total",
            "Exchanges whose cost is not known, or not wholly.",
            unpriced.collect(),
        ),
    ]
}

/// Also of configured models that nobody has asked for: their first request is an increase then.
fn totals<'a>(workers: Workers<'a>, names: &'a Names) -> ByModel<'a> {
    let mut by_model = ByModel::new();
    let key = |slot: ModelSlot| {
        let (provider, model) = names.model(slot);
        (names.provider(provider), model)
    };
    for slot in names.models() {
        by_model.entry(key(slot)).or_default();
    }
    let refused = by_model.entry(key(ModelSlot::NONE)).or_default();
    refused.exchanges.entry(NO_OPERATION).or_default();
    for (slot, counters) in workers.iter().flat_map(|worker| worker.models()) {
        by_model.entry(key(slot)).or_default().add(counters);
    }
    by_model
}

impl Totals {
    fn add(&mut self, counters: &ModelCounters) {
        for (total, counter) in [
            (&mut self.input_tokens, &counters.input_tokens),
            (&mut self.output_tokens, &counters.output_tokens),
            (
                &mut self.cache_read_input_tokens,
                &counters.cache_read_input_tokens,
            ),
            (
                &mut self.cache_creation_input_tokens,
                &counters.cache_creation_input_tokens,
            ),
            (&mut self.cost_nano_usd, &counters.cost_nano_usd),
            (&mut self.unpriced, &counters.unpriced),
        ] {
            // A provider chooses what it reports; the sum wraps like the counters themselves.
            *total = total.wrapping_add(counter.get());
        }
        for (operation, counters) in counters.operations() {
            let operation = operation.map_or(NO_OPERATION, Operation::code);
            let totals = self.exchanges.entry(operation).or_default();
            for (total, counter) in totals.iter_mut().zip(&counters.exchanges) {
                *total += counter.get();
            }
        }
    }

    /// Disjoint kinds, unlike the counters: there, cached tokens are part of the input.
    fn tokens(&self) -> [(&'static str, u64); 4] {
        let uncached = self
            .input_tokens
            .saturating_sub(self.cache_read_input_tokens)
            .saturating_sub(self.cache_creation_input_tokens);
        [
            ("uncached_input", uncached),
            ("cache_read_input", self.cache_read_input_tokens),
            ("cache_creation_input", self.cache_creation_input_tokens),
            ("output", self.output_tokens),
        ]
    }
}
