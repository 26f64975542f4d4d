//! `keyway serve` and `check`, which are the node, and `status` and `ca`, which ask a running one.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::{SpanRound, Timestamp, Unit};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, items, joined, text, yes_no},
    output::{Column, Output},
};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Print a configuration file with every key and its default, and check nothing
    #[arg(long)]
    print_default: bool,
}

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

pub(super) fn check(
    arguments: &CheckArguments,
    config: Option<&Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    if arguments.print_default {
        return output.raw(&crate::config::example());
    }
    let path = required(config)?;
    let foreseen =
        crate::app::check(path).map_err(|error| Failure::Failed(format!("{error:#}")))?;
    let report = json!({"ok": true, "notes": foreseen});
    output.show_fields(&report, Vec::new)?;
    output.note(format_args!("{}: no mistakes", path.display()))?;
    if foreseen.is_empty() {
        return output.note("On this machine nothing stands in the way of a start.");
    }
    output.note("On this machine a start would meet:")?;
    foreseen
        .iter()
        .try_for_each(|obstacle| output.note(format_args!("  {obstacle}")))
}

pub(super) async fn status(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let status = client.get("/status").await?;
    output.show_fields(&status, || {
        vec![
            ("version", text(&status, "version").to_owned()),
            ("ready", yes_no(&status, "ready")),
            ("waiting for", joined(&status, "not_ready")),
            ("started", started(text(&status, "started_at"))),
            ("revision", status["revision"].to_string()),
            ("workers", workers(&status)),
            ("listeners", joined(&status, "listeners")),
        ]
    })?;
    let own = items(&status["providers"]);
    if own.is_empty() {
        return output.note("\nNo provider yet: keyway providers connect");
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

/// `2026-11-23 06:45 (3h 5m ago)`.
fn started(at: &str) -> String {
    let Ok(at) = at.parse::<Timestamp>() else {
        return String::new();
    };
    // Whole units: nobody wants to know the nanoseconds.
    let units = SpanRound::new()
        .smallest(Unit::Second)
        .largest(Unit::Day)
        .days_are_24_hours();
    let ago = Timestamp::now()
        .since(at)
        .and_then(|age| age.round(units))
        .map(|age| format!(" ({age:#} ago)"))
        .unwrap_or_default();
    format!("{}{ago}", at.strftime("%Y-%m-%d %H:%M UTC"))
}

fn workers(status: &Value) -> String {
    format!("{} on {}", status["workers"], text(status, "driver"))
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
