//! The command line: the node itself (`serve`, `check`), and for the operator a client of the
//! management API. Nothing in here touches the store or a provider's key beyond sending it.

mod admission;
mod agent_config;
mod audit;
mod budgets;
mod catalog;
mod client;
mod completions;
mod dashboard;
mod explain;
mod guardrails;
mod keys;
mod levels;
mod limits;
mod logs;
mod lookup;
mod node;
mod output;
mod peers;
mod policies;
mod prompt;
mod providers;
mod secret_input;
mod settings;
mod store;
mod tokens;
mod usage;

#[cfg(test)]
mod session_tests;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use client::Client;
use output::{Format, Output};

const AFTER_HELP: &str = "\
A first provider, from nothing to an answer:
  keyway providers connect openai_api           asks for the key; nobody sees it again
  keyway peers add build-1 --address 100.64.0.7 --group agents
  keyway policies add Everyone --group agents --provider \"OpenAI API\"
  keyway agent-config claude-code               what to set on the agent's machine
  keyway logs --follow                          who asked what, and what it cost

Exit status: 0 done; 1 refused or failed; 2 the node cannot be reached; 64 wrong usage.

The management API is reached over the node's unix socket (root and the service's user need no
token), or with --server over TCP with a token in KEYWAY_TOKEN.";

/// A keyless gateway node for fleets of AI agents.
#[derive(Debug, Parser)]
#[command(name = "keyway", version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The node, and how to print")]
struct Global {
    /// Configuration file; operator commands read the socket's path from it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Unix socket of the management API [default: /run/keyway/admin.sock]
    #[arg(long, global = true, value_name = "PATH", env = "KEYWAY_SOCKET")]
    socket: Option<PathBuf>,
    /// Management API over TCP, with a token in KEYWAY_TOKEN; plain http to loopback only
    #[arg(long, global = true, value_name = "URL", env = "KEYWAY_SERVER")]
    server: Option<String>,
    /// Tables for people, JSON for programs
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node
    Serve,
    /// Check the configuration, and what a start would meet on this machine
    Check(node::CheckArguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
    #[command(flatten)]
    Operator(Box<Operator>),
}

/// Commands that are a client of a running node.
#[derive(Debug, Subcommand)]
enum Operator {
    /// What the node serves and how its providers are
    Status,
    /// Connect and manage LLM providers
    #[command(subcommand)]
    Providers(providers::Command),
    /// What can be connected
    #[command(subcommand)]
    Catalog(catalog::Command),
    /// Which groups reach which providers
    #[command(subcommand)]
    Policies(policies::Command),
    /// What policies let through, keep of prompts, and bound
    #[command(subcommand)]
    Guardrails(guardrails::Command),
    /// Limits of the account, beside those of the policies
    #[command(subcommand, visible_alias = "budget-rules")]
    Budgets(budgets::Command),
    /// Machines on the overlay and who owns them
    #[command(subcommand)]
    Peers(peers::Command),
    /// The endpoint's name and what is collected
    #[command(subcommand)]
    Settings(settings::Command),
    /// Tokens and cost
    Usage(usage::Arguments),
    /// The access log
    Logs(logs::Arguments),
    /// Rotate provider keys and the master key
    #[command(subcommand)]
    Keys(keys::Command),
    /// Who changed what
    #[command(subcommand)]
    Audit(audit::Command),
    /// A link that logs a browser in to the dashboard
    Dashboard(dashboard::Arguments),
    /// Tokens for the management API over TCP
    #[command(subcommand)]
    Token(tokens::Command),
    /// Take the node's state out, or put it in
    #[command(subcommand)]
    Store(store::Command),
    /// The kernel program in front of the endpoint
    #[command(subcommand)]
    Admission(admission::Command),
    /// The CA that agents have to trust
    #[command(subcommand)]
    Ca(node::CaCommand),
    /// Print how to point an agent at the endpoint
    AgentConfig(agent_config::Arguments),
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// The arguments do not fit together.
    Usage(String),
    /// No node answers.
    Unreachable(String),
    /// The node refused, or something here failed.
    Failed(String),
    /// Whoever read the output (`| head`) has enough.
    ReaderGone,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Unreachable(_) => EXIT_UNREACHABLE,
            Self::Failed(_) => EXIT_FAILED,
            Self::ReaderGone => 0,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Usage(message) | Self::Unreachable(message) | Self::Failed(message) => message,
            Self::ReaderGone => "",
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Failed(error.to_string())
        }
    }
}

const EXIT_FAILED: u8 = 1;
const EXIT_UNREACHABLE: u8 = 2;
/// `EX_USAGE` of sysexits(3).
const EXIT_USAGE: u8 = 64;

