//! The access log as lines of JSON, in a file or on standard output, for whoever collects logs. A thread of
//! its own writes them, from batches that are durable already. It is never waited for: what it has no room
//! for, or cannot write, is counted as lost here and stays in the index.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Instant,
};

use super::{entry::AccessLogEntry, export::json_line, status::UsageStatus};
use crate::handoff::batch::{self, Batch};

/// Batches that wait to be written, 64 KiB each.
const BATCHES_WAITING_MAX: usize = 64;

/// Where lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineTargets {
    /// Appended to; opened again by [`UsageLog::reopen_lines`](super::UsageLog::reopen_lines).
    pub file: Option<PathBuf>,
    pub stdout: bool,
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
            outputs.push(Output::new(Target::File {
                file: Some(open(path)?),
                path: path.clone(),
            }));
        }
        if targets.stdout {
            outputs.push(Output::new(Target::Stdout));
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
            let lines: Vec<u8> = records
                .iter()
                .flat_map(|record| json_line(&AccessLogEntry::of(record)))
                .collect();
            for output in &mut self.outputs {
                if !output.write(&lines) {
                    self.status.lines_lost.fetch_add(count, Ordering::Relaxed);
                }
            }
        }
    }
}

enum Target {
    File {
        path: PathBuf,
        /// Closed after an error, and to be opened again.
        file: Option<File>,
    },
    Stdout,
}

/// A target, and how it is doing.
struct Output {
    target: Target,
    is_failing: bool,
    /// The last line may be cut short.
    is_torn: bool,
}

impl Output {
    fn new(target: Target) -> Self {
        Self {
            target,
            is_failing: false,
            is_torn: false,
        }
    }

    fn close(&mut self) {
        match &mut self.target {
            Target::File { file, .. } => *file = None,
            Target::Stdout => {}
        }
    }

    /// Returns whether all of it was written; says in the node's log when that changes.
    fn write(&mut self, lines: &[u8]) -> bool {
        let result = self.try_write(lines);
        match &result {
            Ok(()) if self.is_failing => tracing::info!("access log: lines are written again"),
            Err(error) if !self.is_failing => {
                tracing::error!(%error, "access log: lines are lost; they stay in the usage log");
            }
            Ok(()) | Err(_) => {}
        }
        self.is_failing = result.is_err();
        self.is_torn = self.is_failing;
        if self.is_failing {
            self.close();
        }
        !self.is_failing
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let end_of_torn: &[u8] = if self.is_torn { b"\n" } else { b"" };
        match &mut self.target {
            Target::File { path, file } => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(open(path)?),
                };
                file.write_all(end_of_torn)?;
                file.write_all(lines)
            }
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(end_of_torn)?;
                stdout.write_all(lines)?;
                stdout.flush()
            }
        }
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

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
        let status = Arc::new(UsageStatus::default());
        let targets = LineTargets {
            file: Some(path.to_owned()),
            stdout: false,
        };
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
}
