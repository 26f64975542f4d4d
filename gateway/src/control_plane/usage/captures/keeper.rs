//! The thread that keeps texts. What the disk refuses is tried again, while workers leave out what has no room behind
//! it.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Shared,
    file::{CaptureFile, Sealed, StoredPart},
};
use crate::{
    control_plane::{
        redact::{LOOKAHEAD_BYTES, Redactor},
        seal::TextKey,
        usage::{UsageError, indexer::lower_priority, sweep::oldest_kept_us},
    },
    dialect::text,
    handoff::{
        capture::{CaptureReceiver, Captured, Part},
        record::cut,
    },
};

/// Texts per transaction; also what this thread holds of them.
const TEXTS_PER_COMMIT_MAX: usize = 64;
const IDLE_WAIT: Duration = Duration::from_millis(500);
const BACK_OFF_FIRST: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

pub(super) struct Keeper {
    file: CaptureFile,
    receiver: CaptureReceiver,
    key: Arc<TextKey>,
    shared: Arc<Shared>,
    redactor: Redactor,
    /// Sealed, not written yet.
    pending: Vec<Sealed>,
    sweep_due: Instant,
    swept_days: u32,
}

impl Keeper {
    pub(super) fn new(
        file: CaptureFile,
        receiver: CaptureReceiver,
        key: Arc<TextKey>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            file,
            receiver,
            key,
            shared,
            redactor: Redactor::new(),
            pending: Vec::with_capacity(TEXTS_PER_COMMIT_MAX),
            sweep_due: Instant::now(),
            swept_days: 0,
        }
    }

    pub(super) fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name("usage-captures".into())
            .spawn(move || {
                lower_priority();
                self.run();
            })
    }

    fn run(&mut self) {
        let mut back_off = BACK_OFF_FIRST;
        loop {
            let stop = self.shared.stop.get().copied();
            match self.step() {
                Ok(true) => back_off = BACK_OFF_FIRST,
                Ok(false) if stop.is_some() => return,
                Ok(false) => self.receiver.wait(IDLE_WAIT),
                Err(_) if stop.is_some_and(|deadline| deadline <= Instant::now()) => return,
                Err(error) => {
                    tracing::error!(%error, "captured texts cannot be written");
                    thread::sleep(back_off);
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    // An error comes again with the next step.
                    let _ = self.file.reopen();
                }
            }
        }
    }

    /// One transaction of each kind; returns whether there was anything to do.
    fn step(&mut self) -> Result<bool, UsageError> {
        self.take();
        let has_texts = !self.pending.is_empty();
        if has_texts {
            self.file.write(&self.pending)?;
            self.pending.clear();
        }
        Ok(self.sweep_some()? || has_texts)
    }

    fn take(&mut self) {
        while self.pending.len() < TEXTS_PER_COMMIT_MAX {
            let before = self.pending.len();
            for captured in self.receiver.take() {
                let text = text_of(&captured, &self.redactor);
                if text.is_empty() {
                    continue;
                }
                let part = StoredPart::of(&captured.part);
                let name = part.name(captured.record_id);
                match self.key.seal(&name, text.into_bytes()) {
                    Ok(bytes) => self.pending.push(Sealed {
                        record_id: captured.record_id,
                        part,
                        bytes,
                    }),
                    Err(error) => tracing::error!(%error, "a captured text is left out"),
                }
            }
            if self.pending.len() == before {
                return;
            }
        }
    }

    fn sweep_some(&mut self) -> Result<bool, UsageError> {
        let days = self.shared.retention_days.load(Ordering::Relaxed);
        if days == self.swept_days && Instant::now() < self.sweep_due {
            return Ok(false);
        }
        let more = match oldest_kept_us(Timestamp::now(), days) {
            Some(before_us) => self.file.sweep(before_us)?,
            None => false,
        };
        if !more {
            self.swept_days = days;
            self.sweep_due = Instant::now() + SWEEP_INTERVAL;
        }
        Ok(more)
    }
}

/// What is kept of a body.
fn text_of(captured: &Captured, redactor: &Redactor) -> String {
    let most = captured.capture.text_bytes_max;
    let text = match &captured.part {
        Part::Request => text::of_request(captured.bytes(), most),
        Part::Answer {
            content_type,
            content_encoding,
        } => text::of_answer(
            content_type,
            content_encoding,
            captured.bytes(),
            most + LOOKAHEAD_BYTES,
        ),
    };
    match captured.capture.redact {
        true => redactor.redact(&text, most),
        false => cut(&text, most).to_owned(),
    }
}
