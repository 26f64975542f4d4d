//! `cargo xtask run`: without a configuration the demo, with one the node on this host.

mod demo;
mod deploy;
mod install;
mod keeper;
mod kernel;
mod overlay;
mod portrait;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::command::cargo;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run the node on this host with this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: install it as a systemd service
    #[arg(long, requires = "config")]
    install: bool,
    /// Stop and remove an installed service; configuration and state stay
    #[arg(long, conflicts_with_all = ["config", "once", "loopback"])]
    uninstall: bool,
    /// With --uninstall: remove configuration, state and the service's user too
    #[arg(long, requires = "uninstall")]
    purge: bool,
    /// With --install or --uninstall: do not ask first
    #[arg(long)]
    yes: bool,
    /// With --config: this program, instead of building one
    #[arg(long, value_name = "FILE", requires = "config")]
    binary: Option<PathBuf>,
    /// End after the demo's request
    #[arg(long, conflicts_with = "config")]
    once: bool,
    /// Demo on loopback, even as root
    #[arg(long, conflicts_with = "config")]
    loopback: bool,
    /// Use a debug build, which builds faster and runs slower
    #[arg(long)]
    debug_build: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.uninstall {
        return install::uninstall(arguments.purge, arguments.yes);
    }
    match &arguments.config {
        Some(config) => deploy::run(config, arguments),
        None => demo::run(arguments),
    }
}

/// Builds binaries of the workspace, with cargo's own progress, and returns their directory.
pub(crate) fn build(packages: &[(&str, &str)], debug: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked"]);
    if !debug {
        command.arg("--release");
    }
    for (package, binary) in packages {
        command.args(["--package", package, "--bin", binary]);
    }
    let kind = if debug { "debug" } else { "release" };
    println!("building ({kind}; the first time takes some minutes)");
    crate::command::must(&mut command)?;
    let metadata = crate::command::read(
        cargo().args(["metadata", "--format-version", "1", "--no-deps"]),
        "",
    )?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str();
    let directory = PathBuf::from(target.context("cargo metadata")?).join(kind);
    for (_, binary) in packages {
        ensure!(directory.join(binary).is_file(), "cargo built no {binary}");
    }
    Ok(directory)
}
