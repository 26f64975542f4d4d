//! `keyway providers`: connect, show, change, remove.

pub(super) mod connect;
mod discovery;
mod model;
mod models;
mod trial;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    limits::{self, ProviderLimitArguments},
    lookup::{self, find, items, joined, minute, text, yes_no},
    output::{Column, Output},
    secret_input::{KeySource, Need},
};
use model::ModelArgument;

const PATH: &str = "/providers";
const NONE_YET: &str = "\
No provider yet. Connect one; `keyway catalog list` says what there is:
  keyway providers connect openai_api";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All providers and how they are
    List,
    /// Connect one; asks for what is missing when it can
    Connect(connect::Arguments),
    /// One provider
    Show(Which),
    /// Change one; what is not named stays, and a changed connection is tried first
    Update(Update),
    /// Send nothing to it any more
    Disable(Which),
    /// Send to it again
    Enable(Which),
    /// Remove one, with its keys
    Remove(Which),
    /// Try one with its stored key
    Test(Which),
    /// The models that its vendor lists for its key, with the prices that are known
    Models(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Id or name
    provider: String,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id or name
    provider: String,
    /// New display name
    #[arg(long)]
    name: Option<String>,
    /// Serve also what the vendor lists by now
    #[arg(long)]
    discover: bool,
    /// Save a changed connection (URL, key, headers, trust) without trying it
    #[arg(long)]
    no_test: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    key: KeySource,
}

/// What can be said about a provider, on connecting and later.
#[derive(Debug, Args)]
struct Options {
    /// Upstream URL; the catalog's by default
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A model it serves, with its price in dollars per 1000 tokens where the catalog's is not yours, or
    /// with the catalog's model that a name of your own stands for (an Azure deployment's); repeat for
    /// more, none for all models
    #[arg(long = "model", value_name = "ID[=INPUT,OUTPUT[,CONTEXT]|=MODEL]")]
    models: Vec<ModelArgument>,
    /// Value of a header that the catalog entry declares
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = model::header_argument)]
    headers: Vec<(String, String)>,
    /// Header that tells the provider who calls
    #[arg(long, value_name = "NAME")]
    user_header: Option<String>,
    /// Header that tells the provider the caller's groups
    #[arg(long, value_name = "NAME")]
    groups_header: Option<String>,
    /// PEM bundle to trust for this provider in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Allow loopback and private addresses
    #[arg(
        long,
        value_name = "true|false",
        hide_possible_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    allow_private: Option<bool>,
    /// Accept any certificate (self-hosted servers only)
    #[arg(
        long,
        value_name = "true|false",
        hide_possible_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    skip_tls_verification: Option<bool>,
    /// Tell the provider nothing about who calls
    #[arg(
        long,
        value_name = "true|false",
        hide_possible_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    no_metadata: Option<bool>,
    #[command(flatten)]
    limits: ProviderLimitArguments,
}

impl Options {
    /// Whether something is named that decides if the provider can be reached.
    fn changes_connection(&self) -> bool {
        self.url.is_some()
            || !self.headers.is_empty()
            || self.ca_file.is_some()
            || self.allow_private.is_some()
            || self.skip_tls_verification.is_some()
    }

    /// Writes what was said over `body`.
    fn apply(&self, body: &mut Value) -> Result<(), Failure> {
        if let Some(url) = &self.url {
            body["upstream_url"] = json!(url);
        }
        if !self.models.is_empty() {
            body["models"] = json!(self.models);
        }
        for (name, value) in &self.headers {
            body["extra_values"][name] = json!(value);
        }
        if let Some(name) = &self.user_header {
            body["identity_header_user_id"] = json!(name);
        }
        if let Some(name) = &self.groups_header {
            body["identity_header_groups"] = json!(name);
        }
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read_to_string(path)
                .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
            body["ca_pem"] = json!(pem);
        }
        if let Some(allowed) = self.allow_private {
            body["allow_private_addresses"] = json!(allowed);
        }
        if let Some(skip) = self.skip_tls_verification {
            body["skip_tls_verification"] = json!(skip);
        }
        if let Some(disabled) = self.no_metadata {
            body["metadata_disabled"] = json!(disabled);
        }
        self.limits.apply(body);
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
        Command::Connect(arguments) => connect::run(arguments, client, output).await,
        Command::Show(which) => {
            let provider = find(client, PATH, &which.provider).await?;
            show(&provider, client, output).await
        }
        Command::Update(arguments) => update(arguments, client, output).await,
        Command::Disable(which) => switch(&which.provider, false, client, output).await,
        Command::Enable(which) => switch(&which.provider, true, client, output).await,
        Command::Remove(which) => {
            lookup::remove(client, PATH, &which.provider, "removed", output).await
        }
        Command::Test(which) => test(&which.provider, client, output).await,
        Command::Models(which) => {
            let provider = find(client, PATH, &which.provider).await?;
            models::list(&provider, client, output).await
        }
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let providers = client.get(PATH).await?;
    let status = client.get("/status").await?;
    let columns = [
        Column::Left("NAME"),
        Column::Whole("ID"),
        Column::Left("CATALOG"),
        Column::Left("UPSTREAM"),
        Column::Right("MODELS"),
        Column::Left("STATE"),
    ];
    output.list(&providers, &columns, NONE_YET, |provider| {
        vec![
            text(provider, "name").to_owned(),
            text(provider, "id").to_owned(),
            text(provider, "provider_id").to_owned(),
            text(provider, "upstream_url").to_owned(),
            models(provider),
            state(provider, &status),
        ]
    })
}

