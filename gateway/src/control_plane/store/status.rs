//! `StoreStatus`: what the store's writes take, for the metrics.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::sled::free_bytes;
use crate::handoff::counters::{Counter, Histogram, SHORT_BOUNDS_US, ShortHistogram};

/// Counts since the process began. Changed under the engine's lock alone, which makes it the only writer.
#[derive(Debug)]
pub struct StoreStatus {
    /// From a write handed to the engine until it is on disk.
    pub fsync: ShortHistogram,
    /// Writes refused for want of space, or failed.
    pub failures: Counter,
    bytes: AtomicU64,
    /// Writes are refused below so much free space.
    pub free_bytes_min: u64,
    path: PathBuf,
}

impl StoreStatus {
    pub(super) fn new(path: PathBuf, free_bytes_min: u64) -> Self {
        Self {
            fsync: Histogram::new(&SHORT_BOUNDS_US),
            failures: Counter::default(),
            bytes: AtomicU64::new(0),
            free_bytes_min,
            path,
        }
    }

    pub(super) fn flushed(&self, took: Duration) {
        self.fsync.observe(took.as_micros() as u64);
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Size on disk after the last write.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Free space where it is; `None` when the file system does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.path).ok()
    }
}
