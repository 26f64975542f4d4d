//! Building the object, so that the same source gives the same bytes wherever it lies.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{rustc, tools::Tools};
use crate::command::{must, read, root, words};

const TARGET: &str = "bpfel-unknown-none";
/// Between flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";
/// What the object is made of.
const SOURCES: &[&str] = &["gateway-common", "gateway-ebpf"];

/// Builds the workspace at `source` and returns the object.
pub(super) fn build(tools: &Tools, source: &Path, target: &Path) -> Result<Vec<u8>> {
    must(
        rustc::wrap(&mut tools.cargo())?
            .current_dir(source.join("gateway-ebpf"))
            .args(["build", "--release", "--locked", "--target", TARGET])
            // The pinned version is what the workspace asks for; another one is here on purpose.
            .arg("--ignore-rust-version")
            .args(["-Z", "build-std=core", "--target-dir"])
            .arg(target)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(tools, source)?)
            // For building `core`, and for atomic additions in the programs.
            .env("RUSTC_BOOTSTRAP", "1")
            // Only programs that read registers depend on it; aya would take the building machine's.
            .env("AYA_BPF_TARGET_ARCH", "x86_64")
            .env_remove("RUSTFLAGS"),
    )?;
    let object = target.join(TARGET).join("release/keyway");
    fs::read(&object).with_context(|| format!("read {}", object.display()))
}

/// Copies the sources into `directory`, with a workspace around them as Cargo asks for one.
pub(super) fn copy_source(directory: &Path) -> Result<PathBuf> {
    let source = directory.join("source");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    let listed = read(
        words([
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
        ])
        .args(SOURCES)
        .args(["rust-toolchain.toml"])
        .current_dir(root()),
        "",
    )?;
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let copy = source.join(path);
        fs::create_dir_all(copy.parent().context("a file in a folder")?)?;
        fs::copy(root().join(path), copy).with_context(|| format!("copy {path}"))?;
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml"))?;
    fs::write(source.join("Cargo.toml"), reduced(&workspace))?;
    Ok(source)
}

/// The workspace's manifest with the shared crate as its only member.
fn reduced(manifest: &str) -> String {
    let mut kept = String::new();
    for line in manifest.lines() {
        match line.split_once(" = ").map(|(key, _)| key) {
            Some("members") => kept.push_str("members = [\"gateway-common\"]"),
            Some("default-members") => {}
            _ => kept.push_str(line),
        }
        kept.push('\n');
    }
    kept
}

fn flags(tools: &Tools, source: &Path) -> Result<OsString> {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || Ok(PathBuf::from(std::env::var_os("HOME").context("HOME")?).join(".cargo")),
        |home| anyhow::Ok(PathBuf::from(home)),
    )?;
    let mut flags = OsString::from("-Clinker=");
    flags.push(&tools.linker);
    let library = tools.sysroot.join("lib/rustlib/src/rust");
    for (from, to) in [
        (source, "/keyway"),
        (&library, "/rust"),
        (&home.join("registry/src"), "/registry"),
    ] {
        flags.push(SEPARATOR);
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    for flag in [
        // Linux 5.12 and later.
        "-Ctarget-cpu=v3",
        // A packet's words lie where they lie: without this they are read byte by byte. The verifier
        // lets it pass on processors that can (x86-64, arm64).
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    ] {
        flags.push(SEPARATOR);
        flags.push(flag);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reduced_workspace_has_one_member() {
        let manifest =
            "[workspace]\nmembers = [\"a\", \"b\"]\ndefault-members = [\"a\"]\n[x]\ny = 1\n";
        assert_eq!(
            reduced(manifest),
            "[workspace]\nmembers = [\"gateway-common\"]\n\n[x]\ny = 1\n"
        );
    }
}
