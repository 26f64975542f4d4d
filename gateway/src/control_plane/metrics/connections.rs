//! Connections of agents.

use prometheus::proto::MetricFamily;

use super::{
    Workers,
    family::{Sample, counter, gauge, plain_counter, plain_gauge, seconds},
    tally::Tally,
};
use crate::handoff::counters::{H2End, Protocol, SHORT_BOUNDS_US};

pub(super) fn gather(workers: Workers<'_>) -> Vec<MetricFamily> {
    let refused = |reason: &str, count| (vec![("reason", reason.to_owned())], count);
    let open = Protocol::ALL.map(|protocol| -> Sample {
        let labels = vec![("protocol", protocol.code().to_owned())];
        let count = workers.sum(|w| w.connections_open[protocol as usize].get());
        (labels, count)
    });
    let ends = H2End::ALL.map(|end| {
        let labels = vec![("reason", end.code().to_owned())];
        (labels, workers.sum(|w| w.h2_ends[end as usize].get()))
    });
    let handshakes = workers.iter().map(|w| &w.tls_handshake);
    vec![
        plain_counter(
            "keyway_connections_accepted_total",
            "Downstream connections accepted.",
            workers.sum(|w| w.connections_accepted.get()),
        ),
        counter(
            "keyway_connections_refused_total",
            "Downstream connections closed before they were served.",
            vec![
                refused(
                    "unknown_peer",
                    workers.sum(|w| w.connections_unknown_peer.get()),
                ),
                refused(
                    "over_limit",
                    workers.sum(|w| w.connections_over_limit.get()),
                ),
                refused(
                    "usage_log_full",
                    workers.sum(|w| w.connections_log_full.get()),
                ),
            ],
        ),
        gauge(
            "keyway_connections_open",
            "Downstream connections open, by what they speak.",
            open.into(),
        ),
        counter(
            "keyway_h2_connections_ended_total",
            "Downstream HTTP/2 connections that ended, by reason.",
            ends.into(),
        ),
        seconds(
            "keyway_tls_handshake_seconds",
            "How long downstream TLS handshakes took that were completed.",
            [(Vec::new(), Tally::of(&SHORT_BOUNDS_US, handshakes))],
        ),
        plain_counter(
            "keyway_tls_handshake_failures_total",
            "Downstream TLS handshakes that failed.",
            workers.sum(|w| w.tls_handshake_failures.get()),
        ),
        plain_gauge(
            "keyway_upstream_connections_open",
            "Connections to providers, idle or in use.",
            workers.sum(|w| w.upstream_connections_open.get()),
        ),
    ]
}
