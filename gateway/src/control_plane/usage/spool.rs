//! The spool: batches on their way from the queue to the index, each one durable row. Only the writer
//! thread changes it; the indexer reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{UsageError, sqlite_file};
use crate::handoff::batch::{self, BatchKey};

/// Batches deleted per transaction once they are indexed.
const PURGED_PER_WRITE_MAX: i64 = 256;
/// Free pages kept for the next batches; more are given back to the file system.
const FREE_PAGES_KEPT: i64 = 4096;
const FREED_PAGES_PER_WRITE_MAX: i64 = 1024;
const PAGE_BYTES: u64 = 4096;

/// `batch.key` makes a write that failed after it became durable (an error of `fsync`) repeatable.
/// `AUTOINCREMENT`: ids are never used twice, so "indexed up to" stays true after deletions.
/// `spool.identity` ties the index's mark to this very file.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE batch (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL UNIQUE,
        bytes BLOB NOT NULL
    );
    CREATE TABLE spool (identity TEXT NOT NULL);
    INSERT INTO spool VALUES (lower(hex(randomblob(16))));
"];

/// The writer's end.
pub(super) struct Spool {
    path: PathBuf,
    bytes_limit: u64,
    /// Gone after an error; opened again by the next write.
    connection: Option<Connection>,
}

impl Spool {
    pub(super) fn open(path: &Path, bytes_limit: u64) -> Result<Self, UsageError> {
        Ok(Self {
            path: path.to_owned(),
            bytes_limit,
            connection: Some(open(path, bytes_limit)?),
        })
    }

    /// What its file takes on disk, without the log of what is being written.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.len())
    }

    pub(super) fn reader(&self) -> Result<SpoolReader, UsageError> {
        SpoolReader::open(&self.path)
    }

    /// The highest id ever given; 0 in a new spool.
    pub(super) fn last_id(&mut self) -> Result<i64, UsageError> {
        self.with_connection(|connection| last_id(connection))
    }

    /// Makes `batches` durable in one transaction, in this order; a batch that is there already is left
    /// alone. Returns the highest id given. After an error nothing or everything was written, and
    /// the same call may be made again.
    pub(super) fn write<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a [u8]>,
    ) -> Result<i64, UsageError> {
        self.with_connection(|connection| {
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO batch (key, bytes) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
                )?;
                for bytes in batches {
                    insert.execute(params![batch::key(bytes), bytes])?;
                }
            }
            let last = last_id(&transaction)?;
            transaction.commit()?;
            Ok(last)
        })
    }

    /// Deletes batches up to `indexed_up_to`, a bounded number of them, and gives space back. Those in
    /// `pending` stay: their write may have to be repeated, and would then not find them.
    /// Returns whether there may be more to delete.
    pub(super) fn purge(
        &mut self,
        indexed_up_to: i64,
        pending: &[BatchKey],
    ) -> Result<bool, UsageError> {
        self.with_connection(|connection| {
            let transaction = connection.transaction()?;
            let mut seen = 0;
            {
                let mut select = transaction.prepare_cached(
                    "SELECT id, key FROM batch WHERE id <= ?1 ORDER BY id LIMIT ?2",
                )?;
                let mut delete = transaction.prepare_cached("DELETE FROM batch WHERE id = ?1")?;
                let mut rows = select.query(params![indexed_up_to, PURGED_PER_WRITE_MAX])?;
                while let Some(row) = rows.next()? {
                    seen += 1;
                    let key: BatchKey = row.get(1)?;
                    if !pending.contains(&key) {
                        delete.execute([row.get::<_, i64>(0)?])?;
                    }
                }
            }
            transaction.commit()?;
            sqlite_file::give_space_back(connection, FREE_PAGES_KEPT, FREED_PAGES_PER_WRITE_MAX)?;
            Ok(seen == PURGED_PER_WRITE_MAX)
        })
    }

    fn with_connection<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, UsageError>,
    ) -> Result<T, UsageError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.path, self.bytes_limit)?,
        };
        let result = work(&mut connection);
        if result.is_ok() {
            self.connection = Some(connection);
        }
        result
    }
}

