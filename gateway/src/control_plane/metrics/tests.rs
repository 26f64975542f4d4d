#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use http::Method;
use prometheus::proto::MetricType;

use super::*;
use crate::{
    control_plane::snapshot::{ProviderState, ProviderStatus},
    dialect::Operation,
    handoff::{
        counters::{
            Ended, Protocol, RetryCause,
            http::RequestSlot,
            model::{Asked, ModelSlot},
        },
        reason::Reason,
        record::{ExchangeRecord, Outcome, tests::sample},
        snapshot::{self, Listed, Provider, ProviderSlot, Snapshot},
    },
    policy::{
        route,
        tests::{principal, provider, snapshot},
    },
};

fn metrics() -> (Metrics, Vec<Arc<WorkerCounters>>) {
    let workers: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new(1))).collect();
    let metrics = Metrics::new(workers.clone(), Arc::default());
    metrics.follow(&report(vec![
        (status(1, "id-1", "OpenAI"), &[(0, "gpt-4o")]),
        (status(2, "id-2", ""), &[(1, "claude-sonnet-5")]),
        (status(3, "id-3", "OpenAI"), &[]),
    ]));
    (metrics, workers)
}

type Models = &'static [(usize, &'static str)];

fn status(slot: u16, id: &str, name: &str) -> ProviderStatus {
    ProviderStatus {
        id: id.to_owned(),
        name: name.to_owned(),
        slot: ProviderSlot(slot),
        state: ProviderState::Ready {
            addresses: Vec::new(),
        },
        keyed_at: Some(Timestamp::now()),
        warnings: Vec::new(),
        host: None,
    }
}

fn report(providers: Vec<(ProviderStatus, Models)>) -> Arc<SnapshotReport> {
    let served = providers.iter().map(|(status, models)| {
        let models = models.iter().map(|(place, model)| {
            let listed = Listed {
                slot: ModelSlot::own(*place),
                ..Listed::default()
            };
            ((*model).into(), listed)
        });
        Provider {
            slot: status.slot,
            catalog_id: "openai_api".into(),
            models: snapshot::Models {
                listed: models.collect(),
                ..snapshot::Models::default()
            },
            ..provider(&status.id, "")
        }
    });
    let served = Snapshot {
        revision: 9,
        ..snapshot(served.collect())
    };
    Arc::new(SnapshotReport {
        snapshot: Arc::new(served),
        store_revision: 0,
        settings: None,
        providers: providers.into_iter().map(|(status, _)| status).collect(),
        skipped: Vec::new(),
        certificate_expires_at: None,
        certificate_failure: None,
    })
}

/// As a worker counts a finished exchange.
fn count(worker: &WorkerCounters, model: ModelSlot, record: &ExchangeRecord<'_>) {
    worker.count(&Ended {
        request: RequestSlot::new(&Method::POST, true),
        status: record.status,
        duration_us: record.duration_us,
        overhead_us: record.overhead_us,
        model,
        operation: Some(Operation::ChatCompletions),
        peer: 0,
        outcome: record.outcome,
        reason: None,
        usage: &record.usage,
        cost: &record.cost,
        unpriced: record.unpriced,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
        asked: Some(Asked {
            duration_us: record.duration_us,
            first_token_us: record.time_to_first_token_us,
            stream: record.stream,
            failed: record.outcome != Outcome::Answered,
        }),
    });
}

