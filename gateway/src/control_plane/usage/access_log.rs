//! Single rows: one page of the access log, and the rows that came after a given one.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params_from_iter, types::Value};
use serde::{Deserialize, Serialize};

use super::{
    UsageError, UsageReader,
    amounts::Amounts,
    condition::Condition,
    filter::LogFilter,
    query::{AccessLogQuery, LogSort, SortOrder},
};
use crate::handoff::record::{
    CaptureState, CostSource, LeftOut, MediaUsage, Outcome, ServiceTier, ToolCalls,
};

/// What `service_id` says: the node is one service.
const SERVICE_ID: &str = "keyway";
/// Rows of one call of [`UsageReader::follow`].
const FOLLOWED_MAX: usize = 1000;

/// A page of a list in NetBird's envelope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// From 1 on.
    pub page: u32,
    pub page_size: u32,
    /// All that match, not only on this page.
    pub total_records: u64,
    pub total_pages: u64,
}

impl<T> Page<T> {
    pub(super) fn new(data: Vec<T>, page: u32, page_size: u32, total_records: u64) -> Self {
        Self {
            data,
            page,
            page_size,
            total_records,
            total_pages: total_records.div_ceil(u64::from(page_size.max(1))),
        }
    }
}

/// One exchange: NetBird's fields first, then what this node adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccessLogEntry {
    pub id: String,
    pub service_id: &'static str,
    /// Start of the exchange, RFC 3339 with microseconds.
    pub timestamp: String,
    /// Sent to the agent; 0 when it was gone before.
    pub status_code: u16,
    pub duration_ms: u64,
    pub user_id: String,
    pub source_ip: String,
    pub method: String,
    /// As the agent addressed the endpoint.
    pub host: String,
    pub path: String,
    /// The vendor dialect of the request.
    pub provider: String,
    pub model: String,
    pub session_id: String,
    pub resolved_provider_id: String,
    pub selected_policy_id: String,
    /// `deny` when policy refused, else `allow`.
    pub decision: &'static str,
    /// NetBird's code when `decision` is `deny`, else empty.
    pub deny_reason: String,
    #[serde(flatten)]
    pub amounts: Amounts,
    pub stream: bool,
    /// All groups of the caller at that time.
    pub group_ids: Vec<String>,

    /// Order in which rows became visible; what [`UsageReader::follow`] goes by.
    pub sequence: i64,
    pub display_name: String,
    pub peer_id: String,
    pub catalog_id: String,
    pub dialect: String,
    pub operation: String,
    /// How the exchange ended; see [`Outcome`].
    pub outcome: &'static str,
    /// Why it did not end well; empty when it did.
    pub reason: String,
    /// 10, 11 or 20.
    pub http_version: u8,
    /// `null` when no content came.
    pub time_to_first_token_ms: Option<f64>,
    /// The node's own share of the time before the first byte went upstream.
    pub overhead_us: u64,
    /// Part of `output_tokens`.
    pub reasoning_tokens: u64,
    /// No price was known for the model; the cost is zero for that reason.
    pub unpriced: bool,
    /// Parts that the cost leaves out: `service_tier`, `tools`, `audio`, `region`.
    pub left_out: Vec<&'static str>,
    /// Where the cost comes from; see [`CostSource`].
    pub cost_source: &'static str,
    /// See [`ServiceTier`].
    pub service_tier: &'static str,
    /// Bound to a region.
    pub regional: bool,
    /// `null` when there was only text.
    pub beyond_text: Option<BeyondText>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub attempts: Vec<AttemptEntry>,
    /// Which of the session's agents asked, and which one started it; empty when not told.
    pub agent_id: String,
    pub parent_agent_id: String,
    /// Whether its texts were kept; see [`CaptureState`].
    pub capture: &'static str,
}

/// Media, and the provider's own tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeyondText {
    pub media: MediaUsage,
    pub tool_calls: ToolCalls,
}

