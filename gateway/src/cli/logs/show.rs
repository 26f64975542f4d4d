//! `keyway logs show`: one exchange in full, with its texts where they were captured.

use clap::Args;
use serde_json::Value;

use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, joined, name_of, text},
    output::{Column, Format, Output, dollars, grouped},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// As agents get it in `x-keyway-request-id`, or from `keyway logs --output json`
    #[arg(value_parser = record_id)]
    id: String,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let entry = client
        .get(&format!("/access-logs/{}", arguments.id))
        .await?;
    let providers = client.get("/providers").await?;
    output.show_fields(&entry, || fields(&entry, &providers))?;
    output.note("")?;
    output.table_for_people(
        &[
            Column::Left("STEP"),
            Column::Right("AT MS"),
            Column::Right("TOOK MS"),
        ],
        timeline(&entry["timeline"]),
    )?;
    let attempts = attempts(&entry);
    if !attempts.is_empty() {
        output.note("")?;
        let columns = [
            Column::Right("ATTEMPT"),
            Column::Right("TARGET"),
            Column::Right("CONNECT MS"),
            Column::Left("STATUS"),
        ];
        output.table_for_people(&columns, attempts)?;
    }
    output.note("")?;
    output.table_for_people(
        &[
            Column::Left("COST"),
            Column::Right("TOKENS"),
            Column::Amount("COST $"),
        ],
        costs(&entry),
    )?;
    for (title, field) in [
        ("prompt", "request_prompt"),
        ("answer", "response_completion"),
    ] {
        if let (Format::Table, Some(captured)) = (output.format(), entry[field].as_str()) {
            output.note(format_args!("\n--- {title} ---\n{}", printable(captured)))?;
        }
    }
    Ok(())
}

/// Reads an id as an argument.
pub(super) fn record_id(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("req_").unwrap_or(text);
    match u128::from_str_radix(digits, 16) {
        Ok(_) => Ok(digits.to_owned()),
        Err(_) => {
            Err("an id is 32 hexadecimal digits, as `keyway logs --output json` has it".into())
        }
    }
}

fn fields(entry: &Value, providers: &Value) -> Vec<(&'static str, String)> {
    let plain = |field: &str| text(entry, field).to_owned();
    let number = |field: &str| grouped(entry[field].as_u64().unwrap_or(0));
    let with_name = |name: &str, id: &str| match (name, id) {
        ("", id) => id.to_owned(),
        (name, "") => name.to_owned(),
        (name, id) if name == id => name.to_owned(),
        (name, id) => format!("{name} ({id})"),
    };
    let provider = text(entry, "resolved_provider_id");
    let version = match entry["http_version"].as_u64() {
        Some(20) => "HTTP/2",
        Some(10) => "HTTP/1.0",
        Some(_) | None => "HTTP/1.1",
    };
    let status = format!(
        "{} {} {}",
        entry["status_code"],
        text(entry, "outcome"),
        text(entry, "reason")
    );
    let speed = entry["output_tokens_per_second"].as_f64();
    vec![
        ("id", plain("id")),
        ("began", plain("timestamp")),
        ("status", status.trim_end().to_owned()),
        ("flags", joined(entry, "response_flags")),
        ("denied with", plain("deny_reason")),
        (
            "request",
            format!(
                "{} {}{} {version}",
                text(entry, "method"),
                text(entry, "host"),
                text(entry, "path")
            ),
        ),
        ("operation", plain("operation")),
        (
            "user",
            with_name(text(entry, "display_name"), text(entry, "user_id")),
        ),
        ("groups", joined(entry, "group_ids")),
        (
            "peer",
            with_name(text(entry, "peer_id"), text(entry, "source_ip")),
        ),
        ("session", plain("session_id")),
        ("agent", plain("agent_id")),
        ("started by", plain("parent_agent_id")),
        (
            "provider",
            match provider {
                "" => String::new(),
                id => with_name(name_of(providers, id), id),
            },
        ),
        ("model", plain("model")),
        ("answered by", plain("response_model")),
        ("policy", plain("selected_policy_id")),
        (
            "stream",
            if entry["stream"] == true {
                "yes".to_owned()
            } else {
                String::new()
            },
        ),
        (
            "bytes",
            format!(
                "{} in, {} out",
                number("request_bytes"),
                number("response_bytes")
            ),
        ),
        (
            "tokens",
            format!(
                "{} in, {} out",
                number("input_tokens"),
                number("output_tokens")
            ),
        ),
        (
            "tokens/s",
            speed.map(|speed| format!("{speed:.1}")).unwrap_or_default(),
        ),
        ("service tier", plain("service_tier")),
        ("price from", plain("cost_source")),
        ("left out", joined(entry, "left_out")),
        ("texts", plain("capture")),
        ("trace", plain("trace_id")),
    ]
}

