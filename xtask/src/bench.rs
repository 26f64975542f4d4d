//! `cargo xtask bench`: builds the benches in release and hands the arguments on.

use anyhow::Result;

use crate::command::{cargo, must};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For the bench program; `-- --help` lists them
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    must(cargo().args([
        "build",
        "--release",
        "--package",
        "gateway",
        "--bin",
        "keyway",
    ]))?;
    must(
        cargo()
            .args(["run", "--release", "--package", "gateway-benches", "--"])
            .args(&arguments.arguments),
    )
}
