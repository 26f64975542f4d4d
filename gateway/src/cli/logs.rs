//! `keyway logs`: the access log, newest last, and with `--follow` what comes next.

use std::{collections::VecDeque, time::Duration};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, items, text},
    output::{Column, Format, Output, dollars, grouped},
    usage::{self, Filter},
};

/// Between two looks when following.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
const PAGE_SIZE_MAX: u32 = 100;
/// Pages read at one look.
const FOLLOW_PAGES_LIMIT: u32 = 50;
/// Ids remembered when following, so that an entry is shown once.
const SEEN_LIMIT: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    lines: u32,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
    /// Only what was allowed, or denied
    #[arg(long, value_enum)]
    decision: Option<Decision>,
    /// Only paths that begin so
    #[arg(long)]
    path: Option<String>,
    /// Only what holds this text (id, host, path, model, user)
    #[arg(long)]
    search: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Decision {
    Allow,
    Deny,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let filter = pairs(&arguments, client).await?;
    let providers = client.get("/providers").await?;
    let mut first = filter.clone();
    first.push(("page_size", arguments.lines.to_string()));
    if let Some(since) = arguments.since {
        first.push(("start_date", since.to_string()));
    }
    let page = client.get(&path(&first)).await?;
    let mut entries: Vec<Value> = items(&page["data"]).to_vec();
    entries.reverse();
    print(&entries, &providers, arguments.follow, output)?;
    if !arguments.follow {
        return Ok(());
    }
    output.finish()?;

    let mut seen: VecDeque<String> = entries
        .iter()
        .map(|entry| text(entry, "id").to_owned())
        .collect();
    let mut newest = entries.last().map_or_else(
        || jiff::Timestamp::now().to_string(),
        |entry| text(entry, "timestamp").to_owned(),
    );
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
        }
        let fresh = since(client, &filter, &newest, &seen).await?;
        print(&fresh, &providers, true, output)?;
        output.finish()?;
        for entry in &fresh {
            seen.push_back(text(entry, "id").to_owned());
            newest = text(entry, "timestamp").to_owned();
        }
        while seen.len() > SEEN_LIMIT {
            seen.pop_front();
        }
    }
}

/// Entries from `newest` on that were not seen, oldest first.
async fn since(
    client: &Client,
    filter: &[(&'static str, String)],
    newest: &str,
    seen: &VecDeque<String>,
) -> Result<Vec<Value>, Failure> {
    let mut fresh = Vec::new();
    for page in 1..=FOLLOW_PAGES_LIMIT {
        let mut pairs = filter.to_vec();
        pairs.push(("start_date", newest.to_owned()));
        pairs.push(("sort_order", "asc".to_owned()));
        pairs.push(("page_size", PAGE_SIZE_MAX.to_string()));
        pairs.push(("page", page.to_string()));
        let answer = client.get(&path(&pairs)).await?;
        let unseen = items(&answer["data"])
            .iter()
            .filter(|entry| !seen.iter().any(|id| id == text(entry, "id")));
        fresh.extend(unseen.cloned());
        if u64::from(page) >= answer["total_pages"].as_u64().unwrap_or(0) {
            break;
        }
    }
    Ok(fresh)
}

async fn pairs(
    arguments: &Arguments,
    client: &Client,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut pairs = arguments.filter.pairs(client).await?;
    if let Some(decision) = arguments.decision {
        let decision = match decision {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        };
        pairs.push(("decision", decision.to_owned()));
    }
    pairs.extend(arguments.path.iter().map(|path| ("path", path.clone())));
    pairs.extend(arguments.search.iter().map(|text| ("search", text.clone())));
    Ok(pairs)
}

fn path(pairs: &[(&'static str, String)]) -> String {
    format!("/access-logs{}", usage::query(pairs))
}

/// A table for one listing; for a stream lines, or a JSON object per line.
fn print(
    entries: &[Value],
    providers: &Value,
    streaming: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    match (streaming, output.format()) {
        (true, Format::Json) => {
            for entry in entries {
                output.raw(&format!("{entry}\n"))?;
            }
            Ok(())
        }
        (true, Format::Table) => {
            for entry in entries {
                output.raw(&format!("{}\n", cells(entry, providers).join("  ")))?;
            }
            Ok(())
        }
        (false, _) => {
            let columns = [
                Column::Left("TIME"),
                Column::Left("USER"),
                Column::Left("PROVIDER"),
                Column::Left("MODEL"),
                Column::Right("STATUS"),
                Column::Right("MS"),
                Column::Right("INPUT"),
                Column::Right("OUTPUT"),
                Column::Right("COST $"),
                Column::Left("REASON"),
            ];
            output.show(&json!(entries), &columns, || {
                entries
                    .iter()
                    .map(|entry| cells(entry, providers))
                    .collect()
            })
        }
    }
}

fn cells(entry: &Value, providers: &Value) -> Vec<String> {
    let number = |field: &str| grouped(entry[field].as_u64().unwrap_or(0));
    let time = text(entry, "timestamp");
    vec![
        time.get(..19).unwrap_or(time).replace('T', " "),
        text(entry, "user_id").to_owned(),
        lookup::name_of(providers, text(entry, "resolved_provider_id")).to_owned(),
        text(entry, "model").to_owned(),
        entry["status_code"].to_string(),
        number("duration_ms"),
        number("input_tokens"),
        number("output_tokens"),
        dollars(entry["cost_usd"].as_f64().unwrap_or(0.0)),
        text(entry, "deny_reason").to_owned(),
    ]
}
