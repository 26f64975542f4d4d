//! The customary `process_*` metrics, from the kernel. What cannot be read is left out.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use prometheus::proto::MetricFamily;

use super::family::{plain_counter, plain_gauge};

const BYTES_PER_KB: f64 = 1024.0;

pub(super) fn gather(started_at_seconds: f64) -> Vec<MetricFamily> {
    let mut families = vec![plain_gauge(
        "process_start_time_seconds",
        "When the process started.",
        started_at_seconds,
    )];
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let [user, system] = [usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
        families.push(plain_counter(
            "process_cpu_seconds_total",
            "CPU time spent, user and system.",
            user + system,
        ));
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        families.push(plain_gauge(
            "process_max_fds",
            "File descriptors this process may open.",
            soft as f64,
        ));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        families.push(plain_gauge(
            "process_open_fds",
            "Open file descriptors.",
            open.count() as f64,
        ));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (key, name, help, unit) in [
        (
            "VmRSS:",
            "process_resident_memory_bytes",
            "Resident memory.",
            BYTES_PER_KB,
        ),
        (
            "VmSize:",
            "process_virtual_memory_bytes",
            "Virtual memory.",
            BYTES_PER_KB,
        ),
        ("Threads:", "process_threads", "Threads.", 1.0),
    ] {
        if let Some(value) = field(&status, key) {
            families.push(plain_gauge(name, help, value * unit));
        }
    }
    families
}

/// The number in a line like `VmRSS:      1234 kB`.
fn field(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234.0));
        assert_eq!(field(status, "Threads:"), Some(7.0));
        assert_eq!(field(status, "VmSize:"), None);
    }

    #[test]
    fn all_of_them_are_there() {
        assert_eq!(gather(1.0).len(), 7);
    }
}
