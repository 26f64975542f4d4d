//! (being written)
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{Proxy, Running, Site};

pub(crate) struct Keyway {
    program: PathBuf,
}

impl Keyway {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

impl Proxy for Keyway {
    fn name(&self) -> &'static str {
        "keyway"
    }
    fn version(&self) -> Result<String> {
        Ok(self.program.display().to_string())
    }
    fn speaks_tls(&self) -> bool {
        true
    }
    fn adds_credential(&self) -> bool {
        true
    }
    fn start(&self, _site: &Site<'_>) -> Result<Running> {
        bail!("not yet")
    }
}
