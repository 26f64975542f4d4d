//! The vendors' SDKs and schemathesis against a node, in Python environments of their own made from hash-pinned lists.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{Count, Format, counted, node_binaries};
use crate::command::{must, root, words};

pub(super) fn run() -> Result<Count> {
    let tests = root().join("tests/python");
    let sdk = environment("sdk", "python/requirements.txt")?;
    // LiteLLM pins an older openai than the one under test, so it lives beside it.
    let litellm = environment("litellm", "python/litellm.txt")?;
    let binaries = node_binaries()?;
    let mut pytest = words([sdk.join("bin/python")]);
    pytest
        .args([
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "--color=no",
        ])
        .arg(&tests)
        .current_dir(&tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // AWS's and Google's SDKs look for a cloud's metadata service, and some hosts have one.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_GCE_CHECK", "true")
        .env("KEYWAY_SDK_NODE", binaries.join("sdk-node"))
        .env("KEYWAY_BIN", binaries.join("keyway"))
        .env(
            "KEYWAY_WEBSOCKET_ECHO",
            binaries.join("examples/websocket_echo"),
        )
        .env("KEYWAY_LITELLM", litellm.join("bin/litellm"));
    counted(&mut pytest, Format::Pytest)
}

/// The management API, called as its OpenAPI document says and as it does not.
pub(super) fn api() -> Result<Count> {
    let tests = root().join("tests/schemathesis");
    let schemathesis = environment("schemathesis", "schemathesis/requirements.txt")?;
    let binaries = node_binaries()?;
    let mut pytest = words([schemathesis.join("bin/python")]);
    pytest
        .args(["-m", "pytest", "-q", "-rs", "--color=no"])
        .arg(&tests)
        .current_dir(&tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KEYWAY_BIN", binaries.join("keyway"))
        .env("KEYWAY_OPENAPI", root().join("gateway/openapi.json"));
    counted(&mut pytest, Format::Pytest)
}

/// A virtual environment under `target/`, made again when its list changes.
fn environment(name: &str, list: &str) -> Result<PathBuf> {
    let list = root().join("tests").join(list);
    let directory = root().join("target/python").join(name);
    let mark = directory.join("made-from.txt");
    let wanted = fs::read(&list).with_context(|| format!("read {}", list.display()))?;
    if fs::read(&mark).is_ok_and(|made| made == wanted) {
        return Ok(directory);
    }
    println!("making the Python environment {name}");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    must(words(["python3", "-m", "venv"]).arg(&directory))?;
    must(
        words([directory.join("bin/pip")])
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args([
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirement",
            ])
            .arg(&list),
    )?;
    fs::write(&mark, wanted)?;
    Ok(directory)
}
