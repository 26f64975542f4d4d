//! Where log lines go: standard error, as text for people or JSON for collectors, with the priority that the
//! journal wants to see in front.

mod journal;
mod json;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt::format};

use self::{journal::Prefixed, json::JsonLines};
use crate::config::{LogConfig, LogFormat};

/// Directives such as `info` or `gateway::control_plane=debug`; over the configuration's.
const FILTER_VARIABLE: &str = "KEYWAY_LOG";

/// To be called once; a second call leaves the first one's choice.
pub(super) fn start(config: &LogConfig) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(&config.filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let journal = journal::is_standard_error();
    let started = match (config.format, journal) {
        (LogFormat::Json, false) => builder.event_format(JsonLines).try_init(),
        (LogFormat::Json, true) => builder.event_format(Prefixed(JsonLines)).try_init(),
        (LogFormat::Text, false) => builder.try_init(),
        // The journal has its own clock.
        (LogFormat::Text, true) => builder
            .event_format(Prefixed(format().without_time()))
            .try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(error, "logging was started before");
    }
}
