//! systemd's journal: whether standard error leads there, and the priority in front of each line (`sd-daemon(3)`).

use std::{
    ffi::OsStr,
    fmt,
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
};

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Device and inode of the stream; children inherit the variable, whatever their standard error is.
const STREAM_VARIABLE: &str = "JOURNAL_STREAM";

pub(super) fn is_standard_error() -> bool {
    let stderr = io::stderr();
    let stream = std::env::var_os(STREAM_VARIABLE);
    match (stream, fstat(stderr.as_fd())) {
        (Some(stream), Ok(file)) => {
            !stderr.is_terminal()
                && *stream == *OsStr::new(&format!("{}:{}", file.st_dev, file.st_ino))
        }
        (None, _) | (_, Err(_)) => false,
    }
}

/// Lines of another format with the journal's priority in front, which the journal takes off again.
pub(super) struct Prefixed<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// As in `syslog(3)`.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}
