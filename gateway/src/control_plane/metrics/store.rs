//! The store: what its writes take, and the room it has.

use prometheus::proto::MetricFamily;

use super::{
    family::{plain_counter, plain_gauge, seconds},
    tally::Tally,
};
use crate::{control_plane::store::StoreStatus, handoff::counters::SHORT_BOUNDS_US};

pub(super) fn gather(status: &StoreStatus) -> Vec<MetricFamily> {
    let mut families = vec![
        seconds(
            "keyway_store_fsync_seconds",
            "How long writes of the store took until they were on disk.",
            [(Vec::new(), Tally::of(&SHORT_BOUNDS_US, [&status.fsync]))],
        ),
        plain_counter(
            "keyway_store_write_failures_total",
            "Writes of the store that failed, or were refused for want of space.",
            status.failures.get() as f64,
        ),
        plain_gauge(
            "keyway_store_bytes",
            "What the store takes on disk.",
            status.bytes() as f64,
        ),
        plain_gauge(
            "keyway_store_free_bytes_min",
            "Below so much free space the store takes no writes.",
            status.free_bytes_min as f64,
        ),
    ];
    if let Some(free) = status.free_bytes() {
        families.push(plain_gauge(
            "keyway_store_free_bytes",
            "Free space where the store is.",
            free as f64,
        ));
    }
    families
}
