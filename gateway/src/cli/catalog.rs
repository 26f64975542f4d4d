//! `keyway catalog`: what can be connected.

mod update;

use clap::Subcommand;
use serde_json::Value;

use super::{
    Failure,
    client::Client,
    lookup::{self, items, joined, text},
    output::{Column, Output, grouped},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every entry
    List,
    /// One entry with its models and prices
    Show {
        /// Catalog id
        id: String,
    },
    /// Where list prices are from, and how many models have one
    Prices,
    /// Take newer list prices into use
    Update(update::Update),
    /// Print LiteLLM's prices as a price file
    Convert(update::Convert),
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::List => list(client, output).await,
        Command::Show { id } => show(&id, client, output).await,
        Command::Prices => prices(client, output).await,
        Command::Update(command) => update::update(command, client, output).await,
        Command::Convert(command) => update::convert(&command, output),
    }
}

/// The entry with this id.
pub(super) async fn entry(client: &Client, id: &str) -> Result<Value, Failure> {
    lookup::find(client, "/catalog/providers", id)
        .await
        .map_err(|failure| match failure {
            Failure::Failed(_) => Failure::Failed(format!(
                "the catalog has no entry {id} (see `keyway catalog list`)"
            )),
            Failure::Usage(_) | Failure::Unreachable(_) | Failure::ReaderGone => failure,
        })
}

/// `https://` and the entry's host, perhaps with `<parts>`; empty when only the operator knows it.
pub(super) fn url_template(entry: &Value) -> String {
    let host = text(entry, "default_host");
    if host.is_empty() {
        String::new()
    } else if host.contains("://") {
        host.to_owned()
    } else {
        format!("https://{host}")
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let entries = client.get("/catalog/providers").await?;
    let columns = [
        Column::Whole("ID"),
        Column::Left("NAME"),
        Column::Left("KIND"),
        Column::Left("HOST"),
        Column::Right("MODELS"),
    ];
    output.list(&entries, &columns, "The catalog is empty.", |entry| {
        vec![
            text(entry, "id").to_owned(),
            text(entry, "name").to_owned(),
            text(entry, "kind").to_owned(),
            match text(entry, "default_host") {
                "" => "(yours)".to_owned(),
                host => host.to_owned(),
            },
            items(&entry["models"]).len().to_string(),
        ]
    })
}

async fn show(id: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let entry = entry(client, id).await?;
    output.show_fields(&entry, || {
        vec![
            ("id", text(&entry, "id").to_owned()),
            ("name", text(&entry, "name").to_owned()),
            ("kind", text(&entry, "kind").to_owned()),
            ("description", text(&entry, "description").to_owned()),
            ("host", text(&entry, "default_host").to_owned()),
            ("prices", joined(&entry, "pricing_surfaces")),
            ("extra headers", extra_headers(&entry).join(", ")),
        ]
    })?;
    let models = items(&entry["models"]);
    if models.is_empty() {
        return Ok(());
    }
    output.note("")?;
    let columns = [
        Column::Left("MODEL"),
        Column::Right("INPUT $/1k"),
        Column::Right("OUTPUT $/1k"),
        Column::Right("CACHE READ $/1k"),
        Column::Right("CONTEXT"),
    ];
    let rate = |model: &Value, field: &str| {
        let rate = model[field].as_number();
        rate.map(ToString::to_string).unwrap_or_default()
    };
    let rows = models
        .iter()
        .map(|model| {
            let cached = rate(model, "cached_input_per_1k");
            vec![
                text(model, "id").to_owned(),
                rate(model, "input_per_1k"),
                rate(model, "output_per_1k"),
                if cached.is_empty() {
                    rate(model, "cache_read_per_1k")
                } else {
                    cached
                },
                grouped(model["context_window"].as_u64().unwrap_or(0)),
            ]
        })
        .collect();
    output.table_for_people(&columns, rows)
}

async fn prices(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let prices = client.get("/catalog/prices").await?;
    let models = prices["models"].as_object();
    let counts = models.map(|models| {
        let count = |(id, count): (&String, &Value)| format!("{id} {count}");
        models.iter().map(count).collect::<Vec<_>>().join(", ")
    });
    let update = &prices["update"];
    output.show_fields(&prices, || {
        vec![
            (
                "update",
                match update.is_null() {
                    true => "none; the prices that the node came with are in use".to_owned(),
                    false => text(update, "source").to_owned(),
                },
            ),
            ("updated", text(update, "updated_at").to_owned()),
            ("models", counts.unwrap_or_default()),
        ]
    })
}

fn extra_headers(entry: &Value) -> Vec<&str> {
    items(&entry["extra_headers"])
        .iter()
        .map(|header| text(header, "name"))
        .collect()
}
