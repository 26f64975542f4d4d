//! Sums over time and totals, of whichever table `source` finds.

use jiff::{SignedDuration, civil::Date};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    UsageError, UsageReader,
    amounts::Amounts,
    database::{Row, Value},
    filter::LogFilter,
    query::{Granularity, OverviewQuery},
    slice::date_of,
    source::Source,
};

/// Lines of [`UsageReader::totals`]: the most expensive ones.
const TOTALS_MAX: i64 = 1000;

/// Added-up exchanges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
    /// An exchange counts in each of its caller's groups.
    Group,
}

/// One line of totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageTotal {
    /// Id of the provider, user or group, or name of the model. Empty: exchanges that reached no provider, or
    /// (by model) used nothing.
    pub key: String,
    /// A user's display name; else empty.
    pub display_name: String,
    #[serde(flatten)]
    pub sums: Sums,
}

impl UsageReader {
    /// Periods with at least one exchange, oldest first. The range is rounded outwards to whole hours, and
    /// where hours are not kept any more to whole days.
    /// With a filter on what sums do not keep apart (session, trace, decision, outcome, path, search) it is exact,
    /// but only covers rows that the retention left; without one it reaches back to the first exchange.
    ///
    /// # Errors
    /// Also when such a filter would have to look at too many rows; see [`UsageError::too_much`].
    pub fn overview(&self, query: &OverviewQuery) -> Result<Vec<UsageBucket>, UsageError> {
        let connection = self.connection()?;
        let source = Source::of(&connection, &query.filter, None)?;
        let sql = format!(
            "SELECT day, {SUMS} FROM ({}) s GROUP BY day ORDER BY day",
            source.sql
        );
        let days = connection.query(&sql, &source.values, |row| {
            let start = period_start(row.get(0)?, query.granularity);
            Ok((start, sums(row, 1)?))
        })?;
        let mut buckets: Vec<(Date, Sums)> = Vec::new();
        for (start, sums) in days {
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

    /// Totals by provider, model, user or group, the most expensive first; for the range see
    /// [`UsageReader::overview`].
    pub fn totals(&self, by: TotalBy, filter: &LogFilter) -> Result<Vec<UsageTotal>, UsageError> {
        let connection = self.connection()?;
        let name = match by {
            TotalBy::Provider | TotalBy::Model | TotalBy::Group => "''",
            TotalBy::User => {
                "coalesce((SELECT display_name FROM principal p WHERE p.user_id = s.key), '')"
            }
        };
        let Source { sql, mut values } = Source::of(&connection, filter, Some(by))?;
        values.push(Value::Integer(TOTALS_MAX));
        let sql = format!(
            "SELECT key, {name}, {SUMS} FROM ({sql}) s GROUP BY key
             ORDER BY sum(input_cost + cache_read_cost + cache_creation_cost + output_cost + other_cost) DESC,
                      sum(requests) DESC, key LIMIT ?"
        );
        connection.query(&sql, &values, |row| {
            Ok(UsageTotal {
                key: row.get(0)?,
                display_name: row.get(1)?,
                sums: sums(row, 2)?,
            })
        })
    }
}

/// PostgreSQL's sums have a type of their own.
const SUMS: &str = "CAST(sum(requests) AS BIGINT), CAST(sum(denied) AS BIGINT), CAST(sum(failed) AS BIGINT),
     CAST(sum(unpriced) AS BIGINT), CAST(sum(input_tokens) AS BIGINT), CAST(sum(output_tokens) AS BIGINT),
     CAST(sum(cache_read_tokens) AS BIGINT), CAST(sum(cache_creation_tokens) AS BIGINT), CAST(sum(input_cost) AS BIGINT),
     CAST(sum(cache_read_cost) AS BIGINT), CAST(sum(cache_creation_cost) AS BIGINT), CAST(sum(output_cost) AS BIGINT),
     CAST(sum(other_cost) AS BIGINT)";

/// Reads one row of [`SUMS`] from column `at` on.
fn sums(row: &Row<'_>, at: usize) -> Result<Sums, UsageError> {
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

/// First day of the period that `day` (days since 1970) lies in.
fn period_start(day: i64, granularity: Granularity) -> Date {
    let date = date_of(day);
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
