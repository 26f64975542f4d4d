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
    handoff::counters::{RetryCause, SHORT_BOUNDS_US},
};

/// Providers of one name are added up.
pub(super) fn gather(workers: Workers<'_>, names: &Names) -> Vec<MetricFamily> {
    let mut connects: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut retries: BTreeMap<&str, [u64; RetryCause::ALL.len()]> = BTreeMap::new();
    for slot in names.providers() {
        let name = names.provider(slot);
        let connect = connects
            .entry(name)
            .or_insert_with(|| Tally::new(&SHORT_BOUNDS_US));
        let causes = retries.entry(name).or_default();
        for counters in workers.iter().map(|worker| worker.provider(slot)) {
            connect.add(&counters.connect);
            for (sum, count) in causes.iter_mut().zip(&counters.retries) {
                *sum += count.get();
            }
        }
    }
    let label = |name: &str| ("provider", name.to_owned());
    let retries = retries.iter().flat_map(|(name, causes)| {
        RetryCause::ALL.map(|cause| {
            let labels = vec![label(name), ("reason", cause.code().to_owned())];
            (labels, causes[cause as usize] as f64)
        })
    });
    vec![
        counter(
            "keyway_retries_total",
            "Attempts beyond the first one of an exchange, by reason.",
            retries.collect(),
        ),
        seconds(
            "keyway_upstream_connect_seconds",
            "How long connections to providers took to open: TCP and TLS.",
            connects
                .into_iter()
                .map(|(name, tally)| (vec![label(name)], tally)),
        ),
    ]
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
