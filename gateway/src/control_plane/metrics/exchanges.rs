//! Exchanges as a whole: those in flight, how they failed, what the node added to them.

use prometheus::proto::MetricFamily;

use super::{
    Workers,
    family::{Labels, counter, gauge, plain_counter, plain_gauge, seconds},
    tally::Tally,
};
use crate::handoff::{
    counters::{
        SHORT_BOUNDS_US,
        http::{HTTP_BOUNDS_US, RequestSlot, STATUS_PLACES, STATUSES},
    },
    reason::{Reason, Source},
};

pub(super) fn gather(workers: Workers<'_>) -> Vec<MetricFamily> {
    let failed = |reason: Reason| workers.sum(|w| w.failures[reason as usize].get());
    let failures = Reason::ALL.iter().map(|reason| {
        let labels = vec![
            ("reason", reason.code().to_owned()),
            ("source", source_code(reason.source()).to_owned()),
        ];
        (labels, failed(*reason))
    });
    let shed = [
        (
            "over_limit",
            workers.sum(|w| w.connections_over_limit.get()),
        ),
        (
            "usage_log_full",
            workers.sum(|w| w.connections_log_full.get() + w.requests_log_full.get()),
        ),
        (Reason::Overloaded.code(), failed(Reason::Overloaded)),
        (Reason::Draining.code(), failed(Reason::Draining)),
        (
            Reason::UsageLogBehind.code(),
            failed(Reason::UsageLogBehind),
        ),
        (Reason::LedgerBehind.code(), failed(Reason::LedgerBehind)),
    ];
    let shed = shed.map(|(reason, count)| (vec![("reason", reason.to_owned())], count));
    let overhead = workers.iter().map(|w| &w.overhead);
    vec![
        plain_gauge(
            "keyway_exchanges_in_flight",
            "Exchanges that were admitted and have not ended.",
            workers.sum(|w| w.exchanges_in_flight.get()),
        ),
        counter(
            "keyway_failures_total",
            "Exchanges that did not end well, by reason and by whose fault it was; source `policy` are denials.",
            failures.collect(),
        ),
        counter(
            "keyway_shed_total",
            "Connections, streams and exchanges turned away to keep the node working.",
            shed.into(),
        ),
        seconds(
            "keyway_overhead_seconds",
            "What the node added to the time until an answer began, without waiting for agent or provider.",
            [(Vec::new(), Tally::of(&SHORT_BOUNDS_US, overhead))],
        ),
        plain_counter(
            "keyway_request_bytes_total",
            "Bytes of request bodies received from agents.",
            workers.sum(|w| w.request_bytes.get()),
        ),
        plain_counter(
            "keyway_response_bytes_total",
            "Bytes of answers received from providers.",
            workers.sum(|w| w.response_bytes.get()),
        ),
        active(workers),
        durations(workers),
    ]
}

fn active(workers: Workers<'_>) -> MetricFamily {
    let samples = seen(workers).map(|request| {
        let count = workers.sum(|w| w.http.active(request));
        (request_labels(request), count)
    });
    gauge(
        "http_server_active_requests",
        "Requests that have begun and not ended (OpenTelemetry).",
        samples.collect(),
    )
}

fn durations(workers: Workers<'_>) -> MetricFamily {
    let samples = seen(workers).flat_map(|request| {
        (0..STATUS_PLACES).filter_map(move |place| {
            let with_status = |(found, histogram)| (found == place).then_some(histogram);
            let histograms =
                (workers.iter()).filter_map(|w| w.http.durations(request).find_map(with_status));
            let tally = Tally::of(&HTTP_BOUNDS_US, histograms);
            (tally.count() > 0).then(|| (status_labels(request, place), tally))
        })
    });
    seconds(
        "http_server_request_duration_seconds",
        "From a request's first byte to its end (OpenTelemetry); a WebSocket's responses count one by one.",
        samples,
    )
}

/// Those that ever came.
fn seen(workers: Workers<'_>) -> impl Iterator<Item = RequestSlot> {
    RequestSlot::all().filter(move |request| {
        let mut workers = workers.iter();
        workers.any(|w| w.http.active(*request) > 0 || w.http.durations(*request).next().is_some())
    })
}

fn request_labels(request: RequestSlot) -> Labels {
    vec![
        ("http_request_method", request.method().to_owned()),
        ("url_scheme", request.scheme().to_owned()),
    ]
}

/// An answer that was never begun has no status.
fn status_labels(request: RequestSlot, place: usize) -> Labels {
    let mut labels = request_labels(request);
    let status = STATUSES.get(place);
    if status != Some(&0) {
        let code = status.map_or_else(|| "other".to_owned(), u16::to_string);
        labels.push(("http_response_status_code", code));
    }
    if let Some(500..) = status {
        labels.extend(status.map(|code| ("error_type", code.to_string())));
    }
    labels
}

fn source_code(source: Source) -> &'static str {
    match source {
        Source::Client => "client",
        Source::Policy => "policy",
        Source::Gateway => "gateway",
        Source::Provider => "provider",
    }
}
