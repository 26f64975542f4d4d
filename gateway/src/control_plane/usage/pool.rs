//! `UsageReader` and the few read-only connections behind it.

use std::{
    ops::Deref,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use super::{
    UsageError,
    database::{Connection, Database},
    live::Live,
};

/// Queries at the same time; more wait.
const CONNECTIONS_MAX: usize = 4;
/// A query that takes longer is given up, so that a few of them cannot keep everybody waiting.
const QUERY_TIME_MAX: Duration = Duration::from_secs(30);
/// The same for a page of an export, which may have to pass over all rows to find its own.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(600);

/// Asks the index. Every function blocks until its answer is there.
#[derive(Clone)]
pub struct UsageReader {
    pool: Arc<ReadPool>,
    pub(super) live: Live,
}

impl UsageReader {
    pub(super) fn new(pool: ReadPool, live: Live) -> Self {
        Self {
            pool: Arc::new(pool),
            live,
        }
    }

    pub(super) fn connection(&self) -> Result<PooledConnection<'_>, UsageError> {
        self.pool.get(QUERY_TIME_MAX)
    }

    pub(super) fn export_connection(&self) -> Result<PooledConnection<'_>, UsageError> {
        self.pool.get(EXPORT_TIME_MAX)
    }
}

pub(super) struct ReadPool {
    database: Database,
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Connection>,
    lent: usize,
}

impl ReadPool {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    fn get(&self, time_max: Duration) -> Result<PooledConnection<'_>, UsageError> {
        let idle = {
            let state = self.state.lock().expect("nothing panics under this lock");
            let mut state = self
                .returned
                .wait_while(state, |state| state.lent >= CONNECTIONS_MAX)
                .expect("nothing panics under this lock");
            state.lent += 1;
            state.idle.retain(Connection::is_usable);
            state.idle.pop()
        };
        // Holds the place from here on, so that it is given back when opening fails.
        let mut lent = PooledConnection {
            pool: self,
            connection: idle,
        };
        if lent.connection.is_none() {
            lent.connection = Some(self.database.open_reader()?);
        }
        lent.limit_time(time_max)?;
        Ok(lent)
    }
}

/// A connection that goes back to its pool when dropped.
pub(super) struct PooledConnection<'a> {
    pool: &'a ReadPool,
    connection: Option<Connection>,
}

impl Deref for PooledConnection<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("it is there until it is dropped")
    }
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        let mut state = self
            .pool
            .state
            .lock()
            .expect("nothing panics under this lock");
        state.lent -= 1;
        let connection = self.connection.take();
        state.idle.extend(connection.filter(Connection::is_usable));
        self.pool.returned.notify_one();
    }
}