/// One try on one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptEntry {
    pub target_id: u64,
    /// 0 when a pooled connection was used.
    pub connect_us: u64,
    /// 0 when no answer came.
    pub status_code: u16,
}

impl UsageReader {
    /// One page of the access log. Counting all matches costs a scan of what the filter leaves.
    pub fn access_log(&self, query: &AccessLogQuery) -> Result<Page<AccessLogEntry>, UsageError> {
        let connection = self.connection()?;
        let condition = query.filter.on_rows();
        let total = connection
            .prepare_cached(&format!(
                "SELECT count(*) FROM access_log WHERE {}",
                condition.sql()
            ))?
            .query_row(params_from_iter(&condition.values), |row| row.get(0))?;
        let key = match query.sort {
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
        };
        let order = direction(query.order);
        let entries = select_entries(
            &connection,
            "access_log",
            &condition,
            &format!("ORDER BY {key} {order}, sequence {order} LIMIT ? OFFSET ?"),
            [
                Value::Integer(i64::from(query.page_size)),
                Value::Integer(i64::from(query.page_size) * (i64::from(query.page) - 1)),
            ],
        )?;
        Ok(Page::new(entries, query.page, query.page_size, total))
    }

    /// The exchange with this id, as long as it is in the log.
    pub fn access_log_entry(&self, id: u128) -> Result<Option<AccessLogEntry>, UsageError> {
        let connection = self.connection()?;
        // The id has the start in milliseconds, and starts have an index.
        let started_at_us = i64::try_from(id >> 80).unwrap_or(0).saturating_mul(1000);
        let mut condition = Condition::default();
        condition.and(
            "started_at_us BETWEEN ? AND ? AND id = ?",
            [
                Value::Integer(started_at_us),
                Value::Integer(started_at_us + 999),
                Value::Text(format!("{id:032x}")),
            ],
        );
        let entries = select_entries(&connection, "access_log", &condition, "", [])?;
        Ok(entries.into_iter().next())
    }

    /// Rows that became visible after `sequence`, oldest first, a bounded number of them: for a live
    /// tail, called again with the last row's `sequence`.
    pub fn follow(
        &self,
        sequence: i64,
        filter: &LogFilter,
    ) -> Result<Vec<AccessLogEntry>, UsageError> {
        let connection = self.connection()?;
        let mut condition = filter.on_rows();
        condition.and("sequence > ?", [Value::Integer(sequence)]);
        select_entries(
            &connection,
            // By primary key: the tail is short, what the filter's own indexes lead to is not.
            "access_log NOT INDEXED",
            &condition,
            "ORDER BY sequence LIMIT ?",
            [Value::Integer(FOLLOWED_MAX as i64)],
        )
    }

    /// Where a live tail of what is yet to come begins.
    pub fn last_sequence(&self) -> Result<i64, UsageError> {
        let connection = self.connection()?;
        let last = connection
            .prepare_cached("SELECT coalesce(max(sequence), 0) FROM access_log")?
            .query_row([], |row| row.get(0))?;
        Ok(last)
    }
}

pub(super) fn direction(order: SortOrder) -> &'static str {
    match order {
        SortOrder::Ascending => "ASC",
        SortOrder::Descending => "DESC",
    }
}

const COLUMNS: &str =
    "id, started_at_us, status, duration_us, user_id, source_ip, method, host, path,
     dialect, model, session_id, provider_id, policy_id, outcome, reason, input_tokens,
     output_tokens, cache_read_tokens, cache_creation_tokens + cache_creation_long_tokens,
     input_cost, cache_read_cost, cache_creation_cost, output_cost, other_cost, stream,
     (SELECT group_ids FROM group_set WHERE group_set.id = access_log.group_set), sequence,
     display_name, peer_id, catalog_id, operation, http_version, time_to_first_token_us,
     overhead_us, reasoning_tokens, unpriced, request_bytes, response_bytes, attempts, left_out,
     cost_source, service_tier, regional, beyond_text, agent_id, parent_agent_id, capture";

