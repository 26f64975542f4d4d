//! Opening SQLite files, their migrations, and giving space back.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, params};

use super::UsageError;

pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Free pages kept for new rows (1 MiB).
const FREE_PAGES_KEPT: i64 = 256;
const PAGES_PER_CHUNK: i64 = 2048;
/// What a write-ahead log is cut back to after a checkpoint.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// WAL with a sync at every commit; pages that get free can be given back.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, UsageError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Takes effect only while the file is empty, so it comes before WAL, which writes a header.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    Ok(connection)
}

/// Brings a file to the latest schema; `user_version` counts the migrations it has seen.
pub(super) fn migrate(
    connection: &mut Connection,
    file: &'static str,
    migrations: &[impl AsRef<str>],
) -> Result<(), UsageError> {
    let known = migrations.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(UsageError::NewerSchema { file, found, known });
    }
    for (version, migration) in (1_i64..).zip(migrations).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration.as_ref())?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Gives up to `pages_limit` free pages beyond `kept` back to the file system.
pub(super) fn give_space_back(
    connection: &Connection,
    kept: i64,
    pages_limit: i64,
) -> Result<(), UsageError> {
    let pages = (free_pages(connection)? - kept).min(pages_limit);
    if pages > 0 {
        // The pragma frees one page per step.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query(params![])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// Frees one chunk of unused pages; returns whether there may be more.
pub(super) fn give_some_space_back(connection: &Connection) -> Result<bool, UsageError> {
    let before = free_pages(connection)?;
    give_space_back(connection, FREE_PAGES_KEPT, PAGES_PER_CHUNK)?;
    let after = free_pages(connection)?;
    Ok(after < before && after > FREE_PAGES_KEPT)
}

fn free_pages(connection: &Connection) -> Result<i64, UsageError> {
    Ok(connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_are_durable_and_shrinkable() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open_for_writing(&directory.path().join("usage.db")).unwrap();
        for (pragma, expected) in [
            ("synchronous", "2"),
            ("auto_vacuum", "2"),
            ("journal_mode", "wal"),
        ] {
            let text: String = connection
                .query_row(
                    &format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"),
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            assert_eq!(text, expected, "{pragma}");
        }
    }
}
