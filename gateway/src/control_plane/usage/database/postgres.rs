//! The index in PostgreSQL, for fleets: several nodes write into one. Every wait for the server has an end,
//! after which its connection is given up; a connection lives on one small runtime of this module's own, and
//! callers wait for it on their threads.

mod dialect;
mod error;
mod migration;
mod parameter;
mod session;

use std::{
    fs, io,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;
use tokio::{runtime, sync::watch};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::UsageError;
use crate::{
    config::{PostgresqlConfig, TokenSource},
    control_plane::{
        snapshot::{Trust, client_config},
        token,
    },
};

pub use error::DatabaseError;
pub(super) use session::Session;

/// From the address to the first query, of all hosts that are named.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// One answer to the writer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// What the server may take longer than a limit that it was told.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// What PostgreSQL's clients offer in a handshake; version 17 and later insist.
const ALPN: &[u8] = b"postgresql";

/// What a writing session says first. A node that stands still in a transaction would hold all others up;
/// the server ends it, and it starts over.
const WRITER_SETTINGS: &str = "SET statement_timeout = '28s'; SET lock_timeout = '20s';
     SET idle_in_transaction_session_timeout = '60s'";
/// What a reading session says first. Values of parameters decide which index is best.
const READER_SETTINGS: &str =
    "SET default_transaction_read_only = on; SET plan_cache_mode = force_custom_plan";

/// A database, and how to get there.
pub(in super::super) struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    password: Option<TokenSource>,
    /// Taken when dropped.
    runtime: Option<runtime::Runtime>,
    interrupted: watch::Sender<bool>,
}

impl Server {
    /// Reads the file of trusted roots; asks nobody yet.
    pub(in super::super) fn new(config: &PostgresqlConfig) -> Result<Arc<Self>, UsageError> {
        let tls = match config.tls {
            true => Some(MakeRustlsConnect::new(tls(config)?)),
            false => None,
        };
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("usage-database")
            .enable_all()
            .build()?;
        Ok(Arc::new(Self {
            config: config.server.clone(),
            tls,
            password: config.password.clone(),
            runtime: Some(runtime),
            interrupted: watch::Sender::new(false),
        }))
    }

    pub(super) fn open_writer(self: &Arc<Self>) -> Result<Session, DatabaseError> {
        let client = self.connect(WRITER_SETTINGS)?;
        Ok(Session::new(Arc::clone(self), client))
    }

    pub(super) fn open_reader(self: &Arc<Self>) -> Result<Session, DatabaseError> {
        let client = self.connect(READER_SETTINGS)?;
        Ok(Session::new(Arc::clone(self), client))
    }

    /// Every wait ends with an error from here on.
    pub(super) fn interrupt(&self) {
        self.interrupted.send_replace(true);
    }

    fn connect(&self, settings: &str) -> Result<Client, DatabaseError> {
        let mut config = self.config.clone();
        if let Some(source) = &self.password {
            let password = token::read(source)
                .map_err(|error| DatabaseError::Away(format!("its password: {error}")))?;
            config.password(password.expose());
        }
        config.connect_timeout(CONNECT_TIME_MAX);
        config.tcp_user_timeout(WRITE_TIME_MAX);
        self.wait(Instant::now() + CONNECT_TIME_MAX, async {
            let client = match &self.tls {
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    tokio::spawn(connection);
                    client
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
            };
            client.batch_execute(settings).await?;
            Ok(client)
        })
        .map_err(DatabaseError::of_connecting)
    }

    /// Waits on the calling thread, which is none of a runtime's own.
    fn wait<T>(
        &self,
        deadline: Instant,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        let mut interrupted = self.interrupted.subscribe();
        let runtime = self.runtime.as_ref().expect("it is there until dropped");
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupted.wait_for(|interrupted| *interrupted) => Err(DatabaseError::Interrupted),
                answer = tokio::time::timeout_at(deadline.into(), answer) => match answer {
                    Ok(answer) => Ok(answer?),
                    Err(_) => Err(DatabaseError::Silent),
                },
            }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last one may be dropped by a task, where nothing may wait.
            runtime.shutdown_background();
        }
    }
}

fn tls(config: &PostgresqlConfig) -> Result<ClientConfig, UsageError> {
    let trust = match &config.ca {
        Some(path) => {
            let named = |error| io::Error::other(format!("{}: {error}", path.display()));
            Trust::Bundle(fs::read_to_string(path).map_err(named)?)
        }
        None => Trust::SystemRoots,
    };
    let client = client_config(&trust).map_err(|problem| io::Error::other(problem.to_string()))?;
    let mut client = ClientConfig::clone(&client);
    client.alpn_protocols = vec![ALPN.to_vec()];
    Ok(client)
}
