//! JavaScript clients, agents and gateways against a node, in an environment of their own made from a lock
//! file with hashes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{Count, Format, counted, node_binaries};
use crate::command::{must, root, words};

/// What npm makes the environment from.
const LISTS: [&str; 3] = ["package-lock.json", "package.json", ".npmrc"];

pub(super) fn run() -> Result<Count> {
    let tests = root().join("tests/npm");
    let directory = environment(&tests)?;
    // Modules are looked for beside the file that asks for them.
    for script in scripts(&directory)? {
        fs::remove_file(script)?;
    }
    let mut files = Vec::new();
    for script in scripts(&tests)? {
        let name = script.file_name().context("a file's name")?;
        fs::copy(&script, directory.join(name))?;
        if name.to_string_lossy().ends_with(".test.mjs") {
            files.push(name.to_owned());
        }
    }
    let binaries = node_binaries()?;
    // Debian's Node.js is older than what these packages want; npm has newer ones.
    let node = directory.join("node_modules/.bin/node");
    let mut runner = words([node]);
    runner
        .args(["--test", "--test-reporter=spec"])
        .args(files)
        .current_dir(&directory)
        .env("KEYWAY_SDK_NODE", binaries.join("sdk-node"))
        .env("KEYWAY_BIN", binaries.join("keyway"));
    counted(&mut runner, Format::NodeTest)
}

/// `target/npm`, made again when the lists change.
fn environment(tests: &Path) -> Result<PathBuf> {
    let directory = root().join("target/npm");
    // npm itself writes none of these.
    let is_made = LISTS.iter().all(|list| {
        let wanted = fs::read(tests.join(list)).ok();
        wanted.is_some() && wanted == fs::read(directory.join("made-from").join(list)).ok()
    });
    if is_made {
        return Ok(directory);
    }
    println!("making the npm environment");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(directory.join("made-from"))?;
    for list in LISTS {
        fs::copy(tests.join(list), directory.join(list))?;
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
        .current_dir(&directory),
    )?;
    for list in LISTS {
        fs::copy(tests.join(list), directory.join("made-from").join(list))?;
    }
    Ok(directory)
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
