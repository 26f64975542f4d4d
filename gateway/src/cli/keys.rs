//! `keyway keys`: rotate a provider's key, and seal everything under a new master key.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Failure,
    client::Client,
    lookup::{find, minute, text},
    output::{Column, Output},
    secret_input::{KeySource, Need},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Keys of a provider, by fingerprint
    List {
        /// Id or name
        provider: String,
    },
    /// Give a provider a new key, then drop its old ones
    Rotate(Rotate),
    /// Exchange the master key and seal every stored key again under the new one
    RotateMaster,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Id or name
    provider: String,
    /// Add the new key and keep the old ones
    #[arg(long)]
    keep_others: bool,
    #[command(flatten)]
    key: KeySource,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let keys = match command {
        Command::List { provider } => {
            let provider = find(client, "/providers", &provider).await?;
            client.get(&path_of(&provider)).await?
        }
        Command::Rotate(arguments) => {
            arguments.key.refuse_argument()?;
            let provider = find(client, "/providers", &arguments.provider).await?;
            let label = format!("New key for {}", text(&provider, "name"));
            let key = arguments.key.read(&label, Need::Required)?;
            let body = RotateBody {
                api_key: key.as_ref().map_or("", |key| key.as_str()),
                keep_others: arguments.keep_others,
            };
            client.post(&path_of(&provider), &body).await?
        }
        Command::RotateMaster => {
            let report = client.post("/keys/rotate-master", &json!({})).await?;
            return output.show_fields(&report, || {
                vec![
                    ("master key", text(&report, "key_id").to_owned()),
                    ("sealed again", report["resealed"].to_string()),
                    ("left to do", text(&report, "advice").to_owned()),
                ]
            });
        }
    };
    let columns = [
        Column::Whole("ID"),
        Column::Left("FINGERPRINT"),
        Column::Left("CREATED"),
    ];
    output.list(&keys, &columns, "It has no key.", |key| {
        vec![
            text(key, "id").to_owned(),
            text(key, "fingerprint").to_owned(),
            minute(key, "created_at"),
        ]
    })
}

#[derive(serde::Serialize)]
struct RotateBody<'a> {
    api_key: &'a str,
    keep_others: bool,
}

fn path_of(provider: &serde_json::Value) -> String {
    format!("/providers/{}/keys", text(provider, "id"))
}
