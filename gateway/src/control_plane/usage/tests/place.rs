//! Where the index of a test is: each test runs with a file of SQLite's and with PostgreSQL.

use tempfile::TempDir;

use super::*;
use crate::{config::PostgresqlConfig, control_plane::usage::database::Connection};
use gateway_tests::postgresql::{self, Postgresql};

/// A directory for the spool, and an index.
pub(in crate::control_plane::usage) struct Place {
    directory: TempDir,
    pub(in crate::control_plane::usage) index: Database,
    /// The schema in PostgreSQL.
    pub(super) url: Option<String>,
}

impl Place {
    pub(in crate::control_plane::usage) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let index = Database::Sqlite(directory.path().join(INDEX_FILE));
        Self {
            directory,
            index,
            url: None,
        }
    }

    /// `None` without a server, which it says.
    pub(in crate::control_plane::usage) fn postgresql(test: &str) -> Option<Self> {
        let Some(server) = Postgresql::shared() else {
            gateway_tests::skip(test, postgresql::why_not().unwrap_or_default());
            return None;
        };
        Some(Self::at(&server.new_schema().unwrap()))
    }

    pub(super) fn at(url: &str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            index: database_at(url),
            url: Some(url.to_owned()),
        }
    }

    /// The same index, for a node of its own.
    pub(super) fn another_node(&self) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            index: self.anew(),
            url: self.url.clone(),
        }
    }

    /// A log that stops takes its way to the database with it.
    fn anew(&self) -> Database {
        match &self.url {
            Some(url) => database_at(url),
            None => self.index.clone(),
        }
    }

    pub(in crate::control_plane::usage) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// For the test's own queries.
    pub(super) fn connection(&self) -> Connection {
        self.index.open_reader().unwrap()
    }

    pub(super) fn start(&self) -> (UsageLog, RecordSender) {
        let (mut senders, receiver) = record_queue(1, 4, Duration::ZERO);
        let index = self.anew();
        let log = UsageLog::start_with(
            self.path(),
            index,
            receiver,
            &LineTargets::default(),
            Vec::new(),
        );
        (log.unwrap(), senders.remove(0))
    }
}

pub(super) fn database_at(url: &str) -> Database {
    Database::Postgresql(Server::new(&PostgresqlConfig::of_url(url).unwrap()).unwrap())
}

/// Makes two tests of each function: one for each kind of index.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test(&$crate::control_plane::usage::tests::place::Place::sqlite());
            })*
        }

        mod postgresql {
            $(#[test]
            fn $test() {
                let name = concat!(module_path!(), "::", stringify!($test));
                if let Some(place) = $crate::control_plane::usage::tests::place::Place::postgresql(name) {
                    super::$test(&place);
                }
            })*
        }
    };
}
pub(in crate::control_plane::usage) use on_both;
