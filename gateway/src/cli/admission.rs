//! `keyway admission`: what the kernel program in front does, and what it counts.

mod watch;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{items, joined, minute, text, yes_no},
    output::{Column, Format, Output, grouped},
};
use crate::{
    config::{AdmissionMode, Config},
    control_plane::admission::{
        Problem,
        keeper::{self, Keeper},
    },
};

/// As `admission.pins` and `admission.state` are without a configuration.
const PINS_DEFAULT: &str = "/sys/fs/bpf/keyway";
const STATE_DEFAULT: &str = "/run/keyway-admission/state.json";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Interfaces, how each is covered, and what was passed and dropped there
    Status,
    /// Traffic of every known peer
    Peers,
    /// Verdicts and the busiest peers, with rates, every second until Ctrl-C
    Watch,
    #[command(flatten)]
    Local(Local),
}

/// What works without a node.
#[derive(Debug, Subcommand)]
pub(super) enum Local {
    /// Put the program in front of every interface; it stays there when this command ends
    Attach {
        /// Go on: cover new interfaces, as keyway-admission.service does
        #[arg(long, conflicts_with = "dry_run")]
        watch: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove the program from every interface, and all that is pinned; the node and the unit must be stopped
    Detach {
        /// Where it is pinned, if not where the configuration says [default: /sys/fs/bpf/keyway]
        #[arg(long, value_name = "DIRECTORY")]
        pins: Option<PathBuf>,
    },
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Status => status(client, output).await,
        Command::Peers => peers(client, output).await,
        Command::Watch => watch::run(client, output).await,
        Command::Local(command) => run_local(&command, None, output),
    }
}

/// Commands that touch the kernel themselves.
pub(super) fn run_local(
    command: &Local,
    config: Option<&Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Local::Attach { watch, dry_run } => {
            let path = config.ok_or_else(|| {
                Failure::Usage("--config FILE names the configuration".to_owned())
            })?;
            match (dry_run, watch) {
                (true, _) => plan(&load(path)?, output),
                (false, true) => crate::app::keep_admission(path)
                    .map_err(|error| Failure::Failed(format!("{error:#}"))),
                (false, false) => attach(&load(path)?, output),
            }
        }
        Local::Detach { pins } => {
            let config = config.map(load).transpose()?;
            let configured = config.map(|config| config.admission);
            let directory = match (pins, &configured) {
                (Some(pins), _) => Some(pins.as_path()),
                (None, Some(configured)) => configured.pins.as_deref(),
                (None, None) => Some(Path::new(PINS_DEFAULT)),
            };
            let state = configured
                .as_ref()
                .map(|configured| configured.state.as_path());
            detach(
                directory,
                state.unwrap_or_else(|| Path::new(STATE_DEFAULT)),
                output,
            )
        }
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load_alone(path).map_err(|error| Failure::Failed(error.to_string()))
}

fn attach(config: &Config, output: &mut Output) -> Result<(), Failure> {
    if config.admission.mode == AdmissionMode::Off {
        return output.note("admission.mode is \"off\": nothing was attached.");
    }
    let failed = |problem: Problem| Failure::Failed(problem.to_string());
    let mut keeper = Keeper::start(config, false).map_err(failed)?;
    let interfaces = keeper.look().map_err(failed)?;
    if interfaces.is_empty() {
        return Err(Failure::Failed(format!(
            "device {} is not there, or has no address: nothing was attached",
            config.overlay.interface
        )));
    }
    let interfaces = json!(interfaces);
    if output.format() == Format::Json {
        return output.json(&interfaces);
    }
    covered(items(&interfaces), output)?;
    output.note("\nIt stays in front: `keyway admission detach` removes it.")
}

