//! `keyway logs`: the access log, newest last, and with `--follow` what comes next; `show` for one exchange
//! in full, `export` for all of them.

mod export;
mod follow;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Client,
    lookup::{self, items, text},
    output::{Column, Format, Output, dollars, grouped},
    usage::{self, Filter},
};

/// In place of a cost that nobody knows.
const NO_PRICE: &str = "no price";
/// The answer told nothing that could be counted, as those of batches and OCR.
const UNMETERED: &str = "unmetered";

/// With their widths in a stream. Together with a status they fit into 100 columns; JSON has all fields
/// in full.
const COLUMNS: [(Column, usize); 8] = [
    (Column::Whole("TIME"), 14),
    (Column::Left("USER"), USER_WIDTH),
    (Column::Left("PROVIDER"), PROVIDER_WIDTH),
    (Column::Left("MODEL"), MODEL_WIDTH),
    (Column::Right("MS"), 6),
    (Column::Right("TOKENS"), 7),
    (Column::Amount("COST $"), 9),
    (Column::Left("STATUS"), 3),
];
const USER_WIDTH: usize = 15;
const PROVIDER_WIDTH: usize = 12;
const MODEL_WIDTH: usize = 20;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<LogCommand>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    lines: u32,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Wait for a node that stops, and go on; on a terminal that is so anyway
    #[arg(long, requires = "follow")]
    retry: bool,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// One exchange in full: its steps in time, its attempts, what its cost is made of
    Show(show::Arguments),
    /// All exchanges that are meant, oldest first, to standard output
    Export(Box<export::Arguments>),
}

/// Which exchanges are meant.
#[derive(Debug, Args)]
struct Selection {
    #[command(flatten)]
    filter: Filter,
    /// Only what was allowed, or denied
    #[arg(long, value_enum)]
    decision: Option<Decision>,
    /// Only what ended so (answered, denied, client_error, cancelled, provider_error, cut,
    /// gateway_error); repeat for more
    #[arg(long = "outcome")]
    outcomes: Vec<String>,
    /// Only paths that begin so
    #[arg(long)]
    path: Option<String>,
    /// Only what belongs to this trace (its id)
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only what holds this text (id, host, path, model, user)
    #[arg(long)]
    search: Option<String>,
    /// Only from this time on: RFC 3339, or so long ago (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only up to this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// A point in time, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong =
        || "write a time such as 2026-11-23T08:00:00Z, or how long ago: 15m, 2h, 7d".to_owned();
    let ago: Span = text.parse().map_err(|_| wrong())?;
    if ago.is_negative() {
        return Err(wrong());
    }
    ago.to_duration(SpanRelativeTo::days_are_24_hours())
        .and_then(|ago| Timestamp::now().checked_sub(ago))
        .map_err(|_| wrong())
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
    match arguments.command {
        Some(LogCommand::Show(arguments)) => return show::run(arguments, client, output).await,
        Some(LogCommand::Export(arguments)) => {
            return export::run(*arguments, client, output).await;
        }
        None => {}
    }
    let filter = arguments.selection.pairs(client).await?;
    let providers = client.get("/providers").await?;
    let mut first = filter.clone();
    first.push(("page_size", arguments.lines.to_string()));
    let path = format!("/access-logs{}", usage::query(&first));
    let page = client.get(&path).await?;
    let mut entries: Vec<Value> = items(&page["data"]).to_vec();
    entries.reverse();
    print(&entries, &providers, arguments.follow, output)?;
    if !arguments.follow {
        if let Some(time) = page["searched_back_to"].as_str() {
            output.note(format_args!(
                "\nOnly looked back to {time}; `--until` gets further."
            ))?;
        }
        return Ok(());
    }
    output.finish()?;

    let newest = entries
        .iter()
        .filter_map(|entry| entry["sequence"].as_i64())
        .max();
    let retry = arguments.retry || output.is_terminal();
    let follower = follow::Follower::new(client, filter, newest);
    follower
        .run(retry, |entry| {
            print(std::slice::from_ref(entry), &providers, true, output)?;
            output.finish()
        })
        .await
}

impl Selection {
    /// As parameters of a query.
    async fn pairs(&self, client: &Client) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut pairs = self.filter.pairs(client).await?;
        let decision = self.decision.map(|decision| match decision {
            Decision::Allow => "allow".to_owned(),
            Decision::Deny => "deny".to_owned(),
        });
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        for (name, value) in [
            ("decision", decision),
            ("path", self.path.clone()),
            ("search", self.search.clone()),
            ("trace_id", self.trace.clone()),
            ("start_date", time(self.since)),
            ("end_date", time(self.until)),
        ] {
            pairs.extend(value.map(|value| (name, value)));
        }
        let outcomes = self.outcomes.iter().cloned();
        pairs.extend(outcomes.map(|outcome| ("outcome", outcome)));
        Ok(pairs)
    }
}

