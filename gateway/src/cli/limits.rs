//! Limits on the command line, for policies and budget rules alike: reading them from arguments into a
//! document, and showing those of a document.

mod amount;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Failure, lookup::text, output::grouped};
use amount::{Cap, Dollars, Tokens};

pub(super) use amount::{Window, count};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (a cap of none or 0 lifts it)")]
pub(super) struct LimitArguments {
    /// Tokens for each user in a window, such as 500k/1d
    #[arg(long, value_name = "TOKENS/WINDOW")]
    user_tokens: Option<Tokens>,
    /// Tokens for each group in a window
    #[arg(long, value_name = "TOKENS/WINDOW")]
    group_tokens: Option<Tokens>,
    /// Dollars for each user in a window, such as 2.50/1d
    #[arg(long, value_name = "DOLLARS/WINDOW")]
    user_usd: Option<Dollars>,
    /// Dollars for each group in a window, such as 50/30d
    #[arg(long, value_name = "DOLLARS/WINDOW")]
    group_usd: Option<Dollars>,
    /// Requests per minute for each user
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    user_requests_per_minute: Option<u64>,
    /// Requests per minute for each group
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    group_requests_per_minute: Option<u64>,
    /// Tokens per minute for each user
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    user_tokens_per_minute: Option<u64>,
    /// Tokens per minute for each group
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    group_tokens_per_minute: Option<u64>,
    /// Requests of each user at the same time
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    user_concurrency: Option<u64>,
    /// Requests of each group at the same time
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    group_concurrency: Option<u64>,
    /// soft estimates requests that set no bound of their own; hard bounds them, and refuses what has no upper
    /// bound, so that no cap is passed
    #[arg(long, value_enum)]
    mode: Option<Mode>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Soft,
    Hard,
}

impl LimitArguments {
    /// Writes what was said over the `limits` of `body`.
    pub(super) fn apply(&self, body: &mut Value) -> Result<(), Failure> {
        windowed(
            body,
            "token_limit",
            [
                ("group_cap", self.group_tokens.as_ref().map(Cap::as_json)),
                ("user_cap", self.user_tokens.as_ref().map(Cap::as_json)),
            ],
            "--group-tokens and --user-tokens",
        )?;
        windowed(
            body,
            "budget_limit",
            [
                ("group_cap_usd", self.group_usd.as_ref().map(Cap::as_json)),
                ("user_cap_usd", self.user_usd.as_ref().map(Cap::as_json)),
            ],
            "--group-usd and --user-usd",
        )?;
        rates(
            || &mut body["limits"]["rate_limit"],
            &[
                ("group_requests_per_minute", self.group_requests_per_minute),
                ("user_requests_per_minute", self.user_requests_per_minute),
                ("group_tokens_per_minute", self.group_tokens_per_minute),
                ("user_tokens_per_minute", self.user_tokens_per_minute),
                ("group_concurrency", self.group_concurrency),
                ("user_concurrency", self.user_concurrency),
            ],
        );
        match self.mode {
            None => {}
            Some(Mode::Soft) => body["limits"]["mode"] = json!("soft"),
            Some(Mode::Hard) => body["limits"]["mode"] = json!("hard"),
        }
        Ok(())
    }
}

/// What a provider takes from everybody together.
#[derive(Debug, Args)]
pub(super) struct ProviderLimitArguments {
    /// Requests per minute to it; 0 for no limit
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    requests_per_minute: Option<u64>,
    /// Tokens per minute; 0 for no limit
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    tokens_per_minute: Option<u64>,
    /// Requests at the same time; 0 for no limit
    #[arg(long, value_name = "NUMBER", value_parser = count)]
    concurrency: Option<u64>,
}

impl ProviderLimitArguments {
    /// Writes what was said over the `rate_limit` of `body`.
    pub(super) fn apply(&self, body: &mut Value) {
        rates(
            || &mut body["rate_limit"],
            &[
                ("requests_per_minute", self.requests_per_minute),
                ("tokens_per_minute", self.tokens_per_minute),
                ("concurrency", self.concurrency),
            ],
        );
    }
}

