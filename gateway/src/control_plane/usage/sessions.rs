//! The access log by session: exchanges of one caller that carry the same session id; an exchange
//! without one is a session of its own.

use rusqlite::{Connection, Row, params_from_iter, types::Value};
use serde::Serialize;

use super::{
    UsageError, UsageReader,
    access_log::{self, AccessLogEntry, Page},
    amounts::Amounts,
    condition::Condition,
    query::{SessionQuery, SessionSort},
};

/// Entries shown of one session: its latest.
const ENTRIES_MAX: i64 = 200;

/// One session; sums cover all its exchanges that match the filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionEntry {
    /// Empty for an exchange without one.
    pub session_id: String,
    pub user_id: String,
    pub group_ids: Vec<String>,
    pub started_at: String,
    /// Start of the latest exchange.
    pub ended_at: String,
    pub request_count: u64,
    #[serde(flatten)]
    pub amounts: Amounts,
    pub providers: Vec<String>,
    pub models: Vec<String>,
    /// `deny` when any exchange was refused by policy.
    pub decision: &'static str,
    /// Oldest first; the latest [`ENTRIES_MAX`] of them.
    pub entries: Vec<AccessLogEntry>,
}

/// Keeps sessions of different users, and single exchanges, apart.
const SESSION_KEY: &str = "user_id, CASE session_id WHEN '' THEN id ELSE '' END, session_id";

impl UsageReader {
    /// One page of sessions.
    pub fn sessions(&self, query: &SessionQuery) -> Result<Page<SessionEntry>, UsageError> {
        let connection = self.connection()?;
        let condition = query.filter.on_rows();
        let total = connection
            .prepare_cached(&format!(
                "SELECT count(*) FROM
                     (SELECT 1 FROM access_log WHERE {} GROUP BY {SESSION_KEY})",
                condition.sql()
            ))?
            .query_row(params_from_iter(&condition.values), |row| row.get(0))?;
        let key = match query.sort {
            SessionSort::Timestamp => "max(started_at_us)",
            SessionSort::StartedAt => "min(started_at_us)",
            SessionSort::CostUsd => {
                "sum(input_cost + cache_read_cost + cache_creation_cost + output_cost + other_cost)"
            }
            SessionSort::TotalTokens => "sum(input_tokens + output_tokens)",
            SessionSort::Duration => "max(started_at_us) - min(started_at_us)",
            SessionSort::RequestCount => "count(*)",
            SessionSort::StatusCode => "max(status)",
            SessionSort::UserId => "user_id",
            SessionSort::Decision => "max(outcome = 1)",
        };
        let order = access_log::direction(query.order);
        let mut select = connection.prepare_cached(&format!(
            "SELECT {SUMMARY} FROM access_log WHERE {} GROUP BY {SESSION_KEY}
             ORDER BY {key} {order}, max(sequence) {order} LIMIT ? OFFSET ?",
            condition.sql()
        ))?;
        let page = [
            Value::Integer(i64::from(query.page_size)),
            Value::Integer(i64::from(query.page_size) * (i64::from(query.page) - 1)),
        ];
        let found = select
            .query_map(
                params_from_iter(condition.values.iter().chain(&page)),
                summary,
            )?
            .collect::<Result<Vec<_>, _>>()?;
        let sessions = found
            .into_iter()
            .map(|found| complete(&connection, query, found))
            .collect::<Result<_, _>>()?;
        Ok(Page::new(sessions, query.page, query.page_size, total))
    }
}

const SUMMARY: &str = "session_id, user_id, max(sequence), json_group_array(DISTINCT group_set),
     min(started_at_us), max(started_at_us), count(*), sum(input_tokens), sum(output_tokens),
     sum(cache_read_tokens), sum(cache_creation_tokens + cache_creation_long_tokens),
     sum(input_cost), sum(cache_read_cost), sum(cache_creation_cost), sum(output_cost),
     sum(other_cost),
     json_group_array(DISTINCT dialect), json_group_array(DISTINCT model), max(outcome = 1)";

/// A session without groups and entries, and what finds them.
struct Found {
    session: SessionEntry,
    /// Its latest row.
    sequence: i64,
    group_sets: Vec<i64>,
}

/// Reads one row of [`SUMMARY`].
fn summary(row: &Row<'_>) -> rusqlite::Result<Found> {
    let session = SessionEntry {
        session_id: row.get(0)?,
        user_id: row.get(1)?,
        group_ids: Vec::new(),
        started_at: access_log::timestamp(row.get(4)?),
        ended_at: access_log::timestamp(row.get(5)?),
        request_count: row.get(6)?,
        amounts: Amounts::read(row, 7)?,
        providers: named(row.get(16)?),
        models: named(row.get(17)?),
        decision: if row.get(18)? { "deny" } else { "allow" },
        entries: Vec::new(),
    };
    Ok(Found {
        session,
        sequence: row.get(2)?,
        group_sets: access_log::from_json(row.get(3)?),
    })
}

fn named(json: Option<String>) -> Vec<String> {
    let mut names: Vec<String> = access_log::from_json(json);
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names
}

fn complete(
    connection: &Connection,
    query: &SessionQuery,
    found: Found,
) -> Result<SessionEntry, UsageError> {
    let mut session = found.session;
    let mut condition = query.filter.on_rows();
    narrow(&mut condition, &session, found.sequence);
    session.entries = access_log::select_entries(
        connection,
        "access_log",
        &condition,
        "ORDER BY started_at_us DESC, sequence DESC LIMIT ?",
        [Value::Integer(ENTRIES_MAX)],
    )?;
    session.entries.reverse();
    let mut select = connection.prepare_cached("SELECT group_ids FROM group_set WHERE id = ?1")?;
    for group_set in found.group_sets {
        let group_ids = select.query_row([group_set], |row| row.get(0))?;
        session
            .group_ids
            .extend(access_log::from_json::<String>(group_ids));
    }
    session.group_ids.sort_unstable();
    session.group_ids.dedup();
    Ok(session)
}

/// Restricts to one session.
fn narrow(condition: &mut Condition, session: &SessionEntry, sequence: i64) {
    condition.and("user_id = ?", [Value::Text(session.user_id.clone())]);
    if session.session_id.is_empty() {
        condition.and("sequence = ?", [Value::Integer(sequence)]);
    } else {
        condition.and(
            "session_id = ? AND session_id <> ''",
            [Value::Text(session.session_id.clone())],
        );
    }
}
