//! The file of sealed texts.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::{
    control_plane::usage::{UsageError, sqlite_file},
    handoff::capture::Part,
};

/// What the file may take on disk. When it is full, new texts are left out.
const BYTES_LIMIT: i64 = 16 << 30;
const PAGE_BYTES: i64 = 4096;
const ROWS_PER_CHUNK: i64 = 500;

/// A record's id begins with its start in milliseconds, so that the key is in the order of age.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE capture (
        record_id BLOB NOT NULL,
        part INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (record_id, part)
    );
"];

/// Which text of an exchange, in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum StoredPart {
    Request = 0,
    Answer = 1,
}

impl StoredPart {
    pub(super) fn of(part: &Part) -> Self {
        match part {
            Part::Request => Self::Request,
            Part::Answer { .. } => Self::Answer,
        }
    }

    /// What it is sealed for.
    pub(super) fn name(self, record_id: u128) -> String {
        format!("{record_id:032x}/{}", self as u8)
    }
}

/// A sealed text.
pub(super) struct Sealed {
    pub(super) record_id: u128,
    pub(super) part: StoredPart,
    pub(super) bytes: Vec<u8>,
}

/// The file, open for its one writer.
pub(super) struct CaptureFile {
    path: PathBuf,
    connection: Connection,
}

impl CaptureFile {
    pub(super) fn open(path: &Path) -> Result<Self, UsageError> {
        let mut connection = sqlite_file::open_for_writing(path)?;
        sqlite_file::migrate(&mut connection, "the file of captured texts", MIGRATIONS)?;
        // Returns the limit in force, which is not below the file's present size.
        connection.pragma_update_and_check(
            None,
            "max_page_count",
            BYTES_LIMIT / PAGE_BYTES,
            |row| row.get::<_, i64>(0),
        )?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    pub(super) fn reopen(&mut self) -> Result<(), UsageError> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// Writes all in one transaction. One that is there already stays as it is.
    pub(super) fn write(&mut self, texts: &[Sealed]) -> Result<(), UsageError> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO capture (record_id, part, sealed) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
            )?;
            for text in texts {
                let id = text.record_id.to_be_bytes();
                insert.execute(params![id, text.part as u8, text.bytes])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Deletes one chunk of the texts of exchanges that started before `before_us`, and gives unused space back;
    /// returns whether there may be more to do.
    pub(super) fn sweep(&mut self, before_us: i64) -> Result<bool, UsageError> {
        let before = u128::from((before_us / 1000).max(0) as u64) << 80;
        let deleted = self.connection.execute(
            "DELETE FROM capture WHERE rowid IN (
                 SELECT rowid FROM capture WHERE record_id < ?1 ORDER BY record_id LIMIT ?2)",
            params![before.to_be_bytes(), ROWS_PER_CHUNK],
        )?;
        if deleted > 0 || sqlite_file::give_some_space_back(&self.connection)? {
            return Ok(true);
        }
        // The file ends where the log's last checkpoint says, and the log has copies of what was deleted.
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(false)
    }
}

/// The sealed texts of one exchange.
pub(super) fn read(path: &Path, record_id: u128) -> Result<Vec<(StoredPart, Vec<u8>)>, UsageError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(sqlite_file::BUSY_TIMEOUT)?;
    let mut select = connection.prepare("SELECT part, sealed FROM capture WHERE record_id = ?1")?;
    let rows = select.query_map([record_id.to_be_bytes()], |row| {
        let part = match row.get::<_, u8>(0)? {
            0 => StoredPart::Request,
            _ => StoredPart::Answer,
        };
        Ok((part, row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
