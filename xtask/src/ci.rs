//! `cargo xtask ci`: what CI runs, and what to run before pushing. Cheap checks come first.

use std::time::Instant;

use anyhow::Result;

use crate::{
    apt,
    command::{cargo, must, root, words},
    dashboard, ebpf, test, tidy, tool,
};

/// Pinned, so that a new release changes nothing by itself.
const CARGO_DENY: tool::Tool = tool::Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

pub(crate) fn run() -> Result<()> {
    apt::provide(apt::FOR_TESTS)?;
    step("formatting", || {
        must(cargo().args(["fmt", "--all", "--check"]))
    })?;
    step("tidy", tidy::run)?;
    step("lints", || {
        must(
            cargo()
                .args(["clippy", "--workspace", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"]),
        )
    })?;
    step("dependencies", deny)?;
    step("service units", units)?;
    step("kernel programs", || ebpf::check(None))?;
    step("dashboard", dashboard::check)?;
    test::run(&test::Arguments::default())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let started = Instant::now();
    work()?;
    println!("== {name}: {:.0?}", started.elapsed());
    Ok(())
}

/// Each unit's greatest exposure, in tenths: systemd scores from 0 to 10.
const EXPOSURE: [(&str, u32); 2] = [
    ("keyway.service", 20),
    // Runs as root.
    ("keyway-admission.service", 22),
];

fn units() -> Result<()> {
    for (unit, exposure) in EXPOSURE {
        let mut command = words(["systemd-analyze", "security", "--offline=true"]);
        command.arg(format!("--threshold={exposure}"));
        command.arg(root().join("config/systemd").join(unit));
        must(command.stdout(std::process::Stdio::null()))?;
    }
    Ok(())
}

/// Bans, licences and sources. Advisories need a database from the network: `cargo deny check
/// advisories` where it can be had.
fn deny() -> Result<()> {
    must(
        words([CARGO_DENY.provide()?])
            .current_dir(root())
            .args(["--locked", "check"])
            .args(["bans", "licenses", "sources"]),
    )
}
