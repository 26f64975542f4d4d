//! What became of spans.

use prometheus::proto::MetricFamily;

use super::family::{counter, plain_counter, plain_gauge};
use crate::control_plane::spans::SpanStatus;

pub(super) fn gather(status: &SpanStatus) -> Vec<MetricFamily> {
    let lost = [
        ("queue_full", &status.dropped),
        ("rejected", &status.rejected),
    ];
    vec![
        plain_gauge(
            "keyway_spans_waiting",
            "Spans that wait for the collector.",
            status.waiting() as f64,
        ),
        plain_counter(
            "keyway_spans_sent_total",
            "Spans that the collector took.",
            status.sent.get() as f64,
        ),
        counter(
            "keyway_spans_lost_total",
            "Spans dropped for want of room, or rejected by the collector.",
            lost.map(|(reason, count)| (vec![("reason", reason.to_owned())], count.get() as f64))
                .to_vec(),
        ),
        plain_counter(
            "keyway_spans_send_failures_total",
            "Requests to the collector that failed and were tried again.",
            status.failures.get() as f64,
        ),
    ]
}
