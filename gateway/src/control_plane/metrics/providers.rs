//! Providers: their connections, their keys, whether they can be asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::{
    Workers,
    family::{counter, gauge, seconds},
    names::Names,
    tally::Tally,
};
use crate::{
    control_plane::snapshot::{ProviderState, ProviderStatus},
    handoff::counters::{ProviderCounters, RetryCause, SHORT_BOUNDS_US, STATUS_CLASSES},
};

/// Providers of one name are added up.
pub(super) fn gather(workers: Workers<'_>, names: &Names) -> Vec<MetricFamily> {
    let mut by_name: BTreeMap<&str, Totals> = BTreeMap::new();
    for slot in names.providers() {
        let totals = by_name.entry(names.provider(slot)).or_default();
        workers.iter().for_each(|w| totals.add(w.provider(slot)));
    }
    let label = |name: &str| ("provider", name.to_owned());
    let responses = by_name.iter().flat_map(|(name, totals)| {
        let counts = STATUS_CLASSES.into_iter().zip(totals.responses);
        counts.map(move |(class, count)| {
            let labels = vec![label(name), ("class", class.to_owned())];
            (labels, count as f64)
        })
    });
    let retries = by_name.iter().flat_map(|(name, totals)| {
        RetryCause::ALL.map(|cause| {
            let labels = vec![label(name), ("reason", cause.code().to_owned())];
            (labels, totals.retries[cause as usize] as f64)
        })
    });
    let connects = by_name.iter().map(|(name, totals)| {
        let labels = vec![label(name)];
        (labels, totals.connect.clone())
    });
    vec![
        counter(
            "keyway_upstream_responses_total",
            "Answers of providers that began, by class of their status; each attempt counts.",
            responses.collect(),
        ),
        counter(
            "keyway_retries_total",
            "Attempts beyond the first one of an exchange, by reason.",
            retries.collect(),
        ),
        seconds(
            "keyway_upstream_connect_seconds",
            "How long connections to providers took to open: TCP and TLS.",
            connects,
        ),
    ]
}

struct Totals {
    connect: Tally,
    retries: [u64; RetryCause::ALL.len()],
    responses: [u64; STATUS_CLASSES.len()],
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            connect: Tally::new(&SHORT_BOUNDS_US),
            retries: Default::default(),
            responses: Default::default(),
        }
    }
}

impl Totals {
    fn add(&mut self, counters: &ProviderCounters) {
        self.connect.add(&counters.connect);
        for (sum, count) in self.retries.iter_mut().zip(&counters.retries) {
            *sum += count.get();
        }
        for (sum, count) in self.responses.iter_mut().zip(&counters.responses) {
            *sum += count.get();
        }
    }
}

/// Of providers of one name the worst counts.
pub(super) fn statuses(providers: &[ProviderStatus], now: Timestamp) -> Vec<MetricFamily> {
    let mut ready: BTreeMap<&str, bool> = BTreeMap::new();
    let mut ages: BTreeMap<&str, f64> = BTreeMap::new();
    for status in providers {
        let is_ready = match status.state {
            ProviderState::Ready { .. } => true,
            ProviderState::Unreachable(_) | ProviderState::Skipped(_) => false,
            ProviderState::Disabled => continue,
        };
        let held = ready.entry(&status.name).or_insert(true);
        *held &= is_ready;
        if let Some(keyed_at) = status.keyed_at {
            let age = now.duration_since(keyed_at).as_secs_f64().max(0.0);
            let oldest = ages.entry(&status.name).or_insert(0.0);
            *oldest = oldest.max(age);
        }
    }
    let labels = |name: &str| vec![("provider", name.to_owned())];
    vec![
        gauge(
            "keyway_provider_ready",
            "1 when an enabled provider can be asked; 0 when its address, its key or its settings keep it from that.",
            ready
                .iter()
                .map(|(name, ready)| (labels(name), f64::from(u8::from(*ready))))
                .collect(),
        ),
        gauge(
            "keyway_key_age_seconds",
            "Age of the newest key of an enabled provider.",
            ages.iter()
                .map(|(name, age)| (labels(name), *age))
                .collect(),
        ),
    ]
}
