//! Objects that exchanges made at providers, kept in the index so that a restarted node still knows where
//! they are and which of them are billed. The newest [`OBJECTS_LIMIT`] are kept, as many as the workers'
//! table holds.

use super::{
    UsageError,
    database::{Connection, values},
    spool::SpoolReader,
};
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
    transaction: &Connection,
    record: &ExchangeRecord<'_>,
) -> Result<(), UsageError> {
    let Some(object) = KnownObject::of(record) else {
        return Ok(());
    };
    // Records come in the order in which exchanges end: the one that bills a job may come before the one
    // that made it.
    transaction.execute(
        "INSERT INTO object (user_id, object_id, provider_id, billed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (user_id, object_id) DO UPDATE SET provider_id = excluded.provider_id,
             billed = CASE WHEN excluded.billed <> 0 THEN 1 ELSE object.billed END",
        &values![object.account, object.id, object.provider_id, object.billed],
    )?;
    transaction.execute(
        "DELETE FROM object WHERE sequence <= (SELECT max(sequence) FROM object) - ?1",
        &values![OBJECTS_LIMIT as i64],
    )?;
    Ok(())
}

/// What is in the index, oldest first.
pub(super) fn indexed(index: &Connection) -> Result<Vec<KnownObject>, UsageError> {
    index.query(
        "SELECT user_id, object_id, provider_id, billed FROM object ORDER BY sequence",
        &[],
        |row| {
            Ok(KnownObject {
                account: row.get(0)?,
                id: row.get(1)?,
                provider_id: row.get(2)?,
                billed: row.get(3)?,
            })
        },
    )
}

/// What an earlier process left in the spool above `indexed_up_to`, oldest first.
pub(super) fn spooled(
    spool: &SpoolReader,
    indexed_up_to: i64,
) -> Result<Vec<KnownObject>, UsageError> {
    let mut objects = Vec::new();
    for (_, bytes) in spool.read_newest(indexed_up_to, BATCHES_READ_MAX)? {
        // The indexer sets damaged ones aside and says so.
        let Ok(records) = Batch::open(&bytes).and_then(|batch| batch.records()) else {
            continue;
        };
        objects.extend(records.iter().filter_map(KnownObject::of));
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        control_plane::usage::{
            schema::Index,
            spool::Spool,
            tests::place::{Place, on_both},
        },
        handoff::{
            batch::{BatchBuilder, new_buffer},
            record::{Usage, tests::sample},
        },
    };

    fn record(object_id: &'static str, output_tokens: u64) -> ExchangeRecord<'static> {
        ExchangeRecord {
            object_id,
            usage: Usage {
                output_tokens,
                ..Usage::default()
            },
            ..sample()
        }
    }

    on_both!(index_and_spool_tell_of_objects);

    fn index_and_spool_tell_of_objects(place: &Place) {
        let mut index = Index::new(place.index.clone());
        let connection = index.connection().unwrap();
        // The one that bills a job may be recorded before the one that made it.
        let records = [
            record("job", 7),
            record("", 1),
            record("open", 0),
            record("job", 0),
        ];
        connection
            .write(|transaction| {
                records
                    .iter()
                    .try_for_each(|record| note(transaction, record))
            })
            .unwrap();
        let mut spool = Spool::open(&place.path().join("spool"), 1 << 30).unwrap();
        let sealed = |record: &ExchangeRecord<'_>| {
            let mut builder = BatchBuilder::new(0);
            builder.append(record);
            builder.seal(new_buffer())
        };
        let indexed = sealed(&ExchangeRecord {
            id: 1,
            ..record("indexed", 1)
        });
        let waiting = sealed(&ExchangeRecord {
            id: 2,
            ..record("open", 3)
        });
        let mark = spool.write([&indexed[..]].into_iter()).unwrap();
        spool.write([&waiting[..]].into_iter()).unwrap();
        let mut found = super::indexed(connection).unwrap();
        found.extend(spooled(&spool.reader().unwrap(), mark).unwrap());
        let found: Vec<_> = found.iter().map(|o| (o.id.as_str(), o.billed)).collect();
        assert_eq!(found, [("job", true), ("open", false), ("open", true)]);
    }
}
