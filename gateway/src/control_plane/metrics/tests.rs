#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;
use crate::handoff::record::{ExchangeRecord, tests::sample};

fn metrics() -> (Metrics, Vec<Arc<WorkerCounters>>) {
    let workers: Vec<Arc<WorkerCounters>> = (0..2).map(|_| Arc::default()).collect();
    let metrics = Metrics::new(workers.clone(), Arc::default());
    metrics.set_providers(&[
        label(1, "id-1", "OpenAI"),
        label(2, "id-2", ""),
        label(3, "id-3", "OpenAI"),
    ]);
    (metrics, workers)
}

fn label(slot: u16, id: &str, name: &str) -> ProviderLabel {
    ProviderLabel {
        slot: ProviderSlot(slot),
        id: id.to_owned(),
        name: name.to_owned(),
    }
}

/// As a worker counts a finished exchange.
fn count(worker: &WorkerCounters, slot: u16, record: &ExchangeRecord<'_>) {
    worker.provider(ProviderSlot(slot)).count(
        record.outcome,
        &record.usage,
        &record.cost,
        record.unpriced,
    );
}

fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
}

/// Everything before the value.
fn series(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect()
}

#[test]
fn workers_and_providers_of_one_name_are_added_up() {
    let (metrics, workers) = metrics();
    count(&workers[0], 1, &sample());
    count(&workers[1], 3, &sample());
    count(&workers[1], 2, &sample());
    count(&workers[1], 0, &sample());
    workers[0].connections_open.add(3);
    workers[1].connections_open.add(-1);
    workers[1].connections_open.add(2);
    workers[0].failures[Reason::ModelMissing as usize].add(2);
    metrics.config_revision.store(9, Ordering::Relaxed);
    let text = metrics.render();
    for line in [
        r#"keyway_requests_total{provider="OpenAI",outcome="answered"} 2"#,
        r#"keyway_requests_total{provider="id-2",outcome="answered"} 1"#,
        r#"keyway_requests_total{provider="none",outcome="answered"} 1"#,
        r#"keyway_tokens_total{provider="OpenAI",type="uncached_input"} 500"#,
        r#"keyway_tokens_total{provider="OpenAI",type="cache_read_input"} 1600"#,
        r#"keyway_tokens_total{provider="OpenAI",type="cache_creation_input"} 300"#,
        r#"keyway_tokens_total{provider="OpenAI",type="output"} 1280"#,
        r#"keyway_cost_usd_total{provider="OpenAI"} 0.0768"#,
        "keyway_connections_open 4",
        r#"keyway_failures_total{reason="model_missing",source="client"} 2"#,
        r#"keyway_usage_log_behind{part="writer"} 0"#,
        "keyway_config_revision 9",
    ] {
        assert_line(&text, line);
    }
    assert!(!text.contains("keyway_certificate_expiry"));
    metrics.certificate_expires_at.store(5, Ordering::Relaxed);
    assert_line(
        &metrics.render(),
        "keyway_certificate_expiry_timestamp_seconds 5",
    );
}

#[test]
fn histograms_are_cumulative_and_in_seconds() {
    let (metrics, workers) = metrics();
    workers[0].overhead.observe_us(40);
    workers[1].overhead.observe_us(60);
    workers[1].overhead.observe_us(700_000_000);
    let text = metrics.render();
    for line in [
        r#"keyway_overhead_seconds_bucket{le="0.00005"} 1"#,
        r#"keyway_overhead_seconds_bucket{le="0.0001"} 2"#,
        r#"keyway_overhead_seconds_bucket{le="600"} 2"#,
        r#"keyway_overhead_seconds_bucket{le="+Inf"} 3"#,
        "keyway_overhead_seconds_sum 700.0001",
        "keyway_overhead_seconds_count 3",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn invented_model_names_make_no_series() {
    let (metrics, workers) = metrics();
    count(&workers[0], 1, &sample());
    let text = metrics.render();
    let before = series(&text);
    for i in 0..10_000 {
        let model = format!("model-{i}");
        let record = ExchangeRecord {
            model: &model,
            outcome: Outcome::ALL[i % Outcome::ALL.len()],
            ..sample()
        };
        // Slots that no provider has, too.
        count(&workers[i % 2], (i % 300) as u16, &record);
        workers[0].failures[i % Reason::ALL.len()].add(1);
    }
    let text = metrics.render();
    assert_eq!(series(&text), before);
    assert!(!text.contains("model-"));
}

#[test]
fn a_removed_provider_keeps_its_series_until_its_slot_is_taken() {
    let (metrics, workers) = metrics();
    count(&workers[0], 2, &sample());
    metrics.set_providers(&[label(1, "id-1", "OpenAI")]);
    let line = r#"keyway_requests_total{provider="id-2",outcome="answered"} 1"#;
    assert_line(&metrics.render(), line);
    metrics.set_providers(&[label(2, "id-9", "Next")]);
    assert!(!metrics.render().contains("id-2"));
}

#[test]
fn names_follow_the_conventions() {
    let (metrics, _) = metrics();
    for family in metrics.gather() {
        let name = family.name();
        assert!(
            name.starts_with("keyway_") || name.starts_with("process_"),
            "{name}"
        );
        let is_counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        assert!(family.help().ends_with('.'), "{name}");
        assert!(!name.contains("milli") && !name.contains("micro"), "{name}");
    }
}
