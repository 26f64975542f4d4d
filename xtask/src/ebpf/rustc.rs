//! This program as the compiler that Cargo calls: symbols are named after crates, and not also after the
//! directories in which this workspace and the toolchain lie. Their names decide the order of functions, and so
//! bytes.

use std::{env, ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Error, Result};

/// Set where this program is called in the compiler's place.
const CALLED: &str = "KEYWAY_XTASK_IS_RUSTC";

/// Makes a build by `cargo` call this program.
pub(super) fn wrap(cargo: &mut Command) -> Result<&mut Command> {
    let this = env::current_exe().context("this program's path")?;
    Ok(cargo.env("RUSTC_WRAPPER", this).env(CALLED, "1"))
}

/// Whether Cargo calls.
pub(crate) fn is_called() -> bool {
    env::var_os(CALLED).is_some()
}

/// Goes on as the real compiler, which is the first argument; returns only why that failed.
pub(crate) fn become_rustc() -> Error {
    let mut arguments = env::args_os().skip(1);
    let Some(compiler) = arguments.next() else {
        return Error::msg("no compiler was named");
    };
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let error = Command::new(&compiler)
        .args(named(arguments.collect(), &version))
        .exec();
    Error::new(error).context(format!("run {}", compiler.display()))
}

/// The arguments with Cargo's hash of a crate replaced by its name and version.
fn named(mut arguments: Vec<OsString>, version: &str) -> Vec<OsString> {
    let name = (arguments.iter().position(|one| one == "--crate-name"))
        .and_then(|at| arguments.get(at + 1)?.to_str().map(str::to_owned));
    if let Some(name) = name {
        let hash = (arguments.iter_mut())
            .find(|one| one.to_str().is_some_and(|one| one.starts_with("metadata=")));
        if let Some(hash) = hash {
            *hash = format!("metadata={name}-{version}").into();
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_is_replaced() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let given = "--crate-name a src/lib.rs -C metadata=0f3 -C extra-filename=-0f3";
        let named_then = "--crate-name a src/lib.rs -C metadata=a-1.2 -C extra-filename=-0f3";
        assert_eq!(named(words(given), "1.2"), words(named_then));
        assert_eq!(named(words("-vV"), ""), words("-vV"));
    }
}
