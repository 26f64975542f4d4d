//! The seam between the index and what keeps it. Every query has one text, in the words of SQLite; where
//! PostgreSQL says it differently, `postgres/dialect.rs` translates. Nothing outside of this module asks
//! which engine it is.

mod postgres;
mod row;
mod sqlite;
mod value;

use std::{ops::ControlFlow, path::PathBuf, sync::Arc, time::Duration};

use super::{UsageError, sqlite_file};
use postgres::Session;

pub use postgres::DatabaseError;
pub(super) use postgres::Server;
pub(super) use row::{Column, Row};
pub(super) use value::{Value, values};

/// Where an index is.
#[derive(Clone)]
pub(super) enum Database {
    Sqlite(PathBuf),
    Postgresql(Arc<Server>),
}

/// An open index, used by one thread at a time.
pub(super) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgresql(Session),
}

impl Database {
    /// For the one thread of this process that changes the index.
    pub(super) fn open_writer(&self) -> Result<Connection, UsageError> {
        Ok(match self {
            Self::Sqlite(path) => Connection::Sqlite(sqlite::open_writer(path)?),
            Self::Postgresql(server) => Connection::Postgresql(server.open_writer()?),
        })
    }

    /// For queries.
    pub(super) fn open_reader(&self) -> Result<Connection, UsageError> {
        Ok(match self {
            Self::Sqlite(path) => Connection::Sqlite(sqlite::open_reader(path)?),
            Self::Postgresql(server) => Connection::Postgresql(server.open_reader()?),
        })
    }

    /// Whether it may be away for a while, and other nodes may write into it.
    pub(super) fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgresql(_) => true,
        }
    }

    /// Ends every wait for it, once and for all.
    pub(super) fn interrupt(&self) {
        match self {
            // A disk answers, and a transaction is small.
            Self::Sqlite(_) => {}
            Self::Postgresql(server) => server.interrupt(),
        }
    }
}

impl Connection {
    /// Brings an index to the latest schema, whoever else does so at the same time.
    pub(super) fn migrate(&mut self, migrations: &[Migration]) -> Result<(), UsageError> {
        match self {
            Self::Sqlite(connection) => sqlite::migrate(connection, migrations),
            Self::Postgresql(session) => session.migrate(migrations),
        }
    }

    /// Runs `work` in a transaction, which is rolled back when `work` fails. Of all nodes that share an index
    /// one at a time is here, so that its rows get visible in the order of their numbers.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T, UsageError>,
    ) -> Result<T, UsageError> {
        match &*self {
            Self::Sqlite(connection) => {
                let transaction = connection.unchecked_transaction()?;
                let done = work(self)?;
                transaction.commit()?;
                Ok(done)
            }
            Self::Postgresql(session) => {
                let transaction = session.begin()?;
                let done = work(self)?;
                transaction.commit()?;
                Ok(done)
            }
        }
    }

    /// Returns how many rows it changed.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, UsageError> {
        match self {
            Self::Sqlite(connection) => sqlite::execute(connection, sql, values),
            Self::Postgresql(session) => session.execute(sql, values),
        }
    }

    /// The same statement with many rows of values.
    pub(super) fn execute_each<'a, const N: usize>(
        &self,
        sql: &str,
        rows: impl Iterator<Item = [Value<'a>; N]>,
    ) -> Result<(), UsageError> {
        match self {
            Self::Sqlite(connection) => sqlite::execute_each(connection, sql, rows),
            Self::Postgresql(session) => session.execute_each(sql, rows),
        }
    }

    /// Shows rows one after the other, until there is none left or `visit` has seen enough.
    pub(super) fn visit(
        &self,
        sql: &str,
        values: &[Value<'_>],
        visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, UsageError>,
    ) -> Result<(), UsageError> {
        match self {
            Self::Sqlite(connection) => sqlite::visit(connection, sql, values, visit),
            Self::Postgresql(session) => session.visit(sql, values, visit),
        }
    }

    pub(super) fn query<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, UsageError>,
    ) -> Result<Vec<T>, UsageError> {
        let mut found = Vec::new();
        self.visit(sql, values, |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The first row, if there is one.
    pub(super) fn query_row<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, UsageError>,
    ) -> Result<Option<T>, UsageError> {
        let (mut found, mut read) = (None, Some(read));
        self.visit(sql, values, |row| {
            if let Some(read) = read.take() {
                found = Some(read(row)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// The first column of the first row.
    pub(super) fn query_value<T: Column>(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, UsageError> {
        self.query_row(sql, values, |row| row.get(0))
    }

    /// Gives up what takes longer than `time_max` from here on.
    pub(super) fn limit_time(&self, time_max: Duration) -> Result<(), UsageError> {
        match self {
            Self::Sqlite(connection) => sqlite::limit_time(connection, time_max),
            Self::Postgresql(session) => session.limit_time(time_max),
        }
    }

    /// Whether it can be used again.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgresql(session) => session.is_usable(),
        }
    }

    /// Frees one chunk of what deleted rows took; returns whether there may be more.
    pub(super) fn give_some_space_back(&self) -> Result<bool, UsageError> {
        match self {
            Self::Sqlite(connection) => sqlite_file::give_some_space_back(connection),
            // Its autovacuum does.
            Self::Postgresql(_) => Ok(false),
        }
    }
}

/// One step of a schema. An index remembers how many it has seen.
pub(super) struct Migration {
    /// Tables, columns and indexes.
    pub(super) tables: &'static str,
    /// Fills what is new from what an index already has: for the time before there were others than SQLite's.
    pub(super) sqlite_rows: &'static str,
}

impl Migration {
    pub(super) const fn tables(tables: &'static str) -> Self {
        Self {
            tables,
            sqlite_rows: "",
        }
    }
}
