//! Metrics of OpenTelemetry's conventions for generative AI, in the names that other gateways expose.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::{
    Workers,
    family::{Labels, numbers, seconds},
    names::Names,
    tally::Tally,
};
use crate::{
    control_plane::semantics,
    handoff::counters::model::{
        FIRST_TOKEN_BOUNDS_US, OPERATION_BOUNDS_US, OperationCounters, PER_TOKEN_BOUNDS_US,
        TOKEN_BOUNDS,
    },
};

struct Totals {
    input_tokens: Tally,
    output_tokens: Tally,
    succeeded: Tally,
    failed: Tally,
    first_token: Tally,
    per_token: Tally,
}

/// Operation, provider, model.
type Key<'a> = (&'static str, &'a str, &'a str);

pub(super) fn gather(workers: Workers<'_>, names: &Names) -> Vec<MetricFamily> {
    let mut by_key: BTreeMap<Key<'_>, Totals> = BTreeMap::new();
    for (slot, model) in workers.iter().flat_map(|worker| worker.models()) {
        let (provider, name) = names.model(slot);
        for (operation, counters) in model.operations() {
            let Some(operation) = operation.and_then(semantics::operation) else {
                continue;
            };
            let key = (operation, names.vendor(provider), name);
            by_key.entry(key).or_default().add(counters);
        }
    }
    let samples = |of: fn(&Totals) -> &Tally, more: Option<(&'static str, &'static str)>| {
        let seen = by_key
            .iter()
            .filter(move |(_, totals)| of(totals).count() > 0);
        seen.map(move |(key, totals)| {
            let mut labels = labels(key);
            labels.extend(more.map(|(name, value)| (name, value.to_owned())));
            (labels, of(totals).clone())
        })
    };
    let token_type = |value| Some(("gen_ai_token_type", value));
    let input = samples(|t| &t.input_tokens, token_type("input"));
    let output = samples(|t| &t.output_tokens, token_type("output"));
    let succeeded = samples(|t| &t.succeeded, None);
    let failed = samples(|t| &t.failed, Some(("error_type", "_OTHER")));
    vec![
        numbers(
            "gen_ai_client_token_usage",
            "Tokens of one exchange; cached ones are part of the input (OpenTelemetry).",
            input.chain(output),
        ),
        seconds(
            "gen_ai_client_operation_duration_seconds",
            "From the request ready for its provider to the answer's end (OpenTelemetry).",
            succeeded.chain(failed),
        ),
        seconds(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request sent to the provider's first content byte (OpenTelemetry).",
            samples(|t| &t.first_token, None),
        ),
        seconds(
            "gen_ai_server_time_per_output_token_seconds",
            "Between the tokens of a stream after the first, on average of each stream (OpenTelemetry).",
            samples(|t| &t.per_token, None),
        ),
    ]
}

fn labels((operation, provider, model): &Key<'_>) -> Labels {
    vec![
        ("gen_ai_operation_name", (*operation).to_owned()),
        ("gen_ai_provider_name", (*provider).to_owned()),
        ("gen_ai_request_model", (*model).to_owned()),
    ]
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            input_tokens: Tally::new(&TOKEN_BOUNDS),
            output_tokens: Tally::new(&TOKEN_BOUNDS),
            succeeded: Tally::new(&OPERATION_BOUNDS_US),
            failed: Tally::new(&OPERATION_BOUNDS_US),
            first_token: Tally::new(&FIRST_TOKEN_BOUNDS_US),
            per_token: Tally::new(&PER_TOKEN_BOUNDS_US),
        }
    }
}

impl Totals {
    fn add(&mut self, counters: &OperationCounters) {
        let [succeeded, failed] = &counters.durations;
        self.input_tokens.add(&counters.input_tokens);
        self.output_tokens.add(&counters.output_tokens);
        self.succeeded.add(succeeded);
        self.failed.add(failed);
        self.first_token.add(&counters.first_token);
        self.per_token.add(&counters.per_token);
    }
}
