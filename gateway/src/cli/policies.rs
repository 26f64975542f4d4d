//! `keyway policies`: which groups reach which providers.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, find, items, minute, text, yes_no},
    output::{Column, Output},
};

const PATH: &str = "/policies";
const NONE_YET: &str = "\
No policy yet, so nobody reaches a provider. Let a group use one:
  keyway policies add NAME --group GROUP --provider PROVIDER";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All policies
    List,
    /// Let groups use providers
    Add(Add),
    /// One policy
    Show(Which),
    /// Change one; what is not named stays
    Update(Update),
    /// Remove one
    Remove(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Id or name
    policy: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Display name
    name: String,
    /// Id or name of a group that may; repeat for more
    #[arg(long = "group", required = true)]
    groups: Vec<String>,
    /// Id or name of a provider they may use; repeat for more
    #[arg(long = "provider", required = true)]
    providers: Vec<String>,
    #[arg(long, default_value = "")]
    description: String,
    /// Make it without letting anybody through yet
    #[arg(long)]
    disabled: bool,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id or name
    policy: String,
    #[arg(long)]
    name: Option<String>,
    /// These groups in place of its groups
    #[arg(long = "group")]
    groups: Vec<String>,
    /// These providers in place of its providers
    #[arg(long = "provider")]
    providers: Vec<String>,
    #[arg(long)]
    description: Option<String>,
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    enabled: Option<bool>,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::List => list(client, output).await,
        Command::Add(arguments) => add(arguments, client, output).await,
        Command::Show(which) => {
            let policy = find(client, PATH, &which.policy).await?;
            show(&policy, client, output).await
        }
        Command::Update(arguments) => update(arguments, client, output).await,
        Command::Remove(which) => {
            lookup::remove(client, PATH, &which.policy, "removed", output).await
        }
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let policies = client.get(PATH).await?;
    let providers = client.get("/providers").await?;
    let groups = client.get("/groups").await?;
    let columns = [
        Column::Left("NAME"),
        Column::Whole("ID"),
        Column::Left("GROUPS"),
        Column::Left("PROVIDERS"),
        Column::Left("ENABLED"),
    ];
    output.list(&policies, &columns, NONE_YET, |policy| {
        vec![
            text(policy, "name").to_owned(),
            text(policy, "id").to_owned(),
            names(policy, "source_groups", &groups),
            names(policy, "destination_provider_ids", &providers),
            yes_no(policy, "enabled"),
        ]
    })
}

async fn add(arguments: Add, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let body = json!({
        "name": arguments.name,
        "description": arguments.description,
        "enabled": !arguments.disabled,
        "source_groups": lookup::group_ids(client, &arguments.groups).await?,
        "destination_provider_ids": lookup::provider_ids(client, &arguments.providers).await?,
    });
    let policy = client.post(PATH, &body).await?;
    show(&policy, client, output).await
}

async fn update(arguments: Update, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = find(client, PATH, &arguments.policy).await?;
    if let Some(name) = arguments.name {
        body["name"] = json!(name);
    }
    if let Some(description) = arguments.description {
        body["description"] = json!(description);
    }
    if let Some(enabled) = arguments.enabled {
        body["enabled"] = json!(enabled);
    }
    if !arguments.groups.is_empty() {
        body["source_groups"] = json!(lookup::group_ids(client, &arguments.groups).await?);
    }
    if !arguments.providers.is_empty() {
        let ids = lookup::provider_ids(client, &arguments.providers).await?;
        body["destination_provider_ids"] = json!(ids);
    }
    let path = format!("{PATH}/{}", text(&body, "id"));
    let policy = client.put(&path, &body).await?;
    show(&policy, client, output).await
}

async fn show(policy: &Value, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let providers = client.get("/providers").await?;
    let groups = client.get("/groups").await?;
    output.show_fields(policy, || {
        vec![
            ("id", text(policy, "id").to_owned()),
            ("name", text(policy, "name").to_owned()),
            ("description", text(policy, "description").to_owned()),
            ("groups", names(policy, "source_groups", &groups)),
            (
                "providers",
                names(policy, "destination_provider_ids", &providers),
            ),
            ("enabled", yes_no(policy, "enabled")),
            ("created", minute(policy, "created_at")),
            ("updated", minute(policy, "updated_at")),
        ]
    })
}

fn names(policy: &Value, field: &str, listing: &Value) -> String {
    let names: Vec<&str> = items(&policy[field])
        .iter()
        .filter_map(Value::as_str)
        .map(|id| lookup::name_of(listing, id))
        .collect();
    names.join(", ")
}
