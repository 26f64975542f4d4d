//! Sources of peers outside the store.

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::{Sample, counter, gauge};
use crate::{
    config::IdentitySource,
    control_plane::identity::{Denial, SourceStatus, source_name},
};

/// Label of peers that are let in.
const LET_IN: &str = "let_in";

/// Nothing where the store is the only source.
pub(super) fn gather(
    statuses: &[(IdentitySource, SourceStatus)],
    now: Timestamp,
) -> Vec<MetricFamily> {
    let each = |value: &dyn Fn(&SourceStatus) -> f64| -> Vec<Sample> {
        let one = |(source, status): &(IdentitySource, SourceStatus)| {
            (vec![label(*source)], value(status))
        };
        statuses.iter().map(one).collect()
    };
    let peers = statuses.iter().flat_map(|(source, status)| {
        let peers = status.peers.iter();
        peers.map(|(denial, count)| {
            let state = denial.map_or(LET_IN, Denial::code);
            let labels = vec![label(*source), ("state", state.to_owned())];
            (labels, *count as f64)
        })
    });
    let failures = statuses.iter().flat_map(|(source, status)| {
        let failures = status.failures.iter();
        failures.map(|(reason, count)| {
            let labels = vec![label(*source), ("reason", (*reason).to_owned())];
            (labels, *count as f64)
        })
    });
    let families = vec![
        gauge(
            "keyway_identity_last_success_timestamp_seconds",
            "When what is known of a source's peers was asked for; 0: nothing is known.",
            each(&|status| status.read_at.map_or(0.0, |at| at.as_second() as f64)),
        ),
        gauge(
            "keyway_identity_age_seconds",
            "Age of what is known of a source's peers; infinite: nothing is known.",
            each(&|status| {
                status
                    .age(now)
                    .map_or(f64::INFINITY, |age| age.as_secs_f64())
            }),
        ),
        gauge(
            "keyway_identity_stale",
            "1 while a source's peers are not let in because it was not read for too long, or never.",
            each(&|status| f64::from(u8::from(status.stale))),
        ),
        counter(
            "keyway_identity_reads_total",
            "Readings of a source that came to something.",
            each(&|status| status.reads as f64),
        ),
        counter(
            "keyway_identity_changes_total",
            "Readings of a source that changed what is known.",
            each(&|status| status.changes as f64),
        ),
        counter(
            "keyway_identity_failures_total",
            "Readings of a source that failed, by reason.",
            failures.collect(),
        ),
        gauge(
            "keyway_identity_peers",
            "Peers of a source, by whether and why they are not let in.",
            peers.collect(),
        ),
    ];
    // One without samples cannot be encoded.
    let has_samples = |family: &MetricFamily| !family.get_metric().is_empty();
    families.into_iter().filter(has_samples).collect()
}

fn label(source: IdentitySource) -> (&'static str, String) {
    ("source", source_name(source).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn a_source_tells_its_age_its_peers_and_its_failures() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let status = SourceStatus {
            read_at: Some(at(1_000)),
            reads: 7,
            failures: BTreeMap::from([("timeout", 2)]),
            peers: BTreeMap::from([(None, 40), (Some(Denial::OwnerBlocked), 3)]),
            ..SourceStatus::default()
        };
        let families = gather(&[(IdentitySource::Netbird, status)], at(1_090));
        let text = TextEncoder::new()
            .encode_to_string(&families)
            .expect("it can be encoded");
        for line in [
            "keyway_identity_last_success_timestamp_seconds{source=\"netbird\"} 1000",
            "keyway_identity_age_seconds{source=\"netbird\"} 90",
            "keyway_identity_stale{source=\"netbird\"} 0",
            "keyway_identity_reads_total{source=\"netbird\"} 7",
            "keyway_identity_failures_total{reason=\"timeout\",source=\"netbird\"} 2",
            "keyway_identity_peers{source=\"netbird\",state=\"let_in\"} 40",
            "keyway_identity_peers{source=\"netbird\",state=\"owner_blocked\"} 3",
        ] {
            let stripped: Vec<_> = text.lines().map(sorted).collect();
            assert!(stripped.contains(&sorted(line)), "{line} not in\n{text}");
        }
        assert!(gather(&[], at(0)).is_empty());
        let unread = gather(&[(IdentitySource::Netbird, SourceStatus::default())], at(0));
        assert_eq!(unread.len(), 5, "nothing to count yet");
    }

    /// The order of labels says nothing.
    fn sorted(line: &str) -> Vec<&str> {
        let mut parts: Vec<_> = line.split(['{', '}', ',']).collect();
        parts.sort_unstable();
        parts
    }
}
