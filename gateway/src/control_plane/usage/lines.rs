//! The access log for whoever collects logs: as lines of JSON in a file or on standard output, or as entries of
//! the journal. A thread of its own writes them, from batches that are durable already. It is never waited for: what it has no room
//! for, or cannot write, is counted as lost here and stays in the index.

mod journal;
mod output;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Instant,
};

pub use journal::JOURNAL_SOCKET;

use super::status::UsageStatus;
use crate::handoff::batch::{self, Batch};
use output::{Entries, Output};

/// Batches that wait to be written, 64 KiB each.
const BATCHES_WAITING_MAX: usize = 64;

/// Where lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineTargets {
    /// Appended to; opened again by [`UsageLog::reopen_lines`](super::UsageLog::reopen_lines).
    pub file: Option<PathBuf>,
    pub stdout: bool,
    /// journald's socket.
    pub journal: Option<PathBuf>,
}

/// The writer's end.
pub(super) struct Lines {
    batches: SyncSender<Vec<u8>>,
    status: Arc<UsageStatus>,
}

/// Of the running thread.
pub(super) struct LinesHandle {
    reopen: Arc<AtomicBool>,
    /// Says nothing, and ends with the thread.
    ended: Receiver<()>,
}

impl Lines {
    /// `None` without a target.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn start(
        targets: &LineTargets,
        status: &Arc<UsageStatus>,
    ) -> io::Result<Option<(Self, LinesHandle)>> {
        let mut outputs = Vec::new();
        if let Some(path) = &targets.file {
            outputs.push(Output::file(path.clone())?);
        }
        if targets.stdout {
            outputs.push(Output::stdout());
        }
        if let Some(socket) = &targets.journal {
            outputs.push(Output::journal(socket.clone())?);
        }
        if outputs.is_empty() {
            return Ok(None);
        }
        let (batches, waiting) = mpsc::sync_channel(BATCHES_WAITING_MAX);
        let (running, ended) = mpsc::sync_channel(0);
        let reopen = Arc::new(AtomicBool::new(false));
        let writer = LineWriter {
            outputs,
            waiting,
            reopen: Arc::clone(&reopen),
            status: Arc::clone(status),
            _running: running,
        };
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run())?;
        let lines = Self {
            batches,
            status: Arc::clone(status),
        };
        Ok(Some((lines, LinesHandle { reopen, ended })))
    }

    /// Takes a copy of a sealed batch, unless there is no room for it.
    pub(super) fn offer(&self, sealed: &[u8]) {
        if self.batches.try_send(sealed.to_vec()).is_err() {
            let lost = u64::from(batch::count(sealed));
            self.status.lines_lost.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

impl LinesHandle {
    /// Before the next line.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until all is written, after [`Lines`] was dropped.
    pub(super) fn join(self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        // Either way there is nothing more to wait for.
        let _ = self.ended.recv_timeout(left);
    }
}

struct LineWriter {
    outputs: Vec<Output>,
    waiting: Receiver<Vec<u8>>,
    reopen: Arc<AtomicBool>,
    status: Arc<UsageStatus>,
    _running: SyncSender<()>,
}

impl LineWriter {
    fn run(mut self) {
        while let Ok(sealed) = self.waiting.recv() {
            if self.reopen.swap(false, Ordering::Relaxed) {
                self.outputs.iter_mut().for_each(Output::close);
            }
            let count = u64::from(batch::count(&sealed));
            // A damaged batch is reported by whoever indexes it.
            let Ok(records) = Batch::open(&sealed).and_then(|batch| batch.records()) else {
                self.status.lines_lost.fetch_add(count, Ordering::Relaxed);
                continue;
            };
            let entries = Entries::new(&records, &self.outputs);
            for output in &mut self.outputs {
                let lost = output.write(&entries);
                self.status.lines_lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs::OpenOptions, os::unix::net::UnixDatagram, time::Duration};

    use super::*;
    use crate::handoff::{
        batch::{BatchBuilder, new_buffer},
        record::{ExchangeRecord, tests::sample},
    };

    fn sealed(model: &str) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0);
        builder.append(&ExchangeRecord { model, ..sample() });
        builder.seal(new_buffer())
    }

    fn start(path: &std::path::Path) -> (Lines, LinesHandle, Arc<UsageStatus>) {
        start_with(LineTargets {
            file: Some(path.to_owned()),
            ..LineTargets::default()
        })
    }

    fn start_with(targets: LineTargets) -> (Lines, LinesHandle, Arc<UsageStatus>) {
        let status = Arc::new(UsageStatus::default());
        let (lines, handle) = Lines::start(&targets, &status).unwrap().unwrap();
        (lines, handle, status)
    }

    fn stop(lines: Lines, handle: LinesHandle) {
        drop(lines);
        handle.join(Instant::now() + Duration::from_secs(60));
    }

    fn models(path: &std::path::Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let model = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["model"].as_str().unwrap().to_owned()
        };
        text.lines().map(model).collect()
    }

    #[test]
    fn lines_follow_the_file_that_is_reopened() {
        let directory = tempfile::tempdir().unwrap();
        let (path, rotated) = (directory.path().join("a"), directory.path().join("a.1"));
        let (lines, handle, status) = start(&path);
        lines.offer(&sealed("one"));
        stop(lines, handle);
        let (lines, handle, _) = start(&path);
        // As logrotate does it.
        std::fs::rename(&path, &rotated).unwrap();
        handle.reopen();
        lines.offer(&sealed("two"));
        stop(lines, handle);
        assert_eq!(models(&rotated), ["one"]);
        assert_eq!(models(&path), ["two"]);
        assert_eq!(status.lines_lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_others_follow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gone").join("a");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let (lines, handle, status) = start(&path);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        handle.reopen();
        lines.offer(&sealed("lost"));
        while status.lines_lost.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        lines.offer(&sealed("kept"));
        stop(lines, handle);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim_start().lines().count(), 1, "{text}");
        assert_eq!(status.lines_lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nobody_waits_for_a_slow_target() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Held open and never read.
        let reader = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let (lines, handle, status) = start(&path);
        let batch = sealed(&"m".repeat(200));
        while status.lines_lost.load(Ordering::Relaxed) == 0 {
            lines.offer(&batch);
        }
        drop(lines);
        handle.join(Instant::now());
        drop(reader);
    }
    #[test]
    fn a_journal_that_comes_late_gets_what_follows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (lines, handle, status) = start_with(LineTargets {
            journal: Some(path.clone()),
            ..LineTargets::default()
        });
        lines.offer(&sealed("lost"));
        while status.lines_lost.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let journald = UnixDatagram::bind(&path).unwrap();
        lines.offer(&sealed("kept"));
        stop(lines, handle);
        let mut bytes = vec![0; 1 << 16];
        let length = journald.recv(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]);
        assert!(text.contains("\nKEYWAY_MODEL=kept\n"), "{text}");
        assert_eq!(status.lines_lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_journal_that_is_stuck_holds_up_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        // Never read.
        let _journald = UnixDatagram::bind(&path).unwrap();
        let (lines, handle, status) = start_with(LineTargets {
            journal: Some(path),
            ..LineTargets::default()
        });
        let batch = sealed("m");
        while status.lines_lost.load(Ordering::Relaxed) == 0 {
            lines.offer(&batch);
        }
        drop(lines);
        handle.join(Instant::now());
    }
}
