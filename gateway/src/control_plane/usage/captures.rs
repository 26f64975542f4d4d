//! Captured texts: found in the bodies that workers hand over, redacted, sealed, and only then written. They are in a file
//! of their own with a thread of its own, so that neither the usage log waits for them, nor they for it, and their
//! retention gives back their space. Who may lose power loses what was written last; a text is no usage.

mod file;
mod keeper;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use super::UsageError;
use crate::{control_plane::seal::TextKey, handoff::capture::CaptureReceiver};
use file::{CaptureFile, StoredPart};
use keeper::Keeper;

const FILE: &str = "captures.db";

/// Keeps texts while it runs.
pub struct CaptureLog {
    shared: Arc<Shared>,
    reader: CaptureReader,
    keeper: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// 0 keeps texts for ever.
    retention_days: AtomicU32,
    stop: OnceLock<Instant>,
}

/// The texts of one exchange, as far as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    pub request: Option<String>,
    pub answer: Option<String>,
}

/// Reads texts; cheap to clone.
#[derive(Clone)]
pub struct CaptureReader {
    path: PathBuf,
    key: Arc<TextKey>,
}

impl CaptureLog {
    /// Opens or makes the file in `directory`, which is there, and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn start(
        directory: &Path,
        receiver: CaptureReceiver,
        key: TextKey,
    ) -> Result<Self, UsageError> {
        let path = directory.join(FILE);
        let file = CaptureFile::open(&path)?;
        let shared = Arc::new(Shared::default());
        let key = Arc::new(key);
        let keeper = Keeper::new(file, receiver, Arc::clone(&key), Arc::clone(&shared)).spawn()?;
        Ok(Self {
            shared,
            reader: CaptureReader { path, key },
            keeper,
        })
    }

    pub fn reader(&self) -> CaptureReader {
        self.reader.clone()
    }

    /// Texts older than this are deleted, at once and then every hour; 0 (as long as this was not called) keeps them.
    pub fn set_retention_days(&self, days: u32) {
        self.shared.retention_days.store(days, Ordering::Relaxed);
        self.keeper.thread().unpark();
    }

    /// Keeps what the workers handed over, then stops. To be called after the workers ended. Blocks until `deadline` at
    /// most, but for one transaction.
    pub fn flush_and_stop(self, deadline: Instant) {
        self.shared.stop.get_or_init(|| deadline);
        self.keeper.thread().unpark();
        self.keeper
            .join()
            .expect("the keeper turns errors into log entries");
    }
}

impl CaptureReader {
    /// The texts of the exchange with this record. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read. A text that does not open is told to the operator and left out.
    pub fn texts(&self, record_id: u128) -> Result<Texts, UsageError> {
        let mut texts = Texts::default();
        for (part, sealed) in file::read(&self.path, record_id)? {
            match self.key.open(&part.name(record_id), &sealed) {
                Ok(text) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    match part {
                        StoredPart::Request => texts.request = Some(text),
                        StoredPart::Answer => texts.answer = Some(text),
                    }
                }
                Err(error) => tracing::error!(%error, "a captured text cannot be read"),
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests;