fn other(provider: u16) -> ModelSlot {
    ModelSlot::other(ProviderSlot(provider))
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
    count(&workers[0], ModelSlot::own(0).unwrap(), &sample());
    count(&workers[1], other(3), &sample());
    count(&workers[0], other(1), &sample());
    count(&workers[1], other(2), &sample());
    count(&workers[1], ModelSlot::NONE, &sample());
    let open = Protocol::Http2 as usize;
    workers[0].connections_open[open].add(3);
    workers[1].connections_open[open].add(-1);
    workers[1].connections_open[open].add(2);
    workers[0].failures[Reason::ModelMissing as usize].add(2);
    workers[0].failures[Reason::Overloaded as usize].add(5);
    workers[0].provider(ProviderSlot(1)).retries[RetryCause::Unreachable as usize].add(1);
    workers[1].provider(ProviderSlot(3)).retries[RetryCause::Unreachable as usize].add(1);
    let text = metrics.render();
    for line in [
        r#"keyway_requests_total{provider="OpenAI",model="gpt-4o",operation="chat_completions",outcome="answered"} 1"#,
        r#"keyway_requests_total{provider="OpenAI",model="other",operation="chat_completions",outcome="answered"} 2"#,
        r#"keyway_requests_total{provider="id-2",model="other",operation="chat_completions",outcome="answered"} 1"#,
        r#"keyway_requests_total{provider="id-2",model="other",operation="chat_completions",outcome="cut"} 0"#,
        r#"keyway_requests_total{provider="none",model="none",operation="chat_completions",outcome="answered"} 1"#,
        r#"keyway_tokens_total{provider="OpenAI",model="other",type="uncached_input"} 500"#,
        r#"keyway_tokens_total{provider="OpenAI",model="other",type="cache_read_input"} 1600"#,
        r#"keyway_tokens_total{provider="OpenAI",model="other",type="cache_creation_input"} 300"#,
        r#"keyway_tokens_total{provider="OpenAI",model="other",type="output"} 1280"#,
        r#"keyway_tokens_total{provider="id-2",model="claude-sonnet-5",type="output"} 0"#,
        r#"keyway_cost_usd_total{provider="OpenAI",model="other"} 0.0768"#,
        r#"keyway_connections_open{protocol="h2"} 4"#,
        r#"keyway_failures_total{reason="model_missing",source="client"} 2"#,
        r#"keyway_shed_total{reason="overloaded"} 5"#,
        r#"keyway_retries_total{provider="OpenAI",reason="unreachable"} 2"#,
        r#"keyway_provider_ready{provider="OpenAI"} 1"#,
        r#"keyway_usage_log_behind{part="writer"} 0"#,
        "keyway_config_revision 9",
        r#"http_server_request_duration_seconds_count{http_request_method="POST",url_scheme="https",http_response_status_code="200"} 5"#,
        r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="other",gen_ai_token_type="output"} 1920"#,
        r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"} 1"#,
        r#"gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",le="0.25"} 1"#,
    ] {
        assert_line(&text, line);
    }
    assert!(!text.contains("keyway_certificate_expiry"));
    let expires_at = Timestamp::from_second(5).ok();
    metrics.follow(&Arc::new(SnapshotReport {
        certificate_expires_at: expires_at,
        ..SnapshotReport::clone(&report(Vec::new()))
    }));
    assert_line(
        &metrics.render(),
        "keyway_certificate_expiry_timestamp_seconds 5",
    );
}

