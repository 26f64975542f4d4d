//! `keyway audit`: who changed what, and whether the log of it is whole.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Failure,
    client::Client,
    lookup::{items, minute, query, text},
    output::{Column, Output},
};

const PATH: &str = "/audit";
const NONE_YET: &str = "No change yet that these restrictions leave.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Changes, the newest first
    List(List),
    /// One change, with what it was before and after
    Show {
        /// As in the list
        id: u64,
    },
    /// Walk along the chain of entries: is every one there, and as it was written?
    Verify {
        /// A hash that an earlier run told, or the node's log: it has to be in the chain
        #[arg(long, value_name = "HASH")]
        contains: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Who: `uid:0`, a token's id or name, a peer's
    #[arg(long)]
    actor: Option<String>,
    /// A whole event, or a beginning that ends in `*`
    #[arg(long)]
    event: Option<String>,
    /// Kind, id or name of what was changed
    #[arg(long)]
    target: Option<String>,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::List(which) => list(which, client, output).await,
        Command::Show { id } => show(id, client, output).await,
        Command::Verify { contains } => verify(contains.as_deref(), client, output).await,
    }
}

async fn list(which: List, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let page = which.page.to_string();
    let mut pairs = vec![("page", page.as_str())];
    for (name, value) in [
        ("actor", &which.actor),
        ("event", &which.event),
        ("target", &which.target),
    ] {
        pairs.extend(value.as_ref().map(|value| (name, value.as_str())));
    }
    let found = client.get(&format!("{PATH}{}", query(&pairs))).await?;
    let columns = [
        Column::Right("ID"),
        Column::Left("TIME"),
        Column::Left("WHO"),
        Column::Left("FROM"),
        Column::Left("EVENT"),
        Column::Left("WHAT"),
    ];
    output.show(&found, &columns, NONE_YET, || {
        items(&found["data"])
            .iter()
            .map(|entry| {
                vec![
                    entry["id"].to_string(),
                    minute(entry, "time"),
                    who(entry),
                    from(entry),
                    text(entry, "event").to_owned(),
                    what(entry).to_owned(),
                ]
            })
            .collect()
    })?;
    if found["total_pages"].as_u64() > Some(which.page.into()) {
        output.note(format!("older ones: --page {}", which.page + 1))?;
    }
    Ok(())
}

async fn show(id: u64, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let entry = client.get(&format!("{PATH}/{id}")).await?;
    output.show_fields(&entry, || {
        vec![
            ("time", text(&entry, "time").to_owned()),
            ("who", who(&entry)),
            ("from", from(&entry)),
            ("event", text(&entry, "event").to_owned()),
            ("what", what(&entry).to_owned()),
            ("id", text(&entry["target"], "id").to_owned()),
            ("before", whole(&entry["before"])),
            ("after", whole(&entry["after"])),
        ]
    })
}

async fn verify(
    contains: Option<&str>,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let pairs: Vec<_> = contains
        .map(|hash| ("contains", hash))
        .into_iter()
        .collect();
    let found = client
        .get(&format!("{PATH}/verify{}", query(&pairs)))
        .await?;
    output.show_fields(&found, || {
        vec![
            ("entries", found["entries"].to_string()),
            ("oldest", found["first"].to_string()),
            ("newest", found["last"].to_string()),
            ("hash", text(&found, "hash").to_owned()),
        ]
    })?;
    match found["intact"].as_bool() {
        Some(true) => output.note("every entry is there, and as it was written"),
        Some(false) | None => Err(Failure::Failed(text(&found, "problem").to_owned())),
    }
}

fn who(entry: &Value) -> String {
    let actor = &entry["actor"];
    match text(actor, "name") {
        "" => text(actor, "id").to_owned(),
        name => format!("{name} ({})", text(actor, "id")),
    }
}

fn from(entry: &Value) -> String {
    let actor = &entry["actor"];
    [text(actor, "via"), text(actor, "address")]
        .join(" ")
        .trim_end()
        .to_owned()
}

fn what(entry: &Value) -> &str {
    match text(&entry["target"], "name") {
        "" => text(&entry["target"], "id"),
        name => name,
    }
}

fn whole(document: &Value) -> String {
    match document.is_null() {
        true => String::new(),
        false => format!("{document:#}"),
    }
}
