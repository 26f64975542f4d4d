//! One transaction of the indexer: rows, sums, and the mark up to which batches are in. Because the mark
//! commits with the rows, a batch is indexed exactly once, wherever the process dies.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    net::IpAddr,
};

use super::{
    UsageError,
    database::{Connection, Value, values},
    entry::BeyondText,
    objects,
    rollup::Rollup,
};
use crate::handoff::{
    batch::{Batch, BatchError},
    record::{Attempt, ExchangeRecord, Usage},
};
use jiff::Timestamp;

/// Larger numbers of tokens, bytes or nano-dollars in one record are cut to this: nothing real comes
/// near, and sums stay far from where SQLite would turn them into floating point.
pub(super) const VALUE_MAX: u64 = 1_000_000_000_000_000;
/// Group sets whose numbers are kept in memory.
const GROUP_SETS_KEPT: usize = 10_000;

pub(super) fn clamp(value: u64) -> i64 {
    value.min(VALUE_MAX) as i64
}

/// The highest batch of `spool` that is in the index.
pub(super) fn indexed_up_to(connection: &Connection, spool: &str) -> Result<i64, UsageError> {
    let mark = connection.query_value(
        "SELECT batch_id FROM indexed WHERE spool = ?1",
        &values![spool],
    )?;
    Ok(mark.unwrap_or(0))
}

/// Changes with every commit of any node.
pub(super) fn commits(connection: &Connection) -> Result<u64, UsageError> {
    let batches = connection.query_value(
        "SELECT CAST(coalesce(sum(batch_id), 0) AS BIGINT) FROM indexed",
        &[],
    )?;
    Ok(batches.unwrap_or(0))
}

/// What a transaction did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) records: u64,
    pub(super) damaged: u64,
}

/// Turns batches of one spool into rows.
pub(super) struct Indexing {
    spool: String,
    /// Group ids as stored to the set's number. Forgotten after an error: the numbers may be rolled back.
    group_sets: HashMap<String, i64>,
}

impl Indexing {
    pub(super) fn new(spool: String) -> Self {
        Self {
            spool,
            group_sets: HashMap::new(),
        }
    }

    /// Indexes `batches`, ascending by id, in one transaction. Without `collect` only sums are kept.
    pub(super) fn index(
        &mut self,
        connection: &mut Connection,
        batches: &[(i64, Vec<u8>)],
        collect: bool,
    ) -> Result<Indexed, UsageError> {
        connection.write(|transaction| self.index_in(transaction, batches, collect))
    }

    fn index_in(
        &mut self,
        transaction: &Connection,
        batches: &[(i64, Vec<u8>)],
        collect: bool,
    ) -> Result<Indexed, UsageError> {
        let mut done = Indexed::default();
        let mut rollup = Rollup::default();
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        // A commit whose answer got lost may have come through since the mark was read.
        let mark = indexed_up_to(transaction, &self.spool)?;
        for (id, bytes) in batches.iter().filter(|(id, _)| *id > mark) {
            let records = match Batch::open(bytes).and_then(|batch| batch.records()) {
                Ok(records) => records,
                Err(problem) => {
                    self.set_aside(transaction, *id, bytes, problem)?;
                    done.damaged += 1;
                    continue;
                }
            };
            let group_sets = records
                .iter()
                .map(|record| self.group_set(transaction, &record.group_ids))
                .collect::<Result<Vec<i64>, _>>()?;
            let grouped = records.iter().zip(group_sets);
            if collect {
                let rows = grouped.clone().map(|(record, set)| row(record, set));
                transaction.execute_each(&insert_row(), rows)?;
            }
            for (record, group_set) in grouped {
                objects::note(transaction, record)?;
                rollup.add(record, group_set);
                names.insert(record.principal_id, record.display_name);
            }
            done.records += records.len() as u64;
        }
        rollup.write(transaction)?;
        remember_names(transaction, &names)?;
        if let Some((last, _)) = batches.last() {
            transaction.execute(
                "INSERT INTO indexed (spool, batch_id) VALUES (?1, ?2)
                 ON CONFLICT (spool) DO UPDATE SET batch_id = excluded.batch_id",
                &values![&*self.spool, *last],
            )?;
        }
        Ok(done)
    }

