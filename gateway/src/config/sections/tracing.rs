//! `[tracing]`: W3C trace context, and spans for an OTLP collector.

use std::{path::PathBuf, time::Duration};

use super::super::{
    OtlpConfig, TracingConfig,
    reader::Reader,
    value::{Names, Share},
};
use crate::config::Ratio;

const SECTION: &str = "tracing";

/// Enough for the attempts of any one exchange.
const QUEUE_SPANS_MIN: usize = 64;
/// About a kilobyte each.
const QUEUE_SPANS_MAX: usize = 1 << 20;

pub(super) fn read(reader: &mut Reader<'_>) -> TracingConfig {
    let accept = reader.get(
        SECTION,
        "accept",
        true,
        "Goes on with an agent's trace (`traceparent`), its word on sampling included; false: never.",
    );
    let Names(propagate) = reader.get(
        SECTION,
        "propagate",
        Names(Vec::new()),
        "Providers, by name or id, that are told of the trace (`traceparent`, and the agent's `tracestate` and\n`baggage`); [\"*\"] for all. Others get none of these headers: their ids are nobody else's business.",
    );
    let endpoint = reader.get_optional(
        SECTION,
        "otlp_endpoint",
        "http://127.0.0.1:4318".to_owned(),
        "Sends spans to this collector: OTLP over HTTP, protobuf, `/v1/traces` below this URL.",
    );
    let headers = reader.get_optional(
        SECTION,
        "otlp_headers_file",
        PathBuf::from("/etc/keyway/otlp-headers"),
        "Headers that the collector asks for, such as `Authorization: Bearer …`, one a line; a file that others\ncannot read. It is read again each time.",
    );
    let ca = reader.get_optional(
        SECTION,
        "otlp_ca",
        PathBuf::from("/etc/keyway/otlp-ca.pem"),
        "PEM bundle to trust for it in place of the system's roots.",
    );
    let timeout = reader.get_in(
        SECTION,
        "otlp_timeout",
        Duration::from_secs(10),
        Duration::from_millis(100)..=Duration::from_secs(60),
        "One request to it, from the connection to its last byte.",
    );
    let queue_spans_limit = reader.get_in(
        SECTION,
        "queue_spans_limit",
        16_384,
        QUEUE_SPANS_MIN..=QUEUE_SPANS_MAX,
        "Spans that may wait for it, about a kilobyte each; more are dropped and counted.",
    );
    let service_name = reader.get(
        SECTION,
        "service_name",
        "keyway".to_owned(),
        "`service.name` of the spans.",
    );
    let Share(sample_ratio) = reader.get(
        SECTION,
        "sample_ratio",
        Share(Ratio::ALL),
        "Share of the traces that begin here whose spans are kept, from 0.0 to 1.0.",
    );
    let identity = reader.get(
        SECTION,
        "identity",
        false,
        "Spans tell whose request it was: user, peer, address and session.",
    );
    TracingConfig {
        accept,
        propagate,
        sample_ratio,
        identity,
        otlp: endpoint.map(|endpoint| OtlpConfig {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            headers,
            ca,
            timeout,
            queue_spans_limit,
            service_name,
        }),
    }
}
