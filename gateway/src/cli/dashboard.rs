//! `keyway dashboard`: a link that logs a browser in.

use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;

use super::{
    Failure,
    client::Client,
    lookup::{minute, text},
    output::Output,
    tokens::RoleArgument,
};

/// What opens a link on a desktop (freedesktop.org's xdg-utils).
const OPENER: &str = "xdg-open";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Open it in this machine's browser
    #[arg(long)]
    open: bool,
    /// What the session may do
    #[arg(long, value_enum, default_value_t)]
    role: RoleArgument,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let body = json!({"role": arguments.role});
    let made = client.post("/session/codes", &body).await?;
    let url = text(&made, "url");
    if arguments.open {
        open(url)?;
    }
    output.show_fields(&made, || {
        vec![
            ("open", url.to_owned()),
            ("until", minute(&made, "expires_at")),
        ]
    })?;
    output.note(
        "\nIt logs in once, on this machine. From another one, forward the port first (ssh -L).",
    )
}

fn open(url: &str) -> Result<(), Failure> {
    let started = Command::new(OPENER)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match started {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Failed(format!("{OPENER}: {status}; open {url}"))),
        Err(error) => Err(Failure::Failed(format!("{OPENER}: {error}; open {url}"))),
    }
}
