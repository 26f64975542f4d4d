//! Objects that exchanges made at providers, kept in the index so that a restarted node still knows where
//! they are and which of them are billed. The newest [`OBJECTS_LIMIT`] are kept, as many as the workers'
//! table holds.

use std::collections::VecDeque;

use rusqlite::{Connection, Transaction, params};

use super::{UsageError, spool::SpoolReader};
use crate::handoff::{batch::Batch, objects::OBJECTS_LIMIT, record::ExchangeRecord};

/// At start, batches that are not indexed yet and are looked at: the newest 16 MiB.
const BATCHES_READ_MAX: usize = 256;

/// An object as a record tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownObject {
    /// The principal whose exchange made it.
    pub account: String,
    pub id: String,
    pub provider_id: String,
    /// Its usage is in a record.
    pub billed: bool,
}

impl KnownObject {
    fn of(record: &ExchangeRecord<'_>) -> Option<Self> {
        (!record.object_id.is_empty()).then(|| Self {
            account: record.principal_id.to_owned(),
            id: record.object_id.to_owned(),
            provider_id: record.provider_id.to_owned(),
            billed: !record.usage.is_zero(),
        })
    }
}

/// Notes the object of a record, if it has one.
pub(super) fn note(
    transaction: &Transaction<'_>,
    record: &ExchangeRecord<'_>,
) -> Result<(), UsageError> {
    let Some(object) = KnownObject::of(record) else {
        return Ok(());
    };
    // Records come in the order in which exchanges end: the one that bills a job may come before the one
    // that made it.
    transaction
        .prepare_cached(
            "INSERT INTO object (user_id, object_id, provider_id, billed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_id, object_id) DO UPDATE SET
                 provider_id = excluded.provider_id, billed = max(billed, excluded.billed)",
        )?
        .execute(params![
            object.account,
            object.id,
            object.provider_id,
            object.billed
        ])?;
    transaction
        .prepare_cached(
            "DELETE FROM object WHERE sequence <= (SELECT max(sequence) FROM object) - ?1",
        )?
        .execute([OBJECTS_LIMIT as i64])?;
    Ok(())
}

/// What an earlier process knew, oldest first: from the index, and from what it left in the spool above
/// `indexed_up_to`.
pub(super) fn recent(
    index: &Connection,
    spool: &SpoolReader,
    indexed_up_to: i64,
) -> Result<VecDeque<KnownObject>, UsageError> {
    let mut select = index
        .prepare("SELECT user_id, object_id, provider_id, billed FROM object ORDER BY sequence")?;
    let rows = select.query_map([], |row| {
        Ok(KnownObject {
            account: row.get(0)?,
            id: row.get(1)?,
            provider_id: row.get(2)?,
            billed: row.get(3)?,
        })
    })?;
    let mut objects = rows.collect::<Result<VecDeque<_>, _>>()?;
    for (_, bytes) in spool.read_newest(indexed_up_to, BATCHES_READ_MAX)? {
        // The indexer sets damaged ones aside and says so.
        let Ok(records) = Batch::open(&bytes).and_then(|batch| batch.records()) else {
            continue;
        };
        objects.extend(records.iter().filter_map(KnownObject::of));
    }
    Ok(objects)
}
