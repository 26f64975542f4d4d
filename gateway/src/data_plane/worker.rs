//! One worker: a pinned thread with its own monoio runtime, listeners, pools and counters.

use std::{io, sync::Arc, sync::mpsc::Receiver, thread::JoinHandle};

use crate::{
    config::Config,
    handoff::{
        command::WorkerCommand, counters::WorkerCounters, publish::SnapshotReader,
        queue::RecordSender,
    },
};

/// What a worker starts with; everything it will ever share.
pub struct WorkerStart {
    /// 0-based; names the thread, the core it is pinned to, and part of record ids.
    pub index: usize,
    /// Random per process; part of record ids.
    pub node: u16,
    pub config: Arc<Config>,
    pub snapshots: SnapshotReader,
    pub counters: Arc<WorkerCounters>,
    pub records: RecordSender,
    pub commands: Receiver<WorkerCommand>,
}

/// Starts the thread and returns once its runtime stands. The thread ends when a drain is over, after
/// its last record was handed over.
pub fn start(start: WorkerStart) -> io::Result<JoinHandle<()>> {
    let _ = start;
    todo!()
}
