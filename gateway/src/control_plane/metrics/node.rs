//! The node itself: version, revisions, configuration, certificate, readiness.

use prometheus::proto::MetricFamily;

use super::family::{gauge, plain_gauge};
use crate::control_plane::{snapshot::SnapshotReport, telemetry::ReadyReport};

pub(super) fn build(workers: usize) -> Vec<MetricFamily> {
    vec![
        gauge(
            "keyway_build_info",
            "Always 1; the label says which version runs.",
            vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
        ),
        plain_gauge(
            "keyway_workers",
            "Data-plane worker threads.",
            workers as f64,
        ),
    ]
}

/// When the configuration was last read, and what came of it.
pub(super) fn reload(succeeded_at: i64, is_ok: bool) -> Vec<MetricFamily> {
    vec![
        plain_gauge(
            "keyway_config_last_reload_successful",
            "1 when the configuration in use is the one that was last read; 0 when that one had mistakes.",
            f64::from(u8::from(is_ok)),
        ),
        plain_gauge(
            "keyway_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was read.",
            succeeded_at as f64,
        ),
    ]
}

pub(super) fn ready(report: &ReadyReport) -> MetricFamily {
    let samples = report.parts.iter().map(|part| {
        let labels = vec![("part", part.name.to_owned())];
        (labels, f64::from(u8::from(part.ready)))
    });
    gauge(
        "keyway_ready",
        "1 when a part of the node can do its job, as /readyz says.",
        samples.collect(),
    )
}

pub(super) fn snapshot(report: &SnapshotReport) -> Vec<MetricFamily> {
    let mut families = vec![
        plain_gauge(
            "keyway_config_revision",
            "Revision of the snapshot that workers serve from.",
            report.snapshot.revision as f64,
        ),
        plain_gauge(
            "keyway_store_revision",
            "Revision of the store.",
            report.store_revision as f64,
        ),
        plain_gauge(
            "keyway_skipped_documents",
            "Stored documents that the workers' snapshot leaves out because something is wrong with them.",
            report.skipped.len() as f64,
        ),
    ];
    if let Some(expires_at) = report.certificate_expires_at {
        families.push(plain_gauge(
            "keyway_certificate_expiry_timestamp_seconds",
            "When the endpoint's certificate expires.",
            expires_at.as_second() as f64,
        ));
    }
    families
}
