//! `keyway providers connect`: from a catalog entry and a key to a provider that was tried, and what to do
//! next. On a terminal it asks for what the arguments leave open, `connect/form.rs`; it tries what it has,
//! `connect/trial.rs`; it asks the vendor for its models, `connect/models.rs`; then it saves.

mod form;
mod key;
mod models;
mod trial;
mod url;

use clap::Args;
use serde_json::Value;

use super::{Options, PATH, model::WithKey, show};
use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, text},
    output::Output,
    prompt::{Ask, Terminal},
    secret_input::KeySource,
    settings,
};
use form::Form;

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
    /// Fill in a <part> of the catalog's URL, such as region=us-east-1; repeat for more
    #[arg(long = "part", value_name = "NAME=VALUE", value_parser = url::part_argument, conflicts_with = "url")]
    parts: Vec<(String, String)>,
    /// Serve the models that the vendor lists, with the prices that are known
    #[arg(long)]
    discover: bool,
    /// Save it without trying it
    #[arg(long)]
    no_test: bool,
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
    match Terminal::open() {
        Some(mut terminal) => connect(&arguments, Some(&mut terminal), client, output).await,
        None => connect(&arguments, None, client, output).await,
    }
}

/// `ask` is there when somebody sits at the terminal.
pub(in crate::cli) async fn connect(
    arguments: &Arguments,
    mut ask: Option<&mut dyn Ask>,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    arguments.key.refuse_argument()?;
    let entry = form::entry(arguments, &mut ask, client).await?;
    let mut form = Form::fill(arguments, entry, &mut ask)?;
    if !arguments.no_test {
        trial::pass(&mut form, &mut ask, client).await?;
    }
    models::choose(arguments, &mut form, &mut ask, client).await?;
    if form.walks {
        form.ask_identity(arguments, &mut ask)?;
        form.confirm(&mut ask)?;
    }
    let request = WithKey::new(&form.body, form.key.as_ref());
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
    output.note("  point an agent at it: keyway agent-config claude-code")
}
