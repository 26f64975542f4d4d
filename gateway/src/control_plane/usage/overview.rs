//! Sums over time and over dimensions, read from the roll-ups; from the rows where a filter asks for
//! what the roll-ups do not keep apart.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use rusqlite::{Row, params_from_iter, types::Value};
use serde::Serialize;

use super::{
    UsageError, UsageReader,
    amounts::Amounts,
    filter::LogFilter,
    query::{Granularity, OverviewQuery},
    rollup::SECONDS_PER_DAY,
};

/// Lines of [`UsageReader::totals`]: the most expensive ones.
const TOTALS_MAX: i64 = 1000;

/// Added-up exchanges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    #[serde(flatten)]
    pub amounts: Amounts,
    /// All exchanges, whatever their outcome.
    pub request_count: u64,
    /// Refused by policy.
    pub denied_count: u64,
    /// Neither answered nor refused by policy.
    pub failed_count: u64,
    /// Exchanges whose cost is not known, or leaves a part out.
    pub unpriced_count: u64,
}

/// One period, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageBucket {
    /// First day of the period, `YYYY-MM-DD`.
    pub period_start: String,
    #[serde(flatten)]
    pub sums: Sums,
}

/// What totals are kept apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalBy {
    Provider,
    Model,
    User,
}

/// One line of totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageTotal {
    /// Id of the provider or user, or name of the model. Empty: exchanges that reached no provider, or
    /// (by model) used nothing.
    pub key: String,
    /// A user's display name; else empty.
    pub display_name: String,
    #[serde(flatten)]
    pub sums: Sums,
}

impl UsageReader {
    /// Periods with at least one exchange, oldest first. The range is rounded outwards to whole hours.
    /// With a filter on session, decision, path or search it is exact, but only covers rows that the
    /// retention left; without one it reaches back to the first exchange.
    pub fn overview(&self, query: &OverviewQuery) -> Result<Vec<UsageBucket>, UsageError> {
        let connection = self.connection()?;
        let (source, values) = source(&query.filter);
        let mut select = connection.prepare_cached(&format!(
            "SELECT day, {SUMS} FROM ({source}) GROUP BY day ORDER BY day"
        ))?;
        let mut rows = select.query(params_from_iter(values))?;
        let mut buckets: Vec<(Date, Sums)> = Vec::new();
        while let Some(row) = rows.next()? {
            let start = period_start(row.get(0)?, query.granularity);
            let sums = sums(row, 1)?;
            match buckets.last_mut() {
                Some((last, total)) if *last == start => total.add(&sums),
                Some(_) | None => buckets.push((start, sums)),
            }
        }
        Ok(buckets
            .into_iter()
            .map(|(start, sums)| UsageBucket {
                period_start: start.to_string(),
                sums,
            })
            .collect())
    }

    /// Totals by provider, model or user, the most expensive first; for the range see
    /// [`UsageReader::overview`].
    pub fn totals(&self, by: TotalBy, filter: &LogFilter) -> Result<Vec<UsageTotal>, UsageError> {
        let connection = self.connection()?;
        let (key, name) = match by {
            TotalBy::Provider => ("provider_id", "''"),
            TotalBy::Model => ("model", "''"),
            TotalBy::User => (
                "user_id",
                "coalesce((SELECT display_name FROM principal p WHERE p.user_id = s.user_id), '')",
            ),
        };
        let (source, mut values) = source(filter);
        values.push(Value::Integer(TOTALS_MAX));
        let mut select = connection.prepare_cached(&format!(
            "SELECT {key}, {name}, {SUMS} FROM ({source}) s GROUP BY {key}
             ORDER BY sum(input_cost + cache_read_cost + cache_creation_cost + output_cost + other_cost) DESC,
                      sum(requests) DESC, {key} LIMIT ?"
        ))?;
        let totals = select.query_map(params_from_iter(values), |row| {
            Ok(UsageTotal {
                key: row.get(0)?,
                display_name: row.get(1)?,
                sums: sums(row, 2)?,
            })
        })?;
        Ok(totals.collect::<Result<_, _>>()?)
    }
}

const SUMS: &str = "sum(requests), sum(denied), sum(failed), sum(unpriced),
     sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_creation_tokens),
     sum(input_cost), sum(cache_read_cost), sum(cache_creation_cost), sum(output_cost),
     sum(other_cost)";