/// The steps that the exchange reached, and how long each took after the one before.
fn timeline(times: &Value) -> Vec<Vec<String>> {
    const STEPS: [(&str, &str); 6] = [
        ("received", "received_ms"),
        ("permitted and reserved", "reserved_ms"),
        ("sent upstream", "sent_ms"),
        ("first byte from upstream", "first_byte_ms"),
        ("first token", "first_token_ms"),
        ("end", "end_ms"),
    ];
    let mut before = 0.0;
    STEPS
        .iter()
        .filter_map(|(step, field)| {
            let at = times[*field].as_f64()?;
            let took = at - before;
            before = at;
            Some(vec![
                (*step).to_owned(),
                format!("{at:.3}"),
                format!("{took:.3}"),
            ])
        })
        .collect()
}

fn attempts(entry: &Value) -> Vec<Vec<String>> {
    let attempts = items(&entry["attempts"]).iter().zip(1..);
    attempts
        .map(|(attempt, number)| {
            let connect = match attempt["connect_us"].as_f64() {
                Some(us) if us > 0.0 => format!("{:.3}", us / 1000.0),
                Some(_) | None => "pooled".to_owned(),
            };
            let status = match attempt["status_code"].as_u64() {
                Some(0) | None => "no answer".to_owned(),
                Some(status) => status.to_string(),
            };
            let target = format!("{:x}", attempt["target_id"].as_u64().unwrap_or(0));
            vec![number.to_string(), target, connect, status]
        })
        .collect()
}

/// What the cost is made of; parts that are nothing are left out.
fn costs(entry: &Value) -> Vec<Vec<String>> {
    let tokens = |field: &str| entry[field].as_u64().unwrap_or(0);
    let cached = tokens("cached_input_tokens") + tokens("cache_creation_tokens");
    let parts = [
        (
            "input",
            tokens("input_tokens").saturating_sub(cached),
            "input_cost_usd",
        ),
        (
            "read from cache",
            tokens("cached_input_tokens"),
            "cached_input_cost_usd",
        ),
        (
            "written to cache",
            tokens("cache_creation_tokens"),
            "cache_creation_cost_usd",
        ),
        ("output", tokens("output_tokens"), "output_cost_usd"),
        ("tools, audio, other", 0, "other_cost_usd"),
    ];
    let line =
        |name: &str, tokens: u64, cost: f64| vec![name.to_owned(), grouped(tokens), dollars(cost)];
    let mut lines: Vec<Vec<String>> = parts
        .iter()
        .map(|(name, tokens, field)| (name, tokens, entry[*field].as_f64().unwrap_or(0.0)))
        .filter(|(_, tokens, cost)| **tokens > 0 || *cost > 0.0)
        .map(|(name, tokens, cost)| line(name, *tokens, cost))
        .collect();
    let total = entry["cost_usd"].as_f64().unwrap_or(0.0);
    lines.push(line("total", tokens("total_tokens"), total));
    lines
}

/// Agents and models may write what a terminal takes for commands.
fn printable(text: &str) -> String {
    let is_command = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.replace(is_command, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_that_were_not_reached_are_left_out() {
        let times = json!({"received_ms": 0.25, "reserved_ms": null, "end_ms": 1.5});
        let expected = [["received", "0.250", "0.250"], ["end", "1.500", "1.250"]];
        assert_eq!(timeline(&times), expected);
    }

    #[test]
    fn parts_of_a_cost_add_up() {
        let entry = json!({
            "input_tokens": 1000, "cached_input_tokens": 800, "output_tokens": 50,
            "total_tokens": 1050, "input_cost_usd": 0.0005, "cached_input_cost_usd": 0.001,
            "output_cost_usd": 0.002, "cost_usd": 0.0035,
        });
        let expected = [
            ["input", "200", "0.0005"],
            ["read from cache", "800", "0.0010"],
            ["output", "50", "0.0020"],
            ["total", "1 050", "0.0035"],
        ];
        assert_eq!(costs(&entry), expected);
    }

    #[test]
    fn a_terminal_gets_no_commands() {
        assert_eq!(
            printable("a\tb\n\u{1b}[2Jc\r"),
            "a\tb\n\u{fffd}[2Jc\u{fffd}"
        );
    }
}