/// The limits of a document in a line; empty when there is none.
pub(super) fn summary(document: &Value) -> String {
    let limits = fields(document);
    let mut parts: Vec<String> = limits.into_iter().map(|(_, limit)| limit).collect();
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

/// The limits of a document, each with its name; empty text for one that is not set.
pub(super) fn fields(document: &Value) -> Vec<(&'static str, String)> {
    let limits = &document["limits"];
    let token_limit = &limits["token_limit"];
    let budget_limit = &limits["budget_limit"];
    let rate_limit = &limits["rate_limit"];
    let mut fields = vec![
        (
            "tokens",
            per_window(
                token_limit,
                [("group", "group_cap"), ("user", "user_cap")],
                |cap| format!("{} tokens", grouped(cap.as_u64().unwrap_or(0))),
            ),
        ),
        (
            "dollars",
            per_window(
                budget_limit,
                [("group", "group_cap_usd"), ("user", "user_cap_usd")],
                dollars,
            ),
        ),
        (
            "rates",
            rates_in_words(
                rate_limit,
                &[
                    ("group_requests_per_minute", "requests/min per group"),
                    ("user_requests_per_minute", "requests/min per user"),
                    ("group_tokens_per_minute", "tokens/min per group"),
                    ("user_tokens_per_minute", "tokens/min per user"),
                    ("group_concurrency", "at once per group"),
                    ("user_concurrency", "at once per user"),
                ],
            ),
        ),
    ];
    let is_limited = fields.iter().any(|(_, limit)| !limit.is_empty());
    let mode = if is_limited { text(limits, "mode") } else { "" };
    fields.push(("mode", mode.to_owned()));
    fields
}

/// What a provider takes, in words; empty when everything.
pub(super) fn provider_summary(provider: &Value) -> String {
    rates_in_words(
        &provider["rate_limit"],
        &[
            ("requests_per_minute", "requests/min"),
            ("tokens_per_minute", "tokens/min"),
            ("concurrency", "at once"),
        ],
    )
}

/// Writes caps that share one window into the limit of that name.
fn windowed(
    body: &mut Value,
    limit: &str,
    caps: [(&str, Option<Cap<Value>>); 2],
    flags: &str,
) -> Result<(), Failure> {
    if caps.iter().all(|(_, cap)| cap.is_none()) {
        return Ok(());
    }
    let limit = &mut body["limits"][limit];
    let before = Window(limit["window_seconds"].as_u64().unwrap_or(0));
    let mut windows = caps.iter().filter_map(|(_, cap)| cap.as_ref()?.window);
    let window = windows.next().unwrap_or(before);
    if windows.next().is_some_and(|other| other != window) {
        return Err(Failure::Usage(format!(
            "{flags} share one window; a budget rule (`keyway budgets add`) can have another"
        )));
    }
    for (name, cap) in caps {
        match cap {
            Some(cap) => limit[name] = cap.amount,
            None if is_capped(&limit[name]) && window != before => {
                return Err(Failure::Usage(format!(
                    "{flags} share one window, and the other one has {before}: give both"
                )));
            }
            None if limit[name].is_null() => limit[name] = json!(0),
            None => {}
        }
    }
    let enabled = caps_of(limit).any(is_capped);
    if enabled && window.0 == 0 {
        return Err(Failure::Usage(format!(
            "{flags} need a window, such as /1d behind the amount"
        )));
    }
    limit["enabled"] = json!(enabled);
    limit["window_seconds"] = json!(window.0);
    Ok(())
}

/// Writes the rates that are given; the limit is enabled while there is one.
fn rates<'a>(limit: impl FnOnce() -> &'a mut Value, given: &[(&str, Option<u64>)]) {
    if given.iter().all(|(_, rate)| rate.is_none()) {
        return;
    }
    // Looking a field up in JSON makes it.
    let limit = limit();
    for (name, rate) in given {
        if let Some(rate) = rate {
            limit[*name] = json!(rate);
        }
    }
    let enabled = given.iter().any(|(name, _)| is_capped(&limit[*name]));
    limit["enabled"] = json!(enabled);
}

fn caps_of(limit: &Value) -> impl Iterator<Item = &Value> {
    let caps = ["group_cap", "user_cap", "group_cap_usd", "user_cap_usd"];
    caps.into_iter().map(|name| &limit[name])
}

fn is_capped(cap: &Value) -> bool {
    cap.as_f64().is_some_and(|cap| cap > 0.0)
}

