//! The workers as the control plane sees them: threads to start, to command and to wait for.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::time::interval;
use tracing::{error, info};

use crate::{
    config::Config,
    data_plane::worker::{self, WorkerStart},
    handoff::{
        capture::CaptureSender, command::WorkerCommand, counters::WorkerCounters,
        ledger::GrantQueue, objects::ObjectTable, publish::SnapshotPublisher, queue::RecordSender,
    },
};

/// After the drain's deadline, how long a worker may take to cut what is left and end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How often workers that are to go on are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often a worker that is to end is looked at.
const JOIN_INTERVAL: Duration = Duration::from_millis(10);

/// What all workers share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) objects: Arc<ObjectTable>,
    pub(super) grants: Arc<GrantQueue>,
}

pub(super) struct Workers {
    commands: Vec<mpsc::Sender<WorkerCommand>>,
    counters: Vec<Arc<WorkerCounters>>,
    threads: Vec<JoinHandle<()>>,
    driver: String,
}

impl Workers {
    /// Starts one worker per pair of senders; each returns once its runtime stands.
    pub(super) fn start(
        config: &Arc<Config>,
        node: u16,
        publisher: &SnapshotPublisher,
        senders: Vec<(RecordSender, CaptureSender)>,
        shared: &Shared,
    ) -> anyhow::Result<Self> {
        let mut workers = Self {
            commands: Vec::with_capacity(senders.len()),
            counters: Vec::with_capacity(senders.len()),
            threads: Vec::with_capacity(senders.len()),
            driver: String::new(),
        };
        for (index, senders) in senders.into_iter().enumerate() {
            workers
                .start_one(config, node, index, publisher, senders, shared)
                .with_context(|| format!("worker {index}"))?;
        }
        Ok(workers)
    }

    fn start_one(
        &mut self,
        config: &Arc<Config>,
        node: u16,
        index: usize,
        publisher: &SnapshotPublisher,
        (records, captures): (RecordSender, CaptureSender),
        shared: &Shared,
    ) -> io::Result<()> {
        let (sender, commands) = mpsc::channel();
        let counters = Arc::new(WorkerCounters::default());
        let running = worker::start(WorkerStart {
            index,
            node,
            config: Arc::clone(config),
            snapshots: publisher.reader(),
            counters: Arc::clone(&counters),
            records,
            captures,
            objects: Arc::clone(&shared.objects),
            grants: Arc::clone(&shared.grants),
            commands,
        })?;
        self.threads.push(running.thread);
        self.driver = running.driver;
        self.commands.push(sender);
        self.counters.push(counters);
        Ok(())
    }

    pub(super) fn commands(&self) -> Vec<mpsc::Sender<WorkerCommand>> {
        self.commands.clone()
    }

    pub(super) fn counters(&self) -> Vec<Arc<WorkerCounters>> {
        self.counters.clone()
    }

    /// The driver that the workers run on: on one machine the same for all.
    pub(super) fn driver(&self) -> &str {
        &self.driver
    }

    /// Resolves to the first worker whose thread is gone: without a drain only a panic ends one.
    pub(super) async fn ended(&self) -> usize {
        let mut look = interval(WATCH_INTERVAL);
        loop {
            look.tick().await;
            if let Some(index) = self.threads.iter().position(JoinHandle::is_finished) {
                return index;
            }
        }
    }

    /// Lets what runs finish within `limit`, then waits until every worker has handed over its last
    /// record and ended. Returns whether all of them did.
    pub(super) async fn drain(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        info!(?limit, "draining");
        for worker in &self.commands {
            // A worker that is gone has nothing left to drain.
            let _ = worker.send(WorkerCommand::Drain { deadline });
        }
        let given_up = deadline + STOP_GRACE;
        let mut all = true;
        for (index, thread) in self.threads.into_iter().enumerate() {
            while !thread.is_finished() && Instant::now() < given_up {
                tokio::time::sleep(JOIN_INTERVAL).await;
            }
            // Joining a thread that goes on would block this runtime.
            if !thread.is_finished() {
                error!(worker = index, "worker did not end in time");
                all = false;
            } else if thread.join().is_err() {
                error!(worker = index, "worker panicked");
                all = false;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_is_noticed() {
        let (lives, until) = mpsc::channel::<()>();
        let threads = vec![
            std::thread::spawn(move || until.recv().unwrap_or(())),
            std::thread::spawn(|| panic!("a planted panic")),
        ];
        let workers = Workers {
            commands: Vec::new(),
            counters: Vec::new(),
            threads,
            driver: String::new(),
        };
        assert_eq!(workers.ended().await, 1);
        drop(lives);
        assert!(!workers.drain(Duration::ZERO).await);
    }
}
