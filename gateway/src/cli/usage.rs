//! `keyway usage`: tokens and cost by time, provider, model, user or group.

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Failure,
    client::Client,
    lookup::{self, items, text},
    output::{Column, Output, dollars, grouped},
};

const HOURS_PER_DAY: i64 = 24;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to sum by
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// The last so many days
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// As CSV, for spreadsheets
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum By {
    #[default]
    Day,
    /// From Monday on
    Week,
    Month,
    Provider,
    Model,
    User,
    /// A request counts in each of its user's groups
    Group,
}

/// Which exchanges count.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only this user's (id)
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Only this provider's (id or name); repeat for more
    #[arg(long = "provider")]
    pub(super) providers: Vec<String>,
    /// Only this model's (`gpt-*`: all that begin so); repeat for more
    #[arg(long = "model")]
    pub(super) models: Vec<String>,
    /// Only this group's (id or name); repeat for more
    #[arg(long = "group")]
    pub(super) groups: Vec<String>,
    /// Only this conversation's
    #[arg(long)]
    pub(super) session: Option<String>,
}

impl Filter {
    /// As parameters of a query.
    pub(super) async fn pairs(
        &self,
        client: &Client,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut pairs = Vec::new();
        let mut add = |name, values: Vec<String>| {
            pairs.extend(values.into_iter().map(|value| (name, value)));
        };
        add("user_id", self.user.iter().cloned().collect());
        add("session_id", self.session.iter().cloned().collect());
        add("model", self.models.clone());
        if !self.providers.is_empty() {
            add(
                "provider_id",
                lookup::ids(client, "/providers", &self.providers).await?,
            );
        }
        if !self.groups.is_empty() {
            add("group_id", lookup::group_ids(client, &self.groups).await?);
        }
        Ok(pairs)
    }
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut pairs = arguments.filter.pairs(client).await?;
    let back = SignedDuration::from_hours(i64::from(arguments.days) * HOURS_PER_DAY);
    let start = Timestamp::now()
        .checked_sub(back)
        .map_err(|error| Failure::Failed(error.to_string()))?;
    pairs.push(("start_date", start.to_string()));
    let (path, parameter, heading) = match arguments.by {
        By::Day => ("/usage/overview", "granularity", "DAY"),
        By::Week => ("/usage/overview", "granularity", "WEEK"),
        By::Month => ("/usage/overview", "granularity", "MONTH"),
        By::Provider => ("/usage/breakdown", "by", "PROVIDER"),
        By::Model => ("/usage/breakdown", "by", "MODEL"),
        By::User => ("/usage/breakdown", "by", "USER"),
        By::Group => ("/usage/breakdown", "by", "GROUP"),
    };
    pairs.push((parameter, heading.to_ascii_lowercase()));
    if arguments.csv {
        pairs.push(("format", "csv".to_owned()));
        let text = client.get_text(&format!("{path}{}", query(&pairs))).await?;
        return output.raw(&text);
    }
    let rows = client.get(&format!("{path}{}", query(&pairs))).await?;
    let names = match arguments.by {
        By::Provider => client.get("/providers").await?,
        By::Group => client.get("/groups").await?,
        By::Day | By::Week | By::Month | By::Model | By::User => Value::Null,
    };
    // Members of several groups would be in the sum several times.
    let adds_up = arguments.by != By::Group;
    let columns = [
        Column::Left(heading),
        Column::Right("INPUT"),
        Column::Right("CACHED"),
        Column::Right("OUTPUT"),
        Column::Right("TOTAL"),
        Column::Amount("COST $"),
    ];
    let when_empty = format!(
        "Nothing was used in the last {} days, as far as this looks.",
        arguments.days
    );
    output.show(&rows, &columns, &when_empty, || {
        table(items(&rows), &names, adds_up)
    })?;
    let unpriced: u64 = items(&rows)
        .iter()
        .filter_map(|row| row["unpriced_count"].as_u64())
        .sum();
    if unpriced > 0 {
        output.note(format_args!(
            "\nRequests whose cost is not known, or not wholly: {unpriced} \
             (`keyway logs` marks them; prices are in `keyway providers show`)"
        ))?;
    }
    Ok(())
}

pub(super) fn query(pairs: &[(&'static str, String)]) -> String {
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    lookup::query(&pairs)
}

/// A line per row, and their sum when there are several that add up.
fn table(rows: &[Value], names: &Value, adds_up: bool) -> Vec<Vec<String>> {
    const TOKENS: [&str; 4] = [
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "total_tokens",
    ];
    let line = |label: &str, tokens: [u64; 4], cost: f64| {
        let mut cells = vec![label.to_owned()];
        cells.extend(tokens.map(grouped));
        cells.push(dollars(cost));
        cells
    };
    let mut sums = [0; 4];
    let mut cost_sum = 0.0;
    let mut lines = Vec::with_capacity(rows.len() + 1);
    for row in rows {
        let tokens = TOKENS.map(|field| row[field].as_u64().unwrap_or(0));
        let cost = row["cost_usd"].as_f64().unwrap_or(0.0);
        for (sum, tokens) in sums.iter_mut().zip(tokens) {
            *sum += tokens;
        }
        cost_sum += cost;
        let label = match (
            text(row, "period_start"),
            text(row, "display_name"),
            text(row, "key"),
        ) {
            ("", "", "") => "(none)",
            ("", "", key) => lookup::name_of(names, key),
            ("", name, _) => name,
            (day, _, _) => day,
        };
        lines.push(line(label, tokens, cost));
    }
    if rows.len() > 1 && adds_up {
        lines.push(line("total", sums, cost_sum));
    }
    lines
}
