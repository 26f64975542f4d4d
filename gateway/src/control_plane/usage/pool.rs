//! `UsageReader` and the few read-only connections behind it.

use std::{
    ops::Deref,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
};

use rusqlite::{Connection, OpenFlags};

use super::{UsageError, schema};

/// Queries at the same time; more wait.
const CONNECTIONS_MAX: usize = 4;

/// Asks the index. Every function blocks until its answer is there.
#[derive(Clone)]
pub struct UsageReader {
    pool: Arc<ReadPool>,
}

impl UsageReader {
    pub(super) fn new(pool: ReadPool) -> Self {
        Self {
            pool: Arc::new(pool),
        }
    }

    pub(super) fn connection(&self) -> Result<PooledConnection<'_>, UsageError> {
        self.pool.get()
    }
}

pub(super) struct ReadPool {
    path: PathBuf,
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Connection>,
    lent: usize,
}

impl ReadPool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    fn get(&self) -> Result<PooledConnection<'_>, UsageError> {
        let idle = {
            let state = self.state.lock().expect("nothing panics under this lock");
            let mut state = self
                .returned
                .wait_while(state, |state| state.lent >= CONNECTIONS_MAX)
                .expect("nothing panics under this lock");
            state.lent += 1;
            state.idle.pop()
        };
        // Holds the place from here on, so that it is given back when opening fails.
        let mut lent = PooledConnection {
            pool: self,
            connection: idle,
        };
        if lent.connection.is_none() {
            lent.connection = Some(self.open()?);
        }
        Ok(lent)
    }

    fn open(&self) -> Result<Connection, UsageError> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        Ok(connection)
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
        state.idle.extend(self.connection.take());
        self.pool.returned.notify_one();
    }
}
