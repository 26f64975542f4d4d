//! What a changed configuration means for a node that runs.

use crate::{
    config::{Config, TimeoutsConfig},
    handoff::snapshot::Timeouts,
};

/// The provider side of the table of time limits; it travels in the snapshot, so it can change at run
/// time.
pub(super) fn provider_timeouts(timeouts: &TimeoutsConfig) -> Timeouts {
    Timeouts {
        connect: timeouts.connect,
        first_byte: timeouts.first_byte,
        idle: timeouts.idle,
        total: timeouts.total,
    }
}

/// `old` with what can change at run time taken from `new`.
pub(super) fn taken_over(old: &Config, new: &Config) -> Config {
    let mut kept = old.clone();
    let at_run_time = &new.timeouts;
    kept.timeouts.connect = at_run_time.connect;
    kept.timeouts.first_byte = at_run_time.first_byte;
    kept.timeouts.idle = at_run_time.idle;
    kept.timeouts.total = at_run_time.total;
    kept.timeouts.drain = at_run_time.drain;
    kept
}

/// The sections of `new` that differ from `old` in something that needs a restart.
pub(super) fn restart_sections(old: &Config, new: &Config) -> Vec<&'static str> {
    let old = taken_over(old, new);
    [
        ("endpoint", old.endpoint != new.endpoint),
        ("overlay", old.overlay != new.overlay),
        ("identity", old.identity != new.identity),
        ("admission", old.admission != new.admission),
        ("admin", old.admin != new.admin),
        ("telemetry", old.telemetry != new.telemetry),
        ("tracing", old.tracing != new.tracing),
        ("log", old.log != new.log),
        ("store", old.store != new.store),
        ("usage", old.usage != new.usage),
        ("access_log", old.access_log != new.access_log),
        ("catalog", old.catalog != new.catalog),
        ("secrets", old.secrets != new.secrets),
        ("workers", old.workers != new.workers),
        ("timeouts", old.timeouts != new.timeouts),
    ]
    .into_iter()
    .filter_map(|(section, differs)| differs.then_some(section))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("keyway.toml"), text, []).expect("the text is valid")
    }

    #[test]
    fn what_needs_a_restart() {
        let old = config("");
        for (text, sections) in [
            ("", &[][..]),
            (
                "[timeouts]\nconnect = \"4s\"\ntotal = \"1h\"\ndrain = \"5s\"",
                &[],
            ),
            ("[timeouts]\nkeep_alive = \"40s\"", &["timeouts"]),
            (
                "[endpoint]\nport = 8443\n[workers]\ncount = 1000",
                &["endpoint", "workers"],
            ),
        ] {
            let new = config(text);
            assert_eq!(restart_sections(&old, &new), sections, "{text:?}");
            // And it is said again, for as long as it holds.
            let kept = taken_over(&old, &new);
            assert_eq!(restart_sections(&kept, &new), sections, "{text:?}");
        }
    }
}