    fn set_aside(
        &self,
        transaction: &Connection,
        id: i64,
        bytes: &[u8],
        problem: BatchError,
    ) -> Result<(), UsageError> {
        tracing::error!(batch = id, %problem, "a batch of records is set aside as damaged");
        transaction.execute(
            "INSERT INTO damaged_batch (spool, batch_id, noticed_at, problem, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            &values![
                &*self.spool,
                id,
                Timestamp::now().to_string(),
                problem.to_string(),
                bytes
            ],
        )?;
        Ok(())
    }

    /// The number of a set of groups, given at its first sight.
    fn group_set(
        &mut self,
        transaction: &Connection,
        group_ids: &[&str],
    ) -> Result<i64, UsageError> {
        let mut sorted = group_ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let stored = serde_json::to_string(&sorted).expect("strings are always JSON");
        if let Some(number) = self.group_sets.get(&stored) {
            return Ok(*number);
        }
        transaction.execute(
            "INSERT INTO group_set (group_ids) VALUES (?1) ON CONFLICT DO NOTHING",
            &values![&*stored],
        )?;
        let number: i64 = transaction
            .query_value(
                "SELECT id FROM group_set WHERE group_ids = ?1",
                &values![&*stored],
            )?
            .ok_or(UsageError::Missing("a set of groups"))?;
        transaction.execute_each(
            "INSERT INTO group_set_member (group_id, group_set) VALUES (?1, ?2)
             ON CONFLICT DO NOTHING",
            sorted.into_iter().map(|group_id| values![group_id, number]),
        )?;
        if self.group_sets.len() >= GROUP_SETS_KEPT {
            self.group_sets.clear();
        }
        self.group_sets.insert(stored, number);
        Ok(number)
    }
}

fn remember_names(
    transaction: &Connection,
    names: &BTreeMap<&str, &str>,
) -> Result<(), UsageError> {
    transaction.execute_each(
        "INSERT INTO principal (user_id, display_name) VALUES (?1, ?2)
         ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name
             WHERE principal.display_name <> excluded.display_name",
        names.iter().map(|(user_id, name)| values![*user_id, *name]),
    )
}

/// Columns of a row as [`row`] has them.
const ROW_COLUMNS: &str = "id, started_at_us, duration_us, time_to_first_token_us, overhead_us,
     user_id, display_name, peer_id, group_set, source_ip,
     method, host, path, http_version, status,
     outcome, reason, dialect, operation, model,
     session_id, provider_id, catalog_id, policy_id, stream,
     input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens,
     cache_creation_long_tokens, reasoning_tokens,
     input_cost, cache_read_cost, cache_creation_cost, output_cost,
     unpriced, left_out, request_bytes, response_bytes, attempts,
     other_cost, cost_source, service_tier, regional, beyond_text,
     agent_id, parent_agent_id, capture,
     received_us, reserved_us, sent_us, first_byte_us, trace_id, response_model";
const ROW_VALUES: usize = 54;

fn insert_row() -> String {
    let marks = vec!["?"; ROW_VALUES].join(", ");
    format!("INSERT INTO access_log ({ROW_COLUMNS}) VALUES ({marks})")
}

fn row<'a>(record: &'a ExchangeRecord<'a>, group_set: i64) -> [Value<'a>; ROW_VALUES] {
    let (usage, cost) = (&record.usage, &record.cost);
    values![
        format!("{:032x}", record.id),
        record.started_at_us,
        clamp(record.duration_us),
        clamp(record.time_to_first_token_us),
        record.overhead_us,
        record.principal_id,
        record.display_name,
        record.peer_id,
        group_set,
        source_ip(record.source_ip),
        record.method,
        record.host,
        record.path,
        record.http_version,
        record.status,
        record.outcome as u8,
        record.reason,
        record.dialect,
        record.operation,
        record.model,
        record.session_id,
        record.provider_id,
        record.catalog_id,
        record.policy_id,
        record.stream,
        clamp(usage.input_tokens),
        clamp(usage.output_tokens),
        clamp(usage.cache_read_input_tokens),
        clamp(usage.cache_creation_input_tokens),
        clamp(usage.cache_creation_long_input_tokens),
        clamp(usage.reasoning_tokens),
        clamp(cost.input),
        clamp(cost.cache_read),
        clamp(cost.cache_creation),
        clamp(cost.output),
        record.unpriced,
        record.left_out.bits(),
        clamp(record.request_bytes),
        clamp(record.response_bytes),
        attempts_json(&record.attempts),
        clamp(cost.other),
        record.cost_source as u8,
        record.terms.tier as u8,
        record.terms.regional,
        beyond_text(usage),
        record.agent_id,
        record.parent_agent_id,
        record.capture as u8,
        clamp(record.marks.received_us),
        clamp(record.marks.reserved_us),
        clamp(record.marks.sent_us),
        clamp(record.marks.first_byte_us),
        record.trace.text(),
        record.other_model(),
    ]
}

fn beyond_text(usage: &Usage) -> Option<String> {
    BeyondText::of(usage)
        .map(|beyond| serde_json::to_string(&beyond).expect("numbers are always JSON"))
}

fn source_ip(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// `[[target, connect µs, status], …]`.
fn attempts_json(attempts: &[Attempt]) -> String {
    let mut json = String::from("[");
    for (i, attempt) in attempts.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(
            json,
            "{comma}[{},{},{}]",
            attempt.target_id, attempt.connect_us, attempt.status
        )
        .expect("writing to a String cannot fail");
    }
    json.push(']');
    json
}
