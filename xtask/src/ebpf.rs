//! `cargo xtask ebpf`: builds the kernel programs and puts the object into the tree, with a note of what
//! built it. `--check` builds again in another directory and compares.

mod build;
mod note;
mod tools;

use std::fs;

use anyhow::{Result, bail};

use crate::{
    command::{must, root},
    test,
};
use note::Note;

/// Where the node and the tests take the object from.
const OBJECT: &str = "gateway-ebpf/object/keyway.bpf.o";

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Build from source in another directory and compare with the object in the tree
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.check {
        true => check(),
        false => write(),
    }
}

fn write() -> Result<()> {
    let tools = tools::provide()?;
    let object = build::build(&tools, root(), &root().join("target/ebpf"))?;
    fs::write(root().join(OBJECT), &object)?;
    let note = Note::of(&tools, &object)?;
    note.write()?;
    println!("{OBJECT}: {} bytes", object.len());
    Ok(())
}

/// The object in the tree is what its source says: the same bytes under the toolchain of the note; under
/// another one the rebuilt object has to pass the kernel's tests.
pub(crate) fn check() -> Result<()> {
    let tools = tools::provide()?;
    let elsewhere = root().join("target/ebpf-check");
    let source = build::copy_source(&elsewhere)?;
    let rebuilt = build::build(&tools, &source, &elsewhere.join("target"))?;
    let committed = fs::read(root().join(OBJECT))?;
    let now = Note::of(&tools, &committed)?;
    let noted = Note::read()?;
    if noted.digest != now.digest {
        bail!("{OBJECT} is not the one of its note: `cargo xtask ebpf` makes both");
    }
    if rebuilt == committed {
        println!("{OBJECT}: the same {} bytes from source", rebuilt.len());
        return Ok(());
    }
    if noted.toolchain == now.toolchain {
        bail!("{OBJECT} is not what its source builds: run `cargo xtask ebpf`");
    }
    println!("warning: the toolchain differs from the one of {OBJECT}, and so do the bytes");
    println!("  noted: {}", noted.toolchain);
    println!("  here:  {}", now.toolchain);
    let path = elsewhere.join("keyway.bpf.o");
    fs::write(&path, rebuilt)?;
    must(test::kernel_tests().env("KEYWAY_BPF_OBJECT", path))
}