#[test]
fn histograms_are_cumulative_and_in_seconds() {
    let (metrics, workers) = metrics();
    workers[0].overhead.observe(40);
    workers[1].overhead.observe(60);
    workers[1].overhead.observe(700_000_000);
    let text = metrics.render();
    for line in [
        r#"keyway_overhead_seconds_bucket{le="0.00005"} 1"#,
        r#"keyway_overhead_seconds_bucket{le="0.0001"} 2"#,
        r#"keyway_overhead_seconds_bucket{le="10"} 2"#,
        r#"keyway_overhead_seconds_bucket{le="+Inf"} 3"#,
        "keyway_overhead_seconds_sum 700.0001",
        "keyway_overhead_seconds_count 3",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn invented_names_make_no_series() {
    let (metrics, workers) = metrics();
    let report = metrics.served().report.clone().unwrap();
    let served = &report.snapshot.providers[0];
    for outcome in Outcome::ALL {
        let record = ExchangeRecord {
            outcome,
            ..sample()
        };
        count(&workers[0], ModelSlot::NONE, &record);
        count(&workers[0], other(1), &record);
    }
    workers[0].http.observe(
        RequestSlot::new(&Method::from_bytes(b"BREW").unwrap(), true),
        999,
        1,
    );
    let text = metrics.render();
    let before = series(&text);
    for i in 0..10_000_u16 {
        let slot = route::slot_of(served, &format!("model-{i}"));
        let outcome = Outcome::ALL[usize::from(i) % Outcome::ALL.len()];
        let record = ExchangeRecord {
            outcome,
            ..sample()
        };
        count(&workers[usize::from(i % 2)], slot, &record);
        let method = Method::from_bytes(format!("M{i}").as_bytes()).unwrap();
        let request = RequestSlot::new(&method, true);
        workers[0].http.observe(request, 600 + i % 300, 1);
    }
    let text = metrics.render();
    assert_eq!(series(&text), before);
    assert!(!text.contains("model-"));
}

#[test]
fn peers_beyond_the_limit_are_others() {
    let (metrics, workers) = metrics();
    let principals = [(1, "p-1"), (2, "p-2"), (3, "p-3")].map(|(slot, id)| {
        let address = std::net::IpAddr::from([100, 64, 0, slot as u8]);
        let principal = crate::handoff::snapshot::Principal {
            slot,
            peer_id: id.into(),
            ..principal(&[])
        };
        (address, principal)
    });
    let served = Snapshot {
        peers: principals.into_iter().collect(),
        ..snapshot(Vec::new())
    };
    metrics.follow(&Arc::new(SnapshotReport {
        snapshot: Arc::new(served),
        ..SnapshotReport::clone(&report(Vec::new()))
    }));
    for peer in 0..=3 {
        let (usage, cost) = (sample().usage, sample().cost);
        workers[1].count(&Ended {
            request: RequestSlot::new(&Method::GET, false),
            status: 0,
            duration_us: 1,
            overhead_us: 0,
            model: ModelSlot::NONE,
            operation: None,
            peer,
            outcome: Outcome::Denied,
            reason: Some(Reason::PeerRevoked),
            usage: &usage,
            cost: &cost,
            unpriced: false,
            request_bytes: 0,
            response_bytes: 0,
            asked: None,
        });
    }
    let text = metrics.render();
    let user = &principal(&[]).display_name;
    for line in [
        format!(r#"keyway_peer_requests_total{{peer="p-1",user="{user}"}} 1"#),
        r#"keyway_peer_requests_total{peer="other",user="other"} 3"#.to_owned(),
        "keyway_peers_without_series 2".to_owned(),
    ] {
        assert_line(&text, &line);
    }
    let none = Metrics::new(vec![Arc::default()], Arc::default());
    assert!(!none.render().contains("keyway_peer"));
}

#[test]
fn a_removed_provider_keeps_its_series_until_its_slot_is_taken() {
    let (metrics, workers) = metrics();
    count(&workers[0], ModelSlot::own(1).unwrap(), &sample());
    metrics.follow(&report(vec![(status(1, "id-1", "OpenAI"), &[])]));
    let line = r#"keyway_requests_total{provider="id-2",model="claude-sonnet-5",operation="chat_completions",outcome="answered"} 1"#;
    assert_line(&metrics.render(), line);
    metrics.follow(&report(vec![(status(2, "id-9", "Next"), &[])]));
    assert!(!metrics.render().contains("id-2"));
}

#[test]
fn a_configuration_with_mistakes_is_told() {
    let (metrics, _) = metrics();
    metrics.reloaded(false);
    assert_line(&metrics.render(), "keyway_config_last_reload_successful 0");
    metrics.reloaded(true);
    assert_line(&metrics.render(), "keyway_config_last_reload_successful 1");
}

#[test]
fn names_follow_the_conventions() {
    let (metrics, workers) = metrics();
    count(&workers[0], other(1), &sample());
    let prefixes = ["keyway_", "process_", "http_server_", "gen_ai_"];
    for family in metrics.gather() {
        let name = family.name();
        assert!(prefixes.iter().any(|one| name.starts_with(one)), "{name}");
        let is_counter = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        assert!(family.help().ends_with('.'), "{name}");
        assert!(!name.contains("milli") && !name.contains("micro"), "{name}");
    }
}
