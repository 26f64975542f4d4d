//! `keyway logs`: the access log, newest last, and with `--follow` what comes next.

use std::time::Duration;

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
    let path = format!("/access-logs{}", usage::query(&first));
    let page = client.get(&path).await?;
    let mut entries: Vec<Value> = items(&page["data"]).to_vec();
    entries.reverse();
    print(&entries, &providers, arguments.follow, output)?;
    if !arguments.follow {
        return Ok(());
    }
    output.finish()?;

    let newest = entries
        .iter()
        .filter_map(|entry| entry["sequence"].as_i64())
        .max();
    follow(newest, &filter, &providers, client, output).await
}

/// Prints what comes after `newest` until Ctrl-C.
async fn follow(
    newest: Option<i64>,
    filter: &[(&'static str, String)],
    providers: &Value,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut after = match newest {
        Some(newest) => newest,
        None => sequence(&client.get("/access-logs/tail").await?)?,
    };
    loop {
        let mut pairs = filter.to_vec();
        pairs.push(("after", after.to_string()));
        let path = format!("/access-logs/tail{}", usage::query(&pairs));
        let tail = client.get(&path).await?;
        after = sequence(&tail)?;
        let fresh = items(&tail["data"]);
        print(fresh, providers, true, output)?;
        output.finish()?;
        if !fresh.is_empty() {
            // There may be more already.
            continue;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
        }
    }
}

fn sequence(tail: &Value) -> Result<i64, Failure> {
    tail["sequence"]
        .as_i64()
        .ok_or_else(|| Failure::Failed("the node's answer has no sequence".to_owned()))
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
            let when_empty = "No request is in the log, as far as this looks.";
            output.show(&json!(entries), &columns, when_empty, || {
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
        match text(entry, "display_name") {
            "" => text(entry, "user_id").to_owned(),
            name => name.to_owned(),
        },
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
