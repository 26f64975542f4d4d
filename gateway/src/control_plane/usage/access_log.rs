//! Single rows: one page of the access log, one row by its id, what came after a given row, and all of them
//! in the order of time for an export.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    UsageError, UsageReader,
    condition::Condition,
    database::{Connection, Value},
    entry::{AccessLogEntry, COLUMNS, timestamp},
    filter::LogFilter,
    query::{AccessLogQuery, Cursor, LogSort, SortOrder},
};

/// Rows of one call of [`UsageReader::follow`].
const FOLLOWED_MAX: usize = 1000;
/// What totals count up to.
pub(super) const TOTAL_MAX: u64 = 10_000;
/// Rows that are looked at where no index leads to just those that are meant: of a listing the newest ones,
/// and it says so if there are more; sums are refused then.
pub(super) const LOOKED_AT_MAX: i64 = 250_000;

/// A page of a list in NetBird's envelope, and what bounds it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// From 1 on.
    pub page: u32,
    pub page_size: u32,
    /// All that match, not only on this page, counted up to ten thousand.
    pub total_records: u64,
    pub total_pages: u64,
    /// There are more than `total_records`.
    pub total_is_capped: bool,
    /// What began before was not looked at; `null` when everything was. An `end_date` gets there.
    #[schema(required)]
    pub searched_back_to: Option<String>,
    /// For `cursor`, to get the next page in constant time; `null` on the last page, and when not sorted
    /// by time.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// `found` counts matches, of which no more than ten thousand are told.
    pub fn new(data: Vec<T>, page: u32, page_size: u32, found: u64) -> Self {
        let total_records = found.min(TOTAL_MAX);
        Self {
            data,
            page,
            page_size,
            total_records,
            total_pages: total_records.div_ceil(u64::from(page_size.max(1))),
            total_is_capped: found > TOTAL_MAX,
            searched_back_to: None,
            next_cursor: None,
        }
    }
}

impl UsageReader {
    /// One page of the access log. Takes time for [`LOOKED_AT_MAX`] rows at most, and for the pages before.
    pub fn access_log(&self, query: &AccessLogQuery) -> Result<Page<AccessLogEntry>, UsageError> {
        let connection = self.connection()?;
        let mut condition = query.filter.on_rows();
        let mut back_to_us = None;
        if query.sort != LogSort::Timestamp || query.filter.reads_rows() {
            back_to_us = oldest_looked_at(&connection, &query.filter, LOOKED_AT_MAX)?;
        }
        if let Some(us) = back_to_us {
            condition.and("started_at_us >= ?", [Value::Integer(us)]);
        }
        let count = format!(
            "SELECT count(*) FROM (SELECT 1 FROM access_log WHERE {} LIMIT {}) found",
            condition.sql(),
            TOTAL_MAX + 1
        );
        let found = connection.query_value(&count, &condition.values)?;
        let order = direction(query.order);
        let mut pages_before = i64::from(query.page) - 1;
        if let Some(cursor) = query.cursor {
            condition.after(cursor, query.order);
            pages_before = 0;
        }
        let entries = select_entries(
            &connection,
            "access_log",
            &condition,
            &format!(
                "ORDER BY {} {order}, sequence {order} LIMIT ? OFFSET ?",
                sort_key(query.sort)
            ),
            [
                Value::Integer(i64::from(query.page_size)),
                Value::Integer(i64::from(query.page_size) * pages_before),
            ],
        )?;
        let is_full = entries.len() == query.page_size as usize;
        let next_cursor = match query.sort {
            LogSort::Timestamp if is_full => entries.last().map(|last| last.cursor.to_string()),
            LogSort::Timestamp
            | LogSort::Model
            | LogSort::Provider
            | LogSort::StatusCode
            | LogSort::Duration
            | LogSort::CostUsd
            | LogSort::TotalTokens
            | LogSort::UserId
            | LogSort::Decision => None,
        };
        Ok(Page {
            searched_back_to: back_to_us.map(timestamp),
            next_cursor,
            ..Page::new(entries, query.page, query.page_size, found.unwrap_or(0))
        })
    }

