//! `cargo xtask ebpf`: builds the kernel programs and puts the object into the tree, with a note of what
//! built it. `--check` builds again in another directory and compares.

mod build;
mod note;
pub(crate) mod rustc;
mod tools;

use std::fs;

use anyhow::{Result, bail};

use crate::{
    command::{cargo, must, root},
    test,
};
use note::Note;
use tools::Rust;

/// Where the node and the tests take the object from.
const OBJECT: &str = "gateway-ebpf/object/keyway.bpf.o";

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Build from source in another directory and compare with the object in the tree
    #[arg(long)]
    check: bool,
    /// With --check: build with this toolchain of rustup's instead of the pinned one; it needs rust-src
    #[arg(long, value_name = "NAME", requires = "check")]
    toolchain: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.check {
        true => check(arguments.toolchain.as_deref()),
        false => write(),
    }
}

fn write() -> Result<()> {
    let tools = tools::provide(Rust::Pinned)?;
    let object = build::build(&tools, root(), &root().join("target/ebpf"))?;
    fs::write(root().join(OBJECT), &object)?;
    let note = Note::of(&tools, &object)?;
    note.write()?;
    println!("{OBJECT}: {} bytes", object.len());
    Ok(())
}

/// The object in the tree is what its source says: the same bytes under the toolchain of the note; under
/// another one the rebuilt object has to pass the kernel's tests.
pub(crate) fn check(toolchain: Option<&str>) -> Result<()> {
    // Outside the workspace, so outside of what CI formats.
    must(
        cargo()
            .current_dir(root().join("gateway-ebpf"))
            .args(["fmt", "--check"]),
    )?;
    let tools = tools::provide(match toolchain {
        None => Rust::Pinned,
        Some(name) => Rust::Other(name.to_owned()),
    })?;
    let elsewhere = root().join("target/ebpf-check");
    let source = build::copy_source(&elsewhere)?;
    let rebuilt = build::build(&tools, &source, &elsewhere.join("target"))?;
    let committed = fs::read(root().join(OBJECT))?;
    let now = Note::of(&tools, &committed)?;
    let noted = Note::read()?;
    match Outcome::of(&noted, &now, rebuilt == committed) {
        Outcome::Same => {
            println!("{OBJECT}: the same {} bytes from source", rebuilt.len());
            Ok(())
        }
        Outcome::Stranger => {
            bail!("{OBJECT} is not the one of its note: `cargo xtask ebpf` makes both")
        }
        Outcome::Stale => bail!("{OBJECT} is not what its source builds: run `cargo xtask ebpf`"),
        Outcome::OtherToolchain => {
            println!(
                "warning: the toolchain differs from the one of {OBJECT}, and so do the bytes"
            );
            println!("  noted: {}", noted.toolchain);
            println!("  here:  {}", now.toolchain);
            println!("  so the rebuilt object has to pass the kernel's tests");
            let path = elsewhere.join("keyway.bpf.o");
            fs::write(&path, rebuilt)?;
            must(test::kernel_tests().env("KEYWAY_BPF_OBJECT", path))
        }
    }
}

/// What a rebuilt object says about the one in the tree.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It is made of this source.
    Same,
    /// The note is about another object.
    Stranger,
    /// The noted toolchain makes other bytes of this source.
    Stale,
    /// Bytes say nothing here.
    OtherToolchain,
}

impl Outcome {
    /// `now` is what would be noted of the object in the tree if the tools at hand had built it.
    fn of(noted: &Note, now: &Note, same_bytes: bool) -> Self {
        match (noted.digest == now.digest, same_bytes) {
            (false, _) => Self::Stranger,
            (true, true) => Self::Same,
            (true, false) if noted.toolchain == now.toolchain => Self::Stale,
            (true, false) => Self::OtherToolchain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_forgiven_under_another_toolchain_only() {
        let note = |toolchain: &str, digest: &str| Note {
            toolchain: toolchain.to_owned(),
            digest: digest.to_owned(),
        };
        let noted = note("rustc 1", "aa");
        for (now, same_bytes, expected) in [
            (note("rustc 1", "aa"), true, Outcome::Same),
            (note("rustc 2", "aa"), true, Outcome::Same),
            (note("rustc 1", "aa"), false, Outcome::Stale),
            (note("rustc 2", "aa"), false, Outcome::OtherToolchain),
            (note("rustc 1", "bb"), true, Outcome::Stranger),
            (note("rustc 2", "bb"), false, Outcome::Stranger),
        ] {
            let outcome = Outcome::of(&noted, &now, same_bytes);
            assert_eq!(outcome, expected, "{} {}", now.toolchain, now.digest);
        }
    }
}
