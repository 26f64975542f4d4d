//! Where sums come from: the narrowest table that keeps apart what a filter and a grouping ask for.

use super::{
    UsageError,
    access_log::{LOOKED_AT_MAX, oldest_looked_at},
    condition::Condition,
    database::{Connection, Value},
    filter::LogFilter,
    overview::TotalBy,
    pair::{Dimensions, Pair},
    rollup::{SECONDS_PER_DAY, SUM_COLUMNS},
    slice::{self, Dimension, Unit},
};

/// A query whose rows have `day` (since 1970; 0 where `by` is given), `key` of the grouping, and sums.
pub(super) struct Source {
    pub(super) sql: String,
    pub(super) values: Vec<Value<'static>>,
}

impl Source {
    /// For sums by day, or with `by` for totals. Sums leave nothing out: an error where [`LOOKED_AT_MAX`] rows are not enough.
    pub(super) fn of(
        connection: &Connection,
        filter: &LogFilter,
        by: Option<TotalBy>,
    ) -> Result<Self, UsageError> {
        if filter.needs_rows() {
            return Self::few_rows(connection, filter, by, LOOKED_AT_MAX);
        }
        let hours = kept_hours(connection, filter.hours())?;
        if let Some((dimension, condition)) = sliced(filter, by) {
            return Ok(Self::slices(hours, dimension, &condition, by));
        }
        // An index leads to all sums of a user, which are few.
        let pair = match filter.user_id {
            Some(_) => None,
            None => Pair::with(Dimensions::of(filter, by)),
        };
        Ok(Self::rollups(hours, filter, by, pair))
    }

    /// From rows, unless the filter's index leads to more than `most`.
    pub(super) fn few_rows(
        connection: &Connection,
        filter: &LogFilter,
        by: Option<TotalBy>,
        most: i64,
    ) -> Result<Self, UsageError> {
        match oldest_looked_at(connection, filter, most)? {
            Some(_) => Err(UsageError::TooManyRows { most }),
            None => Ok(Self::rows(filter, by)),
        }
    }

    fn rows(filter: &LogFilter, by: Option<TotalBy>) -> Self {
        let condition = filter.on_rows();
        let sql = format!(
            "SELECT started_at_us / {} AS day, {} AS key,
                1 AS requests, {} AS denied, {} AS failed, {} AS unpriced,
                input_tokens, output_tokens, cache_read_tokens,
                cache_creation_tokens + cache_creation_long_tokens AS cache_creation_tokens,
                input_cost, cache_read_cost, cache_creation_cost, output_cost, other_cost
             FROM {} WHERE {}",
            SECONDS_PER_DAY * 1_000_000,
            column(by),
            counted("outcome = 1"),
            counted("outcome > 1"),
            counted("unpriced <> 0 OR left_out <> 0"),
            with_groups("access_log", by),
            condition.sql()
        );
        let values = condition.values;
        Self { sql, values }
    }

    /// From the sums by user, group set, provider and model, or those of `pair` where it has any.
    fn rollups(
        (from, to): (i64, i64),
        filter: &LogFilter,
        by: Option<TotalBy>,
        pair: Option<Pair>,
    ) -> Self {
        let key = column(by);
        let by_month = pair.is_some() && by.is_some();
        Self::union(slice::runs(from, to, by_month).into_iter().map(|run| {
            let pair = pair.filter(|pair| pair.has(run.unit));
            let table = match (run.unit, pair) {
                (_, Some(_)) => "usage_pair",
                (Unit::Hour, None) => "usage_hour",
                (Unit::Day | Unit::Month, None) => "usage_day",
            };
            let mut condition = pair
                .map(|pair| pair.condition(run.unit))
                .unwrap_or_default();
            condition.in_run(run);
            condition.join(&filter.on_dimensions());
            let sql = format!(
                "SELECT {} AS day, {key} AS key, {SUM_COLUMNS} FROM {} WHERE {}",
                day(run.unit),
                with_groups(table, by),
                condition.sql()
            );
            (sql, condition.values)
        }))
    }

