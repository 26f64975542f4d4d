//! `keyway store`: the node's documents out and in. Keys stay sealed on the way.

use std::{
    fs::File,
    io::{BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::json;

use super::{Failure, client::Client, output::Output};
use crate::{
    config::Config,
    control_plane::store::{self, ImportMode, SledStore},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write everything that a running node keeps; keys stay sealed under its master key
    Export {
        /// Standard output without one; an existing file is left alone
        file: Option<PathBuf>,
    },
    /// Make the store of a stopped node (--config) from an export; needs the same master key and an
    /// empty store
    Import { file: PathBuf },
}

pub(super) async fn run(
    command: Command,
    config: Option<&Path>,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Export { file } => export(file.as_deref(), client, output).await,
        Command::Import { file } => import(&file, config, output).await,
    }
}

async fn export(file: Option<&Path>, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let text = client.get_text("/store/export").await?;
    let Some(path) = file else {
        return output.raw(&text);
    };
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| failed(path, error))?;
    output.note(format_args!(
        "written to {}; of use only with this node's master key",
        path.display()
    ))
}

/// Not through a node: what is running would have its state replaced under its feet.
async fn import(file: &Path, config: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let config = config.ok_or_else(|| {
        Failure::Usage("--config FILE names the node whose store is to be made".to_owned())
    })?;
    let config = Config::load(config).map_err(|error| Failure::Failed(error.to_string()))?;
    let export = File::open(file).map_err(|error| failed(file, error))?;
    let opened = SledStore::open(&config.store.path, config.store.free_bytes_min)
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let imported = store::import(&opened.store, BufReader::new(export), ImportMode::IntoEmpty)
        .await
        .map_err(|error| failed(file, error))?;
    let report = json!({"entries": imported.entries});
    output.show_fields(&report, || {
        vec![("documents", imported.entries.to_string())]
    })
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
