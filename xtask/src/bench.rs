//! `cargo xtask bench`: builds the benches in release and hands the arguments on.

use anyhow::Result;

use crate::{
    apt,
    command::{cargo, must, release_node},
};

/// Arguments that begin benches without a node: of the kernel's programs, and of decisions.
const KERNEL: &str = "kernel";
const DECISIONS: &str = "decisions";
/// Queries on a year of ten million records, which are a test of the node's own code.
const USAGE: &str = "usage";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For the bench program; `-- --help` lists them
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.arguments.first().map(String::as_str) {
        Some(KERNEL) => apt::provide(apt::FOR_KERNEL_BENCH)?,
        Some(DECISIONS) => {}
        Some(USAGE) => return usage(),
        _ => drop(release_node()?),
    }
    must(
        cargo()
            .args(["run", "--release", "--package", "gateway-benches", "--"])
            .args(&arguments.arguments),
    )
}

fn usage() -> Result<()> {
    must(
        cargo()
            .args(["test", "--release", "--package", "gateway", "--lib"])
            .args(["usage::tests::year", "--", "--ignored", "--nocapture"]),
    )
}
