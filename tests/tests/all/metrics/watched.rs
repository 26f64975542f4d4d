//! A real Prometheus watches a node under a known load.

use std::{collections::BTreeMap, iter::repeat_n, net::SocketAddr};

use gateway_tests::{
    node::free_port,
    prometheus::{Prometheus, Series},
};

use super::*;

/// What a request of the load is, and how many there are.
const LOAD: [(Kind, usize); 4] = [
    (Kind::Whole, 40),
    (Kind::Stream, 30),
    (Kind::Denied, 20),
    (Kind::Failed, 10),
];
/// Enough for the alert about providers that fail.
const FAILURES: usize = 150;
/// What the provider takes per token, in nano-dollars: see the node's prices.
const NANO_USD: (u64, u64) = (150, 600);

/// Of nodes with kernel admission, another source of peers, or service accounts.
const NOT_HERE: [&str; 5] = [
    "keyway_admission_in_front",
    "keyway_admission_packets_total",
    "keyway_admission_peers_left_out",
    "keyway_identity_stale",
    "keyway_provider_token_expiry_timestamp_seconds",
];

#[derive(Clone, Copy)]
enum Kind {
    Whole,
    Stream,
    Denied,
    /// By the provider.
    Failed,
}

impl Kind {
    fn body(self) -> Value {
        match self {
            Self::Whole => chat("two words", false),
            Self::Stream => chat("a stream [[events=5]]", true),
            Self::Denied => {
                let mut body = chat("hi", false);
                body["model"] = json!("nobody-serves-this");
                body
            }
            Self::Failed => chat("[[status=500]]", false),
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Whole | Self::Stream => StatusCode::OK,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Sends so many of each kind, side by side.
async fn send(sessions: &mut [Session], load: &[(Kind, usize)]) {
    let all = load
        .iter()
        .flat_map(|(kind, count)| repeat_n(*kind, *count));
    let all: Vec<_> = all.collect();
    let lanes = (0..).zip(sessions).map(|(lane, session)| {
        let all = &all;
        async move {
            for kind in all.iter().skip(lane).step_by(SESSIONS) {
                let reply = session.post(CHAT, &kind.body(), &[]).await.unwrap();
                assert_eq!(reply.status, kind.status(), "{reply:?}");
            }
        }
    });
    join_all(lanes).await;
}

/// Two scrapes with the whole load between them.
struct Span {
    begin: f64,
    end: f64,
}

impl Span {
    fn millis(&self) -> u64 {
        ((self.end - self.begin) * 1000.0).round() as u64
    }

    fn seconds(&self) -> f64 {
        self.millis() as f64 / 1000.0
    }
}

struct Watched {
    prometheus: Prometheus,
    dashboard: Value,
    span: Span,
}

impl Watched {
    /// What a panel shows, each of its queries over exactly the span.
    async fn panel(&self, title: &str) -> Vec<Vec<Series>> {
        let panels = self.dashboard["panels"].as_array().unwrap();
        let panel = panels
            .iter()
            .find(|panel| panel["title"] == title && panel["type"] != "row");
        let mut shown = Vec::new();
        for target in panel.unwrap()["targets"].as_array().unwrap() {
            let expression = self.filled_in(text(target, "expr"));
            shown.push(
                self.prometheus
                    .query(&expression, Some(self.span.end))
                    .await
                    .unwrap(),
            );
        }
        shown
    }

    /// As Grafana fills variables in.
    fn filled_in(&self, expression: &str) -> String {
        let span = format!("{}ms", self.span.millis());
        expression
            .replace("$__rate_interval", &span)
            .replace("$__range", &span)
            .replace("$job", ".*")
            .replace("$instance", ".*")
    }

    /// A panel's rates as counts, by a label.
    async fn counts(&self, title: &str, label: &str) -> BTreeMap<String, u64> {
        let shown = self.panel(title).await;
        let counts = shown[0].iter().map(|series| {
            let count = series.value * self.span.seconds();
            assert!((count - count.round()).abs() < 1e-6, "{title}: {series:?}");
            (series.label(label).to_owned(), count.round() as u64)
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[tokio::test]
async fn prometheus_sees_what_the_load_was() {
    if let Some(reason) = prometheus::why_not() {
        return skip("prometheus_sees_what_the_load_was", reason);
    }
    let (standin, node) = pair(Vendor::OpenAi, Transport::Plain, options()).await;
    let policies = node.api_ok(Method::GET, "/api/agent-network/policies", None);
    let policies = policies.await.unwrap();
    let limit = [
        "policies",
        "update",
        text(&policies[0], "id"),
        "--user-tokens",
        "1M/1d",
    ];
    node.cli(&limit, "").await.unwrap();
    let mut sessions = sessions(&node.alice().await.unwrap()).await;
    // Counters that begin within a window do not count what came before their first sample.
    send(&mut sessions, &LOAD.map(|(kind, _)| (kind, SESSIONS))).await;
    let before = standin.stats().total();

    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let rules = ["rules.yml", "alerts.yml"]
        .map(|name| file("config/prometheus").join(name).canonicalize().unwrap());
    let prometheus = Prometheus::start(address, node.telemetry_address(), &rules)
        .await
        .unwrap();
    let begin = prometheus.last_scrape().await.unwrap();
    let sent: usize = LOAD.iter().map(|(_, count)| count).sum();
    send(&mut sessions, &LOAD).await;
    let all = (sent + LOAD.len() * SESSIONS) as f64;
    let total = |series: &[Series]| series.first().is_some_and(|series| series.value == all);
    prometheus
        .wait("sum(keyway_requests_total)", total)
        .await
        .unwrap();
    let end = prometheus.last_scrape().await.unwrap();
    let dashboard = std::fs::read(file("config/grafana/keyway.json")).unwrap();
    let watched = Watched {
        prometheus,
        dashboard: serde_json::from_slice(&dashboard).unwrap(),
        span: Span { begin, end },
    };

    every_query_is_answered(&watched, &scraped(&node).await).await;

    let expected = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs
            .iter()
            .map(|(label, count)| ((*label).to_owned(), *count))
            .collect()
    };
    let outcomes = watched.counts("Requests", "outcome").await;
    assert_eq!(outcomes, expected(&[("answered", 80), ("denied", 20)]));
    let denied = watched.counts("Denied", "reason").await;
    assert_eq!(denied, expected(&[("model_not_routable", 20)]));
    let after = standin.stats().total();
    let input = after.input_tokens - before.input_tokens;
    let output = after.output_tokens - before.output_tokens;
    let tokens = watched.counts("Tokens", "type").await;
    assert_eq!(
        tokens,
        expected(&[("uncached_input", input), ("output", output)])
    );
    let cost = &watched.panel("Cost").await[0];
    let nano_usd: f64 = cost.iter().map(|series| series.value * 1e9).sum();
    assert_eq!(
        nano_usd.round() as u64,
        input * NANO_USD.0 + output * NANO_USD.1
    );
    let errors = watched.panel("Errors").await;
    assert!((errors[0][0].value - 0.1).abs() < 1e-9, "{errors:?}");
    assert_eq!(errors[1][0].value, 0.0, "{errors:?}");
    let failed = &watched.panel("Provider errors").await[0];
    assert!((failed[0].value - 10.0 / 80.0).abs() < 1e-9, "{failed:?}");
    // Of what is no rate, the numbers as they are.
    for (expression, expected) in [
        ("sum(keyway_peer_requests_total{user=\"alice\"})", all),
        ("sum(http_server_request_duration_seconds_count)", all),
        (
            "sum(gen_ai_client_token_usage_sum{gen_ai_token_type=\"output\"})",
            after.output_tokens as f64,
        ),
        ("sum(gen_ai_server_time_to_first_token_seconds_count)", 78.0),
        (
            "sum(gen_ai_client_operation_duration_seconds_count{error_type!=\"\"})",
            14.0,
        ),
        ("sum(keyway_upstream_responses_total{class=\"5xx\"})", 14.0),
        (
            "sum(keyway_exchanges_in_flight) + sum(http_server_active_requests)",
            0.0,
        ),
        ("sum(keyway_connections_open{protocol=\"h2\"})", 2.0),
    ] {
        let shown = watched
            .prometheus
            .query(expression, Some(watched.span.end))
            .await
            .unwrap();
        let shown = shown.first().map(|series| series.value);
        assert_eq!(shown, Some(expected), "{expression}");
    }

    alerts_follow(&watched.prometheus, &node, &mut sessions).await;
}

/// Every expression is one, says something here, and asks for what there is.
async fn every_query_is_answered(watched: &Watched, scraped: &str) {
    let rules = watched.prometheus.rules().await.unwrap();
    let mut known: BTreeSet<String> = rules.iter().map(|(name, _, _)| name.clone()).collect();
    known.extend(NOT_HERE.map(str::to_owned));
    known.insert("up".to_owned());
    for line in scraped
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').unwrap();
        let parts: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        known.extend(parts.iter().map(|part| format!("{name}{part}")));
    }
    let panels = watched.dashboard["panels"].as_array().unwrap();
    let panels = panels.iter().filter(|panel| panel["type"] != "row");
    assert!(panels.clone().count() <= 25);
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets.map(|target| (text(target, "expr").to_owned(), true));
    let rules = rules
        .iter()
        .map(|(_, query, is_alert)| (query.clone(), !is_alert));
    for (expression, has_answer) in shown.chain(rules) {
        let filled_in = watched.filled_in(&expression);
        let answer = watched
            .prometheus
            .query(&filled_in, Some(watched.span.end))
            .await
            .unwrap();
        let names = metrics_in(&expression);
        let is_elsewhere = names.iter().any(|name| NOT_HERE.contains(&name.as_str()));
        // Filters (`> 0`) leave nothing over where nothing is wrong.
        let may_be_empty = is_elsewhere || expression.contains("> 0");
        assert!(
            !has_answer || may_be_empty || !answer.is_empty(),
            "{expression}"
        );
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(known.contains(&name), "{name} in {expression}");
        }
    }
}

/// Names in an expression that stand where a metric does: behind a label's comes a comma, a bracket or an operator.
fn metrics_in(expression: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut names = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(is_name) {
        let (name, after) = {
            let begin = &rest[at..];
            begin.split_at(begin.find(|c| !is_name(c)).unwrap_or(begin.len()))
        };
        let ends = after.is_empty() || after.starts_with(['{', '[', ' ', '\n']);
        let prefixes = ["keyway", "http_", "gen_ai_", "process_"];
        if ends && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            names.push(name.to_owned());
        }
        rest = after;
        // A matcher's text names no metric.
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.split_once('}').map_or("", |(_, rest)| rest);
        }
    }
    // `up` is Prometheus' own.
    if expression.starts_with("up{") {
        names.push("up".to_owned());
    }
    names
}

/// Conditions of alerts hold once what they watch for has happened, and not before.
async fn alerts_follow(prometheus: &Prometheus, node: &Node, sessions: &mut [Session]) {
    const FAILING: &str = "KeywayProviderFailing";
    const REFUSED: &str = "KeywayConfigReloadFailed";
    let alerts = prometheus.alerts().await.unwrap();
    for alert in [FAILING, REFUSED] {
        assert!(!alerts.iter().any(|name| name == alert), "{alerts:?}");
    }
    send(sessions, &[(Kind::Failed, FAILURES)]).await;
    let file = node.directory().join("keyway.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config + "\n[nonsense]\n").unwrap();
    node.signal(libc::SIGHUP).unwrap();
    for alert in [FAILING, REFUSED] {
        let expression = format!("ALERTS{{alertname=\"{alert}\"}}");
        let holds = |series: &[Series]| !series.is_empty();
        prometheus.wait(&expression, holds).await.unwrap();
    }
}
