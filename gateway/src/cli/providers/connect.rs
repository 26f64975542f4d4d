//! `keyway providers connect`: from a catalog entry and a key to a provider, and what to do next.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::{Value, json};

use super::{Options, PATH, model, show};
use crate::cli::{
    Failure, catalog,
    client::Client,
    lookup::{items, text},
    output::Output,
    secret_input::{KeySource, Need},
    settings,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Catalog id (`keyway catalog list`); asked for on a terminal
    catalog_id: Option<String>,
    /// Display name; the catalog's by default
    #[arg(long)]
    name: Option<String>,
    /// Connect it without sending anything to it yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    key: KeySource,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    arguments.key.refuse_argument()?;
    let entry = match &arguments.catalog_id {
        Some(id) => catalog::entry(client, id).await?,
        None => ask_entry(client).await?,
    };
    let mut body = json!({
        "provider_id": entry["id"],
        "name": arguments.name.as_deref().unwrap_or_else(|| text(&entry, "name")),
        "upstream_url": catalog::default_url(&entry),
        "enabled": !arguments.disabled,
    });
    arguments.options.apply(&mut body)?;
    if text(&body, "upstream_url").is_empty() {
        body["upstream_url"] = json!(ask_url(&entry)?);
    }
    let need = if entry["kind"] == "custom" {
        Need::Optional
    } else {
        Need::Required
    };
    let label = format!("Key for {}", text(&entry, "name"));
    let key = arguments.key.read(&label, need)?;
    let request = model::WithKey::new(&body, key.as_ref());
    let provider = client.post(PATH, &request).await?;
    show(&provider, client, output).await?;
    next_steps(&provider, client, output).await
}

/// The endpoint, its DNS record, and the peer and the policy without which nobody gets through.
async fn next_steps(provider: &Value, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let settings = client.get("/settings").await?;
    let status = client.get("/status").await?;
    output.note(format_args!(
        "\nAgents reach it at {}\n\nNext:",
        text(&settings, "base_url")
    ))?;
    for record in settings::dns_records(&settings, &status) {
        output.note(format_args!("  create this DNS record: {record}"))?;
    }
    if items(&client.get("/peers").await?).is_empty() {
        output.note(
            "  make a machine known: keyway peers add NAME --address ADDRESS --group agents",
        )?;
    }
    let id = text(provider, "id");
    let policies = client.get("/policies").await?;
    let is_reachable = items(&policies).iter().any(|policy| {
        policy["enabled"] == true
            && items(&policy["destination_provider_ids"])
                .iter()
                .any(|destination| destination == id)
    });
    if !is_reachable {
        output.note(format_args!(
            "  allow a group to use it: keyway policies add \"{} for agents\" --group agents \
             --provider {id}",
            text(provider, "name")
        ))?;
    }
    output.note(format_args!("  try its key: keyway providers test {id}"))?;
    output.note("  point an agent at it: keyway agent-config claude-code")
}

async fn ask_entry(client: &Client) -> Result<Value, Failure> {
    let entries = client.get("/catalog/providers").await?;
    if !io::stdin().is_terminal() {
        let ids: Vec<&str> = items(&entries)
            .iter()
            .map(|entry| text(entry, "id"))
            .collect();
        return Err(Failure::Usage(format!(
            "name what to connect, one of: {}",
            ids.join(", ")
        )));
    }
    let mut terminal = io::stderr();
    for (i, entry) in items(&entries).iter().enumerate() {
        writeln!(
            terminal,
            "{:>3}  {:24}  {}",
            i + 1,
            text(entry, "id"),
            text(entry, "name")
        )?;
    }
    let answer = ask("Connect (number or id)")?;
    let numbered = answer
        .parse::<usize>()
        .ok()
        .and_then(|number| items(&entries).get(number.checked_sub(1)?));
    numbered
        .or_else(|| items(&entries).iter().find(|entry| entry["id"] == *answer))
        .cloned()
        .ok_or_else(|| Failure::Usage("that is not in the catalog".to_owned()))
}

fn ask_url(entry: &Value) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return ask("Upstream URL");
    }
    let hint = match text(entry, "default_host") {
        "" => String::new(),
        host => format!(" (https://{host})"),
    };
    Err(Failure::Usage(format!(
        "{} needs your own --url{hint}",
        text(entry, "id")
    )))
}

fn ask(question: &str) -> Result<String, Failure> {
    write!(io::stderr(), "{question}: ")?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}
