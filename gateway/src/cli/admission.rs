//! `keyway admission`: what the kernel program in front does, and what it counts.

use clap::Subcommand;
use serde_json::Value;

use super::{
    Failure,
    client::Client,
    lookup::{items, joined, minute, text, yes_no},
    output::{Column, Output, grouped},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Interfaces, how each is covered, and what was passed and dropped there
    Status,
    /// Traffic of every known peer
    Peers,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Status => status(client, output).await,
        Command::Peers => peers(client, output).await,
    }
}

async fn status(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let status = client.get("/admission").await?;
    output.show_fields(&status, || {
        vec![
            ("mode", text(&status, "mode").to_owned()),
            ("in front", yes_no(&status, "in_front")),
            ("problem", text(&status, "problem").to_owned()),
            ("peers", number(&status["peers"])),
            ("peers left out", number(&status["peers_left_out"])),
        ]
    })?;
    let interfaces = items(&status["interfaces"]);
    if interfaces.is_empty() {
        return Ok(());
    }
    output.note("")?;
    let columns = [
        Column::Whole("INTERFACE"),
        Column::Left("ROLE"),
        Column::Left("MODE"),
        Column::Left("PROBLEM"),
    ];
    let field = |one: &Value, name| text(one, name).to_owned();
    let rows = (interfaces.iter())
        .map(|one| ["name", "role", "mode", "problem"].map(|name| field(one, name)))
        .map(Vec::from)
        .collect();
    output.table_for_people(&columns, rows)?;
    let counted: Vec<_> = interfaces.iter().flat_map(counted).collect();
    if counted.is_empty() {
        return Ok(());
    }
    output.note("")?;
    let columns = [
        Column::Whole("INTERFACE"),
        Column::Left("VERDICT"),
        Column::Left("REASON"),
        Column::Right("PACKETS"),
        Column::Right("BYTES"),
    ];
    output.table_for_people(&columns, counted)
}

/// A row for every reason that occurred.
fn counted(interface: &Value) -> Vec<Vec<String>> {
    (items(&interface["counters"]).iter())
        .filter(|count| count["packets"].as_u64() != Some(0))
        .map(|count| {
            vec![
                text(interface, "name").to_owned(),
                text(count, "verdict").to_owned(),
                text(count, "reason").to_owned(),
                number(&count["packets"]),
                number(&count["bytes"]),
            ]
        })
        .collect()
}

async fn peers(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let peers = client.get("/admission/peers").await?;
    let columns = [
        Column::Whole("ADDRESS"),
        Column::Left("NAME"),
        Column::Left("GROUPS"),
        Column::Right("PACKETS IN"),
        Column::Right("BYTES IN"),
        Column::Right("PACKETS OUT"),
        Column::Right("BYTES OUT"),
        Column::Right("CONNECTIONS"),
        Column::Left("LAST SEEN"),
    ];
    let when_empty =
        "The kernel knows no peer: see `keyway admission status` and `keyway peers list`.";
    output.list(&peers, &columns, when_empty, |peer| {
        let (ingress, egress) = (&peer["ingress"], &peer["egress"]);
        vec![
            text(peer, "address").to_owned(),
            text(peer, "name").to_owned(),
            joined(peer, "groups"),
            number(&ingress["packets"]),
            number(&ingress["bytes"]),
            number(&egress["packets"]),
            number(&egress["bytes"]),
            number(&egress["connections"]),
            minute(ingress, "last_seen"),
        ]
    })
}

fn number(value: &Value) -> String {
    grouped(value.as_u64().unwrap_or(0))
}
