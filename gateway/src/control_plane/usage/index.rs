//! One transaction of the indexer: rows, sums, and the mark up to which batches are in. Because the mark
//! commits with the rows, a batch is indexed exactly once, wherever the process dies.

use std::{collections::HashMap, fmt::Write, net::IpAddr};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{UsageError, entry::BeyondText, objects, rollup::Rollup};
use crate::handoff::{
    batch::{Batch, BatchError},
    record::{Attempt, ExchangeRecord, Usage},
};

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
    let mark = connection
        .prepare_cached("SELECT batch_id FROM indexed WHERE spool = ?1")?
        .query_row([spool], |row| row.get(0))
        .optional()?;
    Ok(mark.unwrap_or(0))
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
        let mut done = Indexed::default();
        let mut rollup = Rollup::default();
        let mut names: HashMap<&str, &str> = HashMap::new();
        let transaction = connection.transaction()?;
        for (id, bytes) in batches {
            let records = match Batch::open(bytes).and_then(|batch| batch.records()) {
                Ok(records) => records,
                Err(problem) => {
                    self.set_aside(&transaction, *id, bytes, problem)?;
                    done.damaged += 1;
                    continue;
                }
            };
            for record in &records {
                let group_set = self.group_set(&transaction, &record.group_ids)?;
                if collect {
                    insert_row(&transaction, record, group_set)?;
                }
                objects::note(&transaction, record)?;
                rollup.add(record, group_set);
                names.insert(record.principal_id, record.display_name);
            }
            done.records += records.len() as u64;
        }
        rollup.write(&transaction)?;
        remember_names(&transaction, &names)?;
        if let Some((last, _)) = batches.last() {
            transaction
                .prepare_cached(
                    "INSERT INTO indexed (spool, batch_id) VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET batch_id = excluded.batch_id",
                )?
                .execute(params![self.spool, last])?;
        }
        transaction.commit()?;
        Ok(done)
    }

    fn set_aside(
        &self,
        transaction: &Transaction<'_>,
        id: i64,
        bytes: &[u8],
        problem: BatchError,
    ) -> Result<(), UsageError> {
        tracing::error!(batch = id, %problem, "a batch of records is set aside as damaged");
        transaction.execute(
            "INSERT INTO damaged_batch (spool, batch_id, noticed_at, problem, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                self.spool,
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
        transaction: &Transaction<'_>,
        group_ids: &[&str],
    ) -> Result<i64, UsageError> {
        let mut sorted = group_ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let stored = serde_json::to_string(&sorted).expect("strings are always JSON");
        if let Some(number) = self.group_sets.get(&stored) {
            return Ok(*number);
        }
        transaction
            .prepare_cached("INSERT INTO group_set (group_ids) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([&stored])?;
        let number = transaction
            .prepare_cached("SELECT id FROM group_set WHERE group_ids = ?1")?
            .query_row([&stored], |row| row.get(0))?;
        let mut member = transaction.prepare_cached(
            "INSERT INTO group_set_member (group_id, group_set) VALUES (?1, ?2)
             ON CONFLICT DO NOTHING",
        )?;
        for group_id in sorted {
            member.execute(params![group_id, number])?;
        }
        if self.group_sets.len() >= GROUP_SETS_KEPT {
            self.group_sets.clear();
        }
        self.group_sets.insert(stored, number);
        Ok(number)
    }
}

fn remember_names(
    transaction: &Transaction<'_>,
    names: &HashMap<&str, &str>,
) -> Result<(), UsageError> {
    let mut upsert = transaction.prepare_cached(
        "INSERT INTO principal (user_id, display_name) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET display_name = excluded.display_name
             WHERE display_name <> excluded.display_name",
    )?;
    for (user_id, display_name) in names {
        upsert.execute([user_id, display_name])?;
    }
    Ok(())
}

fn insert_row(
    transaction: &Transaction<'_>,
    record: &ExchangeRecord<'_>,
    group_set: i64,
) -> Result<(), UsageError> {
    let (usage, cost) = (&record.usage, &record.cost);
    transaction
        .prepare_cached(
            "INSERT INTO access_log (
                 id, started_at_us, duration_us, time_to_first_token_us, overhead_us,
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
                 received_us, reserved_us, sent_us, first_byte_us, trace_id, response_model
             ) VALUES (
                 ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                 ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34,
                 ?35, ?36, ?37, ?38, ?39, ?40, ?41, ?42, ?43, ?44, ?45, ?46,
                 ?47, ?48, ?49, ?50, ?51, ?52, ?53, ?54
             )",
        )?
        .execute(params![
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
        ])?;
    Ok(())
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
