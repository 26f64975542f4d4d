//! `cargo xtask openapi`: the committed description of the management API. A test of the node makes it from the
//! list of routes; without the variable it compares.

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, must};

const TEST: &str =
    "control_plane::api::openapi::tests::the_committed_document_is_the_one_that_is_served";
const WRITE: &str = "KEYWAY_WRITE_OPENAPI";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Compare only
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "gateway", "--lib", "--"])
        .args(["--exact", TEST])
        .env_remove(WRITE);
    if !arguments.check {
        test.env(WRITE, "1");
    }
    must(&mut test)
}
