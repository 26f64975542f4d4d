//! One connection to the server: statements by our own text, and transactions.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ops::ControlFlow,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::{Client, Statement};

use super::{
    super::{super::UsageError, Column, Migration, Row, Value},
    ANSWER_GRACE, DatabaseError, Server, WRITE_TIME_MAX, dialect, migration,
};

/// Statements that are kept prepared; then all are forgotten. Filters make new ones.
const STATEMENTS_MAX: usize = 100;
/// Statements that are on their way at the same time.
const PIPELINE_MAX: usize = 256;
/// Rows of an answer that are looked at between two waits.
const ROWS_PER_WAIT: usize = 256;

/// See the module.
pub(in crate::control_plane::usage) struct Session {
    server: Arc<Server>,
    client: Client,
    statements: RefCell<HashMap<String, Statement>>,
    /// Of everything that is asked; without one each answer has its own.
    deadline: Cell<Option<Instant>>,
    /// What the server was told.
    time_max: Cell<Option<Duration>>,
    /// The schema that this session writes; the server may have got a newer one meanwhile.
    schema: Cell<i64>,
    /// An answer is still due, or a transaction open: nothing else can be asked.
    is_stuck: Cell<bool>,
}

/// An open transaction; rolled back when dropped.
pub(in crate::control_plane::usage) struct Transaction<'a> {
    session: &'a Session,
    is_open: bool,
}

impl Session {
    pub(super) fn new(server: Arc<Server>, client: Client) -> Self {
        Self {
            server,
            client,
            statements: RefCell::default(),
            deadline: Cell::new(None),
            time_max: Cell::new(None),
            schema: Cell::new(0),
            is_stuck: Cell::new(false),
        }
    }

    pub(in super::super) fn is_usable(&self) -> bool {
        !self.is_stuck.get() && !self.client.is_closed()
    }

    pub(in super::super) fn limit_time(&self, time_max: Duration) -> Result<(), UsageError> {
        self.deadline
            .set(Some(Instant::now() + time_max + ANSWER_GRACE));
        if self.time_max.get() != Some(time_max) {
            self.batch(&format!("SET statement_timeout = {}", time_max.as_millis()))?;
            self.time_max.set(Some(time_max));
        }
        Ok(())
    }

    pub(in super::super) fn migrate(&self, migrations: &[Migration]) -> Result<(), UsageError> {
        self.deadline
            .set(Some(Instant::now() + migration::TIME_MAX));
        let migrated = migration::run(self, migrations);
        self.deadline.set(None);
        self.schema.set(migrated?);
        Ok(())
    }

    /// Begins a transaction once no other writer of this schema has one.
    pub(in super::super) fn begin(&self) -> Result<Transaction<'_>, UsageError> {
        let transaction = self.begin_alone()?;
        let (found, known) = (migration::version(self)?, self.schema.get());
        if found != known {
            return Err(migration::newer(found, known));
        }
        Ok(transaction)
    }

    /// As [`Self::begin`], whatever the schema is.
    pub(super) fn begin_alone(&self) -> Result<Transaction<'_>, UsageError> {
        let transaction = Transaction {
            session: self,
            is_open: true,
        };
        self.batch(migration::BEGIN_ALONE)?;
        Ok(transaction)
    }

    pub(in super::super) fn execute(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<u64, UsageError> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.execute_raw(&statement, values))
    }

    /// Statements go out one behind the other, without waiting for the answers in between.
    pub(in super::super) fn execute_each<'a, const N: usize>(
        &self,
        sql: &str,
        mut rows: impl Iterator<Item = [Value<'a>; N]>,
    ) -> Result<(), UsageError> {
        let statement = self.prepared(sql)?;
        loop {
            let chunk: Vec<[Value<'_>; N]> = rows.by_ref().take(PIPELINE_MAX).collect();
            if chunk.is_empty() {
                return Ok(());
            }
            let executed = stream::iter(&chunk)
                .map(|values| self.client.execute_raw(&statement, values))
                .buffered(PIPELINE_MAX);
            self.wait(executed.try_for_each(|_| async { Ok(()) }))?;
        }
    }

    pub(in super::super) fn visit(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, UsageError>,
    ) -> Result<(), UsageError> {
        let statement = self.prepared(sql)?;
        let rows = self.wait(self.client.query_raw(&statement, values))?;
        let mut rows = pin!(rows.ready_chunks(ROWS_PER_WAIT));
        while let Some(chunk) = self.wait(async { Ok(rows.next().await) })? {
            for row in chunk {
                let row = row.map_err(DatabaseError::from)?;
                if visit(&Row::Postgresql(&row))?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The first column of the first row.
    pub(super) fn first<T: Column>(&self, sql: &str) -> Result<Option<T>, UsageError> {
        let mut first = None;
        self.visit(sql, &[], |row| {
            first = Some(row.get(0)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// Runs statements without parameters, in the server's own words.
    pub(super) fn batch(&self, sql: &str) -> Result<(), UsageError> {
        self.wait(self.client.batch_execute(sql))
    }

    fn prepared(&self, sql: &str) -> Result<Statement, UsageError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(self.client.prepare(&dialect::query(sql)))?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, UsageError> {
        let own = || Instant::now() + WRITE_TIME_MAX;
        let deadline = self.deadline.get().unwrap_or_else(own);
        let answer = self.server.wait(deadline, answer);
        if let Err(DatabaseError::Silent | DatabaseError::Interrupted) = &answer {
            self.is_stuck.set(true);
        }
        Ok(answer?)
    }
}

impl Transaction<'_> {
    pub(in super::super) fn commit(mut self) -> Result<(), UsageError> {
        self.is_open = false;
        let committed = self.session.batch("COMMIT");
        if committed.is_err() {
            self.session.is_stuck.set(true);
        }
        committed
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open && self.session.is_usable() && self.session.batch("ROLLBACK").is_err() {
            self.session.is_stuck.set(true);
        }
    }
}
