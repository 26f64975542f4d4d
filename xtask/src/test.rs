//! `cargo xtask test`: every test, counted. The last line is `N passed, N failed, N skipped`; before it
//! stands the reason of each skip.

mod count;
mod dashboard;
mod demo;
mod npm;
mod python;
mod systemd;

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt,
    command::{cargo, must, read},
};
pub(crate) use count::Count;
use count::Format;

/// Skips that CI accepts, by a part of their line.
const EXPECTED_SKIPS: &[&str] = &[
    // Figures for a release build on a quiet machine, not judgements.
    ", a measurement",
    // As root it is never skipped.
    ", needs root to load programs",
    // Bodies of processes that other tests start and kill.
    ", run by another test, as its child",
    ", runs as a child of ",
    // Devices, mounts and other processes' memory are root's; an ordinary user's CI is welcome too.
    ", needs root privileges",
    ", reading /proc/PID/mem: ",
    // Debian's, which an ordinary user may lack.
    ", needs Debian's package prometheus",
    // Containers may withhold it, and kernels may be built without.
    ", needs the right to make namespaces",
    ", needs a loop device with ext4",
    ", needs /dev/net/tun",
];

/// Runs some of the tests.
type Group = fn() -> Result<Count>;

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Only these groups: rust, kernel, node, api, sdk, npm, dashboard, demo, systemd
    groups: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let groups: [(&str, Group); 9] = [
        ("rust", rust),
        ("kernel", kernel),
        ("node", node),
        ("api", python::api),
        ("sdk", python::run),
        ("npm", npm::run),
        ("dashboard", dashboard::run),
        ("demo", demo::run),
        ("systemd", systemd::run),
    ];
    if let Some(unknown) = arguments
        .groups
        .iter()
        .find(|name| !groups.iter().any(|(group, _)| group == name))
    {
        bail!("no group {unknown}: rust, kernel, node, api, sdk, npm, dashboard, demo, systemd");
    }
    apt::provide(apt::FOR_TESTS)?;
    let mut total = Count::default();
    let mut times = Vec::new();
    for (name, group) in groups {
        if !arguments.groups.is_empty() && !arguments.groups.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("== {name}");
        let started = Instant::now();
        total.add(group().with_context(|| format!("group {name}"))?);
        times.push(format!("{name} {:.0?}", started.elapsed()));
    }
    println!("== times: {}", times.join(", "));
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let unexpected = total.skips.iter().filter(|skip| {
        !EXPECTED_SKIPS
            .iter()
            .any(|expected| skip.contains(expected))
    });
    let unexpected = unexpected.count() as u64;
    for skip in &total.skips {
        println!("skipped: {skip}");
    }
    if in_ci && unexpected > 0 {
        println!("{unexpected} skips that CI does not expect count as failed");
        total.failed += unexpected;
        total.skipped -= unexpected;
    }
    println!("{total}");
    match (total.failed, total.passed()) {
        (0, 1..) => Ok(()),
        (0, 0) => bail!("no test ran"),
        _ => bail!("tests failed"),
    }
}

/// Everything beside the code, and the automations' own tests.
fn rust() -> Result<Count> {
    counted(
        cargo().args(["test", "--locked", "--no-fail-fast"]).args([
            "--package",
            "gateway",
            "--package",
            "gateway-common",
            "--package",
            "gateway-benches",
            "--package",
            "xtask",
        ]),
        Format::Cargo,
    )
}

/// The kernel's programs, run by the kernel on packets of ours.
fn kernel() -> Result<Count> {
    if !nix::unistd::geteuid().is_root() {
        let mut count = counted(kernel_tests().args(["--", "host_alone"]), Format::Cargo)?;
        count.skip("kernel, needs root to load programs");
        return Ok(count);
    }
    counted(&mut kernel_tests(), Format::Cargo)
}

/// Needs root; `KEYWAY_BPF_OBJECT` names another object than the one in the tree.
pub(crate) fn kernel_tests() -> Command {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast"]).args([
        "--package",
        "gateway-tests",
        "--test",
        "kernel",
    ]);
    command
}

/// Whole nodes on real sockets. Each test starts its own, so few run at once.
fn node() -> Result<Count> {
    must(cargo().args(["build", "--locked", "--package", "gateway"]))?;
    counted(
        cargo()
            .args([
                "test",
                "--locked",
                "--no-fail-fast",
                "--package",
                "gateway-tests",
                "--lib",
                "--bins",
                "--test",
                "all",
            ])
            .args(["--", "--test-threads", "4"]),
        Format::Cargo,
    )
}

/// Builds the node and what serves tests in other languages, and says where they are.
fn node_binaries() -> Result<PathBuf> {
    must(cargo().args([
        "build",
        "--locked",
        "--package",
        "gateway",
        "--package",
        "gateway-tests",
        "--bins",
        "--example",
        "websocket_echo",
    ]))?;
    let metadata = read(
        cargo().args(["metadata", "--format-version", "1", "--no-deps"]),
        "",
    )?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str();
    Ok(PathBuf::from(target.context("cargo metadata")?).join("debug"))
}

/// Runs a test program, shows its output, and counts. One that fails without a failed test (it did not
/// build) counts as one failure.
fn counted(command: &mut Command, format: Format) -> Result<Count> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        count.read_line(format, &line);
    }
    if !child.wait()?.success() && count.failed == 0 {
        count.failed = 1;
    }
    Ok(count)
}
