//! `keyway policies`: which groups reach which providers, under which guardrails and limits.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    explain, levels,
    limits::{self, LimitArguments},
    lookup::{self, find, joined, minute, names, text, yes_no},
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
    #[command(visible_alias = "create")]
    Add(Add),
    /// One policy
    Show(Which),
    /// Change one; what is not named stays
    Update(Update),
    /// Remove one
    #[command(visible_alias = "delete")]
    Remove(Which),
    /// What would become of a request, and why; nothing is sent or spent
    Explain(explain::Arguments),
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
    #[command(flatten)]
    rules: Rules,
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
    /// Without its guardrails
    #[arg(long, conflicts_with = "guardrails")]
    no_guardrails: bool,
    /// Let every path through
    #[arg(long, conflicts_with = "paths")]
    any_path: bool,
    #[command(flatten)]
    rules: Rules,
}

/// What the groups may do there, on making one and later.
#[derive(Debug, Args)]
struct Rules {
    /// Id or name of a guardrail it is under; repeat for more, these in place of others
    #[arg(long = "guardrail")]
    guardrails: Vec<String>,
    /// A path that is let through, as agents send it, * for any rest: /v1/chat/completions; repeat for
    /// more, these in place of others, none for all paths
    #[arg(long = "allow-path", value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    limits: LimitArguments,
}

impl Rules {
    /// Writes what was said over `body`.
    async fn apply(&self, body: &mut Value, client: &Client) -> Result<(), Failure> {
        if !self.guardrails.is_empty() {
            let ids = lookup::ids(client, "/guardrails", &self.guardrails).await?;
            body["guardrail_ids"] = json!(ids);
        }
        if !self.paths.is_empty() {
            body["allowed_paths"] = json!(self.paths);
        }
        self.limits.apply(body)
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
            let mut policy = find(client, PATH, &which.policy).await?;
            let filter = [("policy", text(&policy, "id"))];
            let used = levels::fetch(client, &filter).await?;
            policy["used"] = used["limits"].clone();
            show(&policy, client, output).await?;
            levels::table(&policy, &used, output)
        }
        Command::Explain(arguments) => explain::run(arguments, client, output).await,
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
        Column::Left("LIMITS"),
        Column::Left("ENABLED"),
    ];
    output.list(&policies, &columns, NONE_YET, |policy| {
        vec![
            text(policy, "name").to_owned(),
            text(policy, "id").to_owned(),
            names(policy, "source_groups", &groups),
            names(policy, "destination_provider_ids", &providers),
            limits::summary(policy),
            yes_no(policy, "enabled"),
        ]
    })
}

async fn add(arguments: Add, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = json!({
        "name": arguments.name,
        "description": arguments.description,
        "enabled": !arguments.disabled,
        "source_groups": lookup::group_ids(client, &arguments.groups).await?,
        "destination_provider_ids": lookup::ids(client, "/providers", &arguments.providers).await?,
    });
    arguments.rules.apply(&mut body, client).await?;
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
        let ids = lookup::ids(client, "/providers", &arguments.providers).await?;
        body["destination_provider_ids"] = json!(ids);
    }
    if arguments.no_guardrails {
        body["guardrail_ids"] = json!([]);
    }
    if arguments.any_path {
        body["allowed_paths"] = json!([]);
    }
    arguments.rules.apply(&mut body, client).await?;
    let path = format!("{PATH}/{}", text(&body, "id"));
    let policy = client.put(&path, &body).await?;
    show(&policy, client, output).await
}

async fn show(policy: &Value, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let providers = client.get("/providers").await?;
    let groups = client.get("/groups").await?;
    let guardrails = client.get("/guardrails").await?;
    output.show_fields(policy, || {
        let mut fields = vec![
            ("id", text(policy, "id").to_owned()),
            ("name", text(policy, "name").to_owned()),
            ("description", text(policy, "description").to_owned()),
            ("groups", names(policy, "source_groups", &groups)),
            (
                "providers",
                names(policy, "destination_provider_ids", &providers),
            ),
            ("paths", joined(policy, "allowed_paths")),
            ("guardrails", names(policy, "guardrail_ids", &guardrails)),
        ];
        fields.extend(limits::fields(policy));
        fields.extend([
            ("enabled", yes_no(policy, "enabled")),
            ("created", minute(policy, "created_at")),
            ("updated", minute(policy, "updated_at")),
        ]);
        fields
    })
}
