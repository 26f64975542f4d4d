//! `keyway settings`: the endpoint's name, its DNS record, and what is collected.

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{items, minute, text, yes_no},
    output::Output,
};

const PATH: &str = "/settings";
/// As NetBird's own record for an endpoint: it follows an address within seconds.
const DNS_TTL_SECONDS: u32 = 5;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The settings, and the DNS record to create
    Show,
    /// Change what is collected
    Set(Set),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Set {
    /// Keep an access log (usage is counted regardless)
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    log_collection: Option<bool>,
    /// Keep prompts and answers, where a guardrail of the policy says so too
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    prompt_collection: Option<bool>,
    /// How long access log entries are kept; 0 keeps them forever
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<i64>,
    /// How long prompts and answers are kept; 0: as long as their entry in the access log
    #[arg(long, value_name = "DAYS")]
    prompt_retention_days: Option<i64>,
    /// Replace keys and personal data in prompts and answers that are kept
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    redact_pii: Option<bool>,
}

pub(super) async fn run(
    command: Command,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut settings = client.get(PATH).await?;
    if let Command::Set(arguments) = command {
        if text(&settings, "endpoint").is_empty() {
            return Err(Failure::Failed(
                "there is no endpoint yet: connect a provider first (`keyway providers connect`)"
                    .to_owned(),
            ));
        }
        if let Some(enabled) = arguments.log_collection {
            settings["enable_log_collection"] = json!(enabled);
        }
        if let Some(enabled) = arguments.prompt_collection {
            settings["enable_prompt_collection"] = json!(enabled);
        }
        if let Some(days) = arguments.prompt_retention_days {
            settings["prompt_retention_days"] = json!(days);
        }
        if let Some(days) = arguments.retention_days {
            settings["access_log_retention_days"] = json!(days);
        }
        if let Some(redact) = arguments.redact_pii {
            settings["redact_pii"] = json!(redact);
        }
        settings = client.put(PATH, &settings).await?;
    }
    let status = client.get("/status").await?;
    show(&settings, &status, output)
}

/// The records that lead agents to the node, one for each of its addresses; none while it has no name.
pub(super) fn dns_records(settings: &Value, status: &Value) -> Vec<String> {
    let endpoint = text(settings, "endpoint");
    if endpoint.is_empty() {
        return Vec::new();
    }
    let mut addresses: Vec<_> = items(&status["listeners"])
        .iter()
        .filter_map(|listener| listener.as_str()?.parse::<SocketAddr>().ok())
        .map(|listener| listener.ip())
        .collect();
    addresses.sort();
    addresses.dedup();
    let records: Vec<String> = addresses
        .iter()
        .map(|address| {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            format!("{endpoint}. {DNS_TTL_SECONDS} IN {kind} {address}")
        })
        .collect();
    if records.is_empty() {
        vec![format!(
            "{endpoint}. {DNS_TTL_SECONDS} IN A <the node's overlay address>"
        )]
    } else {
        records
    }
}

fn show(settings: &Value, status: &Value, output: &mut Output) -> Result<(), Failure> {
    output.show_fields(settings, || {
        let retention = match settings["access_log_retention_days"].as_i64() {
            Some(days) if days > 0 => format!("{days} days"),
            Some(_) | None => "forever".to_owned(),
        };
        let prompts = match settings["prompt_retention_days"].as_i64() {
            Some(days) if days > 0 => format!("{days} days at most"),
            Some(_) | None => "as long as their entry".to_owned(),
        };
        let endpoint = match text(settings, "endpoint") {
            "" => "none yet: it is named when the first provider is connected",
            endpoint => endpoint,
        };
        vec![
            ("endpoint", endpoint.to_owned()),
            ("base url", text(settings, "base_url").to_owned()),
            ("DNS record", dns_records(settings, status).join("; ")),
            ("access log", yes_no(settings, "enable_log_collection")),
            ("kept", retention),
            ("prompts", yes_no(settings, "enable_prompt_collection")),
            ("prompts kept", prompts),
            ("redact personal data", yes_no(settings, "redact_pii")),
            ("created", minute(settings, "created_at")),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_record_once() {
        let settings = json!({"endpoint": "a.example"});
        let status = json!({
            "listeners": ["100.64.0.1:443", "100.64.0.1:80", "[fd00::1]:443"],
        });
        assert_eq!(
            dns_records(&settings, &status),
            [
                "a.example. 5 IN A 100.64.0.1",
                "a.example. 5 IN AAAA fd00::1"
            ]
        );
        assert!(dns_records(&settings, &json!({}))[0].contains('<'));
        assert!(dns_records(&json!({"endpoint": ""}), &status).is_empty());
    }
}
