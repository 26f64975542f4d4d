//! JavaScript clients, agents and gateways against a node, in an environment of their own made from a lock
//! file with hashes.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{Count, Format, counted, node_binaries};
use crate::command::{must, root, words};

/// What npm makes the environment from.
const LISTS: [&str; 3] = ["package-lock.json", "package.json", ".npmrc"];

pub(super) fn run() -> Result<Count> {
    let environment = Environment::of("npm")?;
    let binaries = node_binaries()?;
    // Debian's Node.js is older than what these packages want; npm has newer ones.
    let node = environment.directory.join("node_modules/.bin/node");
    let mut runner = words([node]);
    runner
        .args(["--test", "--test-reporter=spec"])
        .args(&environment.tests)
        .current_dir(&environment.directory)
        .env("KEYWAY_SDK_NODE", binaries.join("sdk-node"))
        .env("KEYWAY_BIN", binaries.join("keyway"));
    counted(&mut runner, Format::NodeTest)
}

/// A directory with the packages of `tests/NAME` and its scripts.
pub(super) struct Environment {
    pub(super) directory: PathBuf,
    /// Files with tests.
    pub(super) tests: Vec<OsString>,
}

impl Environment {
    /// The one of `tests/NAME`, in `target`; made again when its lists change.
    ///
    /// # Errors
    /// When npm cannot make it.
    pub(super) fn of(name: &str) -> Result<Self> {
        let source = root().join("tests").join(name);
        let directory = root().join("target").join(format!("{name}-tests"));
        provide_packages(&source, &directory)?;
        // Modules are looked for beside the file that asks for them.
        for script in scripts(&directory)? {
            fs::remove_file(script)?;
        }
        let mut tests = Vec::new();
        for script in scripts(&source)? {
            let name = script.file_name().context("a file's name")?;
            fs::copy(&script, directory.join(name))?;
            if name.to_string_lossy().ends_with(".test.mjs") {
                tests.push(name.to_owned());
            }
        }
        Ok(Self { directory, tests })
    }
}

fn provide_packages(source: &Path, directory: &Path) -> Result<()> {
    // npm itself writes none of these.
    let is_made = LISTS.iter().all(|list| {
        let wanted = fs::read(source.join(list)).ok();
        wanted.is_some() && wanted == fs::read(directory.join("made-from").join(list)).ok()
    });
    if is_made {
        return Ok(());
    }
    println!("making {}", directory.display());
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory.join("made-from"))?;
    for list in LISTS {
        fs::copy(source.join(list), directory.join(list))?;
    }
    // Install scripts would fetch binaries past the lock file's hashes.
    must(
        words([
            "npm",
            "ci",
            "--ignore-scripts",
            "--no-progress",
            "--loglevel=error",
        ])
        .current_dir(directory),
    )?;
    for list in LISTS {
        fs::copy(source.join(list), directory.join("made-from").join(list))?;
    }
    Ok(())
}

fn scripts(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}