/// Rows of `table` that meet `condition`; `table` and `tail` are our own text, `values` the parameters
/// of the latter.
pub(super) fn select_entries<const N: usize>(
    connection: &Connection,
    table: &str,
    condition: &Condition,
    tail: &str,
    values: [Value; N],
) -> Result<Vec<AccessLogEntry>, UsageError> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {table} WHERE {} {tail}",
        condition.sql()
    ))?;
    let values = params_from_iter(condition.values.iter().chain(&values));
    let entries = select.query_map(values, entry)?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Reads one row of [`COLUMNS`].
fn entry(row: &Row<'_>) -> rusqlite::Result<AccessLogEntry> {
    let outcome: usize = row.get(14)?;
    let denied = outcome == Outcome::Denied as usize;
    let reason: String = row.get(15)?;
    let dialect: String = row.get(9)?;
    let time_to_first_token_us: u32 = row.get::<_, i64>(33)?.try_into().unwrap_or(u32::MAX);
    Ok(AccessLogEntry {
        id: row.get(0)?,
        service_id: SERVICE_ID,
        timestamp: timestamp(row.get(1)?),
        status_code: row.get(2)?,
        duration_ms: row.get::<_, u64>(3)? / 1000,
        user_id: row.get(4)?,
        source_ip: row.get(5)?,
        method: row.get(6)?,
        host: row.get(7)?,
        path: row.get(8)?,
        provider: dialect.clone(),
        model: row.get(10)?,
        session_id: row.get(11)?,
        resolved_provider_id: row.get(12)?,
        selected_policy_id: row.get(13)?,
        decision: if denied { "deny" } else { "allow" },
        deny_reason: if denied {
            format!("llm_policy.{reason}")
        } else {
            String::new()
        },
        amounts: Amounts::read(row, 16)?,
        stream: row.get(25)?,
        group_ids: from_json(row.get(26)?),
        sequence: row.get(27)?,
        display_name: row.get(28)?,
        peer_id: row.get(29)?,
        catalog_id: row.get(30)?,
        dialect,
        operation: row.get(31)?,
        outcome: Outcome::ALL
            .get(outcome)
            .map_or("", |outcome| outcome.code()),
        reason,
        http_version: row.get(32)?,
        time_to_first_token_ms: (time_to_first_token_us > 0)
            .then(|| f64::from(time_to_first_token_us) / 1000.0),
        overhead_us: row.get(34)?,
        reasoning_tokens: row.get(35)?,
        unpriced: row.get(36)?,
        left_out: LeftOut::from_bits(row.get(40)?).codes().collect(),
        cost_source: CostSource::ALL
            .get(row.get::<_, usize>(41)?)
            .map_or("", |source| source.code()),
        service_tier: ServiceTier::ALL
            .get(row.get::<_, usize>(42)?)
            .map_or("", |tier| tier.code()),
        regional: row.get(43)?,
        beyond_text: row
            .get::<_, Option<String>>(44)?
            .and_then(|json| serde_json::from_str(&json).ok()),
        agent_id: row.get(45)?,
        parent_agent_id: row.get(46)?,
        capture: CaptureState::ALL
            .get(row.get::<_, usize>(47)?)
            .map_or("", |state| state.code()),
        request_bytes: row.get(37)?,
        response_bytes: row.get(38)?,
        attempts: from_json::<(u64, u64, u16)>(row.get(39)?)
            .into_iter()
            .map(|(target_id, connect_us, status_code)| AttemptEntry {
                target_id,
                connect_us,
                status_code,
            })
            .collect(),
    })
}

pub(super) fn timestamp(us: i64) -> String {
    Timestamp::from_microsecond(us)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

/// A JSON array that the indexer wrote; what cannot be read is left out.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(json: Option<String>) -> Vec<T> {
    json.and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default()
}
