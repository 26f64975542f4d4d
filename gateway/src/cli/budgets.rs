//! `keyway budgets`: limits of the account, beside those of the policies.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    levels,
    limits::{self, LimitArguments},
    lookup::{self, find, items, minute, text, yes_no},
    output::{Column, Output},
};

const PATH: &str = "/budget-rules";
const NONE_YET: &str = "\
No budget rule yet. Give everybody a monthly one:
  keyway budgets add Monthly --group-usd 500/30d --user-usd 50/30d";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All budget rules
    List,
    /// Make one; for everybody, unless it names groups or users
    #[command(visible_alias = "create")]
    Add(Add),
    /// One budget rule
    Show(Which),
    /// Change one; what is not named stays
    Update(Update),
    /// Remove one
    #[command(visible_alias = "delete")]
    Remove(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Id or name
    budget: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Display name
    name: String,
    #[command(flatten)]
    targets: Targets,
    /// Make it without limiting anybody yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    limits: LimitArguments,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id or name
    budget: String,
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    targets: Targets,
    /// For everybody in place of its groups and users
    #[arg(long, conflicts_with_all = ["groups", "users"])]
    everyone: bool,
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    enabled: Option<bool>,
    #[command(flatten)]
    limits: LimitArguments,
}

#[derive(Debug, Args)]
struct Targets {
    /// Id or name of a group it is for; repeat for more, these in place of others
    #[arg(long = "group")]
    groups: Vec<String>,
    /// A user it is for, by id, e-mail address or the name of a peer; repeat for more, these in place of
    /// others
    #[arg(long = "user")]
    users: Vec<String>,
}

impl Targets {
    /// Writes what was said over the targets of `body`.
    async fn apply(&self, body: &mut Value, client: &Client) -> Result<(), Failure> {
        if !self.groups.is_empty() {
            body["target_groups"] = json!(lookup::group_ids(client, &self.groups).await?);
        }
        if !self.users.is_empty() {
            body["target_users"] = json!(lookup::user_ids(client, &self.users).await?);
        }
        Ok(())
    }
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
            let mut budget = find(client, PATH, &which.budget).await?;
            let filter = [("rule", text(&budget, "id"))];
            let used = levels::fetch(client, &filter).await?;
            budget["used"] = used["limits"].clone();
            show(&budget, client, output).await?;
            levels::table(&budget, &used, output)
        }
        Command::Update(arguments) => update(arguments, client, output).await,
        Command::Remove(which) => {
            lookup::remove(client, PATH, &which.budget, "removed", output).await
        }
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut budgets = client.get(PATH).await?;
    levels::add_fullest(&mut budgets, &levels::fetch(client, &[]).await?);
    let groups = client.get("/groups").await?;
    let peers = client.get("/peers").await?;
    let columns = [
        Column::Left("NAME"),
        Column::Whole("ID"),
        Column::Left("FOR"),
        Column::Left("LIMITS"),
        Column::Right("USED"),
        Column::Left("ENABLED"),
    ];
    output.list(&budgets, &columns, NONE_YET, |budget| {
        vec![
            text(budget, "name").to_owned(),
            text(budget, "id").to_owned(),
            targets(budget, &groups, &peers),
            limits::summary(budget),
            levels::percent(budget["used_percent"].as_f64()),
            yes_no(budget, "enabled"),
        ]
    })
}

async fn add(arguments: Add, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = json!({
        "name": arguments.name,
        "enabled": !arguments.disabled,
        "limits": {},
    });
    arguments.targets.apply(&mut body, client).await?;
    arguments.limits.apply(&mut body)?;
    if limits::summary(&body).is_empty() {
        return Err(Failure::Usage(
            "say what it limits, such as --group-usd 50/30d (see `keyway budgets add --help`)"
                .to_owned(),
        ));
    }
    let budget = client.post(PATH, &body).await?;
    show(&budget, client, output).await
}

async fn update(arguments: Update, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = find(client, PATH, &arguments.budget).await?;
    if let Some(name) = arguments.name {
        body["name"] = json!(name);
    }
    if let Some(enabled) = arguments.enabled {
        body["enabled"] = json!(enabled);
    }
    if arguments.everyone {
        body["target_groups"] = json!([]);
        body["target_users"] = json!([]);
    }
    arguments.targets.apply(&mut body, client).await?;
    arguments.limits.apply(&mut body)?;
    let path = format!("{PATH}/{}", text(&body, "id"));
    let budget = client.put(&path, &body).await?;
    show(&budget, client, output).await
}

async fn show(budget: &Value, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let groups = client.get("/groups").await?;
    let peers = client.get("/peers").await?;
    output.show_fields(budget, || {
        let mut fields = vec![
            ("id", text(budget, "id").to_owned()),
            ("name", text(budget, "name").to_owned()),
            ("for", targets(budget, &groups, &peers)),
        ];
        fields.extend(limits::fields(budget));
        fields.extend([
            ("enabled", yes_no(budget, "enabled")),
            ("created", minute(budget, "created_at")),
            ("updated", minute(budget, "updated_at")),
        ]);
        fields
    })
}

fn targets(budget: &Value, groups: &Value, peers: &Value) -> String {
    let groups = lookup::names(budget, "target_groups", groups);
    let ids = items(&budget["target_users"]).iter();
    let users: Vec<&str> = ids
        .filter_map(Value::as_str)
        .map(|id| lookup::user_name_of(peers, id))
        .collect();
    match (groups.as_str(), users.join(", ").as_str()) {
        ("", "") => "everyone".to_owned(),
        (groups, "") => format!("groups {groups}"),
        ("", users) => format!("users {users}"),
        (groups, users) => format!("groups {groups}; users {users}"),
    }
}
