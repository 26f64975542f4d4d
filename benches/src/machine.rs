//! Where figures come from: they mean little without it.

use std::{fs, process::Command};

use serde::Serialize;

use crate::placement;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) compiler: String,
    /// Runnable tasks when the bench began, averaged over a minute: a neighbour makes figures noisy.
    pub(crate) load_average: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processor = value(&file("/proc/cpuinfo"), "model name", ':');
        let system = value(&file("/etc/os-release"), "PRETTY_NAME", '=');
        let load_average = file("/proc/loadavg");
        Self {
            date: output("date", &["--utc", "+%Y-%m-%d"]),
            processor,
            cores: placement::cores().unwrap_or_default(),
            kernel: output("uname", &["-sr"]),
            system: system.trim_matches('"').to_owned(),
            compiler: output("rustc", &["--version"]),
            load_average: load_average
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// The value of the first line `key … separator value`; empty when there is none.
fn value(text: &str, key: &str, separator: char) -> String {
    text.lines()
        .find(|line| line.starts_with(key))
        .and_then(|line| line.split_once(separator))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}