    /// From the sums along one dimension.
    fn slices(
        (from, to): (i64, i64),
        dimension: Dimension,
        condition: &Condition,
        by: Option<TotalBy>,
    ) -> Self {
        Self::union(slice::runs(from, to, by.is_some()).into_iter().map(|run| {
            let mut in_run = Condition::default();
            in_run.in_run(run);
            in_run.join(condition);
            let sql = format!(
                "SELECT {} AS day, key, {SUM_COLUMNS} FROM usage_slice
                 WHERE unit = {} AND dimension = {} AND {}",
                day(run.unit),
                run.unit as u8,
                dimension as u8,
                in_run.sql()
            );
            (sql, in_run.values)
        }))
    }

    fn union(parts: impl Iterator<Item = (String, Vec<Value<'static>>)>) -> Self {
        let (sqls, values): (Vec<String>, Vec<Vec<Value<'_>>>) = parts.unzip();
        let sql = match sqls.is_empty() {
            true => format!("SELECT 0 AS day, '' AS key, {SUM_COLUMNS} FROM usage_day WHERE FALSE"),
            false => sqls.join(" UNION ALL "),
        };
        let values = values.into_iter().flatten().collect();
        Self { sql, values }
    }
}

/// The day that a period lies in.
fn day(unit: Unit) -> &'static str {
    match unit {
        Unit::Hour => "period / 24",
        Unit::Day => "period",
        // Only totals are made of months, and they have no days.
        Unit::Month => "0",
    }
}

/// The dimension that answers both the filter and the grouping.
fn sliced(filter: &LogFilter, by: Option<TotalBy>) -> Option<(Dimension, Condition)> {
    let (restricted, condition) = filter.on_one_dimension()?;
    let Some(by) = by else {
        return Some((restricted, condition));
    };
    let grouped = match by {
        TotalBy::Provider => Dimension::Provider,
        TotalBy::Model => Dimension::Model,
        TotalBy::User => Dimension::User,
        TotalBy::Group => Dimension::Group,
    };
    match restricted {
        Dimension::All => Some((grouped, condition)),
        // Totals of a group's members are those of all groups that they are in.
        Dimension::Group => None,
        Dimension::Provider | Dimension::Model | Dimension::User => {
            (restricted == grouped).then_some((restricted, condition))
        }
    }
}

/// What totals are kept apart by, as a column of rows and of the sums in all dimensions.
fn column(by: Option<TotalBy>) -> &'static str {
    match by {
        None => "''",
        Some(TotalBy::Provider) => "provider_id",
        Some(TotalBy::Model) => "model",
        Some(TotalBy::User) => "user_id",
        Some(TotalBy::Group) => "group_id",
    }
}

/// 1 where it is true, 0 elsewhere.
fn counted(condition: &str) -> String {
    format!("CASE WHEN {condition} THEN 1 ELSE 0 END")
}

/// Each row once for each of its groups, where totals are by group.
fn with_groups(table: &'static str, by: Option<TotalBy>) -> String {
    match by {
        Some(TotalBy::Group) => {
            // Renamed, so that conditions on the table's own column stay clear.
            let members = "SELECT group_id, group_set AS member_of FROM group_set_member";
            format!("{table} JOIN ({members}) members ON member_of = group_set")
        }
        Some(TotalBy::Provider | TotalBy::Model | TotalBy::User) | None => table.to_owned(),
    }
}

/// Hours are kept for some weeks only: ends of the range that lie before that are rounded outwards to days.
fn kept_hours(connection: &Connection, (from, to): (i64, i64)) -> Result<(i64, i64), UsageError> {
    let oldest: Option<Option<i64>> =
        connection.query_value("SELECT min(period) FROM usage_hour", &[])?;
    // Whole days are deleted: what is left of this one is all that it had.
    let oldest_day = oldest
        .flatten()
        .map_or(i64::MAX, |hour| hour.div_euclid(24) * 24);
    let from = match from < oldest_day {
        true => from.div_euclid(24) * 24,
        false => from,
    };
    let to = match to <= oldest_day {
        true => -(-to).div_euclid(24) * 24,
        false => to,
    };
    Ok((from, to))
}
