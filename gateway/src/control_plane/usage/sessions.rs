//! The access log by session: exchanges of one caller that carry the same session id; an exchange
//! without one is a session of its own.

use std::{cmp::Ordering, collections::HashMap, ops::ControlFlow};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    UsageError, UsageReader,
    access_log::{self, Page, TOTAL_MAX, oldest_looked_at},
    amounts::Amounts,
    condition::{Condition, text},
    database::{Connection, Row, Value},
    entry::{AccessLogEntry, from_json, timestamp},
    query::{SessionQuery, SessionSort, SortOrder},
};

/// Entries shown of one session: its latest.
const ENTRIES_MAX: i64 = 200;

/// One session; sums cover all its exchanges that match the filter.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AccessLogSession)]
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

/// Rows that a listing of sessions looks at, at most: the newest ones.
const LOOKED_AT_MAX: i64 = 100_000;

impl UsageReader {
    /// One page of sessions. Which ones it shows is found by a walk over the newest [`LOOKED_AT_MAX`] rows;
    /// what it says of them covers all their exchanges.
    pub fn sessions(&self, query: &SessionQuery) -> Result<Page<SessionEntry>, UsageError> {
        let connection = self.connection()?;
        let mut condition = query.filter.on_rows();
        let back_to_us = oldest_looked_at(&connection, &query.filter, LOOKED_AT_MAX)?;
        if let Some(us) = back_to_us {
            condition.and("started_at_us >= ?", [Value::Integer(us)]);
        }
        let end = u64::from(query.page) * u64::from(query.page_size);
        // Newest first there is no need to go on for later pages.
        let enough = match (query.sort, query.order) {
            (SessionSort::Timestamp, SortOrder::Descending) => end.max(TOTAL_MAX + 1),
            (_, _) => u64::MAX,
        };
        let mut walk = Walk::default();
        walk.over(&connection, &condition, enough)?;
        let found = walk.sessions.len() as u64;
        let start = end - u64::from(query.page_size);
        let sessions = walk
            .sorted(query.sort, query.order)
            .skip(usize::try_from(start).unwrap_or(usize::MAX))
            .take(query.page_size as usize)
            .map(|seen| complete(&connection, query, &seen))
            .collect::<Result<_, _>>()?;
        Ok(Page {
            searched_back_to: back_to_us.map(timestamp),
            ..Page::new(sessions, query.page, query.page_size, found)
        })
    }
}

const SUMMARY: &str = "min(session_id), min(user_id), json_group_array(DISTINCT group_set),
     min(started_at_us), max(started_at_us), count(*),
     CAST(sum(input_tokens) AS BIGINT), CAST(sum(output_tokens) AS BIGINT),
     CAST(sum(cache_read_tokens) AS BIGINT),
     CAST(sum(cache_creation_tokens + cache_creation_long_tokens) AS BIGINT),
     CAST(sum(input_cost) AS BIGINT), CAST(sum(cache_read_cost) AS BIGINT),
     CAST(sum(cache_creation_cost) AS BIGINT), CAST(sum(output_cost) AS BIGINT),
     CAST(sum(other_cost) AS BIGINT),
     json_group_array(DISTINCT dialect), json_group_array(DISTINCT model), max(CASE WHEN outcome = 1 THEN 1 ELSE 0 END)";

/// What a walk found of one session; sums cover the rows that it saw.
struct Seen {
    user_id: String,
    /// Empty for an exchange without one.
    session_id: String,
    /// Its latest row.
    sequence: i64,
    first_us: i64,
    last_us: i64,
    requests: i64,
    tokens: i64,
    cost: i64,
    status_max: i64,
    denied: bool,
}

/// Sessions in the order of their latest exchange.
#[derive(Default)]
struct Walk {
    sessions: Vec<Seen>,
    /// Where each user's sessions are in the list.
    places: HashMap<String, HashMap<String, usize>>,
}

