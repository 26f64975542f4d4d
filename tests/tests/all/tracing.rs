//! Traces: what a collector gets, what a provider is told, and what is on the lines of the log.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use gateway_tests::{
    agent::{Session, Version},
    collector::{Absent, Collector, attributes},
    standin::Seen,
};
use http::StatusCode;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const PARENT: (&str, &str) = (
    "traceparent",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
);
const PROMPT: &str = "marker-in-a-prompt-77cc1b";
const TOKEN: &str = "otlp-planted-Qm7xWc3TzK9v";

fn options(tracing: &str) -> NodeOptions {
    NodeOptions {
        extra: vec![("tracing", tracing.to_owned())],
        ..NodeOptions::default()
    }
}

async fn ask(session: &mut Session, prompt: &str, headers: &[(&str, &str)]) {
    let body = chat(prompt, true);
    let reply = session.post(CHAT, &body, headers).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a metric of the node says, by its name with labels.
async fn metric(node: &Node, name: &str) -> Option<f64> {
    let (_, text) = node.telemetry("/metrics").await.unwrap();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value)
}

async fn wait_metric(node: &Node, name: &str, wanted: f64) {
    let reached = async {
        while metric(node, name).await.is_none_or(|value| value < wanted) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(gateway_tests::agent::PATIENCE, reached).await;
    let value = metric(node, name).await;
    assert!(waited.is_ok(), "{name} is {value:?}");
    assert_eq!(value, Some(wanted), "{name}");
}

#[tokio::test]
async fn a_collector_gets_a_trace_without_what_was_said() {
    let collector = Collector::start().unwrap();
    let headers = tempfile::NamedTempFile::new().unwrap();
    fs::write(headers.path(), format!("Authorization: Bearer {TOKEN}\n")).unwrap();
    fs::set_permissions(headers.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let mut options = options(&format!(
        "otlp_endpoint = \"http://{}/base\"\notlp_headers_file = {:?}",
        collector.address,
        headers.path()
    ));
    options.log = Some("debug");
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let headers = [
        PARENT,
        ("tracestate", "vendor=internal"),
        ("baggage", "team=secret"),
    ];
    for version in [Version::Http1, Version::Http2] {
        let mut session = alice.session(version).await.unwrap();
        ask(&mut session, PROMPT, &headers).await;
    }
    let spans = collector.spans(4).await.unwrap();
    let records = node.records(2).await.unwrap();
    for (exchange, record) in spans.chunks(2).zip(records.iter().rev()) {
        let [server, client] = exchange else {
            unreachable!("chunks of two")
        };
        assert_eq!(hex(&server.trace_id), TRACE);
        assert_eq!(hex(&client.trace_id), TRACE);
        assert_eq!(hex(&server.parent_span_id), SPAN);
        assert_eq!(client.parent_span_id, server.span_id);
        assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
        assert!(client.start_time_unix_nano < client.end_time_unix_nano);
        assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
        assert_eq!((server.kind, client.kind), (2, 3));
        assert_eq!(server.name, "chat gpt-4o-mini");
        let (server, client) = (attributes(server), attributes(client));
        let is = |span: &BTreeMap<String, String>, key: &str, value: &str| {
            assert_eq!(
                span.get(key).map(String::as_str),
                Some(value),
                "{key} in {span:#?}"
            );
        };
        is(&server, "url.path", CHAT);
        is(&server, "http.response.status_code", "200");
        is(&server, "gen_ai.provider.name", "openai");
        is(&client, "server.address", "127.0.0.1");
        is(
            &client,
            "server.port",
            &standin.address().port().to_string(),
        );
        for (key, field) in [
            ("gen_ai.usage.input_tokens", "input_tokens"),
            ("gen_ai.usage.output_tokens", "output_tokens"),
        ] {
            is(&client, key, &number(record, field).to_string());
            assert!(!server.contains_key(key), "counted twice");
        }
    }
    // The provider's own tracing is its own business, and the operator's is not the provider's.
    for seen in standin.seen() {
        for name in ["traceparent", "tracestate", "baggage"] {
            assert_eq!(seen.header(name), None);
        }
    }
    let log = node.log();
    node.stop().await.unwrap();
    for request in collector.taken() {
        assert_eq!(request.path, "/base/v1/traces");
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(
            request.headers["authorization"],
            format!("Bearer {TOKEN}").as_str()
        );
        let body = String::from_utf8_lossy(&request.body);
        for marker in [PROMPT, KEY, TOKEN, "alice@example.com", "127.0.0.2", "team"] {
            assert!(!body.contains(marker), "{marker} is in a span");
        }
    }
    for marker in [TOKEN, KEY, PROMPT] {
        assert!(!log.contains(marker), "{marker} is in the log");
    }
}

#[tokio::test]
async fn providers_are_told_by_setting() {
    let many: Vec<_> = (0..33).map(|i| format!("k{i}=v")).collect();
    let many = many.join(",");
    for transport in [Transport::Plain, Transport::TlsHttp2] {
        let standin = Options::new(Vendor::OpenAi, transport, KEY);
        let standin = StandIn::start(standin).await.unwrap();
        // As `Node::connect` names it.
        let name = format!("openai_api-{}", standin.address().port());
        let told = options(&format!("propagate = [{name:?}]\nsample_ratio = 0.0"));
        let node = Node::with(told, &standin, Vendor::OpenAi, KEY)
            .await
            .unwrap();
        let alice = node.alice().await.unwrap();
        for version in [Version::Http1, Version::Http2] {
            let mut session = alice.session(version).await.unwrap();
            let mut tell = async |headers: &[(&str, &str)]| -> Seen {
                ask(&mut session, "hello", headers).await;
                standin.seen().pop().unwrap()
            };
            let parts = |seen: &Seen| -> Vec<String> {
                let parent = seen.header("traceparent").unwrap();
                parent.split('-').map(str::to_owned).collect()
            };

            let seen = tell(&[
                PARENT,
                ("tracestate", "a=1, b=2"),
                ("tracestate", "c@d=3"),
                ("baggage", "team=x"),
            ])
            .await;
            let parent = parts(&seen);
            assert_eq!([&parent[0], &parent[1], &parent[3]], ["00", TRACE, "01"]);
            assert_ne!(parent[2], SPAN);
            let states: Vec<_> = (seen.headers.iter())
                .filter(|(name, _)| name == "tracestate")
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(states, ["a=1, b=2", "c@d=3"], "{transport:?} {version:?}");
            assert_eq!(seen.header("baggage"), Some("team=x"));
            let parents = seen
                .headers
                .iter()
                .filter(|(name, _)| name == "traceparent");
            assert_eq!(parents.count(), 1);

            // A list that is too long goes nowhere; the trace does.
            let seen = tell(&[PARENT, ("tracestate", &many)]).await;
            assert_eq!(parts(&seen)[1], TRACE);
            assert_eq!(seen.header("tracestate"), None);

            // What cannot be read is another trace, with no state and as sampled as we say.
            for headers in [
                &[][..],
                &[("tracestate", "a=1")],
                &[("traceparent", "00-1-2-01"), ("tracestate", "a=1")],
                &[PARENT, PARENT, ("tracestate", "a=1")],
            ] {
                let seen = tell(headers).await;
                let parent = parts(&seen);
                assert_eq!(parent[1].len(), 32);
                assert_ne!(parent[1], TRACE, "{headers:?}");
                assert_eq!(parent[3], "00");
                assert_eq!(seen.header("tracestate"), None);
            }
        }
        node.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    const QUEUE: usize = 64;
    const EXCHANGES: usize = 40;
    let absent = Absent::new().unwrap();
    let options = options(&format!(
        "otlp_endpoint = \"http://{}\"\nqueue_spans_limit = {QUEUE}",
        absent.address
    ));
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let mut session = alice.session(Version::Http1).await.unwrap();
    ask(&mut session, "hello", &[]).await;
    // From here on the first two spans are on their way and the queue is empty.
    let (failures, lost) = (
        "keyway_spans_send_failures_total",
        "keyway_spans_lost_total{reason=\"queue_full\"}",
    );
    let failed = async {
        while metric(&node, failures)
            .await
            .is_none_or(|count| count < 1.0)
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(gateway_tests::agent::PATIENCE, failed).await;
    waited.unwrap();
    for _ in 0..EXCHANGES {
        ask(&mut session, "hello", &[]).await;
    }
    wait_metric(&node, lost, (2 * EXCHANGES - QUEUE) as f64).await;
    assert_eq!(
        metric(&node, "keyway_spans_waiting").await,
        Some(QUEUE as f64)
    );
    node.records(EXCHANGES + 1).await.unwrap();
    assert_eq!(standin.stats().requests as usize, EXCHANGES + 1);

    let collector = absent.appear().unwrap();
    let spans = collector.spans(2 + QUEUE).await.unwrap();
    let servers = spans.iter().filter(|span| span.kind == 2).count();
    assert_eq!(servers, spans.len() / 2);
    wait_metric(&node, "keyway_spans_sent_total", spans.len() as f64).await;

    // What the collector does not want is not sent again.
    collector.answer(400);
    ask(&mut session, "hello", &[]).await;
    wait_metric(&node, "keyway_spans_lost_total{reason=\"rejected\"}", 2.0).await;
    collector.answer(200);
    ask(&mut session, "hello", &[]).await;
    // The last ones are sent although the node stops.
    node.stop().await.unwrap();
    collector.spans(2 + QUEUE + 2).await.unwrap();
}

#[tokio::test]
async fn log_lines_are_objects_and_name_the_trace() {
    let options = NodeOptions {
        log: Some("debug"),
        extra: vec![("log", "format = \"json\"".to_owned())],
        ..NodeOptions::default()
    };
    let (_standin, node) = pair(Vendor::OpenAi, Transport::Plain, options).await;
    let alice = node.alice().await.unwrap();
    let mut session = alice.session(Version::Http1).await.unwrap();
    let mut body = chat("hello", false);
    body["model"] = json!("nobody-has-it");
    let reply = session.post(CHAT, &body, &[PARENT]).await.unwrap();
    assert!(reply.status.is_client_error());
    node.wait_log("exchange failed").await.unwrap();
    let log = node.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            text(line, key);
        }
    }
    let failed = lines
        .iter()
        .find(|line| line["message"] == "exchange failed")
        .unwrap();
    assert_eq!(failed["fields"]["trace_id"], TRACE);
    assert!(text(&failed["fields"], "request").starts_with("req_"));
    node.stop().await.unwrap();
}
