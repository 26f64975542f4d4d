//! `Output`: one target of the access log, and how it is doing.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use super::journal::Journal;
use crate::{
    control_plane::usage::{entry::AccessLogEntry, export::json_line},
    handoff::record::ExchangeRecord,
};

/// A batch as targets take it.
pub(super) struct Entries<'a> {
    records: &'a [ExchangeRecord<'a>],
    entries: Vec<AccessLogEntry>,
    /// Empty where nobody takes lines.
    lines: Vec<u8>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(records: &'a [ExchangeRecord<'a>], outputs: &[Output]) -> Self {
        let entries: Vec<AccessLogEntry> = records.iter().map(AccessLogEntry::of).collect();
        let lines = match outputs.iter().any(Output::takes_lines) {
            true => entries.iter().flat_map(json_line).collect(),
            false => Vec::new(),
        };
        Self {
            records,
            entries,
            lines,
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
    Journal(Journal),
}

/// See the module.
pub(super) struct Output {
    target: Target,
    is_failing: bool,
    /// The last line may be cut short.
    is_torn: bool,
}

impl Output {
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn file(path: PathBuf) -> io::Result<Self> {
        let file = Some(open(&path)?);
        Ok(Self::new(Target::File { path, file }))
    }

    pub(super) fn stdout() -> Self {
        Self::new(Target::Stdout)
    }

    /// # Errors
    /// When there are no more sockets.
    pub(super) fn journal(socket: PathBuf) -> io::Result<Self> {
        Ok(Self::new(Target::Journal(Journal::new(socket)?)))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            is_failing: false,
            is_torn: false,
        }
    }

    fn takes_lines(&self) -> bool {
        match self.target {
            Target::File { .. } | Target::Stdout => true,
            Target::Journal(_) => false,
        }
    }

    pub(super) fn close(&mut self) {
        match &mut self.target {
            Target::File { file, .. } => *file = None,
            Target::Stdout | Target::Journal(_) => {}
        }
    }

    /// Returns how many records were lost; says in the node's log when that begins and ends.
    pub(super) fn write(&mut self, batch: &Entries<'_>) -> u64 {
        let (lost, result) = self.try_write(batch);
        match &result {
            Ok(()) if self.is_failing => tracing::info!("access log: it is written again"),
            Err(error) if !self.is_failing => {
                tracing::error!(%error, "access log: records are lost; they stay in the usage log");
            }
            Ok(()) | Err(_) => {}
        }
        self.is_failing = result.is_err();
        self.is_torn = self.is_failing;
        if self.is_failing {
            self.close();
        }
        lost
    }

    fn try_write(&mut self, batch: &Entries<'_>) -> (u64, io::Result<()>) {
        let Entries {
            records,
            entries,
            lines,
        } = batch;
        let end_of_torn: &[u8] = if self.is_torn { b"\n" } else { b"" };
        let written = match &mut self.target {
            Target::File { path, file } => write_file(path, file, [end_of_torn, lines]),
            Target::Stdout => write_stdout([end_of_torn, lines]),
            Target::Journal(journal) => {
                for (sent, (record, entry)) in records.iter().zip(entries).enumerate() {
                    if let Err(error) = journal.send(record, entry) {
                        return ((records.len() - sent) as u64, Err(error));
                    }
                }
                return (0, Ok(()));
            }
        };
        let lost = match written {
            Ok(()) => 0,
            Err(_) => records.len() as u64,
        };
        (lost, written)
    }
}

fn write_file(path: &PathBuf, file: &mut Option<File>, pieces: [&[u8]; 2]) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => file.insert(open(path)?),
    };
    pieces.iter().try_for_each(|piece| file.write_all(piece))
}

fn write_stdout(pieces: [&[u8]; 2]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    pieces
        .iter()
        .try_for_each(|piece| stdout.write_all(piece))?;
    stdout.flush()
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
