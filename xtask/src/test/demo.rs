//! The demo, as a newcomer runs it: once on the best overlay there is, once without privileges, and ended
//! early. None may leave anything behind.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, geteuid},
};

use super::Count;

/// A line that it prints, or the part of one.
type Line = &'static str;

const OVERLAY_STEP: Line = "• make the demo overlay";
const LOGIN_LINK: Line = "/login#code=";
const LAST_LINE: Line = "Ctrl-C ends the demo";
/// What only privileges bring.
const IN_FRONT: &[Line] = &[
    "as nobody, without any capability",
    "kernel admission: in front on",
    "from the agent",
    "to the agent",
    "not through the overlay, to 198.",
    ": no answer",
    "packets that the kernel dropped on",
];
const ALONE: &[Line] = &["kernel admission: off", "no kernel program is in front"];

struct Demo {
    arguments: &'static [&'static str],
    /// Has to be printed.
    expected: &'static [Line],
    /// Ctrl-C is pressed when it prints this.
    ended_at: Option<Line>,
}

pub(super) fn run() -> Result<Count> {
    let best = if geteuid().is_root() { IN_FRONT } else { ALONE };
    let demos = [
        Demo {
            arguments: &["--once"],
            expected: best,
            ended_at: None,
        },
        Demo {
            arguments: &["--once", "--loopback"],
            expected: ALONE,
            ended_at: None,
        },
        Demo {
            arguments: &[],
            expected: &[LOGIN_LINK],
            ended_at: Some(LAST_LINE),
        },
        Demo {
            arguments: &[],
            expected: &[],
            ended_at: Some(OVERLAY_STEP),
        },
    ];
    let mut count = Count::default();
    for demo in demos {
        match show(&demo) {
            Ok(()) => count.passed += 1,
            Err(error) => {
                println!("demo {:?}: {error:#}", demo.arguments);
                count.failed += 1;
            }
        }
    }
    Ok(count)
}

fn show(demo: &Demo) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["run", "--debug-build"])
        .args(demo.arguments)
        .stdout(Stdio::piped())
        // As at a terminal, where Ctrl-C reaches all of them.
        .process_group(0)
        .spawn()?;
    let id = child.id();
    let output = child.stdout.take().context("its output")?;
    let mut printed = String::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if demo.ended_at.is_some_and(|end| line.starts_with(end)) {
            killpg(Pid::from_raw(id.cast_signed()), Signal::SIGINT)?;
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = child.wait()?;
    let left = left_behind(id)?;
    ensure!(left.is_empty(), "it left behind: {}", left.join(", "));
    // One that is ended on its way says so by its status.
    if demo.ended_at != Some(OVERLAY_STEP) {
        ensure!(status.success(), "{status}");
    }
    for line in demo.expected {
        ensure!(printed.contains(line), "it did not print: {line}");
    }
    Ok(())
}

/// Namespaces, devices, directories and processes of the demo with this process id.
fn left_behind(id: u32) -> Result<Vec<String>> {
    let name = format!("keyway-demo-{id}");
    let mut left = Vec::new();
    let mut look = |place: &Path, is_its: &dyn Fn(&str) -> bool| {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let found = entry.file_name().to_string_lossy().into_owned();
            if is_its(&found) {
                left.push(place.join(found).display().to_string());
            }
        }
    };
    look(Path::new("/run/netns"), &|found| found.starts_with(&name));
    look(Path::new("/sys/class/net"), &|found| {
        found.starts_with("kw") && found.get(3..) == Some(&id.to_string())
    });
    look(&std::env::temp_dir(), &|found| found == name);
    let mounts = fs::read_to_string("/proc/mounts")?;
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&name))
            .map(str::to_owned),
    );
    for entry in fs::read_dir("/proc")? {
        let words = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&name) || words.contains(&format!("-f kwt{id}")) {
            left.push(format!("process {words}"));
        }
    }
    Ok(left)
}
