//! Where log lines go: standard error, as text for people or JSON for collectors.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Directives such as `info` or `gateway::control_plane=debug`.
const FILTER_VARIABLE: &str = "KEYWAY_LOG";

/// `json`, or text.
const FORMAT_VARIABLE: &str = "KEYWAY_LOG_FORMAT";

/// To be called once; a second call leaves the first one's choice.
pub(super) fn start() {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let json = std::env::var(FORMAT_VARIABLE).is_ok_and(|format| format == "json");
    // The journal has its own clock.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let started = match (json, journal) {
        (true, _) => builder.json().try_init(),
        (false, true) => builder.without_time().try_init(),
        (false, false) => builder.try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(error, "logging was started before");
    }
}
