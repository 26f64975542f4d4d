//! A stand-in for NetBird's management API: strict about what it is asked, whole in the shapes that it
//! answers ([`account`]), and in trouble when a test wants it so. It speaks HTTP/1.1 over TLS.

mod account;
mod serve;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::certificate::Authority;
pub use account::Account;

/// What it does in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// An error with this status.
    Status(u16),
    /// 429; nothing may come before this time is over.
    RateLimited(Duration),
    /// Half of the JSON, as a whole answer.
    HalfJson,
    /// Half of the answer, then the connection ends.
    Cut,
    /// Half of the answer, and no end.
    Stall,
    /// `[]` in place of an object.
    OtherShape,
}

/// See the module; it stops when dropped.
pub struct NetBird {
    address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    answered: watch::Sender<u64>,
}

struct State {
    token: String,
    account: Account,
    trouble: Option<Trouble>,
    /// After a 429.
    not_before: Option<Instant>,
    problems: Vec<String>,
}

impl NetBird {
    /// Serves an account on a free loopback port to who has the token.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(account: Account, token: &str) -> Result<Self> {
        let authority = Authority::new("NetBird stand-in")?;
        let acceptor = TlsAcceptor::from(authority.server_config(&[b"http/1.1"])?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                token: token.to_owned(),
                account,
                trouble: None,
                not_before: None,
                problems: Vec::new(),
            }),
            answered: watch::Sender::new(0),
        });
        let task = tokio::spawn(serve::accept(listener, acceptor, Arc::clone(&shared)));
        Ok(Self {
            address,
            ca_pem: authority.ca_pem,
            shared,
            task,
        })
    }

    /// Base URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Changes the account; the next reading sees it.
    pub fn edit(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.shared.state().account);
    }

    /// From here on every answer is like this, or as it should be.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        self.shared.state().trouble = trouble;
    }

    /// From here on only this token is let in.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut self.shared.state().token);
    }

    /// What was wrong with requests so far.
    pub fn problems(&self) -> Vec<String> {
        self.shared.state().problems.clone()
    }

    /// Waits until this many more readings were answered whole.
    ///
    /// # Errors
    /// When they are not within `limit`.
    pub async fn wait_readings(&self, more: u64, limit: Duration) -> Result<()> {
        let mut answered = self.shared.answered.subscribe();
        let wanted = *answered.borrow() + more;
        let waited = timeout(limit, answered.wait_for(|count| *count >= wanted)).await;
        waited.context("nobody reads NetBird")??;
        Ok(())
    }

    /// # Errors
    /// What was wrong with requests.
    pub fn check(&self) -> Result<()> {
        let problems = self.problems();
        ensure!(problems.is_empty(), "requests were wrong: {problems:?}");
        Ok(())
    }
}

impl Drop for NetBird {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
