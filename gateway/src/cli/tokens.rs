//! `keyway token`: access to the management API over TCP.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, minute, text},
    output::{Column, Output},
};

const PATH: &str = "/tokens";
const NONE_YET: &str = "\
No token yet. The unix socket needs none; for the API over TCP:
  keyway token create NAME";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token; it is shown once
    Create {
        /// What it is for
        name: String,
        /// Days until it expires; never without this
        #[arg(long)]
        days: Option<u16>,
        /// What it may do
        #[arg(long, value_enum, default_value_t)]
        role: RoleArgument,
    },
    /// All tokens
    List,
    /// Make one worthless
    Revoke {
        /// Id or name
        token: String,
    },
}

/// What whoever holds it may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleArgument {
    /// Everything
    #[default]
    Owner,
    /// Everything but tokens, the master key and the store as a whole
    Admin,
    /// Reads, and none of the captured texts
    Auditor,
    /// Reads how the node does
    Metrics,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Create { name, days, role } => {
            let body = json!({"name": name, "role": role, "expires_in_days": days});
            let created = client.post(PATH, &body).await?;
            output.show_fields(&created, || {
                vec![
                    ("id", text(&created, "id").to_owned()),
                    ("role", text(&created, "role").to_owned()),
                    ("expires", expires(&created)),
                    ("token", text(&created, "token").to_owned()),
                ]
            })?;
            output.note("\nIt is not shown again. Use it as KEYWAY_TOKEN with --server URL.")
        }
        Command::List => list(client, output).await,
        Command::Revoke { token } => lookup::remove(client, PATH, &token, "revoked", output).await,
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let tokens = client.get(PATH).await?;
    let columns = [
        Column::Left("NAME"),
        Column::Whole("ID"),
        Column::Left("ROLE"),
        Column::Left("CREATED"),
        Column::Left("EXPIRES"),
    ];
    output.list(&tokens, &columns, NONE_YET, |token| {
        vec![
            text(token, "name").to_owned(),
            text(token, "id").to_owned(),
            text(token, "role").to_owned(),
            minute(token, "created_at"),
            expires(token),
        ]
    })
}

fn expires(token: &Value) -> String {
    match minute(token, "expires_at") {
        never if never.is_empty() => "never".to_owned(),
        at => at,
    }
}
