//! (being written)

use std::path::Path;

/// Runs the node until it is told to stop.
pub fn serve(config: &Path) -> anyhow::Result<()> {
    anyhow::bail!("{}: the node is not wired yet", config.display())
}

/// Checks a configuration.
pub fn check(config: &Path) -> anyhow::Result<()> {
    anyhow::bail!("{}: the node is not wired yet", config.display())
}
