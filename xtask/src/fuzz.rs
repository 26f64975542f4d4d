//! `cargo xtask fuzz TARGET`: cargo-fuzz on `tests/fuzz`. Ordinary tests replay the corpora; this
//! looks for more.

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, must, root};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A target; the list is printed without one
    target: Option<String>,
    /// Stop after so many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let directory = root().join("tests/fuzz");
    let Some(target) = &arguments.target else {
        let targets = std::fs::read_dir(directory.join("fuzz_targets"))
            .context("list tests/fuzz/fuzz_targets")?;
        for target in targets {
            let path = target?.path();
            println!("{}", path.file_stem().unwrap_or_default().to_string_lossy());
        }
        return Ok(());
    };
    let probe = cargo().args(["fuzz", "--version"]).output()?;
    if !probe.status.success() {
        bail!("cargo-fuzz is missing: cargo install --locked cargo-fuzz");
    }
    must(
        cargo()
            // Sanitizer flags are unstable; the pinned toolchain takes them this way.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--fuzz-dir"])
            .arg(&directory)
            .args([target, "--"])
            .arg(format!("-max_total_time={}", arguments.seconds)),
    )
}
