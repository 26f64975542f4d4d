//! How far the usage log is: what waits, what is durable, what is visible.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::MetricFamily;

use super::family::{gauge, plain_counter, plain_gauge};
use crate::control_plane::usage::{Health, UsageStatus};

pub(super) fn gather(status: &UsageStatus) -> Vec<MetricFamily> {
    let load = |value: &AtomicU64| value.load(Ordering::Relaxed) as f64;
    let behind = |health: Health| match health {
        Health::Ok => 0.0,
        Health::Behind { .. } => 1.0,
    };
    vec![
        plain_gauge(
            "keyway_usage_log_batches_waiting",
            "Batches of records handed over by workers that are not durable yet.",
            load(&status.batches_waiting),
        ),
        plain_gauge(
            "keyway_usage_log_batches_to_index",
            "Batches of records that are durable and not yet visible to queries.",
            status.batches_to_index() as f64,
        ),
        plain_counter(
            "keyway_usage_log_batches_written_total",
            "Batches of records made durable.",
            load(&status.batches_written),
        ),
        plain_counter(
            "keyway_usage_log_records_written_total",
            "Records made durable.",
            load(&status.records_written),
        ),
        plain_counter(
            "keyway_usage_log_dropped_total",
            "Records lost because the log could not be written and exchanges are served all the same.",
            load(&status.records_dropped),
        ),
        plain_counter(
            "keyway_usage_log_records_indexed_total",
            "Records made visible to queries.",
            load(&status.records_indexed),
        ),
        plain_counter(
            "keyway_usage_log_damaged_batches_total",
            "Batches set aside because they could not be read.",
            load(&status.batches_damaged),
        ),
        plain_counter(
            "keyway_usage_log_rows_swept_total",
            "Rows deleted because they were older than the retention.",
            load(&status.rows_swept),
        ),
        gauge(
            "keyway_usage_log_behind",
            "1 while a part of the usage log cannot go on and tries again.",
            vec![
                (vec![("part", "writer".to_owned())], behind(status.writer())),
                (
                    vec![("part", "indexer".to_owned())],
                    behind(status.indexer()),
                ),
            ],
        ),
    ]
}
