//! `keyway logs export`: entries on their way from the node to standard output, without being held.

use clap::{Args, ValueEnum};

use super::{Selection, usage};
use crate::cli::{
    Failure,
    client::Client,
    output::{Output, progress},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A JSON object per line, or a table for spreadsheets
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ExportFormat {
    #[default]
    Jsonl,
    Csv,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut pairs = arguments.selection.pairs(client).await?;
    let format = match arguments.format {
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Csv => "csv",
    };
    pairs.push(("format", format.to_owned()));
    let path = format!("/access-logs/export{}", usage::query(&pairs));
    let mut export = client.stream(&path).await?;
    let mut bytes = 0;
    while let Some(piece) = export.next().await? {
        output.raw_bytes(&piece)?;
        bytes += piece.len();
        progress(&format!("{:.1} MB", bytes as f64 / 1e6));
    }
    progress("");
    Ok(())
}