    /// The exchange with this id, as long as it is in the log.
    pub fn exchange(&self, id: u128) -> Result<Option<AccessLogEntry>, UsageError> {
        let connection = self.connection()?;
        let mut condition = Condition::default();
        condition.is_record(id);
        let found = select_entries(&connection, "access_log", &condition, "LIMIT 1", [])?;
        Ok(found.into_iter().next())
    }

    /// Up to `limit` entries in the order of time, the first ones after `cursor`.
    pub fn in_order(
        &self,
        filter: &LogFilter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<AccessLogEntry>, UsageError> {
        let connection = self.export_connection()?;
        let mut condition = filter.on_rows();
        if let Some(cursor) = cursor {
            condition.after(cursor, SortOrder::Ascending);
        }
        select_entries(
            &connection,
            "access_log",
            &condition,
            "ORDER BY started_at_us, sequence LIMIT ?",
            [Value::Integer(limit as i64)],
        )
    }

    /// Rows that became visible after `sequence`, oldest first, a bounded number of them, and up to where
    /// all rows have been looked at.
    pub(super) fn follow(
        &self,
        sequence: i64,
        filter: &LogFilter,
    ) -> Result<(Vec<AccessLogEntry>, i64), UsageError> {
        let last = self.last_sequence()?;
        let connection = self.connection()?;
        let mut condition = filter.on_rows();
        condition.and("sequence > ?", [Value::Integer(sequence)]);
        let entries = select_entries(
            &connection,
            // By primary key: the tail is short, what the filter's own indexes lead to is not.
            "access_log NOT INDEXED",
            &condition,
            "ORDER BY sequence LIMIT ?",
            [Value::Integer(FOLLOWED_MAX as i64)],
        )?;
        let last_shown = entries.last().map(|entry| entry.cursor.sequence);
        let looked_at = match last_shown {
            Some(shown) if entries.len() == FOLLOWED_MAX => shown,
            Some(shown) => shown.max(last),
            None => last.max(sequence),
        };
        Ok((entries, looked_at))
    }

    /// Where a live tail of what is yet to come begins.
    pub fn last_sequence(&self) -> Result<i64, UsageError> {
        let connection = self.connection()?;
        let last = connection.query_value("SELECT max(sequence) FROM access_log", &[])?;
        Ok(last.flatten().unwrap_or(0))
    }
}

/// Start of the oldest of `looked_at_max` rows; `None` when the filter's index leads to fewer.
pub(super) fn oldest_looked_at(
    connection: &Connection,
    filter: &LogFilter,
    looked_at_max: i64,
) -> Result<Option<i64>, UsageError> {
    let condition = filter.on_index();
    let sql = format!(
        "SELECT started_at_us FROM access_log WHERE {}
         ORDER BY started_at_us DESC LIMIT 1 OFFSET {looked_at_max}",
        condition.sql()
    );
    connection.query_value(&sql, &condition.values)
}

fn sort_key(sort: LogSort) -> &'static str {
    match sort {
        LogSort::Timestamp => "started_at_us",
        LogSort::Model => "model",
        LogSort::Provider => "dialect",
        LogSort::StatusCode => "status",
        LogSort::Duration => "duration_us",
        LogSort::CostUsd => {
            "input_cost + cache_read_cost + cache_creation_cost + output_cost + other_cost"
        }
        LogSort::TotalTokens => "input_tokens + output_tokens",
        LogSort::UserId => "user_id",
        LogSort::Decision => "outcome = 1",
    }
}

fn direction(order: SortOrder) -> &'static str {
    match order {
        SortOrder::Ascending => "ASC",
        SortOrder::Descending => "DESC",
    }
}

/// Rows of `table` that meet `condition`; `table` and `tail` are our own text, `values` the parameters
/// of the latter.
pub(super) fn select_entries<const N: usize>(
    connection: &Connection,
    table: &str,
    condition: &Condition,
    tail: &str,
    values: [Value<'static>; N],
) -> Result<Vec<AccessLogEntry>, UsageError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {table} WHERE {} {tail}",
        condition.sql()
    );
    let values: Vec<Value<'_>> = condition.values.iter().cloned().chain(values).collect();
    connection.query(&sql, &values, AccessLogEntry::read)
}
