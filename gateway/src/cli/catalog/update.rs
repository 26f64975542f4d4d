//! `keyway catalog update`: newer list prices, from a price file or from LiteLLM's.

use std::{fs, io::Read as _, path::Path};

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    cli::{
        Failure,
        client::Client,
        lookup::{items, text},
        output::{Column, Output},
    },
    control_plane::catalog::prices_from_litellm,
};

/// A file of prices is not read beyond this; LiteLLM's has 3 MB.
const FILE_BYTES_LIMIT: u64 = 32 << 20;
/// Changes shown to people one by one.
const SHOWN_LIMIT: usize = 40;

#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// A price file (config/prices.toml shows the form), or LiteLLM's model_prices_and_context_window.json
    #[arg(long, value_name = "FILE", required_unless_present = "reset")]
    file: Option<std::path::PathBuf>,
    /// List what would change, and change nothing
    #[arg(long)]
    check: bool,
    /// Back to the prices that the node came with
    #[arg(long, conflicts_with_all = ["file", "check"])]
    reset: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Convert {
    /// LiteLLM's model_prices_and_context_window.json
    #[arg(long, value_name = "FILE")]
    file: std::path::PathBuf,
    /// A price file whose labels, and models that LiteLLM does not have, are taken over
    #[arg(long, value_name = "FILE")]
    onto: Option<std::path::PathBuf>,
}

pub(super) async fn update(
    command: Update,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let Some(file) = command.file.filter(|_| !command.reset) else {
        client.delete("/catalog/prices").await?;
        return output.note("The prices that the node came with are in use again.");
    };
    let source = read(&file)?;
    let prices = if is_json(&source) {
        converted(&source, "")?
    } else {
        source
    };
    let name = file.file_name().map(|name| name.to_string_lossy());
    let body = json!({ "source": name, "prices": prices });
    let path = match command.check {
        true => "/catalog/prices?dry_run=true",
        false => "/catalog/prices",
    };
    let answer = client.put(path, &body).await?;
    show(&answer, output)
}

/// Prints the price file that LiteLLM's makes.
pub(super) fn convert(command: &Convert, output: &mut Output) -> Result<(), Failure> {
    let kept = match &command.onto {
        Some(path) => read(path)?,
        None => String::new(),
    };
    output.raw(&converted(&read(&command.file)?, &kept)?)
}

fn converted(json: &str, kept: &str) -> Result<String, Failure> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    let source =
        "LiteLLM, model_prices_and_context_window.json (MIT); each model names the vendor's page";
    prices_from_litellm(json, kept, source, &today)
        .map_err(|error| Failure::Failed(format!("LiteLLM's prices: {error}")))
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_LIMIT + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > FILE_BYTES_LIMIT => Err(Failure::Failed(format!(
            "{}: larger than {FILE_BYTES_LIMIT} bytes",
            path.display()
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Failed(format!("{}: {error}", path.display()))),
    }
}

fn show(answer: &Value, output: &mut Output) -> Result<(), Failure> {
    output.show_fields(answer, Vec::new)?;
    let changes = items(&answer["changes"]);
    let count = |kind: &str| {
        changes
            .iter()
            .filter(|one| text(one, "change") == kind)
            .count()
    };
    let (added, changed, removed) = (count("added"), count("changed"), count("removed"));
    let done = match answer["applied"].as_bool() {
        Some(true) => "In use now",
        Some(false) | None => "Not applied (--check)",
    };
    output.note(format!(
        "{done}: {added} new, {changed} changed, {removed} gone."
    ))?;
    let shown = changes.iter().filter(|one| text(one, "change") != "added");
    let rows: Vec<Vec<String>> = shown.flat_map(rows).take(SHOWN_LIMIT + 1).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let more = rows.len() > SHOWN_LIMIT;
    let columns = [
        Column::Left("LIST"),
        Column::Left("MODEL"),
        Column::Left("PRICE"),
        Column::Right("BEFORE"),
        Column::Right("AFTER"),
    ];
    let rows = rows.into_iter().take(SHOWN_LIMIT).collect();
    output.note("")?;
    output.table_for_people(&columns, rows)?;
    if more {
        output.note("… and more; --output json has all of them.")?;
    }
    Ok(())
}

fn rows(change: &Value) -> Vec<Vec<String>> {
    let row = |field: &str, before: &str, after: &str| {
        vec![
            text(change, "list").to_owned(),
            text(change, "model").to_owned(),
            field.to_owned(),
            before.to_owned(),
            after.to_owned(),
        ]
    };
    let fields = items(&change["fields"]);
    if fields.is_empty() {
        return vec![row("all", "", "gone")];
    }
    fields
        .iter()
        .map(|field| {
            row(
                text(field, "field"),
                text(field, "before"),
                text(field, "after"),
            )
        })
        .collect()
}
