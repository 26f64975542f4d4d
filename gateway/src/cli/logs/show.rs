//! `keyway logs show`: one request, with its texts where they were captured.

use crate::cli::{
    Failure,
    client::Client,
    lookup::{self, text},
    output::{Format, Output, dollars, grouped},
};

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

pub(super) async fn run(id: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let entry = client.get(&format!("/access-logs/{id}")).await?;
    let providers = client.get("/providers").await?;
    output.show_fields(&entry, || {
        let number = |field: &str| grouped(entry[field].as_u64().unwrap_or(0));
        let provider = lookup::name_of(&providers, text(&entry, "resolved_provider_id"));
        vec![
            ("id", text(&entry, "id").to_owned()),
            ("time", text(&entry, "timestamp").to_owned()),
            ("user", text(&entry, "display_name").to_owned()),
            ("provider", provider.to_owned()),
            ("model", text(&entry, "model").to_owned()),
            ("path", text(&entry, "path").to_owned()),
            ("status", entry["status_code"].to_string()),
            ("reason", text(&entry, "reason").to_owned()),
            ("milliseconds", number("duration_ms")),
            ("input tokens", number("input_tokens")),
            ("output tokens", number("output_tokens")),
            ("cost $", dollars(entry["cost_usd"].as_f64().unwrap_or(0.0))),
            ("texts", text(&entry, "capture").to_owned()),
        ]
    })?;
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

/// Agents and models may write what a terminal takes for commands.
fn printable(text: &str) -> String {
    let is_command = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.replace(is_command, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_commands() {
        assert_eq!(
            printable("a\tb\n\u{1b}[2Jc\r"),
            "a\tb\n\u{fffd}[2Jc\u{fffd}"
        );
    }
}
