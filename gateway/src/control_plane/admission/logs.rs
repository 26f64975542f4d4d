//! The programs' lines about drops (aya-log), as log lines of the node. How many there are is bounded where
//! they are written: per processor and second.

use std::{borrow::Cow, net::IpAddr};

use aya::Ebpf;
use aya_log::EbpfLogger;
use gateway_common::Reason;
use log::{Log, Metadata, Record};
use nix::net::if_::if_indextoname;
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
    task::JoinHandle,
};
use tracing::warn;

use super::problem::Problem;

/// Reads until it is dropped.
pub(super) struct DropLog(JoinHandle<()>);

impl DropLog {
    /// To be called within a tokio runtime.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Problem> {
        let lines = EbpfLogger::init_with_logger(ebpf, Lines)
            .map_err(|error| Problem::of("read the programs' log", &error))?;
        let handle =
            Handle::try_current().map_err(|error| Problem::of("read the programs' log", &error))?;
        let lines = {
            let _inside = handle.enter();
            // SAFETY: the reader owns its descriptor, and keeps it.
            unsafe { AsyncFd::register_with_interest(lines, Interest::READABLE) }
                .map_err(|error| Problem::of("wait for the programs' log", &error))?
        };
        Ok(Self(handle.spawn(read(lines))))
    }
}

impl Drop for DropLog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(mut lines: AsyncFd<EbpfLogger<Lines>>) {
    // An error means that the runtime is going down.
    while let Ok(mut ready) = lines.readable_mut().await {
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}

/// Hands aya-log's lines on, which speak in numbers.
struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args();
        let text = text
            .as_str()
            .map_or_else(|| text.to_string().into(), Cow::from);
        match Line::parse(&text) {
            Some(line) => warn!(
                reason = line.reason.name(),
                interface = name(line.interface).as_ref(),
                from = %line.from,
                to = %line.to,
                "dropped"
            ),
            // A program of another version.
            None => warn!(line = text.as_ref(), "dropped"),
        }
    }

    fn flush(&self) {}
}

/// A line of the programs: `dropped: reason N, interface I, from A to B`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    reason: Reason,
    interface: u32,
    from: IpAddr,
    to: IpAddr,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (reason, rest) = text
            .trim_end()
            .strip_prefix("dropped: reason ")?
            .split_once(", interface ")?;
        let (interface, rest) = rest.split_once(", from ")?;
        let (from, to) = rest.split_once(" to ")?;
        let address = |text: &str| Some(text.parse::<IpAddr>().ok()?.to_canonical());
        Some(Self {
            reason: *Reason::ALL.get(reason.parse::<usize>().ok()?)?,
            interface: interface.parse().ok()?,
            from: address(from)?,
            to: address(to)?,
        })
    }
}

fn name(interface: u32) -> Cow<'static, str> {
    match if_indextoname(interface) {
        Ok(name) => name.to_string_lossy().into_owned().into(),
        Err(_) => format!("#{interface}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let line = "dropped: reason 2, interface 7, from ::ffff:192.0.2.9 to fd00::1\n";
        let expected = Line {
            reason: Reason::ALL[2],
            interface: 7,
            from: IpAddr::from([192, 0, 2, 9]),
            to: IpAddr::V6("fd00::1".parse().expect("an address")),
        };
        assert_eq!(Line::parse(line), Some(expected));
        for other in [
            "",
            "dropped",
            "dropped: reason 99, interface 7, from ::1 to ::2",
            "dropped: reason 1, interface x, from ::1 to ::2",
            "dropped: reason 1, interface 7, from ::1",
        ] {
            assert_eq!(Line::parse(other), None, "{other:?}");
        }
    }
}