/// `$50 per group every 30d`.
fn per_window(limit: &Value, caps: [(&str, &str); 2], shown: impl Fn(&Value) -> String) -> String {
    let parts: Vec<String> = caps
        .iter()
        .filter(|(_, name)| limit["enabled"] == true && is_capped(&limit[*name]))
        .map(|(whose, name)| format!("{} per {whose}", shown(&limit[*name])))
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let window = Window(limit["window_seconds"].as_u64().unwrap_or(0));
    format!("{} every {window}", parts.join(", "))
}

/// As the document has it, with cents in full.
pub(super) fn dollars(cap: &Value) -> String {
    let text = cap.to_string();
    match text.split_once('.') {
        Some((_, fraction)) if fraction.len() == 1 => format!("${text}0"),
        Some(_) | None => format!("${text}"),
    }
}

fn rates_in_words(limit: &Value, words: &[(&str, &str)]) -> String {
    let parts: Vec<String> = words
        .iter()
        .filter(|(name, _)| limit["enabled"] == true && is_capped(&limit[*name]))
        .map(|(name, words)| format!("{} {words}", grouped(limit[*name].as_u64().unwrap_or(0))))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArguments,
    }

    fn applied(mut body: Value, line: &str) -> Result<Value, Failure> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::try_parse_from(words)
            .unwrap()
            .limits
            .apply(&mut body)?;
        Ok(body["limits"].clone())
    }

    #[test]
    fn what_is_said_becomes_limits() {
        let limits = applied(
            json!({}),
            "--user-tokens 1M/1d --group-usd 50/30d --user-concurrency 4 --mode hard",
        );
        let limits = limits.unwrap();
        assert_eq!(
            limits,
            json!({
                "token_limit": {
                    "enabled": true, "group_cap": 0, "user_cap": 1_000_000, "window_seconds": 86_400,
                },
                "budget_limit": {
                    "enabled": true, "group_cap_usd": 50, "user_cap_usd": 0,
                    "window_seconds": 2_592_000,
                },
                "rate_limit": {"enabled": true, "user_concurrency": 4},
                "mode": "hard",
            })
        );
        assert_eq!(
            summary(&json!({"limits": limits})),
            "1 000 000 tokens per user every 1d; $50 per group every 30d; 4 at once per user; hard"
        );
    }

    #[test]
    fn what_is_not_said_stays_and_none_lifts() {
        let before = json!({"limits": applied(json!({}), "--user-tokens 5k/1d --group-tokens 9k/1d").unwrap()});
        let more = applied(before.clone(), "--user-tokens 6k").unwrap();
        assert_eq!(more["token_limit"]["user_cap"], 6_000);
        assert_eq!(more["token_limit"]["group_cap"], 9_000);
        assert_eq!(more["token_limit"]["window_seconds"], 86_400);
        assert_eq!(applied(before.clone(), "").unwrap(), before["limits"]);
        let one = applied(before.clone(), "--user-tokens none").unwrap();
        assert_eq!(one["token_limit"]["enabled"], true);
        let none = applied(before, "--user-tokens none --group-tokens 0").unwrap();
        assert_eq!(none["token_limit"]["enabled"], false);
        assert_eq!(summary(&json!({"limits": none})), "");
        let rate = json!({"limits": applied(json!({}), "--user-concurrency 4").unwrap()});
        let lifted = applied(rate, "--user-concurrency 0").unwrap();
        assert_eq!(lifted["rate_limit"]["enabled"], false);
    }

    #[test]
    fn windows_have_to_fit() {
        let before = json!({"limits": applied(json!({}), "--user-usd 5/1d").unwrap()});
        for (body, line, problem) in [
            (json!({}), "--user-usd 5", "need a window"),
            (
                json!({}),
                "--user-usd 5/1d --group-usd 9/30d",
                "share one window",
            ),
            (before.clone(), "--group-usd 9/30d", "has 1d"),
        ] {
            let Err(Failure::Usage(message)) = applied(body, line) else {
                panic!("{line} was taken");
            };
            assert!(message.contains(problem), "{message}");
        }
        let both = applied(before, "--user-usd 5/30d --group-usd 9").unwrap();
        assert_eq!(both["budget_limit"]["window_seconds"], 2_592_000);
    }
}
