//! What builds the object: the pinned Rust with its library's source, and bpf-linker on Debian's LLVM.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    apt,
    command::{cargo, must, read, root, words},
};

/// Pinned, so that a new release changes no bytes.
const BPF_LINKER_VERSION: &str = "0.13.0";
/// The LLVM release that rustc 1.95 brings; bpf-linker reads rustc's bitcode with the same one.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const LLVM_FEATURE: &str = "llvm-22";
const LLVM_PACKAGES: &[&str] = &["llvm-22-dev", "libpolly-22-dev"];

/// Ready to build with.
pub(super) struct Tools {
    pub(super) linker: PathBuf,
    pub(super) sysroot: PathBuf,
    /// One line that names everything bytes depend on.
    pub(super) versions: String,
    rust: Rust,
}

/// Which Rust builds the object.
pub(super) enum Rust {
    /// Of `rust-toolchain.toml`.
    Pinned,
    /// Of this name, which rustup knows.
    Other(String),
}

/// Installs what is missing, but no other Rust than the pinned one.
pub(super) fn provide(rust: Rust) -> Result<Tools> {
    let version = read(rust.command("rustc").arg("--version"), "")?;
    let sysroot = read(rust.command("rustc").args(["--print", "sysroot"]), "")?;
    // rustup's toolchains may be links; paths in the object are the real ones.
    let sysroot = fs::canonicalize(sysroot.trim()).context("rustc's sysroot")?;
    library_source(&rust, &sysroot)?;
    let linker = linker()?;
    let llvm = read(words([llvm_config()]).arg("--version"), "")?;
    let versions = format!(
        "{}, bpf-linker {BPF_LINKER_VERSION}, LLVM {}",
        version.trim(),
        llvm.trim()
    );
    Ok(Tools {
        linker,
        sysroot,
        versions,
        rust,
    })
}

impl Tools {
    /// Cargo of that Rust.
    pub(super) fn cargo(&self) -> Command {
        match self.rust {
            Rust::Pinned => cargo(),
            Rust::Other(_) => self.rust.command("cargo"),
        }
    }
}

impl Rust {
    fn command(&self, program: &str) -> Command {
        let mut command = match self {
            Self::Pinned => words([program]),
            Self::Other(name) => words(["rustup", "run", name, program]),
        };
        command.current_dir(root());
        if let Self::Other(_) = self {
            // Cargo says here which ones run us.
            command.env_remove("CARGO").env_remove("RUSTC");
        }
        command
    }
}

/// `core` has to be built for the kernel's target.
fn library_source(rust: &Rust, sysroot: &Path) -> Result<()> {
    let source = sysroot.join("lib/rustlib/src/rust/library/core");
    if !source.is_dir() && matches!(rust, Rust::Pinned) {
        must(words(["rustup", "component", "add", "rust-src"]).current_dir(root()))?;
    }
    ensure!(source.is_dir(), "no rust-src in {}", sysroot.display());
    Ok(())
}

/// bpf-linker in `target/tools`. With it stands a mark of the LLVM it was built for, as the program needs
/// that library when it runs.
fn linker() -> Result<PathBuf> {
    let tools = root().join("target/tools");
    let program = tools.join("bin/bpf-linker");
    if !llvm_config().is_file() {
        apt::install(LLVM_PACKAGES)?;
    }
    let version = words([&program]).arg("--version").output();
    let is_there = version.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .ends_with(BPF_LINKER_VERSION)
    });
    if is_there {
        return Ok(program);
    }
    must(
        cargo()
            .env("LLVM_PREFIX", LLVM_PREFIX)
            .args(["install", "--locked", "--version", BPF_LINKER_VERSION])
            .args(["--no-default-features", "--features", LLVM_FEATURE])
            .arg("--root")
            .arg(&tools)
            .arg("bpf-linker"),
    )?;
    if !program.is_file() {
        bail!("cargo install left no {}", program.display());
    }
    Ok(program)
}

fn llvm_config() -> PathBuf {
    Path::new(LLVM_PREFIX).join("bin/llvm-config")
}