/// Reads the process's arguments, does what they say, and tells how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing to do when neither output takes it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    match execute(cli) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.message().is_empty() {
                output::complain(failure.message());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Serve => {
            node::serve(cli.global.config.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(arguments) => {
            let mut output = Output::stdout(cli.global.output);
            node::check(&arguments, cli.global.config.as_deref(), &mut output)?;
            output.finish()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions(arguments) => {
            completions::run(&arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Operator(command) => {
            // These work without a node.
            if let Operator::Admission(admission::Command::Local(command)) = &*command {
                let mut output = Output::stdout(cli.global.output);
                admission::run_local(command, cli.global.config.as_deref(), &mut output)?;
                output.finish()?;
                return Ok(ExitCode::SUCCESS);
            }
            let client = Client::new(&cli.global)?;
            let mut output = Output::stdout(cli.global.output);
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(operate(*command, &cli.global, &client, &mut output))?;
            output.finish()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn operate(
    command: Operator,
    global: &Global,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Operator::Status => node::status(client, output).await,
        Operator::Providers(command) => providers::run(command, client, output).await,
        Operator::Catalog(command) => catalog::run(command, client, output).await,
        Operator::Policies(command) => policies::run(command, client, output).await,
        Operator::Guardrails(command) => guardrails::run(command, client, output).await,
        Operator::Budgets(command) => budgets::run(command, client, output).await,
        Operator::Peers(command) => peers::run(command, client, output).await,
        Operator::Settings(command) => settings::run(command, client, output).await,
        Operator::Usage(arguments) => usage::run(arguments, client, output).await,
        Operator::Logs(arguments) => logs::run(arguments, client, output).await,
        Operator::Keys(command) => keys::run(command, client, output).await,
        Operator::Audit(command) => audit::run(command, client, output).await,
        Operator::Dashboard(arguments) => dashboard::run(arguments, client, output).await,
        Operator::Token(command) => tokens::run(command, client, output).await,
        Operator::Store(command) => {
            store::run(command, global.config.as_deref(), client, output).await
        }
        Operator::Admission(command) => admission::run(command, client, output).await,
        Operator::Ca(command) => node::ca(command, client, output).await,
        Operator::AgentConfig(arguments) => agent_config::run(arguments, client, output).await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_are_read_or_refused() {
        for (line, ok) in [
            ("serve --config keyway.toml", true),
            ("check --config keyway.toml", true),
            ("check --print-default", true),
            ("--socket /tmp/s providers list", true),
            ("providers list --output json", true),
            (
                "providers connect openai_api --name x --model gpt-4o-mini",
                true,
            ),
            (
                "providers connect openai_api --model gpt-4o=0.0025,0.01",
                true,
            ),
            ("providers connect custom --allow-private", true),
            ("providers connect custom --allow-private=false", true),
            ("providers connect --allow-private custom", true),
            ("providers connect custom --allow-private=perhaps", false),
            ("providers connect openai_api --model gpt-4o=0.1", false),
            (
                "providers connect openai_api --key-stdin --key-file f",
                false,
            ),
            ("policies add Everyone --group agents --provider p", true),
            ("policies add Everyone --provider p", false),
            (
                "policies update p --user-tokens 1M/1d --group-usd 50/30d --mode hard",
                true,
            ),
            ("policies update p --user-tokens lots", false),
            ("policies update p --group-usd -5/1d", false),
            ("policies update p --mode harder", false),
            ("policies explain --peer build-1 --model gpt-4o", true),
            ("policies explain --model gpt-4o", false),
            (
                "policies update p --guardrail g --allow-path /v1/messages*",
                true,
            ),
            ("policies update p --guardrail g --no-guardrails", false),
            ("policies update p --allow-path /v1 --any-path", false),
            (
                "guardrails add g --model gpt-4o* --max-output-tokens 4k",
                true,
            ),
            ("guardrails create g --max-output-tokens 4k", true),
            ("guardrails update g --any-model --model x", false),
            ("budgets add b --user ada@example.com --user-usd 5/1d", true),
            ("budget-rules delete b", true),
            ("budgets update b --everyone --group g", false),
            ("providers update p --requests-per-minute 60", true),
            ("providers update p --user-requests-per-minute 60", false),
            (
                "peers add build-1 --address 100.64.0.7 --group agents",
                true,
            ),
            ("peers add build-1 --address nonsense", false),
            ("usage --by model --days 7", true),
            ("usage --by colour", false),
            ("logs --follow --user ada", true),
            ("logs show req_0199", true),
            ("logs export --format csv --since 7d", true),
            ("logs export --format xlsx", false),
            ("usage --by group --csv", true),
            ("logs --follow show req_0199", false),
            ("logs show ../settings", false),
            ("keys rotate-master", true),
            ("admission status --output json", true),
            ("admission peers", true),
            ("admission attach --watch --config keyway.toml", true),
            ("admission attach --watch --dry-run", false),
            ("admission detach --pins /sys/fs/bpf/keyway", true),
            ("admission detach", true),
            ("admission watch --output json", true),
            ("token create ci --days 30", true),
            ("agent-config claude-code --endpoint a.example", true),
            ("agent-config emacs", false),
            ("completions bash", true),
            ("providers list --output yaml", false),
            ("", false),
        ] {
            let words = std::iter::once("keyway").chain(line.split_whitespace());
            let parsed = Cli::try_parse_from(words);
            assert_eq!(parsed.is_ok(), ok, "{line}: {:?}", parsed.err());
        }
    }

    #[test]
    fn asking_for_help_is_no_mistake() {
        let error = Cli::try_parse_from(["keyway", "--help"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        assert!(!error.use_stderr());
        assert!(error.to_string().contains("64 wrong usage"));
    }
}