async fn update(arguments: Update, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let key = arguments.key.read("New provider key", Need::IfGiven)?;
    let mut body = find(client, PATH, &arguments.provider).await?;
    if let Some(name) = &arguments.name {
        body["name"] = json!(name);
    }
    arguments.options.apply(&mut body)?;
    let is_changed = key.is_some() || arguments.options.changes_connection();
    if is_changed && !arguments.no_test {
        let report = trial::report(&body, key.as_ref(), client).await?;
        trial::verdict(&report)?;
    }
    if arguments.discover {
        let listed = discovery::listed(&body, key.as_ref(), client).await?;
        discovery::add(&mut body, items(&listed["models"]).iter());
    }
    let path = path_of(&body);
    let request = model::WithKey::new(&body, key.as_ref());
    let provider = client.put(&path, &request).await?;
    show(&provider, client, output).await
}

async fn switch(
    wanted: &str,
    enabled: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut body = find(client, PATH, wanted).await?;
    body["enabled"] = json!(enabled);
    let provider = client.put(&path_of(&body), &body).await?;
    show(&provider, client, output).await
}

async fn test(wanted: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let provider = find(client, PATH, wanted).await?;
    let path = format!("{}/test", path_of(&provider));
    let report = client.post(&path, &json!({})).await?;
    output.show_fields(&report, || {
        vec![
            ("works", yes_no(&report, "ok")),
            ("status", report["status"].to_string()),
            ("took", format!("{} ms", report["duration_ms"])),
            ("message", text(&report, "message").to_owned()),
            ("what to do", text(&report, "remedy").to_owned()),
        ]
    })?;
    if report["ok"] == true {
        Ok(())
    } else {
        output.finish()?;
        Err(Failure::Failed(format!(
            "{} does not work",
            text(&provider, "name")
        )))
    }
}

async fn show(provider: &Value, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let status = client.get("/status").await?;
    output.show_fields(provider, || {
        vec![
            ("id", text(provider, "id").to_owned()),
            ("name", text(provider, "name").to_owned()),
            ("catalog", text(provider, "provider_id").to_owned()),
            ("upstream", text(provider, "upstream_url").to_owned()),
            ("addresses", addresses(provider, &status)),
            ("state", state(provider, &status)),
            ("models", models_in_full(provider)),
            ("no price known", unpriced(provider)),
            ("limits", limits::provider_summary(provider)),
            ("enabled", yes_no(provider, "enabled")),
            ("any certificate", yes_no(provider, "skip_tls_verification")),
            (
                "private addresses",
                yes_no(provider, "allow_private_addresses"),
            ),
            ("created", minute(provider, "created_at")),
            ("updated", minute(provider, "updated_at")),
        ]
    })?;
    if unpriced(provider).is_empty() {
        return Ok(());
    }
    output.note(format_args!(
        "\nRequests to models without a price count without a cost. To set prices, name all models:\n  \
         keyway providers update {} --model ID=INPUT,OUTPUT",
        text(provider, "id")
    ))
}

fn path_of(provider: &Value) -> String {
    format!("{PATH}/{}", text(provider, "id"))
}

fn models(provider: &Value) -> String {
    match items(&provider["models"]).len() {
        0 => "all".to_owned(),
        count => count.to_string(),
    }
}

fn models_in_full(provider: &Value) -> String {
    let ids: Vec<&str> = items(&provider["models"])
        .iter()
        .map(|model| text(model, "id"))
        .collect();
    if ids.is_empty() {
        "all".to_owned()
    } else {
        ids.join(", ")
    }
}

/// Models whose requests are counted without a cost.
fn unpriced(provider: &Value) -> String {
    let ids: Vec<&str> = items(&provider["models"])
        .iter()
        .filter(|model| model["unpriced"] == true)
        .map(|model| text(model, "id"))
        .collect();
    ids.join(", ")
}

fn addresses(provider: &Value, status: &Value) -> String {
    status_of(provider, status).map_or_else(String::new, |own| joined(own, "addresses"))
}

fn state(provider: &Value, status: &Value) -> String {
    if provider["enabled"] == false {
        return "disabled".to_owned();
    }
    let Some(own) = status_of(provider, status) else {
        return "unknown".to_owned();
    };
    let ready = if own["ready"] == true {
        "ready"
    } else {
        "not ready"
    };
    match text(own, "problem") {
        "" => ready.to_owned(),
        problem => format!("{ready}: {problem}"),
    }
}

fn status_of<'a>(provider: &Value, status: &'a Value) -> Option<&'a Value> {
    items(&status["providers"])
        .iter()
        .find(|one| one["id"] == provider["id"])
}
