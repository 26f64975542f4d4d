//! `cargo xtask run --config FILE`: the node on this host, in the foreground or as a systemd service.

use std::{os::unix::process::CommandExt as _, path::Path, process::Stdio};

use anyhow::{Context as _, Result};

use super::{Arguments, build, install};
use crate::command::{must, words};

pub(super) fn run(config: &Path, arguments: &Arguments) -> Result<()> {
    let config = config
        .canonicalize()
        .with_context(|| format!("find {}", config.display()))?;
    let keyway = match &arguments.binary {
        Some(binary) => binary
            .canonicalize()
            .with_context(|| format!("find {}", binary.display()))?,
        None => build(&[("gateway", "keyway")], arguments.debug_build)?.join("keyway"),
    };
    let mut check = words([&keyway]);
    check.args(["check", "--config"]).arg(&config);
    if arguments.install {
        // What a start would meet is said by the service; one that runs already would only be in its own way.
        must(check.stdout(Stdio::null()))?;
        return install::install(&keyway, &config, arguments.yes);
    }
    must(&mut check)?;
    println!("starting the node; Ctrl-C drains and stops it");
    let error = words([&keyway])
        .args(["serve", "--config"])
        .arg(&config)
        .exec();
    Err(error).context("start the node")
}
