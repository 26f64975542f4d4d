//! How a source does: for metrics, readiness and the management API.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::Denial;
use crate::config::IdentitySource;

/// One source outside the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// When what is known was asked for; `None`: nothing is.
    pub read_at: Option<Timestamp>,
    /// What is known is too old, or nothing is: its peers are not let in.
    pub stale: bool,
    /// Readings that came to something, and how many of them changed what is known.
    pub reads: u64,
    pub changes: u64,
    /// Readings that did not, by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// Why the last one did not; `None` when it did.
    pub failure: Option<String>,
    /// By why they are not let in; `None`: they are.
    pub peers: BTreeMap<Option<Denial>, usize>,
}

impl SourceStatus {
    /// How long ago what is known was asked for.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let age = now.duration_since(self.read_at?);
        Some(age.try_into().unwrap_or_default())
    }

    /// # Errors
    /// Why nobody is let in by this source.
    pub(super) fn readiness(&self, source: IdentitySource, now: Timestamp) -> Result<(), String> {
        if !self.stale {
            return Ok(());
        }
        let read = match self.age(now) {
            Some(age) => format!("was last read {} s ago", age.as_secs()),
            None => "was not read yet".to_owned(),
        };
        let failure = self.failure.as_ref();
        let failure = failure.map_or(String::new(), |failure| format!(": {failure}"));
        Err(format!("{} {read}{failure}", source_name(source)))
    }
}

/// As in the configuration.
pub fn source_name(source: IdentitySource) -> &'static str {
    match source {
        IdentitySource::Static => "static",
        IdentitySource::Netbird => "netbird",
        IdentitySource::Wireguard => "wireguard",
    }
}