impl Walk {
    /// Goes back in time until `enough` sessions are found.
    fn over(
        &mut self,
        connection: &Connection,
        condition: &Condition,
        enough: u64,
    ) -> Result<(), UsageError> {
        let sql = format!(
            "SELECT user_id, session_id, sequence, started_at_us, input_tokens + output_tokens,
                 input_cost + cache_read_cost + cache_creation_cost + output_cost + other_cost,
                 status, outcome = 1
             FROM access_log WHERE {} ORDER BY started_at_us DESC, sequence DESC",
            condition.sql()
        );
        connection.visit(&sql, &condition.values, |row| {
            if self.sessions.len() as u64 >= enough {
                return Ok(ControlFlow::Break(()));
            }
            self.note(row)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn note(&mut self, row: &Row<'_>) -> Result<(), UsageError> {
        let user_id = row.text(0)?;
        let session_id = row.text(1)?;
        let started_us: i64 = row.get(3)?;
        let known = self.places.get(user_id).and_then(|of| of.get(session_id));
        let place = match known {
            Some(place) => *place,
            None => {
                let place = self.sessions.len();
                if !session_id.is_empty() {
                    let of_user = self.places.entry(user_id.to_owned()).or_default();
                    of_user.insert(session_id.to_owned(), place);
                }
                self.sessions.push(Seen {
                    user_id: user_id.to_owned(),
                    session_id: session_id.to_owned(),
                    sequence: row.get(2)?,
                    first_us: started_us,
                    last_us: started_us,
                    requests: 0,
                    tokens: 0,
                    cost: 0,
                    status_max: 0,
                    denied: false,
                });
                place
            }
        };
        let seen = &mut self.sessions[place];
        seen.first_us = started_us;
        seen.requests += 1;
        seen.tokens += row.get::<i64>(4)?;
        seen.cost += row.get::<i64>(5)?;
        seen.status_max = seen.status_max.max(row.get(6)?);
        seen.denied |= row.get::<bool>(7)?;
        Ok(())
    }

    fn sorted(mut self, sort: SessionSort, order: SortOrder) -> impl Iterator<Item = Seen> {
        let key = |seen: &Seen| match sort {
            // Users have their own key.
            SessionSort::UserId => 0,
            SessionSort::Timestamp => seen.last_us,
            SessionSort::StartedAt => seen.first_us,
            SessionSort::CostUsd => seen.cost,
            SessionSort::TotalTokens => seen.tokens,
            SessionSort::Duration => seen.last_us - seen.first_us,
            SessionSort::RequestCount => seen.requests,
            SessionSort::StatusCode => seen.status_max,
            SessionSort::Decision => i64::from(seen.denied),
        };
        self.sessions.sort_unstable_by(|a, b| {
            let users = match sort {
                SessionSort::UserId => a.user_id.cmp(&b.user_id),
                SessionSort::Timestamp
                | SessionSort::StartedAt
                | SessionSort::CostUsd
                | SessionSort::TotalTokens
                | SessionSort::Duration
                | SessionSort::RequestCount
                | SessionSort::StatusCode
                | SessionSort::Decision => Ordering::Equal,
            };
            let ascending = users.then_with(|| (key(a), a.sequence).cmp(&(key(b), b.sequence)));
            match order {
                SortOrder::Ascending => ascending,
                SortOrder::Descending => ascending.reverse(),
            }
        });
        self.sessions.into_iter()
    }
}

/// Reads one row of [`SUMMARY`]; also gives the numbers of its group sets.
fn summary(row: &Row<'_>) -> Result<(SessionEntry, Vec<i64>), UsageError> {
    let session = SessionEntry {
        session_id: row.get(0)?,
        user_id: row.get(1)?,
        group_ids: Vec::new(),
        started_at: timestamp(row.get(3)?),
        ended_at: timestamp(row.get(4)?),
        request_count: row.get(5)?,
        amounts: Amounts::read(row, 6)?,
        providers: named(row.get(15)?),
        models: named(row.get(16)?),
        decision: if row.get(17)? { "deny" } else { "allow" },
        entries: Vec::new(),
    };
    Ok((session, from_json(row.get(2)?)))
}

fn named(json: Option<String>) -> Vec<String> {
    let mut names: Vec<String> = from_json(json);
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names
}

fn complete(
    connection: &Connection,
    query: &SessionQuery,
    seen: &Seen,
) -> Result<SessionEntry, UsageError> {
    let mut condition = query.filter.on_rows();
    // Other indexes of the filter's would lead to many more rows.
    let table = match seen.session_id.is_empty() {
        true => {
            condition.and("sequence = ?", [Value::Integer(seen.sequence)]);
            "access_log"
        }
        false => {
            condition.and(
                "user_id = ? AND session_id = ? AND session_id <> ''",
                [text(&seen.user_id), text(&seen.session_id)],
            );
            "access_log INDEXED BY access_log_session"
        }
    };
    let sql = format!("SELECT {SUMMARY} FROM {table} WHERE {}", condition.sql());
    let (mut session, group_sets) = connection
        .query_row(&sql, &condition.values, summary)?
        .ok_or(UsageError::Missing("a session"))?;
    session.entries = access_log::select_entries(
        connection,
        table,
        &condition,
        "ORDER BY started_at_us DESC, sequence DESC LIMIT ?",
        [Value::Integer(ENTRIES_MAX)],
    )?;
    session.entries.reverse();
    for group_set in group_sets {
        let group_ids = connection.query_value(
            "SELECT group_ids FROM group_set WHERE id = ?1",
            &[Value::Integer(group_set)],
        )?;
        session.group_ids.extend(from_json::<String>(group_ids));
    }
    session.group_ids.sort_unstable();
    session.group_ids.dedup();
    Ok(session)
}
