//! What the stand-in reported and saw, so that a test can hold the node's records against it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::sync::watch;

use super::{Seen, check::Refusal};

/// Reasons kept of each kind of trouble.
const TROUBLE_LIMIT: usize = 64;

/// Tokens reported, in OpenTelemetry's meaning: `input_tokens` includes cached and written ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_creation_long_input_tokens: u64,
    pub reasoning_tokens: u64,
}

/// Everything counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub connections: u64,
    /// Requests, refused ones included.
    pub requests: u64,
    /// Answers that went out whole.
    pub answered: u64,
    /// Answers broken off because the script said so.
    pub cut: u64,
    /// Answers whose client went away.
    pub cancelled: u64,
    /// Words streamed so far.
    pub words_sent: u64,
    /// Body bytes handed to the transport so far.
    pub body_bytes_sent: u64,
    /// Why requests were refused.
    pub refused: Vec<String>,
    /// Handshakes and connections that failed.
    pub wire_errors: Vec<String>,
    /// Usage that was reported, by model.
    pub usage: BTreeMap<String, Sums>,
}

impl Stats {
    /// Usage over all models.
    pub fn total(&self) -> Sums {
        self.usage.values().fold(Sums::default(), |sum, one| Sums {
            input_tokens: sum.input_tokens + one.input_tokens,
            output_tokens: sum.output_tokens + one.output_tokens,
            cache_read_input_tokens: sum.cache_read_input_tokens + one.cache_read_input_tokens,
            cache_creation_input_tokens: sum.cache_creation_input_tokens
                + one.cache_creation_input_tokens,
            cache_creation_long_input_tokens: sum.cache_creation_long_input_tokens
                + one.cache_creation_long_input_tokens,
            reasoning_tokens: sum.reasoning_tokens + one.reasoning_tokens,
        })
    }
}

/// The one writer of [`Stats`].
pub(super) struct Ledger {
    stats: watch::Sender<Stats>,
    seen: Mutex<VecDeque<Seen>>,
    seen_limit: usize,
}

impl Ledger {
    pub(super) fn new(seen_limit: usize) -> Self {
        Self {
            stats: watch::Sender::new(Stats::default()),
            seen: Mutex::default(),
            seen_limit,
        }
    }

    pub(super) fn snapshot(&self) -> Stats {
        self.stats.borrow().clone()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen_lock().iter().cloned().collect()
    }

    pub(super) async fn wait(
        &self,
        limit: Duration,
        wanted: impl Fn(&Stats) -> bool,
    ) -> Result<Stats> {
        let mut changes = self.stats.subscribe();
        let waited = tokio::time::timeout(limit, changes.wait_for(|stats| wanted(stats))).await;
        let stats = waited
            .with_context(|| format!("the stand-in's sums after {limit:?}: {:?}", self.snapshot()))?
            .context("the ledger is gone")?;
        Ok(stats.clone())
    }

    /// Counts a connection and returns its number.
    pub(super) fn connection(&self) -> u64 {
        self.change(|stats| {
            stats.connections += 1;
        });
        self.stats.borrow().connections
    }

    pub(super) fn request(&self, seen: Seen, refusal: Option<&Refusal>) {
        {
            let mut kept = self.seen_lock();
            if kept.len() == self.seen_limit {
                kept.pop_front();
            }
            kept.push_back(seen);
        }
        self.change(|stats| {
            stats.requests += 1;
            if let Some(refusal) = refusal {
                keep(
                    &mut stats.refused,
                    format!("{}: {}", refusal.code, refusal.message),
                );
            }
        });
    }

    pub(super) fn sent(&self, words: u64, bytes: usize) {
        self.change(|stats| {
            stats.words_sent += words;
            stats.body_bytes_sent += bytes as u64;
        });
    }

    pub(super) fn usage(&self, model: &str, sums: Sums) {
        self.change(|stats| {
            let kept = stats.usage.entry(model.to_owned()).or_default();
            kept.input_tokens += sums.input_tokens;
            kept.output_tokens += sums.output_tokens;
            kept.cache_read_input_tokens += sums.cache_read_input_tokens;
            kept.cache_creation_input_tokens += sums.cache_creation_input_tokens;
            kept.cache_creation_long_input_tokens += sums.cache_creation_long_input_tokens;
            kept.reasoning_tokens += sums.reasoning_tokens;
        });
    }

    pub(super) fn answered(&self) {
        self.change(|stats| stats.answered += 1);
    }

    pub(super) fn cut(&self) {
        self.change(|stats| stats.cut += 1);
    }

    pub(super) fn cancelled(&self) {
        self.change(|stats| stats.cancelled += 1);
    }

    pub(super) fn wire_error(&self, error: String) {
        self.change(|stats| keep(&mut stats.wire_errors, error));
    }

    fn change(&self, edit: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(edit);
    }

    fn seen_lock(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(list: &mut Vec<String>, item: String) {
    if list.len() < TROUBLE_LIMIT {
        list.push(item);
    }
}
