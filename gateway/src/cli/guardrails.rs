//! `keyway guardrails`: what policies let through, keep of prompts, and bound.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    limits::count,
    lookup::{self, find, items, joined, minute, text},
    output::{Column, Output, grouped},
};

const PATH: &str = "/guardrails";
const NONE_YET: &str = "\
No guardrail yet. Make one, and name it in a policy:
  keyway guardrails add Strict --model \"gpt-4o*\" --max-output-tokens 4096
  keyway policies update POLICY --guardrail Strict";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All guardrails
    List,
    /// Make one; policies name it (`keyway policies update POLICY --guardrail NAME`)
    #[command(visible_alias = "create")]
    Add(Add),
    /// One guardrail, and the policies that name it
    Show(Which),
    /// Change one; what is not named stays
    Update(Update),
    /// Remove one that no policy names
    #[command(visible_alias = "delete")]
    Remove(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Id or name
    guardrail: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Display name
    name: String,
    #[arg(long, default_value = "")]
    description: String,
    #[command(flatten)]
    checks: Checks,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id or name
    guardrail: String,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Let every model through
    #[arg(long, conflicts_with = "models")]
    any_model: bool,
    #[command(flatten)]
    checks: Checks,
}

#[derive(Debug, Args)]
struct Checks {
    /// A model that is let through, * for any text in it; repeat for more, these in place of others
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Most tokens that a request may be answered with; 0 for no bound
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    max_output_tokens: Option<u64>,
    /// Keep prompts and answers with the access log
    #[arg(
        long,
        value_name = "true|false",
        hide_possible_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    capture: Option<bool>,
    /// Bytes kept of a prompt, and of its answer
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    capture_bytes: Option<u64>,
    /// Replace keys and personal data in what is kept
    #[arg(
        long,
        value_name = "true|false",
        hide_possible_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    redact: Option<bool>,
}

impl Checks {
    /// Writes what was said over the `checks` of `body`.
    fn apply(&self, body: &mut Value) {
        let checks = &mut body["checks"];
        if !self.models.is_empty() {
            checks["model_allowlist"] = json!({"enabled": true, "models": self.models});
        }
        if let Some(most) = self.max_output_tokens {
            checks["output_limit"] = json!({"enabled": most > 0, "max_tokens": most});
        }
        if let Some(capture) = self.capture {
            checks["prompt_capture"]["enabled"] = json!(capture);
        }
        if let Some(bytes) = self.capture_bytes {
            checks["prompt_capture"]["max_bytes"] = json!(bytes);
        }
        if let Some(redact) = self.redact {
            checks["prompt_capture"]["redact_pii"] = json!(redact);
        }
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
            let guardrail = find(client, PATH, &which.guardrail).await?;
            show(&guardrail, client, output).await
        }
        Command::Update(arguments) => update(arguments, client, output).await,
        Command::Remove(which) => {
            lookup::remove(client, PATH, &which.guardrail, "removed", output).await
        }
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let guardrails = client.get(PATH).await?;
    let policies = client.get("/policies").await?;
    let columns = [
        Column::Left("NAME"),
        Column::Whole("ID"),
        Column::Left("MODELS"),
        Column::Right("OUTPUT MAX"),
        Column::Left("CAPTURE"),
        Column::Left("POLICIES"),
    ];
    output.list(&guardrails, &columns, NONE_YET, |guardrail| {
        vec![
            text(guardrail, "name").to_owned(),
            text(guardrail, "id").to_owned(),
            models(guardrail),
            output_max(guardrail),
            capture(guardrail),
            policies_of(guardrail, &policies),
        ]
    })
}

async fn add(arguments: Add, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = json!({
        "name": arguments.name,
        "description": arguments.description,
        "checks": {},
    });
    arguments.checks.apply(&mut body);
    let guardrail = client.post(PATH, &body).await?;
    show(&guardrail, client, output).await
}

async fn update(arguments: Update, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = find(client, PATH, &arguments.guardrail).await?;
    if let Some(name) = arguments.name {
        body["name"] = json!(name);
    }
    if let Some(description) = arguments.description {
        body["description"] = json!(description);
    }
    if arguments.any_model {
        body["checks"]["model_allowlist"] = json!({"enabled": false, "models": []});
    }
    arguments.checks.apply(&mut body);
    let path = format!("{PATH}/{}", text(&body, "id"));
    let guardrail = client.put(&path, &body).await?;
    show(&guardrail, client, output).await
}

async fn show(guardrail: &Value, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let policies = client.get("/policies").await?;
    output.show_fields(guardrail, || {
        vec![
            ("id", text(guardrail, "id").to_owned()),
            ("name", text(guardrail, "name").to_owned()),
            ("description", text(guardrail, "description").to_owned()),
            ("models", models(guardrail)),
            ("output tokens", output_max(guardrail)),
            ("prompts kept", capture(guardrail)),
            ("policies", policies_of(guardrail, &policies)),
            ("created", minute(guardrail, "created_at")),
            ("updated", minute(guardrail, "updated_at")),
        ]
    })
}

fn models(guardrail: &Value) -> String {
    let list = &guardrail["checks"]["model_allowlist"];
    if list["enabled"] == true {
        joined(list, "models")
    } else {
        "all".to_owned()
    }
}

fn output_max(guardrail: &Value) -> String {
    let limit = &guardrail["checks"]["output_limit"];
    if limit["enabled"] == true {
        grouped(limit["max_tokens"].as_u64().unwrap_or(0))
    } else {
        "any".to_owned()
    }
}

fn capture(guardrail: &Value) -> String {
    let capture = &guardrail["checks"]["prompt_capture"];
    if capture["enabled"] != true {
        return "no".to_owned();
    }
    let bytes = grouped(capture["max_bytes"].as_u64().unwrap_or(0));
    if capture["redact_pii"] == true {
        format!("{bytes} bytes, redacted")
    } else {
        format!("{bytes} bytes")
    }
}

fn policies_of(guardrail: &Value, policies: &Value) -> String {
    let names: Vec<&str> = items(policies)
        .iter()
        .filter(|policy| items(&policy["guardrail_ids"]).contains(&guardrail["id"]))
        .map(|policy| text(policy, "name"))
        .collect();
    names.join(", ")
}