fn plan(config: &Config, output: &mut Output) -> Result<(), Failure> {
    let planned = keeper::plan(config).map_err(|problem| Failure::Failed(problem.to_string()))?;
    let columns = [
        Column::Whole("INTERFACE"),
        Column::Left("ROLE"),
        Column::Left("WOULD TRY"),
        Column::Left("NOTE"),
    ];
    output.list(&json!(planned), &columns, "There is no interface.", |one| {
        let tries: Vec<_> = items(&one["tries"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        vec![
            text(one, "name").to_owned(),
            text(one, "role").to_owned(),
            tries.join(", "),
            text(one, "note").to_owned(),
        ]
    })
}

fn detach(directory: Option<&Path>, state: &Path, output: &mut Output) -> Result<(), Failure> {
    let links = keeper::detach(directory, Some(state))
        .map_err(|problem| Failure::Failed(problem.to_string()))?;
    output.show_fields(&json!({"detached": links}), Vec::new)?;
    match links.len() {
        0 => output.note("Nothing was attached."),
        count => output.note(format_args!(
            "Removed {count} links, and all that was pinned: user space admits alone."
        )),
    }
}

async fn status(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let status = client.get("/admission").await?;
    output.show_fields(&status, || {
        vec![
            ("mode", text(&status, "mode").to_owned()),
            ("in front", yes_no(&status, "in_front")),
            ("problem", text(&status, "problem").to_owned()),
            ("peers", number(&status["peers"])),
            ("peers left out", number(&status["peers_left_out"])),
        ]
    })?;
    let interfaces = items(&status["interfaces"]);
    if interfaces.is_empty() {
        return Ok(());
    }
    output.note("")?;
    covered(interfaces, output)?;
    let counted: Vec<_> = interfaces.iter().flat_map(counted).collect();
    if counted.is_empty() {
        return Ok(());
    }
    output.note("")?;
    let columns = [
        Column::Whole("INTERFACE"),
        Column::Left("VERDICT"),
        Column::Left("REASON"),
        Column::Right("PACKETS"),
        Column::Right("BYTES"),
    ];
    output.table_for_people(&columns, counted)
}

fn covered(interfaces: &[Value], output: &mut Output) -> Result<(), Failure> {
    let columns = [
        Column::Whole("INTERFACE"),
        Column::Left("ROLE"),
        Column::Left("MODE"),
        Column::Left("PROBLEM"),
    ];
    let field = |one: &Value, name| text(one, name).to_owned();
    let rows = (interfaces.iter())
        .map(|one| ["name", "role", "mode", "problem"].map(|name| field(one, name)))
        .map(Vec::from)
        .collect();
    output.table_for_people(&columns, rows)
}

/// A row for every reason that occurred.
fn counted(interface: &Value) -> Vec<Vec<String>> {
    (items(&interface["counters"]).iter())
        .filter(|count| count["packets"].as_u64() != Some(0))
        .map(|count| {
            vec![
                text(interface, "name").to_owned(),
                text(count, "verdict").to_owned(),
                text(count, "reason").to_owned(),
                number(&count["packets"]),
                number(&count["bytes"]),
            ]
        })
        .collect()
}

async fn peers(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let peers = client.get("/admission/peers").await?;
    let columns = [
        Column::Whole("ADDRESS"),
        Column::Left("NAME"),
        Column::Left("GROUPS"),
        Column::Right("PACKETS IN"),
        Column::Right("BYTES IN"),
        Column::Right("PACKETS OUT"),
        Column::Right("BYTES OUT"),
        Column::Right("CONNECTIONS"),
        Column::Left("LAST SEEN"),
    ];
    let when_empty =
        "The kernel knows no peer: see `keyway admission status` and `keyway peers list`.";
    output.list(&peers, &columns, when_empty, |peer| {
        let (ingress, egress) = (&peer["ingress"], &peer["egress"]);
        vec![
            text(peer, "address").to_owned(),
            text(peer, "name").to_owned(),
            joined(peer, "groups"),
            number(&ingress["packets"]),
            number(&ingress["bytes"]),
            number(&egress["packets"]),
            number(&egress["bytes"]),
            number(&egress["connections"]),
            minute(ingress, "last_seen"),
        ]
    })
}

fn number(value: &Value) -> String {
    grouped(value.as_u64().unwrap_or(0))
}
