//! `cargo xtask fuzz`: cargo-fuzz on `tests/fuzz`, every target for a while. Ordinary tests replay the
//! corpora; this looks for more.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{cargo, must, root},
    tool,
};

/// Pinned, so that a new release changes nothing by itself.
const CARGO_FUZZ: tool::Tool = tool::Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these targets, the files of `tests/fuzz/fuzz_targets`
    targets: Vec<String>,
    /// Stop each target after so many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = targets()?;
    if let Some(unknown) = arguments.targets.iter().find(|name| !all.contains(name)) {
        bail!("no target {unknown}: {}", all.join(", "));
    }
    let wanted = match arguments.targets.is_empty() {
        true => &all,
        false => &arguments.targets,
    };
    CARGO_FUZZ.provide()?;
    let directory = root().join("tests/fuzz");
    for target in wanted {
        println!("== {target}");
        // New inputs go here: what is committed is chosen by hand.
        let found = directory.join("target/found").join(target);
        fs::create_dir_all(&found)?;
        must(
            cargo()
                // Sanitizer flags are unstable; the pinned toolchain takes them this way.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("PATH", tool::path()?)
                .args(["fuzz", "run", "--fuzz-dir"])
                .arg(&directory)
                .arg(target)
                .args([&found, &directory.join("corpus").join(target)])
                .arg("--")
                .arg(format!("-max_total_time={}", arguments.seconds)),
        )?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let directory = root().join("tests/fuzz/fuzz_targets");
    let files = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut targets = Vec::new();
    for file in files {
        let path = file?.path();
        targets.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    targets.sort();
    Ok(targets)
}
