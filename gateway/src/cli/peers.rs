//! `keyway peers`: machines on the overlay, those of every identity source to see, those of the store to
//! change.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, find, joined, minute, text},
    output::{Column, Output},
};

const PATH: &str = "/peers";
const NONE_YET: &str = "\
No peer yet, so every connection is refused. Make a machine known by its overlay address:
  keyway peers add NAME --address ADDRESS --group GROUP";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All peers
    List,
    /// Make a machine known
    Add(Add),
    /// Change one; what is not named stays
    Update(Update),
    /// Forget one
    Remove(Which),
    /// Let one do nothing until it is unblocked
    Block(Which),
    /// Let a blocked one work again
    Unblock(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Id or name
    peer: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Display name
    name: String,
    /// Overlay address; repeat for more
    #[arg(
        long = "address",
        required_unless_present = "public_key",
        conflicts_with = "public_key"
    )]
    addresses: Vec<IpAddr>,
    /// WireGuard's public key, for identity.source "wireguard": the device knows the addresses
    #[arg(long)]
    public_key: Option<String>,
    /// Group it belongs to; repeat for more
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Owner; without one the machine stands for itself
    #[arg(long)]
    user_id: Option<String>,
    #[arg(long)]
    user_email: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id or name
    peer: String,
    #[arg(long)]
    name: Option<String>,
    /// These addresses in place of its addresses, or of its public key
    #[arg(long = "address", conflicts_with = "public_key")]
    addresses: Vec<IpAddr>,
    /// This public key in place of its public key, or of its addresses
    #[arg(long)]
    public_key: Option<String>,
    /// These groups in place of its groups
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Empty for none
    #[arg(long)]
    user_id: Option<String>,
    /// Empty for none
    #[arg(long)]
    user_email: Option<String>,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::List => list(client, output).await,
        Command::Add(arguments) => add(arguments, client, output).await,
        Command::Update(arguments) => update(arguments, client, output).await,
        Command::Remove(which) => {
            lookup::remove(client, PATH, &which.peer, "removed", output).await
        }
        Command::Block(which) => block(&which.peer, true, client, output).await,
        Command::Unblock(which) => block(&which.peer, false, client, output).await,
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let peers = client.get(PATH).await?;
    let groups = client.get("/groups").await?;
    let columns = [
        Column::Left("NAME"),
        Column::Whole("ID"),
        Column::Left("ADDRESSES"),
        Column::Left("USER"),
        Column::Left("GROUPS"),
        Column::Left("SOURCE"),
        Column::Left("AGE"),
        Column::Left("STATE"),
    ];
    let now = Timestamp::now();
    output.list(&peers, &columns, NONE_YET, |peer| {
        vec![
            text(peer, "name").to_owned(),
            text(peer, "id").to_owned(),
            joined(peer, "addresses"),
            user(peer).to_owned(),
            group_names(peer, &groups),
            text(peer, "source").to_owned(),
            age(peer, now),
            state(peer),
        ]
    })
}

/// Of what its source said last; nothing where it is the store, which is never old.
fn age(peer: &Value, now: Timestamp) -> String {
    match text(peer, "read_at").parse::<Timestamp>() {
        Ok(read_at) => format!("{} s", now.duration_since(read_at).as_secs().max(0)),
        Err(_) => String::new(),
    }
}

fn state(peer: &Value) -> String {
    let reason = text(peer, "reason");
    match (peer["let_in"].as_bool().unwrap_or(false), reason) {
        (true, "") => "let in".to_owned(),
        (true, reason) => format!("let in, but {reason}"),
        (false, reason) => format!("denied: {reason}"),
    }
}

fn group_names(peer: &Value, groups: &Value) -> String {
    let ids = lookup::items(&peer["groups"])
        .iter()
        .filter_map(Value::as_str);
    let names: Vec<&str> = ids.map(|id| lookup::name_of(groups, id)).collect();
    names.join(", ")
}

async fn add(arguments: Add, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let body = json!({
        "name": arguments.name,
        "addresses": arguments.addresses,
        "public_key": arguments.public_key,
        "groups": lookup::group_ids(client, &arguments.groups).await?,
        "user_id": arguments.user_id,
        "user_email": arguments.user_email,
    });
    let peer = client.post(PATH, &body).await?;
    show(&peer, output)
}

async fn update(arguments: Update, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = find(client, PATH, &arguments.peer).await?;
    if let Some(name) = arguments.name {
        body["name"] = json!(name);
    }
    if !arguments.addresses.is_empty() {
        body["addresses"] = json!(arguments.addresses);
        body["public_key"] = Value::Null;
    }
    if let Some(public_key) = arguments.public_key {
        body["public_key"] = json!(public_key);
    }
    if !arguments.groups.is_empty() {
        body["groups"] = json!(lookup::group_ids(client, &arguments.groups).await?);
    }
    if let Some(user_id) = arguments.user_id {
        body["user_id"] = json!(user_id);
    }
    if let Some(user_email) = arguments.user_email {
        body["user_email"] = json!(user_email);
    }
    let peer = client.put(&path_of(&body), &body).await?;
    show(&peer, output)
}

async fn block(
    wanted: &str,
    blocked: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut body = find(client, PATH, wanted).await?;
    body["blocked"] = json!(blocked);
    let peer = client.put(&path_of(&body), &body).await?;
    show(&peer, output)
}

fn show(peer: &Value, output: &mut Output) -> Result<(), Failure> {
    output.show_fields(peer, || {
        vec![
            ("id", text(peer, "id").to_owned()),
            ("name", text(peer, "name").to_owned()),
            ("addresses", joined(peer, "addresses")),
            ("user", user(peer).to_owned()),
            ("groups", joined(peer, "groups")),
            ("source", text(peer, "source").to_owned()),
            ("state", state(peer)),
            ("updated", minute(peer, "updated_at")),
        ]
    })
}

fn path_of(peer: &Value) -> String {
    format!("{PATH}/{}", text(peer, "id"))
}

fn user(peer: &Value) -> &str {
    match text(peer, "user_email") {
        "" => text(peer, "user_id"),
        email => email,
    }
}
