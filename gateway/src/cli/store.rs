//! `keyway store`: the node's documents out and in. Keys stay sealed on the way.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use clap::Subcommand;

use super::{Failure, client::Client, output::Output};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write all documents as JSON; keys stay sealed under the master key
    Export {
        /// Standard output without one
        file: Option<PathBuf>,
    },
    /// Put exported documents into a node that has none of them; needs the same master key
    Import { file: PathBuf },
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Export { file } => {
            let text = client.get_text("/store/export").await?;
            match file {
                None => output.raw(&format!("{text}\n")),
                Some(path) => {
                    let failed = |error| Failure::Failed(format!("{}: {error}", path.display()));
                    std::fs::OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&path)
                        .and_then(|mut file| {
                            file.write_all(text.as_bytes())?;
                            file.sync_all()
                        })
                        .map_err(failed)
                }
            }
        }
        Command::Import { file } => {
            let text = std::fs::read(&file)
                .map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
            let report = client.post_text("/store/import", text).await?;
            output.show_fields(&report, || {
                vec![("documents", report["documents"].to_string())]
            })
        }
    }
}
