//! The note beside the object: what built it, and its digest.

use std::fs;

use anyhow::{Context as _, Result};

use super::{OBJECT, tools::Tools};
use crate::command::{read, root, words};

const NOTE: &str = "gateway-ebpf/object/TOOLCHAIN";
const TOOLCHAIN: &str = "built by: ";
const DIGEST: &str = "sha256: ";

pub(super) struct Note {
    pub(super) toolchain: String,
    pub(super) digest: String,
}

impl Note {
    /// What would be noted for an object that these tools built.
    pub(super) fn of(tools: &Tools, object: &[u8]) -> Result<Self> {
        let path = root().join("target/keyway.bpf.o.digest");
        fs::write(&path, object)?;
        let printed = read(words(["sha256sum"]).arg(&path), "")?;
        fs::remove_file(&path)?;
        let digest = printed.split_whitespace().next().context("a digest")?;
        Ok(Self {
            toolchain: tools.versions.clone(),
            digest: digest.to_owned(),
        })
    }

    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(root().join(NOTE)).context(NOTE)?;
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::to_owned)
                .with_context(|| format!("{NOTE}: no {key}"))
        };
        Ok(Self {
            toolchain: value(TOOLCHAIN)?,
            digest: value(DIGEST)?,
        })
    }

    pub(super) fn write(&self) -> Result<()> {
        let Self { toolchain, digest } = self;
        let text = format!(
            "{OBJECT}, made by `cargo xtask ebpf`; `cargo xtask ebpf --check` builds it again and compares.\n\
             {TOOLCHAIN}{toolchain}\n{DIGEST}{digest}\n"
        );
        Ok(fs::write(root().join(NOTE), text)?)
    }
}
