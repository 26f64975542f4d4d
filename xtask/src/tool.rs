//! Cargo's own tools, of pinned versions, kept in `target/tools`.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::Result;

use crate::command::{cargo, must, root, words};

/// A tool from crates.io.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Installs it unless this version is there; returns its program.
    ///
    /// # Errors
    /// When it cannot be installed.
    pub(crate) fn provide(&self) -> Result<PathBuf> {
        let program = directory().join("bin").join(self.name);
        if !self.is_version(&program) {
            must(
                cargo()
                    .args(["install", "--locked", "--version", self.version, "--root"])
                    .arg(directory())
                    .arg(self.name),
            )?;
        }
        Ok(program)
    }

    fn is_version(&self, program: &PathBuf) -> bool {
        let output = words([program]).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(self.version))
    }
}

/// `PATH` with the tools in front, for `cargo NAME`.
///
/// # Errors
/// When a directory in it cannot be named there.
pub(crate) fn path() -> Result<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(directory().join("bin")).chain(env::split_paths(&rest));
    Ok(env::join_paths(directories)?)
}

fn directory() -> PathBuf {
    root().join("target/tools")
}
