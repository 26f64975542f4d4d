//! The dashboard in Debian's Chromium, against a real node: what is embedded in it is what is tested.

use anyhow::Result;

use super::{Count, Format, counted, node_binaries, npm};
use crate::{
    command::{root, words},
    dashboard,
};

pub(super) fn run() -> Result<Count> {
    let environment = npm::Environment::of("dashboard")?;
    let source = dashboard::provide()?;
    let binaries = node_binaries()?;
    let mut runner = words(["node", "--test", "--test-reporter=spec"]);
    runner
        .args(&environment.tests)
        .current_dir(&environment.directory)
        .env("KEYWAY_DASHBOARD", source)
        .env("KEYWAY_DASHBOARD_NODE", binaries.join("dashboard-node"))
        .env("KEYWAY_BIN", binaries.join("keyway"))
        .env("KEYWAY_SHOTS", root().join("target/dashboard-shots"));
    counted(&mut runner, Format::NodeTest)
}
