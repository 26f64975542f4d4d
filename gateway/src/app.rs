//! (being written)

use std::path::Path;

use crate::config::{Config, ConfigError};

/// Runs the node until it is told to stop.
pub fn serve(path: &Path) -> anyhow::Result<()> {
    Config::load(path)?;
    anyhow::bail!("the node is not wired yet")
}

/// Checks a configuration; what the returned lines say is worth knowing before a start.
pub fn check(path: &Path) -> Result<Vec<String>, ConfigError> {
    Config::load(path).map(|_| Vec::new())
}