fn open(path: &Path, bytes_limit: u64) -> Result<Connection, UsageError> {
    let mut connection = sqlite_file::open_for_writing(path)?;
    sqlite_file::migrate(&mut connection, "the spool", MIGRATIONS)?;
    let pages_limit = i64::try_from(bytes_limit / PAGE_BYTES).unwrap_or(i64::MAX);
    // Returns the limit in force, which is not below the file's present size.
    connection.pragma_update_and_check(None, "max_page_count", pages_limit, |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(connection)
}

fn last_id(connection: &Connection) -> Result<i64, UsageError> {
    let id = connection
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = 'batch'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(id.unwrap_or(0))
}

/// The indexer's end.
pub(super) struct SpoolReader {
    connection: Connection,
    pub(super) identity: String,
}

impl SpoolReader {
    fn open(path: &Path) -> Result<Self, UsageError> {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(sqlite_file::BUSY_TIMEOUT)?;
        let identity = connection.query_row("SELECT identity FROM spool", [], |row| row.get(0))?;
        Ok(Self {
            connection,
            identity,
        })
    }

    /// An id that all batches which are left are above of, and which those before were not.
    pub(super) fn before_first(&self) -> Result<i64, UsageError> {
        let first: Option<i64> =
            self.connection
                .query_row("SELECT min(id) FROM batch", [], |row| row.get(0))?;
        match first {
            Some(first) => Ok(first - 1),
            None => last_id(&self.connection),
        }
    }

    /// Up to `limit` batches above `after`, by id.
    pub(super) fn read(&self, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u8>)>, UsageError> {
        self.select(
            "SELECT id, bytes FROM batch WHERE id > ?1 ORDER BY id LIMIT ?2",
            after,
            limit,
        )
    }

    /// The last `limit` batches above `after`, by id.
    pub(super) fn read_newest(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Vec<u8>)>, UsageError> {
        self.select(
            "SELECT id, bytes FROM (
                 SELECT id, bytes FROM batch WHERE id > ?1 ORDER BY id DESC LIMIT ?2
             ) ORDER BY id",
            after,
            limit,
        )
    }

    fn select(
        &self,
        sql: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Vec<u8>)>, UsageError> {
        let mut select = self.connection.prepare_cached(sql)?;
        let rows = select.query_map(params![after, limit as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handoff::{
        batch::{BatchBuilder, new_buffer},
        record::{ExchangeRecord, tests::sample},
    };

    fn sealed(id: u128) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0);
        builder.append(&ExchangeRecord { id, ..sample() });
        builder.seal(new_buffer())
    }

    #[test]
    fn a_repeated_write_adds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&directory.path().join("s"), 1 << 30).unwrap();
        let (a, b) = (sealed(1), sealed(2));
        assert_eq!(spool.write([&a[..]].into_iter()).unwrap(), 1);
        let last = spool.write([&a[..], &b[..]].into_iter()).unwrap();
        let rows = spool.reader().unwrap().read(0, 10).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].0, &rows[1].1), (last, &b));
    }

    #[test]
    fn a_purge_spares_pending_batches_and_ids_are_not_used_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&directory.path().join("s"), 1 << 30).unwrap();
        let (a, b) = (sealed(1), sealed(2));
        let last = spool.write([&a[..], &b[..]].into_iter()).unwrap();
        spool.purge(last, &[batch::key(&b)]).unwrap();
        let left = spool.reader().unwrap().read(0, 10).unwrap();
        assert_eq!(left.iter().map(|r| &r.1).collect::<Vec<_>>(), [&b]);
        spool.purge(last, &[]).unwrap();
        assert!(spool.write([&a[..]].into_iter()).unwrap() > last);
    }

    #[test]
    fn a_full_spool_takes_batches_again_once_others_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&directory.path().join("s"), 64 * PAGE_BYTES).unwrap();
        let mut id = 0;
        let full = loop {
            id += 1;
            let bytes = sealed(id);
            if let Err(error) = spool.write([&bytes[..]].into_iter()) {
                assert!(error.to_string().contains("full"), "{error}");
                break bytes;
            }
        };
        assert!(id > 10);
        while spool.purge(i64::MAX, &[]).unwrap() {}
        spool.write([&full[..]].into_iter()).unwrap();
        assert_eq!(spool.reader().unwrap().read(0, 10).unwrap().len(), 1);
    }
}
