//! `cargo xtask soak`: minutes of load with faults on a release build, and the log held against the
//! provider's own sums.

use anyhow::Result;

use crate::command::{cargo, must, release_node};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For the soak program; `-- --help` lists them
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let node = release_node()?;
    must(
        cargo()
            .env("KEYWAY_BIN", node)
            .args(["run", "--release", "--package", "gateway-tests"])
            .args(["--bin", "soak", "--"])
            .args(&arguments.arguments),
    )
}