const ROLLUP_COLUMNS: &str = "user_id, group_set, provider_id, model,
     requests, denied, failed, unpriced,
     input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens,
     input_cost, cache_read_cost, cache_creation_cost, output_cost, other_cost";

/// Reads one row of [`SUMS`] from column `at` on.
fn sums(row: &Row<'_>, at: usize) -> rusqlite::Result<Sums> {
    Ok(Sums {
        amounts: Amounts::read(row, at + 4)?,
        request_count: row.get(at)?,
        denied_count: row.get(at + 1)?,
        failed_count: row.get(at + 2)?,
        unpriced_count: row.get(at + 3)?,
    })
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.amounts.add(&other.amounts);
        self.request_count += other.request_count;
        self.denied_count += other.denied_count;
        self.failed_count += other.failed_count;
        self.unpriced_count += other.unpriced_count;
    }
}

/// A query for the columns of the roll-ups and `day`, and its values.
fn source(filter: &LogFilter) -> (String, Vec<Value>) {
    if filter.needs_rows() {
        from_rows(filter)
    } else {
        from_rollups(filter)
    }
}

fn from_rows(filter: &LogFilter) -> (String, Vec<Value>) {
    let condition = filter.on_rows();
    let sql = format!(
        "SELECT started_at_us / {} AS day, user_id, group_set, provider_id, model,
                1 AS requests, outcome = 1 AS denied, outcome > 1 AS failed,
                unpriced OR left_out <> 0 AS unpriced,
                input_tokens, output_tokens, cache_read_tokens,
                cache_creation_tokens + cache_creation_long_tokens AS cache_creation_tokens,
                input_cost, cache_read_cost, cache_creation_cost, output_cost, other_cost
         FROM access_log WHERE {}",
        SECONDS_PER_DAY * 1_000_000,
        condition.sql()
    );
    (sql, condition.values)
}

/// Whole days from the table of days, what is left at both ends from the table of hours.
fn from_rollups(filter: &LogFilter) -> (String, Vec<Value>) {
    let condition = filter.on_dimensions();
    let (from_hour, to_hour) = filter.hours();
    let from_day = -(-from_hour).div_euclid(24);
    let to_day = to_hour.div_euclid(24).max(from_day);
    let mut parts = Vec::new();
    let mut values = Vec::new();
    for (table, day, from, to) in [
        (
            "usage_hour",
            "period / 24",
            from_hour,
            to_hour.min(from_day * 24),
        ),
        ("usage_day", "period", from_day, to_day),
        ("usage_hour", "period / 24", to_day * 24, to_hour),
    ] {
        if from >= to {
            continue;
        }
        parts.push(format!(
            "SELECT {day} AS day, {ROLLUP_COLUMNS} FROM {table}
             WHERE period >= ? AND period < ? AND {}",
            condition.sql()
        ));
        values.extend([Value::Integer(from), Value::Integer(to)]);
        values.extend(condition.values.iter().cloned());
    }
    if parts.is_empty() {
        let none = format!("SELECT 0 AS day, {ROLLUP_COLUMNS} FROM usage_day WHERE 0");
        return (none, Vec::new());
    }
    (parts.join(" UNION ALL "), values)
}

/// First day of the period that `day` (days since 1970) lies in.
fn period_start(day: i64, granularity: Granularity) -> Date {
    let date = Timestamp::from_second(day * SECONDS_PER_DAY)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(TimeZone::UTC)
        .date();
    match granularity {
        Granularity::Day => date,
        Granularity::Week => {
            let since_monday = i64::from(date.weekday().to_monday_zero_offset());
            date.saturating_sub(SignedDuration::from_hours(24 * since_monday))
        }
        Granularity::Month => date.first_of_month(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_start_on_mondays_and_firsts() {
        // 2026-05-31 is a Sunday.
        let day = 20_604;
        for (granularity, expected) in [
            (Granularity::Day, "2026-05-31"),
            (Granularity::Week, "2026-05-25"),
            (Granularity::Month, "2026-05-01"),
        ] {
            assert_eq!(period_start(day, granularity).to_string(), expected);
        }
    }
}