/// A table for one listing; for a stream lines as wide as the table mostly is, or a JSON object per line.
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
                output.raw(&line(&cells(entry, providers)))?;
            }
            Ok(())
        }
        (false, _) => {
            let columns = COLUMNS.map(|(column, _)| column);
            let when_empty = "No request is in the log, as far as this looks.";
            output.show(&json!(entries), &columns, when_empty, || {
                entries
                    .iter()
                    .map(|entry| cells(entry, providers).into())
                    .collect()
            })
        }
    }
}

fn line(cells: &[String; COLUMNS.len()]) -> String {
    let mut line = String::new();
    for (cell, (column, width)) in cells.iter().zip(COLUMNS) {
        line.push_str(&match column {
            Column::Left(_) | Column::Whole(_) => format!("{cell:width$}  "),
            Column::Right(_) | Column::Amount(_) => format!("{cell:>width$}  "),
        });
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

fn cells(entry: &Value, providers: &Value) -> [String; COLUMNS.len()] {
    let number = |field: &str| grouped(entry[field].as_u64().unwrap_or(0));
    let user = match text(entry, "display_name") {
        "" => text(entry, "user_id"),
        name => name,
    };
    let provider = lookup::name_of(providers, text(entry, "resolved_provider_id"));
    let is_counted =
        entry["total_tokens"].as_u64().unwrap_or(0) > 0 || !entry["beyond_text"].is_null();
    let cost = if entry["unpriced"] == true {
        match text(entry, "operation") == "unmetered" && !is_counted {
            true => UNMETERED.to_owned(),
            false => NO_PRICE.to_owned(),
        }
    } else if !items(&entry["left_out"]).is_empty() {
        // Parts of it have no price.
        format!("{}+", dollars(entry["cost_usd"].as_f64().unwrap_or(0.0)))
    } else {
        dollars(entry["cost_usd"].as_f64().unwrap_or(0.0))
    };
    let time = text(entry, "timestamp");
    [
        // Without the year.
        time.get(5..19).unwrap_or(time).replace('T', " "),
        shortened(user, USER_WIDTH),
        shortened(provider, PROVIDER_WIDTH),
        shortened(text(entry, "model"), MODEL_WIDTH),
        number("duration_ms"),
        number("total_tokens"),
        cost,
        format!("{} {}", entry["status_code"], text(entry, "reason"))
            .trim_end()
            .to_owned(),
    ]
}

fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_answered_request_fits_into_a_terminal() {
        let providers = json!([{"id": "p", "name": "Anthropic in the office"}]);
        let entry = json!({
            "timestamp": "2026-11-23T08:04:02.123Z",
            "display_name": "ada.lovelace@example.com",
            "resolved_provider_id": "p",
            "model": "claude-sonnet-4-5-20250929",
            "duration_ms": 83_500,
            "total_tokens": 180_000,
            "cost_usd": 12.3456,
            "status_code": 200,
            "reason": "",
        });
        let cells = cells(&entry, &providers);
        assert_eq!(
            line(&cells),
            "11-23 08:04:02  ada.lovelace@e…  Anthropic i…  claude-sonnet-4-5-2…  83 500  180 000    \
             12.3456  200\n"
        );
        assert_eq!(line(&cells).trim_end().chars().count(), 100);
    }

    #[test]
    fn since_takes_a_time_or_a_duration() {
        let time = "2026-11-23T08:00:00Z";
        assert_eq!(
            moment(time).map(|moment| moment.to_string()),
            Ok(time.to_owned())
        );
        for (text, seconds) in [
            ("15m", 900),
            ("2h", 7200),
            ("1h30m", 5400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("P1DT1H", 90_000),
        ] {
            let ago = Timestamp::now().as_second() - moment(text).unwrap().as_second();
            assert!((seconds..seconds + 60).contains(&ago), "{text}: {ago}");
        }
        for text in [
            "",
            "15",
            "m",
            "-2h",
            "2h ago",
            "yesterday",
            "3 fortnights",
            "1y",
            "9999999d",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_failed_says_why_and_an_unknown_price_is_no_zero() {
        let entry = json!({
            "model": "m",
            "status_code": 403,
            "reason": "model_not_routable",
            "unpriced": true,
        });
        let [.., cost, status] = cells(&entry, &Value::Null);
        assert_eq!(
            [cost.as_str(), &status],
            [NO_PRICE, "403 model_not_routable"]
        );
    }

    #[test]
    fn what_was_not_counted_says_so() {
        let entry = json!({"operation": "unmetered", "status_code": 200, "unpriced": true});
        let [.., cost, _] = cells(&entry, &Value::Null);
        assert_eq!(cost, UNMETERED);
        // A transcript by a model without a price.
        let counted = json!({"beyond_text": {"media": {"audio_ms": 9}}, "operation": "unmetered", "unpriced": true});
        let [.., cost, _] = cells(&counted, &Value::Null);
        assert_eq!(cost, NO_PRICE);
    }

    #[test]
    fn a_cost_that_leaves_parts_out_has_a_plus() {
        let entry = json!({"cost_usd": 0.000_012, "left_out": ["tools"], "status_code": 200});
        let [.., cost, _] = cells(&entry, &Value::Null);
        assert_eq!(cost, "0.000012+");
    }
}
