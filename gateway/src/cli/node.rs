//! `keyway serve` and `check`, which are the node, and `status` and `ca`, which ask a running one.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, items, joined, text, yes_no},
    output::{Column, Output},
};

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// The certificate (PEM) that agents have to trust
    Export {
        /// Standard output without one
        file: Option<PathBuf>,
    },
}

pub(super) fn serve(config: Option<&Path>) -> Result<(), Failure> {
    crate::app::serve(required(config)?).map_err(|error| Failure::Failed(format!("{error:#}")))
}

pub(super) fn check(config: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let path = required(config)?;
    let foreseen = crate::app::check(path).map_err(|error| Failure::Failed(error.to_string()))?;
    let report = json!({"ok": true, "notes": foreseen});
    output.show_fields(&report, || {
        let notes = foreseen.iter().map(|note| ("note", note.clone()));
        std::iter::once(("configuration", "good".to_owned()))
            .chain(notes)
            .collect()
    })
}

pub(super) async fn status(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let status = client.get("/status").await?;
    output.show_fields(&status, || {
        vec![
            ("version", text(&status, "version").to_owned()),
            ("ready", yes_no(&status, "ready")),
            ("waiting for", joined(&status, "not_ready")),
            ("revision", status["revision"].to_string()),
            ("driver", text(&status, "driver").to_owned()),
            ("workers", status["workers"].to_string()),
            ("listeners", joined(&status, "listeners")),
        ]
    })?;
    let own = items(&status["providers"]);
    if own.is_empty() {
        return Ok(());
    }
    let providers = client.get("/providers").await?;
    output.note("")?;
    let columns = [
        Column::Left("PROVIDER"),
        Column::Left("READY"),
        Column::Left("ADDRESSES"),
        Column::Left("PROBLEM"),
    ];
    let rows = own
        .iter()
        .map(|one| provider_row(one, &providers))
        .collect();
    output.table_for_people(&columns, rows)
}

pub(super) async fn ca(
    command: CaCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let CaCommand::Export { file } = command;
    let pem = client.get_text("/ca").await?;
    match file {
        None => output.raw(&pem),
        Some(path) => {
            std::fs::write(&path, pem)
                .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
            output.note(format_args!("written to {}", path.display()))
        }
    }
}

fn provider_row(one: &Value, providers: &Value) -> Vec<String> {
    vec![
        lookup::name_of(providers, text(one, "id")).to_owned(),
        yes_no(one, "ready"),
        joined(one, "addresses"),
        text(one, "problem").to_owned(),
    ]
}

fn required(config: Option<&Path>) -> Result<&Path, Failure> {
    config.ok_or_else(|| Failure::Usage("--config FILE names the configuration".to_owned()))
}
