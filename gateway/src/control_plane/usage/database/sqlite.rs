//! The index as a file of SQLite's.

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{super::UsageError, Migration, Row, Value};
use crate::control_plane::usage::sqlite_file::{self, BUSY_TIMEOUT};

/// Page cache of a writing connection in KiB: the hot leaves of all secondary indexes.
const CACHE_KIB: i64 = 16 * 1024;
/// Steps of SQLite's machine between two looks at the clock, below a millisecond.
const STEPS_PER_LOOK: std::ffi::c_int = 10_000;

pub(super) fn open_writer(path: &Path) -> Result<Connection, UsageError> {
    let connection = sqlite_file::open_for_writing(path)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, UsageError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

pub(super) fn migrate(
    connection: &mut Connection,
    migrations: &[Migration],
) -> Result<(), UsageError> {
    let texts: Vec<String> = migrations
        .iter()
        .map(|migration| format!("{}{}", migration.tables, migration.sqlite_rows))
        .collect();
    sqlite_file::migrate(connection, "the index", &texts)
}

pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
) -> Result<u64, UsageError> {
    let changed = connection
        .prepare_cached(sql)?
        .execute(params_from_iter(values))?;
    Ok(changed as u64)
}

pub(super) fn execute_each<'a, const N: usize>(
    connection: &Connection,
    sql: &str,
    rows: impl Iterator<Item = [Value<'a>; N]>,
) -> Result<(), UsageError> {
    let mut statement = connection.prepare_cached(sql)?;
    for values in rows {
        statement.execute(params_from_iter(&values))?;
    }
    Ok(())
}

pub(super) fn visit(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
    mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, UsageError>,
) -> Result<(), UsageError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if visit(&Row::Sqlite(row))?.is_break() {
            break;
        }
    }
    Ok(())
}

pub(super) fn limit_time(connection: &Connection, time_max: Duration) -> Result<(), UsageError> {
    let deadline = Instant::now() + time_max;
    connection.progress_handler(STEPS_PER_LOOK, Some(move || Instant::now() > deadline))?;
    Ok(())
}
